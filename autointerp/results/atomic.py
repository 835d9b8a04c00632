"""How is a file written whole or not at all? Beside its place under another name, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autointerp.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; it takes the place of ``path`` if the block succeeds and vanishes if not.

    Raises
    ------
    UserError
        the disk is full
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        if not _disk_is_full(error):
            raise
        raise UserError(
            f"no space left on the disk that holds {path.parent} while writing {path.name}; "
            "free some, or choose another place with --out, and run the same command again."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _disk_is_full(error: BaseException | None) -> bool:
    """HDF5 hides the number in its text and wraps the error: look at both, all the way down."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        text = str(error)
        if os.strerror(errno.ENOSPC) in text or f"errno = {errno.ENOSPC}" in text:
            return True
        error = error.__cause__ or error.__context__
    return False
