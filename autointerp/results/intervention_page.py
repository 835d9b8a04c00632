"""What does a person see of one latent turned? One HTML file: figures, dose and response, and what moved most, as SVG.

Charts are laid out here, in units of their viewBox; the template writes the shapes. Every name from the data reaches
the page through autoescaped fields.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.results.atomic import whole_file
from autointerp.results.html_page import number, render_page

WIDTH, HEIGHT = 460.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 14.0, 10.0, 34.0  # margins of the plotting area
ROW, NAME, HALF, QUALITY = (
    15.0,
    150.0,
    120.0,
    46.0,
)  # of a bar chart: row height, name, half of the bars, quality
MOST_BARS = 12  # a side
HEADINGS = {
    "genes": ("What rises and falls", "change in sd of real items"),
    "images": ("What the nearest real crops look like", "change in sd of real items"),
    "classes": ("Which class it becomes", "change of probability"),
    "programs": ("Which programs move", "change in sd of real items"),
}


@dataclass(frozen=True, eq=False)
class InterventionPage:
    """What the page shows.

    tables : as `intervene.tables.intervention_tables` gives them; facts : (what, value), in the head
    notes : what the readouts are and how good; command : what to do next
    """

    title: str
    noun: str
    dictionary: str
    tables: Mapping[str, pd.DataFrame]
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    command: str


def write_intervention_page(page: InterventionPage, path: Path) -> Path:
    """One self-contained file, whole or not at all; equal pages give equal bytes."""
    content = render_intervention_page(page)
    with whole_file(path) as part:
        part.write_bytes(content)
    return path


def render_intervention_page(page: InterventionPage) -> bytes:
    """The page as UTF-8 bytes."""
    charts = []
    for name, (heading, unit) in HEADINGS.items():
        if name in page.tables:
            column = "change" if name == "classes" else "change_sd"
            charts.append({"heading": heading, "unit": unit, "name": name, **bars(page.tables[name], column)})
    return render_page(
        "intervention.html", ("page.css", "dictionary.css"), (),
        page=page,
        rows=page.tables["summary"].to_dict(orient="records"),
        dose=dose_chart(page.tables["strength"]),
        charts=charts,
        isolation=_records(page.tables, "isolation"),
        perturbations=_records(page.tables, "perturbations")[:20],
    )  # fmt: skip


def bars(frame: pd.DataFrame, column: str, most: int = MOST_BARS) -> dict[str, Any]:
    """The outputs that rise and fall most, a bar each from the middle, with the readout's quality beside it."""
    frame = frame.assign(quality=frame["correlation"] if "correlation" in frame else frame["AUROC"])
    up = frame[frame[column] > 0].sort_values(column, ascending=False, kind="stable").head(most)
    down = frame[frame[column] < 0].sort_values(column, ascending=False, kind="stable").tail(most)
    shown = pd.concat([up, down])
    widest = max(float(shown[column].abs().max()) if len(shown) else 0.0, 1e-12)
    middle = NAME + HALF
    rows = []
    for place, row in enumerate(shown.to_dict(orient="records")):
        value = float(row[column])
        length = HALF * abs(value) / widest
        said = f"{row['output']}: {number(value, 3, sign=True)}; mean change {number(row['change'], 3, sign=True)}"
        if math.isfinite(row["low"]):
            said += f" ({number(row['low'], 3)} to {number(row['high'], 3)}, {row['method']})"
        rows.append(
            {
                "y": place * ROW, "name": row["output"], "said": said, "up": value > 0, "length": length,
                "x": middle if value > 0 else middle - length, "value": number(value, 2, sign=True),
                "quality": number(row["quality"], 2),
            }
        )  # fmt: skip
    return {
        "rows": rows,
        "row": ROW,
        "middle": middle,
        "name_x": NAME - 6,
        "quality_x": NAME + 2 * HALF + QUALITY,
        "quality_name": "correlation" if "correlation" in frame else "AUROC",
        "width": NAME + 2 * HALF + QUALITY + 6,
        "height": ROW * max(len(rows), 1) + 4,
        "left_out": len(frame) - len(rows),
    }


def dose_chart(strength: pd.DataFrame) -> dict[str, Any]:
    """σ on test at five strengths, and on develop where the strength was sought, up to a quarter beyond."""
    dose = strength[strength["what"] == "dose"]
    most = 1.25 * float(dose["s"].max())
    search = strength[(strength["what"] == "search") & (strength["s"] <= most)]
    top = max(1.05 * float(pd.concat([dose["sigma"], search["sigma"]]).max()), 1e-12)
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(s: float, sigma: float) -> tuple[float, float]:
        return LEFT + width * s / most, TOP + height * (1 - sigma / top)

    points = [
        (*place(row.s, row.sigma), f"s {row.s:.3g}: σ {row.sigma:.3g}, {row.leaving:.0%} left the data")
        for row in dose.itertuples()
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(row.s, row.sigma) for row in search.itertuples()))
    return {
        "points": points,
        "line": line,
        "x_ticks": [(LEFT + width * t / most, f"{t:.3g}") for t in np.linspace(0, most, 5).tolist()],
        "y_ticks": [(TOP + height * (1 - t / top), f"{t:.2g}") for t in np.linspace(0, top, 5).tolist()],
    }


def _records(tables: Mapping[str, pd.DataFrame], name: str) -> list[dict[str, Any]]:
    return tables[name].to_dict(orient="records") if name in tables else []
