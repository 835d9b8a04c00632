"""Which of several runs is to be believed? Prints a board of finished runs and submissions, or exports results."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autointerp.errors import UserError

if TYPE_CHECKING:
    from autointerp.results.entries import Entry

Sources = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN…",
        help="run directories and exported .json files; or: export RUN, for another machine's board",
    ),
]
BoardOut = Annotated[
    Path | None,
    typer.Option(help="folder to write [default: leaderboard]; of export the file [RUN/leaderboard.json]"),
]
EXPORT = "export"


def leaderboard(sources: Sources, out: BoardOut = None) -> None:
    """Compare finished runs: a row a dictionary, explainer and judge, each beside its controls, with intervals."""
    from autointerp.cli_dictionary import told_in_one_line

    with told_in_one_line():
        if str(sources[0]) == EXPORT and not sources[0].exists():
            _export(sources[1:], out)
        else:
            _board(sources, out or Path("leaderboard"))


def _board(sources: list[Path], out: Path) -> None:
    from autointerp.results.leaderboard import leaderboard as board_of
    from autointerp.results.leaderboard_page import markdown, write_board
    from autointerp.results.run_entries import run_entries
    from autointerp.results.submission import read_submission

    entries: list[Entry] = []
    refused: list[str] = []
    for source in sources:
        if source.suffix == ".json":
            entries += read_submission(source)
        else:
            found, why = run_entries(source)
            entries, refused = entries + found, refused + why
    for line in refused:
        _say(f"left out: {line}")
    if not entries:
        raise UserError(f"Nothing to compare: {refused[0] if refused else 'the submissions are empty'}.")
    board = board_of(entries)
    command = " ".join(["autointerp leaderboard", *(shlex.quote(str(s)) for s in sources)])
    page = write_board(board, out, refused, f"{command} --out {shlex.quote(str(out))}")
    print(markdown(board, refused), end="")
    print(page)
    _say(
        f"Next: open {page}, or send what another board can read: autointerp leaderboard export {sources[0]}"
    )


def _export(runs: list[Path], out: Path | None) -> None:
    from autointerp.results.run_entries import run_entries
    from autointerp.results.submission import write_submission

    if len(runs) != 1:
        raise UserError("Export one run: autointerp leaderboard export RUN")
    entries, refused = run_entries(runs[0])
    for line in refused:
        _say(f"left out: {line}")
    if not entries:
        raise UserError(f"Nothing to export: {refused[0] if refused else 'the run has no labels'}.")
    path = write_submission(entries, out or runs[0] / "leaderboard.json")
    print(path)
    _say(f"Next: autointerp leaderboard {path} OTHER_RUN…")


def _say(message: str) -> None:
    print(message, file=sys.stderr)
