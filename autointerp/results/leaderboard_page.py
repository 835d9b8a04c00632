"""What does a person see of a leaderboard? A page whose tables sort and filter, and the same as Markdown.

Both are written from the board's table alone, so that equal tables give equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.results.atomic import whole_file
from autointerp.results.html_page import finite, number, render_page
from autointerp.results.leaderboard import HEADLINE
from autointerp.results.tables import safe_cell, write_csv

CHANCE = 0.5


@dataclass(frozen=True)
class Column:
    """One column for people. ``source`` is the column of the board, or the first of several that it is made from."""

    name: str
    source: str
    guide: str
    digits: int = 3
    number: bool = True
    sign: bool = False
    bounds: tuple[str, str] | None = None  # an interval that is drawn beside it


COLUMNS = (
    Column("rank", "rank", "places that the row may really have", 0),
    Column("dictionary", "dictionary", "kind, size and active latents per item", number=False),
    Column("explainer", "explainer", "who wrote the labels", number=False),
    Column("model", "model", "the labeling model, if one was asked", number=False),
    Column("judge", "judge", "who judged by them", number=False),
    Column("mean, all", f"{HEADLINE} mean_all", "missing labels count as chance; 95 % interval", 3,
           bounds=(f"{HEADLINE} mean_all_low", f"{HEADLINE} mean_all_high")),
    Column("mean, scored", f"{HEADLINE} mean_scored", "over the latents that have a score", 3),
    Column("margin", f"{HEADLINE} margin", "over the better of chance and another family's label", 3, sign=True),
    Column("share of ceiling", f"{HEADLINE} share_of_ceiling", "of a supervised probe's margin", 2),
    Column("labeled", "explained", "share of the latents asked about that have a label", 2),
    Column("FVU", "fvu", "variance that the dictionary misses", 3),
    Column("selectivity", "selectivity", "of the best latents for known concepts", 3),
    Column("coverage", "coverage", "best F1 of one latent, mean over concepts", 3),
    Column("distinctness", "distinctness", "1 if all latents fire alike, m if none do", 1),
    Column("retest", "retest_sd", "sd of a score where the judge is asked again; empty: not measured", 3),
    Column("tokens", "tokens", "per latent, labels and answers", 0),
    Column("$", "usd", "per latent, of the priced calls", 4),
    Column("s", "seconds", "per latent, label and score stages", 2),
    Column("seed", "seed", "of the run", 0),
    Column("fingerprint", "fingerprint", "of data, dictionary, labels and judge", number=False),
)  # fmt: skip


def write_board(board: pd.DataFrame, folder: Path, refused: Sequence[str], command: str) -> Path:
    """leaderboard.csv, .md and .html in a folder, each whole or not at all; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    text = board.select_dtypes(exclude="number").columns
    table = board.assign(**{name: board[name].map(lambda v: safe_cell(str(v))) for name in text})
    write_csv(table, folder / "leaderboard.csv")
    with whole_file(folder / "leaderboard.md") as part:
        part.write_text(markdown(board, refused), encoding="utf-8")
    with whole_file(folder / "leaderboard.html") as part:
        part.write_bytes(render_board(board, refused, command))
    return folder / "leaderboard.html"


def render_board(board: pd.DataFrame, refused: Sequence[str], command: str) -> bytes:
    """The page as UTF-8 bytes."""
    groups = [
        {"data": data, "rows": [[_cell(column, row) for column in COLUMNS] for row in _records(rows)]}
        for data, rows in board.groupby("data", sort=False)
    ]
    facts = [("configurations", f"{len(board):,}"), ("data sets", f"{board['data'].nunique():,}")]
    return render_page(
        "leaderboard.html", ("page.css", "leaderboard.css"), ("leaderboard.js",),
        title="Dictionaries, explainers and judges", facts=facts, groups=groups, columns=COLUMNS,
        refused=refused, command=command,
    )  # fmt: skip


def markdown(board: pd.DataFrame, refused: Sequence[str]) -> str:
    """A table a data set, for a README or a terminal."""
    lines = ["# Leaderboard", ""]
    lines += [
        f"Detection AUROC against random negatives. `mean, all` counts latents without a score as {CHANCE}; ranks have "
        "room: 1 + rows significantly better – N − rows significantly worse (BH, 5 %).",
        "",
    ]
    for data, rows in board.groupby("data", sort=False):
        lines += [f"## {_plain(str(data))} ({len(rows)} configurations compared)", ""]
        lines += ["| " + " | ".join(c.name for c in COLUMNS) + " |"]
        lines += ["|" + "|".join("---:" if c.number else "---" for c in COLUMNS) + "|"]
        for row in _records(rows):
            cells = [_cell(column, row) for column in COLUMNS]
            shown = [f"{c['said']} {c['interval']}".strip() for c in cells]
            lines += ["| " + " | ".join(map(_plain, shown)) + " |"]
        lines += [""]
    lines += [f"Left out: {_plain(line)}" for line in refused]
    return "\n".join(lines).rstrip() + "\n"


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        row | {"tokens": row["label_tokens"] + row["judge_tokens"]} for row in rows.to_dict(orient="records")
    ]


def _cell(column: Column, row: dict[str, Any]) -> dict[str, Any]:
    value = row[column.source]
    made: dict[str, Any] = {"number": column.number, "bar": None, "guide": "", "interval": ""}
    if not column.number:
        return made | {"said": str(value) or "–", "sort": str(value), "guide": str(value)}
    known = finite(value)
    made |= {
        "said": number(known, column.digits, column.sign),
        "sort": "" if known is None else f"{known:.6g}",
    }
    if column.source == "rank":
        made["said"] = f"{row['rank']} ({row['rank_low']}–{row['rank_high']} of {row['n_compared']})"
    if column.bounds is not None and known is not None:
        low, high = (finite(row[name]) for name in column.bounds)
        if low is not None and high is not None:
            made["interval"] = f"({number(low, 3)}–{number(high, 3)})"
            made["guide"] = f"95 % {made['interval']}"
        made["bar"] = {"at": _at(known), "chance": _at(CHANCE)} | {
            "low": None if low is None else _at(low), "high": None if high is None else _at(high)
        }  # fmt: skip
    return made


def _at(value: float) -> float:
    """0–100 along an axis from 0.3 to 1."""
    return round(100 * min(1.0, max(0.0, (value - 0.3) / 0.7)), 1)


def _plain(text: str) -> str:
    """No cell ends its table: bars and line ends are written otherwise, and nothing is HTML."""
    text = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return text.replace("<", "&lt;").replace(">", "&gt;")
