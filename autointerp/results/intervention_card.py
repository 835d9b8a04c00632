"""What does a card show of a latent that was turned? What ``autointerp intervene`` has written beside the run, briefly.

Read back from the tables of RUN/interventions/latent-J. Names in them come from data, and are text wherever they are
shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.errors import EmptyDataError, ParserError

from autointerp.results.html_page import finite
from autointerp.results.payload import DosePoint, Moved, Turned, TurnedReadout

SHOWN = 8  # outputs a side
FOLDER = re.compile(r"latent-(\d+)")
READOUTS = ("genes", "images", "classes", "programs")
SEARCHED, ON_TEST, ON_DATA = "sigma on develop", "sigma on test", "on the data"


def turned_latents(directory: Path) -> dict[int, Turned]:
    """Of every latent with a folder under ``directory``, RUN/interventions; {} where there is none."""
    folders = [(FOLDER.fullmatch(folder.name), folder) for folder in sorted(directory.glob("latent-*"))]
    return {int(named[1]): turned(folder) for named, folder in folders if named}


def turned(folder: Path) -> Turned:
    """One folder; where its tables cannot be read, that is the reason."""
    try:
        summary = pd.read_csv(folder / "summary.csv", keep_default_na=False, na_values=[""]).set_index(
            "measure"
        )
        strength = pd.read_csv(folder / "strength.csv")
        tables = {
            name: _table(folder / f"{name}.csv") for name in READOUTS if (folder / f"{name}.csv").exists()
        }
        return _of_tables(folder, summary, strength, tables)
    except (
        OSError,
        EmptyDataError,
        ParserError,
        UnicodeDecodeError,
        KeyError,
        ValueError,
        StopIteration,
    ) as error:
        reason = f"its tables cannot be read ({type(error).__name__}); run autointerp intervene again"
        return Turned(
            page="", wanted=None, found=None, reached=None, on_data=None, reason=reason, measured_on="",
            doses=[], readouts=[],
        )  # fmt: skip


def _of_tables(
    folder: Path, summary: pd.DataFrame, strength: pd.DataFrame, tables: Mapping[str, pd.DataFrame]
) -> Turned:
    value, note = summary["value"], summary["note"].fillna("").astype(str)
    page = folder / "index.html"
    return Turned(
        page=f"../{folder.parent.name}/{folder.name}/index.html" if page.exists() else "",
        wanted=finite(value.get("sigma asked for")),
        found=finite(value.get(SEARCHED)),
        reached=finite(value.get(ON_TEST)),
        on_data=finite(value.get(ON_DATA)),
        reason="" if ON_TEST in value.index else note[SEARCHED],
        measured_on=note.get(ON_TEST, ""),
        doses=[
            DosePoint(s=float(row.s), sigma=float(row.sigma), leaving=float(row.leaving))
            for row in strength[strength["what"] == "dose"].sort_values("s").itertuples()
        ],
        readouts=[_readout(name, table, summary) for name, table in tables.items()],
    )


def _readout(name: str, table: pd.DataFrame, summary: pd.DataFrame) -> TurnedReadout:
    """The outputs that rise and fall most: classes by probability, all else in sd of real items."""
    column = "change" if name == "classes" else "change_sd"
    quality = next(measure for measure in ("correlation", "AUROC") if measure in table.columns)
    table = table.dropna(subset=column).sort_values(column, ascending=False, kind="stable")

    def told(rows: pd.DataFrame) -> list[Moved]:
        records: list[dict[str, Any]] = rows.to_dict(orient="records")  # type: ignore[assignment]
        return [
            Moved(
                name=str(row["output"]), change=float(row[column]), quality=finite(row[quality]),
                dose=finite(row["dose"]),
            )
            for row in records
        ]  # fmt: skip

    own = summary.loc[f"quality of {name}"]
    return TurnedReadout(
        name=name,
        unit="probability" if name == "classes" else "sd",
        quality=finite(own["value"]),
        measure=str(own["note"]),
        each=quality,
        up=told(table[table[column] > 0].head(SHOWN)),
        down=told(table[table[column] < 0].tail(SHOWN).iloc[::-1]),
    )


def _table(path: Path) -> pd.DataFrame:
    """Names stay as they are: a gene may be called NA. A leading quote is what keeps spreadsheets from calculating."""
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"output": str})
    return frame.assign(output=frame["output"].fillna("").str.replace(r"^'(?=[=+\-@])", "", regex=True))
