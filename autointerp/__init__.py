"""What does a user of the Python API import? These names, each loaded when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autointerp.api import add_latents as add_latents
    from autointerp.api import start as start
    from autointerp.config import RunConfig as RunConfig
    from autointerp.corpus.cells import CellCorpus as CellCorpus
    from autointerp.errors import UserError as UserError
    from autointerp.run import Run as Run

__version__ = "0.1.0"

_HOMES = {  # public name -> the module that defines it; keep TYPE_CHECKING above in step
    "CellCorpus": "autointerp.corpus.cells",
    "Run": "autointerp.run",
    "RunConfig": "autointerp.config",
    "UserError": "autointerp.errors",
    "add_latents": "autointerp.api",
    "start": "autointerp.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'autointerp' has no attribute {name!r}; it offers {', '.join(_HOMES)}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
