"""How is a file written whole or not at all? Beside its place under another name, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autointerp.errors import UserError


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
