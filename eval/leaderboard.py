"""How does a suite become a board? Every run once, in one folder with one ledger and one budget; then the table.

``python -m eval.leaderboard run SUITE --out DIR`` makes DIR/runs/NAME, DIR/leaderboard.csv, .md and .html. Running
again goes on: a run that is finished is not touched, one that was stopped is resumed, and nothing is asked twice. A
data set that is not there is skipped with its reason. ``--model`` and ``--judge`` ask language models; ``--rule-model``
puts the readers of ``eval.planted.rule_reader`` in their place, behind a socket of this machine.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from autointerp.cli_progress import Watch
from autointerp.config import RunConfig, make_config
from autointerp.demo import demo_cells
from autointerp.errors import EXIT_CODE, UserError
from autointerp.former import with_former
from autointerp.names import JUDGE_FORMS, is_rule
from autointerp.prepare import Prepared
from autointerp.results.entries import Entry
from autointerp.results.leaderboard import leaderboard
from autointerp.results.leaderboard_page import markdown, write_board
from autointerp.results.run_entries import run_entries
from autointerp.run import Run
from autointerp.run_record import read_record
from eval.bench.call_costs import tokenizer
from eval.planted import PlantedCells, load_params, planted_cells
from eval.planted import oracle as oracles
from eval.planted.counts import FULL
from eval.planted.images import IMAGES, PlantedImages, load_image_params, planted_images
from eval.planted.rule_reader import RuleReader
from eval.planted.rule_server import RuleServer
from eval.suite import DATA, MODEL_JUDGE, PLANTED_JUDGES, PLANTED_LABELS, Cell, Suite, cells_of, read_suite

LEDGER = Path("..") / ".." / "ledger.sqlite"
SIGN = {"up": "+", "down": "-"}
DONE = ("score", "report")


class Shelf:
    """Items, embedding and split of the last data set and seed, which all its dictionaries share."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._held: Prepared | None = None

    def prepared(self, cell: Cell, config: RunConfig, progress: Any, data: Any) -> Prepared:
        """For one run; what is on the shelf is not read, nor measured, again."""
        key = cell.data.name, cell.seed, cell.dictionary.factors, config.embedding
        if self._held is None or key != self._key:
            self._key, self._held = key, Prepared(config, progress, data)
            return self._held
        return self._held.beside(config, progress)


def run_suite(
    suite: Suite, out: Path, options: dict[str, Any], progress: Any
) -> tuple[list[Path], list[str]]:
    """The directories of the suite's runs, all of them scored, and what was skipped with its reason."""
    directories, skipped = [], []
    shelf = Shelf()
    for cell in cells_of(suite):
        why = cell.data.missing(suite.options)
        if why:
            skipped.append(f"{cell.name}: {why}")
            continue
        directory = out / "runs" / cell.name
        for judge, form in _judges(suite, options):
            _one(suite, cell, judge, form, directory, out, options, progress, shelf)
        directories.append(directory)
    return directories, skipped


def _judges(suite: Suite, options: dict[str, Any]) -> list[tuple[str, str]]:
    """Names, each with the form of its answers; a judge that was asked for stands in the place of the suite's model, or
    of all its judges where it has none."""
    asked = options.get("judge")
    if asked and MODEL_JUDGE not in suite.judges:
        return [(asked, JUDGE_FORMS[0])]
    made: list[tuple[str, str]] = []
    for name in suite.judges:
        if name == MODEL_JUDGE:
            model = asked or options.get("model")
            if model is None:
                raise UserError(
                    "A judge of this suite is a model. Pass --model PROVIDER/NAME, or --rule-model."
                )
            made += [(model, form) for form in (suite.judge_forms if not is_rule(model) else JUDGE_FORMS[:1])]
        else:
            made.append(
                (f"rule:eval.planted.oracle:{name}" if name in PLANTED_JUDGES else name, JUDGE_FORMS[0])
            )
    return made


