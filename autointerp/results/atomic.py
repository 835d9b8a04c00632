"""How is a file written whole or not at all? Beside its place under another name, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autointerp.errors import UserError

DISK_FULL_BYTES = 8 * 2**20


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; it takes the place of ``path`` if the block succeeds and vanishes if not.

    Raises
    ------
    UserError
        the disk is full
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"no space left on the disk that holds {path.parent} while writing {path.name}; "
            "free some, or choose another place with --out, and run the same command again."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def disk_is_full(error: OSError, directory: Path | None = None) -> bool:
    """Also where a library hides the number: numpy and HDF5 tell of a full disk in words only."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return True
    place = directory if directory is not None and directory.exists() else Path()
    return error.errno is None and shutil.disk_usage(place).free < DISK_FULL_BYTES
