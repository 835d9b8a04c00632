"""How does a user's own function get into a run? Named as MODULE:CALLABLE, imported when it is needed."""

from __future__ import annotations

import importlib
from typing import Any

from autointerp.errors import UserError


def named_callable(option: str, spec: str, takes: str) -> Any:
    """The callable that ``module:callable`` names.

    option : as on the command line; takes : what it is called with and returns, for the message

    Raises
    ------
    UserError
        Where there is no such module or callable.
    """
    module, found, name = spec.partition(":")
    if not found:
        raise UserError(f"{option} {spec!r} is not MODULE:CALLABLE, for example mymodel.reading:function.")
    try:
        made = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{option} {spec}: {error}. Is the module on PYTHONPATH?") from error
    if not callable(made):
        raise UserError(f"{option} {spec} is a {type(made).__name__}, not a callable {takes}.")
    return made
