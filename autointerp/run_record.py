"""What does a run directory say of itself? run.json, read for those who go on with the run or look at it.

And what made it: the versions of the packages that decide results.
"""

from __future__ import annotations

import json
import math
import platform
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import autointerp
from autointerp.errors import UserError
from autointerp.llm.ledger import Ledger
from autointerp.results import tables
from autointerp.results.retested import retested
from autointerp.schema import Label

if TYPE_CHECKING:
    from autointerp.run import Run

PACKAGES = (
    "torch", "numpy", "scipy", "scikit-learn", "scikit-image", "pillow", "tifffile", "pandas", "anndata", "openai",
    "litellm",
)  # fmt: skip


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


def write_record(run: Run, stage: str) -> None:
    """run.json after a stage, ``started`` before the first."""
    prepared = run.prepared
    run.directory.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "schema_version": tables.SCHEMA_VERSION,
        "run_id": run.run_id,
        "stage": stage,
        "config": run.config.to_json(),
        "data_fingerprint": prepared.fingerprint,
        "n_items": len(prepared.corpus),
        "n_features": len(prepared.corpus.feature_names),
        "split": {"mode": prepared.split.mode, "hash": prepared.split.hash, **prepared.split.counts()},
        "notes": run.notes,
        "warnings": run.warnings,
        "versions": versions(),
    }
    if stage != "started":
        content["dictionary"] = prepared.dictionary_name
        if run.config.activations is None:
            dictionary, quality = prepared.fitted
            content |= {"dictionary_fingerprint": dictionary.fingerprint(), "dictionary_quality": quality}
    if stage in ("label", "score", "report") and run.roles:
        content["parse_status"] = {"labels": _counts(run.labels_table["parse_status"].tolist())}
    if stage in ("score", "report"):
        if run.roles:
            read = (status for trials in run.judged.trials for status in trials.parse_statuses.tolist())
            content["parse_status"]["answers"] = _counts(read)
        content["summary"] = json.loads(run.summary.to_json(orient="records"))
        content["retest"] = retested(run.judged.trials)
        content["dictionary_measures"] = {
            name: value if math.isfinite(value) else None for name, value in run.measures.items()
        }
        content["asked"] = _asked(run)
        content["confidence"] = run.reliability
    if spent := _spent(run):
        content["spent"] = spent  # by all runs of the ledger
    content["timings"] = {name: round(seconds, 3) for name, seconds in prepared.timings.items()}
    content["written"] = datetime.now(UTC).isoformat(timespec="seconds")
    tables.write_json(content, run.directory / "run.json")


def write_spent(run: Run) -> None:
    """What all runs of the ledger have spent, into the run.json that is there."""
    path = run.directory / "run.json"
    if path.exists() and (spent := _spent(run)):
        content = json.loads(path.read_text(encoding="utf-8"))
        tables.write_json(content | {"spent": spent}, path)


def _counts(statuses: Iterable[str]) -> dict[str, int]:
    return {name: n for name, n in sorted(Counter(statuses).items()) if name}


def _asked(run: Run) -> dict[str, dict[str, dict[str, float]]]:
    """What was asked of models: by explainer for its labels, by explainer and judge for answers about them.

    Of answers that the ledger holds, whenever they were given; labels that failed have no requests to name.
    """
    keys: dict[str, dict[str, set[str]]] = {"labels": defaultdict(set), "answers": defaultdict(set)}
    for (explainer, _), outcome in run.labels.outcomes.items():
        if isinstance(outcome, Label):
            keys["labels"][explainer].update(outcome.history)
    for (explainer, judge), asked in run.judged.asked.items():
        keys["answers"][f"{explainer} by {judge}"].update(asked)
    if not run.ledger.exists():
        return {what: {} for what in keys}
    with Ledger(run.ledger, read_only=True) as ledger:
        return {
            what: {name: ledger.spent_on(sorted(asked)) for name, asked in sorted(by_name.items())}
            for what, by_name in keys.items()
        }


def _spent(run: Run) -> dict[str, Any] | None:
    if not run.ledger.exists():
        return None
    with Ledger(run.ledger, read_only=True) as ledger:
        return asdict(ledger.totals())
