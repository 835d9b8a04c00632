"""What does a run directory say of itself? run.json, read for those who go on with the run or look at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autointerp.errors import UserError


def read_record(directory: Path) -> dict[str, Any]:
    """What run.json holds; its ``config`` is a dict.

    Raises
    ------
    UserError
        If the directory holds no run, run.json is not the record of one, or its data cannot be read again.
    """
    path = directory / "run.json"
    if not path.exists():
        raise UserError(
            f"{directory} is not a run directory (no run.json). Start one with: autointerp fit --data FILE"
        )
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
        config = dict(record["config"])
    except (ValueError, KeyError, TypeError, IsADirectoryError) as error:
        raise UserError(
            f"{path} is not the record of a run. Remove it, or choose another directory."
        ) from error
    if config.get("data") == "adata" and not Path("adata").exists():
        raise UserError(
            f"{directory} was started from an AnnData in memory. Go on in Python: autointerp.start on the same data."
        )
    return record | {"config": config}
