"""What does a run directory say of itself? run.json, read for those who go on with the run or look at it.

And what made it: the versions of the packages that decide results.
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import autointerp
from autointerp.errors import UserError

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "anndata", "openai", "litellm")


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


def check_directory(directory: Path, fingerprint: str, run_id: str) -> list[str]:
    """Warnings before a run writes there.

    Raises
    ------
    UserError
        If files stand in the way, or the directory holds a run of other data.
    """
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file. Choose another --out.")
    for above in directory.parents:
        if above.exists() and not above.is_dir():
            raise UserError(f"{above} is a file, so {directory} cannot be made. Choose another --out.")
    path = directory / "run.json"
    if not path.exists():
        return []
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        other, data = stored["data_fingerprint"], stored["config"]["data"]
    except (ValueError, KeyError, TypeError, IsADirectoryError) as error:
        raise UserError(f"{path} is not the record of a run. Remove it, or choose another --out.") from error
    if other != fingerprint:
        raise UserError(f"{directory} holds a run of other data ({data}). Choose another --out.")
    if stored.get("run_id", run_id) == run_id:
        return []
    return [
        f"{directory} held run {stored['run_id']}, of the same data with other options: its tables and report are "
        "written anew. Choose another --out to keep both."
    ]


def versions() -> dict[str, str]:
    """Of Python and the packages that decide results."""
    found = {"python": platform.python_version(), "autointerp": autointerp.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
