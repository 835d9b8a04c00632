"""Is another run writing to this ledger? A lock on a file beside it, which a killed process gives back by itself."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from autointerp.errors import UserError

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows: SQLite's own locks keep the file whole, two runs may ask twice
    fcntl = None


def only_writer(path: Path) -> IO[bytes] | None:
    """A lock that is held until the file is closed; None where the system has none.

    Raises
    ------
    UserError : another process holds it
    """
    if fcntl is None:
        return None
    file = open(path.with_name(path.name + "-lock"), "ab")  # noqa: SIM115 - held until close()
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(
            f"another run is writing to {path}. Wait for it to end, or choose another --out."
        ) from None
    except OSError:  # a file system without locks
        file.close()
        return None
    return file
