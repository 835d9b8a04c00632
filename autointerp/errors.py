"""Which errors are the user's to mend, and which are ours? UserError is one line with the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_CODE = 2


class UserError(Exception):
    """Something the user can mend: one line with what was wrong, the value seen, and what to do.

    The command line prints it without a traceback and exits with code 2.
    Every other exception is a bug of ours and shows its traceback.
    """


class CannotGoOn(UserError):
    """The endpoint refuses every request (key, quota, unknown model): the run stops, nothing is lost."""


def unknown_name(what: str, seen: str, allowed: Iterable[str], fix: str = "") -> UserError:
    """A helpful miss: ``obsm has no key 'X_scvi'; found 'X_pca', 'X_scVI'. Did you mean X_scVI?``"""
    names = sorted(str(name) for name in allowed)
    listed = ", ".join(repr(name) for name in names[:20]) or "none"
    if len(names) > 20:
        listed += f" and {len(names) - 20} more"
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(seen.lower(), list(lowered), n=1)
    hint = f" Did you mean {lowered[close[0]]}?" if close else ""
    return UserError(f"{what} {seen!r}; found {listed}.{hint}{' ' + fix if fix else ''}")
