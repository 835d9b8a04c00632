"""How does a suite become a board? Every run once, in one folder with one ledger and one budget; then the table.

``python -m eval.leaderboard run SUITE --out DIR`` makes DIR/runs/NAME, DIR/leaderboard.csv, .md and .html. Running
again goes on: a run that is finished is not touched, one that was stopped is resumed, and nothing is asked twice. A
data set that is not there is skipped with its reason. ``--model`` and ``--judge`` ask language models.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from autointerp.cli_progress import Watch
from autointerp.config import make_config
from autointerp.demo import demo_cells
from autointerp.errors import EXIT_CODE, UserError
from autointerp.former import with_former
from autointerp.results.entries import Entry
from autointerp.results.leaderboard import leaderboard
from autointerp.results.leaderboard_page import markdown, write_board
from autointerp.results.run_entries import run_entries
from autointerp.run import Run
from autointerp.run_record import read_record
from eval.planted import PlantedCells, load_params, planted_cells
from eval.planted import oracle as oracles
from eval.planted.counts import FULL
from eval.suite import DATA, PLANTED_JUDGES, PLANTED_LABELS, Cell, Suite, cells_of, read_suite

LEDGER = Path("..") / ".." / "ledger.sqlite"
SIGN = {"up": "+", "down": "-"}
DONE = ("score", "report")


def run_suite(
    suite: Suite, out: Path, options: dict[str, Any], progress: Any
) -> tuple[list[Path], list[str]]:
    """The directories of the suite's runs, all of them scored, and what was skipped with its reason."""
    directories, skipped = [], []
    for cell in cells_of(suite):
        why = cell.data.missing()
        if why:
            skipped.append(f"{cell.name}: {why}")
            continue
        directory = out / "runs" / cell.name
        for judge in _judges(suite, options):
            _one(suite, cell, judge, directory, out, options, progress)
        directories.append(directory)
    return directories, skipped


def _judges(suite: Suite, options: dict[str, Any]) -> list[str]:
    asked = options.get("judge")
    return (
        [asked]
        if asked
        else [f"rule:eval.planted.oracle:{j}" if j in PLANTED_JUDGES else j for j in suite.judges]
    )


def _one(
    suite: Suite, cell: Cell, judge: str, directory: Path, out: Path, options: dict[str, Any], progress: Any
) -> None:
    """One judge of one run; nothing where that is done."""
    planted = (
        _planted(cell.data.planted, cell.seed, cell.data.n_cells) if cell.data.planted is not None else None
    )
    wanted = (
        _options(suite, cell, out, planted) | options | {"judge": judge, "out": directory, "ledger": LEDGER}
    )
    before = _stored(directory)
    if before is not None:
        known = {(one["judge"], tuple(one["scorers"])) for one in before["former"]}
        known.add((before["judge"], tuple(before["scorers"])))
        settled = make_config(wanted)
        if (judge, settled.scorers) in known and tuple(before["explainer"]) == settled.explainer:
            return
        wanted |= with_former(before, {"judge": judge, "scorers": ",".join(suite.scorers)})
    run = Run(make_config(wanted), progress, data=_adata(planted, cell) if planted is not None else None)
    run.score()


def _stored(directory: Path) -> dict[str, Any] | None:
    """The config of a run that was scored, or None."""
    if not (directory / "run.json").exists():
        return None
    record = read_record(directory)
    return record["config"] if record["stage"] in DONE else None


def _options(suite: Suite, cell: Cell, out: Path, planted: PlantedCells | None) -> dict[str, Any]:
    made: dict[str, Any] = {
        **suite.options,
        **cell.data.options,
        **cell.dictionary.options,
        "seed": cell.seed,
    }
    made["scorers"] = ",".join(suite.scorers)
    if planted is not None:
        made["data"] = f"{cell.data.name}-{cell.seed}.h5ad"
    elif cell.data.demo:
        made["data"] = demo_cells()
    else:
        made["data"] = Path(os.environ[DATA]) / str(cell.data.file)
    if cell.dictionary.factors:
        made["activations"] = "planted_factors"
    labels = [
        f"file:{_labels(planted, name.removeprefix(PLANTED_LABELS), out, cell)}"
        if planted is not None and name.startswith(PLANTED_LABELS)
        else name
        for name in suite.explainers
    ]
    return made | {"explainer": labels}


def _expanded(value: Any) -> Any:
    """``$AUTOINTERP_DATA`` in a path is the folder that it names."""
    if isinstance(value, list):
        return [_expanded(one) for one in value]
    return os.path.expandvars(value) if isinstance(value, str) else value


@cache
def _planted(params: str, seed: int, n_cells: int | None) -> PlantedCells:
    said = load_params(FULL.parent / params)
    if n_cells is not None:
        said["cells"]["n_cells"] = n_cells
    cells = planted_cells(said, seed)
    oracles.plant(cells)
    return cells


def _adata(planted: PlantedCells, cell: Cell) -> Any:
    adata = planted.adata.copy()
    if cell.dictionary.factors:
        adata.obsm["planted_factors"] = planted.activity
    return adata


def _labels(planted: PlantedCells, grade: str, out: Path, cell: Cell) -> Path:
    """The first label of a grade for every factor, as a file; ``shuffled``: the oracle label of the next family."""
    path = out / "labels" / f"{cell.data.name}-{cell.seed}" / f"{grade}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["latent", "title", "description", "kind", "key_features"])
        for latent, factor in enumerate(planted.factors):
            if grade == "shuffled":
                ring = planted.factors[latent + 1 :] + planted.factors[:latent]
                given = next(o.oracle for o in ring if not o.family or o.family != factor.family)
            else:
                graded = list(factor.graded(grade))
                if not graded:
                    continue
                given = graded[0]
            features = "; ".join(f.name + SIGN[f.direction] for f in given.label.key_features)
            writer.writerow([latent, given.label.title, given.label.description, given.label.kind, features])
    return path


def write(directories: Sequence[Path], skipped: Sequence[str], out: Path, command: str) -> str:
    """Compute the board from the runs' trials and write it; returns it as Markdown."""
    entries: list[Entry] = []
    refused = list(skipped)
    for directory in directories:
        found, why = run_entries(directory)
        entries, refused = entries + found, refused + why
    if not entries:
        raise UserError(f"Nothing to compare: {refused[0] if refused else 'no run'}.")
    board = leaderboard(entries)
    write_board(board, out, refused, command)
    return markdown(board, refused)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options, run what is missing, write the board."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["run"])
    parser.add_argument("suite", help="name of a suite in eval/suites, or a .toml file")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", help="labeling model, PROVIDER/NAME")
    parser.add_argument("--judge", help="judging model, in place of the suite's judges")
    parser.add_argument("--base-url")
    parser.add_argument("--budget-usd", type=float)
    parser.add_argument("--concurrency", type=int)
    given = vars(parser.parse_args(arguments))
    given.pop("what")
    name, out = given.pop("suite"), given.pop("out")
    options = {option: value for option, value in given.items() if value is not None}
    try:
        suite = read_suite(name)
        with Watch() as watch:
            directories, skipped = run_suite(suite, out, options, watch)
        print(write(directories, skipped, out, f"python -m eval.leaderboard run {name} --out {out}"), end="")
    except UserError as error:
        print(f"eval.leaderboard: {error}", file=sys.stderr)
        return EXIT_CODE
    for line in skipped:
        print(f"skipped: {line}", file=sys.stderr)
    print(f"Next: open {out / 'leaderboard.html'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
