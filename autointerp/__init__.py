"""What does a user of the Python API import? These names, each loaded when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autointerp.errors import UserError as UserError

__version__ = "0.1.0"

_HOMES = {  # public name -> the module that defines it; keep TYPE_CHECKING above in step
    "UserError": "autointerp.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'autointerp' has no attribute {name!r}; it offers {', '.join(_HOMES)}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