def _one(
    suite: Suite, cell: Cell, judge: str, form: str, directory: Path, out: Path, options: dict[str, Any],
    progress: Any, shelf: Shelf,
) -> None:  # fmt: skip
    """One judge of one run; nothing where that is done."""
    planted = (
        _planted(cell.data.planted, cell.seed, cell.data.n_cells) if cell.data.planted is not None else None
    )
    wanted = _options(suite, cell, out, planted) | options
    wanted |= {"judge": judge, "judge_form": form, "out": directory, "ledger": LEDGER}
    before = _stored(directory)
    if before is not None:
        known = {(one["judge"], one["form"], tuple(one["scorers"])) for one in before["former"]}
        known.add((before["judge"], before["judge_form"], tuple(before["scorers"])))
        settled = make_config(wanted)
        if (judge, form, settled.scorers) in known and tuple(before["explainer"]) == settled.explainer:
            return
        wanted |= with_former(
            before, {"judge": judge, "judge_form": form, "scorers": ",".join(suite.scorers)}
        )
    cells = _adata(planted, cell) if isinstance(planted, PlantedCells) else None
    prepared = shelf.prepared(cell, make_config(wanted), progress, cells)
    Run(prepared.config, progress, data=cells, prepared=prepared).score()


def _stored(directory: Path) -> dict[str, Any] | None:
    """The config of a run that was scored, or None."""
    if not (directory / "run.json").exists():
        return None
    record = read_record(directory)
    return record["config"] if record["stage"] in DONE else None


def _options(
    suite: Suite, cell: Cell, out: Path, planted: PlantedCells | PlantedImages | None
) -> dict[str, Any]:
    made: dict[str, Any] = {
        **suite.options,
        **cell.data.options,
        **cell.dictionary.options,
        "seed": cell.seed,
    }
    made = {name: _expanded(value) for name, value in made.items()} | {"scorers": ",".join(suite.scorers)}
    if isinstance(planted, PlantedImages):
        made["images"], activations = planted.write(out / "data" / f"{cell.data.name}-{cell.seed}")
        made |= {"activations": str(activations)} if cell.dictionary.factors else {}
    elif planted is not None:
        made["data"] = f"{cell.data.name}-{cell.seed}.h5ad"
        made |= {"activations": "planted_factors"} if cell.dictionary.factors else {}
    elif cell.data.demo:
        made["data"] = demo_cells()
    else:
        made["images" if cell.data.images else "data"] = Path(os.environ[DATA]) / str(cell.data.path)
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
def _planted(params: str, seed: int, n_cells: int | None) -> PlantedCells | PlantedImages:
    if params == IMAGES.name:
        crops = planted_images(load_image_params(), seed)
        oracles.plant_images(crops, seed)
        return crops
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


def _labels(planted: PlantedCells | PlantedImages, grade: str, out: Path, cell: Cell) -> Path:
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


@contextmanager
def rule_model(options: dict[str, Any]) -> Iterator[None]:
    """Answers ``options``' models by rule while it is open; the ledger knows the endpoint by name, not by its port."""
    count = tokenizer()
    with RuleServer(RuleReader().reply, lambda text: len(count.encode_ordinary(text))) as server:
        options |= {
            "model": "openai/rule-explainer", "judge": options.get("judge", "openai/rule-judge"),
            "base_url": server.url, "endpoint_name": "rule-reader", "allow_unpriced": True,
        }  # fmt: skip
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options, run what is missing, write the board."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["run"])
    parser.add_argument("suite", help="name of a suite in eval/suites, or a .toml file")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", help="labeling model, PROVIDER/NAME")
    parser.add_argument("--judge", help="judging model, in place of the suite's judges")
    parser.add_argument("--base-url")
    parser.add_argument(
        "--rule-model", action="store_true", help="ask rule-driven readers, no language model"
    )
    parser.add_argument("--budget-usd", type=float)
    parser.add_argument("--concurrency", type=int)
    given = vars(parser.parse_args(arguments))
    given.pop("what")
    name, out, by_rule = given.pop("suite"), given.pop("out"), given.pop("rule_model")
    options = {option: value for option, value in given.items() if value is not None}
    try:
        suite = read_suite(name)
        with Watch() as watch, rule_model(options) if by_rule else nullcontext():
            directories, skipped = run_suite(suite, out, options, watch)
        command = f"python -m eval.leaderboard run {name} --out {out}{' --rule-model' if by_rule else ''}"
        print(write(directories, skipped, out, command), end="")
    except UserError as error:
        print(f"eval.leaderboard: {error}", file=sys.stderr)
        return EXIT_CODE
    for line in skipped:
        print(f"skipped: {line}", file=sys.stderr)
    print(f"Next: open {out / 'leaderboard.html'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
