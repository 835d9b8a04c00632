"""What does a person see of a dictionary? One HTML file: figures beside baselines, and four charts, drawn as SVG.

Charts are laid out here, in units of their viewBox; the template writes the shapes. Every name from the data reaches
the page through autoescaped fields.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.results.atomic import whole_file
from autointerp.results.html_page import number, render_page

WIDTH, HEIGHT = 460.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 14.0, 10.0, 34.0  # margins of the plotting area
BINS_A_DECADE = 4
MOST_CONCEPTS = 40  # in heat map and bars: those with the most test items
CELL, ROW_LABEL = 26.0, 190.0
BAR, GROUP_GAP, BARS = 9.0, 8.0, 390.0
SIDE_BY_SIDE = 12  # concepts of which heat map and bars fit beside each other
SAID = {  # measure -> (name, decimals, how to read it)
    "fvu": ("variance missed (FVU)", 3, "Σ‖x − x̂‖² / Σ‖x − mean‖² over test items; lower is better"),
    "cosine": ("cosine of x and x̂", 3, "about the center, mean over test items"),
    "l0": ("active latents per item (L0)", 1, "mean over test items"),
    "dead_share": ("dead latents", 3, "share that fires on no explain item"),
    "dense_share": ("dense latents", 3, "share that fires on more than half of the test items"),
    "selectivity_average": ("selectivity, average", 3, "P(active | c) − P(active | not c), best latent per concept"),
    "selectivity_maximum": ("selectivity, maximum", 3, "P(active | c) − the highest P(active | another concept)"),
    "probing_1": ("sparse probing, 1 latent", 3, "balanced accuracy of a probe on 1 latent; 0.5 is chance"),
    "probing_2": ("sparse probing, 2 latents", 3, "balanced accuracy of a probe on 2 latents"),
    "probing_4": ("sparse probing, 4 latents", 3, "balanced accuracy of a probe on 4 latents"),
    "probing_8": ("sparse probing, 8 latents", 3, "balanced accuracy of a probe on 8 latents"),
    "coverage": ("coverage", 3, "best F1 of one latent above one threshold, mean over concepts"),
    "state_reconstruction": ("state reconstruction", 3, "F1 of “a latent of precision ≥ 0.95 fires”"),
    "probe_raw": ("probe on x", 3, "balanced accuracy of a linear probe on the embedding: what there is to read"),
    "probe_transferred": ("probe of x on x̂", 3, "the same probe on reconstructions: what is kept where it was"),
    "probe_refitted": ("probe on x̂", 3, "a probe fitted on reconstructions: what is kept anywhere"),
    "distinctness": ("distinctness", 1, "participation ratio of firing: 1 if all latents are alike, m if none are"),
    "redundancy": ("redundant latents", 3, "share with another latent of correlation > 0.95"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class DictionaryPage:
    """What the page shows.

    names : dictionaries, the one that the page is about first
    tables : as `dictionary.measures.measure` gives them, of all dictionaries one below the other
    heat : DataFrame latent, concept, average: selectivity on test of the best latents for every concept
    facts : (what, value), in the head
    command : what to do next
    """

    title: str
    names: Sequence[str]
    tables: Mapping[str, pd.DataFrame]
    concept_column: str
    noun: str
    command: str
    heat: pd.DataFrame | None = None
    facts: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def write_dictionary_page(page: DictionaryPage, path: Path) -> Path:
    """One self-contained file, whole or not at all; equal pages give equal bytes."""
    content = render_dictionary_page(page)
    with whole_file(path) as part:
        part.write_bytes(content)
    return path


def render_dictionary_page(page: DictionaryPage) -> bytes:
    """The page as UTF-8 bytes."""
    coverage = page.tables.get("coverage")
    return render_page(
        "dictionary.html", ("page.css", "dictionary.css"), (),
        page=page,
        series=[{"name": name, "number": i} for i, name in enumerate(page.names)],
        rows=figures(page.tables["summary"], page.names),
        histogram=firing_histogram(page.tables["firing"], page.names),
        scatter=fvu_against_l0(page.tables["summary"], page.names),
        heat=None if page.heat is None else heat_map(page.heat, page.tables["best_selectivity"], page.names[0]),
        bars=None if coverage is None else coverage_bars(coverage, page.names),
    )  # fmt: skip


def figures(summary: pd.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """One row a measure: its name, how to read it, and per dictionary the figure, what it is over, and a reason."""
    found = {(row.dictionary, row.measure): row for row in summary.itertuples()}
    rows = []
    for measure, (said, digits, guide) in SAID.items():
        cells = [found[name, measure] for name in names]
        if all(math.isnan(cell.value) and cell.reason == "no concepts given" for cell in cells):
            continue
        shown = [
            {"value": number(cell.value, digits), "reason": cell.reason, "n": f"{cell.n:,} {cell.of}"}
            for cell in cells
        ]
        rows.append({"name": said, "guide": guide, "cells": shown, "n": shown[0]["n"]})
    return rows


def firing_histogram(firing: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """Share of latents by firing rate, on a log axis; bars for the first dictionary, lines for the others."""
    n = int(firing["n"].iloc[0])
    lowest = math.floor(BINS_A_DECADE * math.log10(1 / n)) / BINS_A_DECADE
    edges = np.arange(round(lowest * BINS_A_DECADE), 1) / BINS_A_DECADE  # of log10(rate), up to 0
    shares, silent = [], []
    for name in names:
        rates = firing.loc[firing["dictionary"] == name, "rate"].to_numpy()
        counts, _ = np.histogram(np.log10(rates[rates > 0]), bins=edges)
        shares.append(counts / len(rates))
        silent.append(float((rates == 0).mean()))
    top = max(float(max(part.max() for part in shares)), 0.01)
    x = [LEFT + (WIDTH - LEFT - RIGHT) * (edge - edges[0]) / -edges[0] for edge in edges]
    height = HEIGHT - TOP - BOTTOM
    bars = [
        {"x": x[i] + 0.5, "width": x[i + 1] - x[i] - 1, "height": height * share / top,
         "y": TOP + height * (1 - share / top), "said": f"{share:.1%}"}
        for i, share in enumerate(shares[0])
    ]  # fmt: skip
    lines = []
    for i, part in enumerate(shares[1:], start=1):
        steps = [
            (x[j + side], TOP + height * (1 - share / top)) for j, share in enumerate(part) for side in (0, 1)
        ]
        lines.append({"number": i, "points": " ".join(f"{a:.1f},{b:.1f}" for a, b in steps)})
    decades = [(x[i], _rate(edge)) for i, edge in enumerate(edges) if edge == round(edge)]
    return {
        "bars": bars,
        "lines": lines,
        "ticks": decades,
        "top": f"{top:.0%}",
        "silent": [(name, f"{share:.1%}") for name, share in zip(names, silent, strict=True)],
    }


def fvu_against_l0(summary: pd.DataFrame, names: Sequence[str]) -> dict[str, Any] | None:
    """One point a dictionary; None where none of them reconstructs anything."""
    values = summary.pivot(index="dictionary", columns="measure", values="value")
    points = [(i, name, values.at[name, "l0"], values.at[name, "fvu"]) for i, name in enumerate(names)]
    points = [point for point in points if math.isfinite(point[3])]
    if not points:
        return None
    most_l0, most_fvu = 1.25 * max(point[2] for point in points), 1.1 * max(1.0, *(p[3] for p in points))
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    return {
        "points": [
            {"number": i, "name": name, "x": LEFT + width * l0 / most_l0, "y": TOP + height * (1 - fvu / most_fvu),
             "said": f"{name}: L0 {l0:.1f}, FVU {fvu:.3f}"}
            for i, name, l0, fvu in points
        ],
        "x_ticks": [(LEFT + width * tick / most_l0, f"{tick:g}") for tick in _ticks(most_l0)],
        "y_ticks": [(TOP + height * (1 - tick / most_fvu), f"{tick:g}") for tick in _ticks(most_fvu)],
    }  # fmt: skip


def heat_map(heat: pd.DataFrame, best: pd.DataFrame, name: str) -> dict[str, Any]:
    """Selectivity of the best latent of each concept (rows) for every concept (columns), on test items."""
    own = best[(best["dictionary"] == name) & (best["kind"] == "average")]
    order = _most_frequent(own)
    values = heat.pivot(index="latent", columns="concept", values="average")
    latent_of = {
        c: int(latent) for c, latent in zip(own["concept"], own["latent"], strict=True) if latent >= 0
    }
    latents = list(dict.fromkeys(latent_of[concept] for concept in order if concept in latent_of))
    cells = []
    for row, latent in enumerate(latents):
        for column, concept in enumerate(order):
            value = float(values.at[latent, concept])
            shown = max(min(value, 1.0), -1.0) if math.isfinite(value) else 0.0
            said = f"latent {latent}, {concept}: {number(value, 2, sign=True)}"
            cells.append(
                {
                    "x": ROW_LABEL + column * CELL, "y": row * CELL, "opacity": f"{abs(shown):.3f}",
                    "up": shown >= 0, "text": number(value, 2) if abs(shown) >= 0.3 else "", "said": said,
                    "strong": abs(shown) >= 0.6,
                }
            )  # fmt: skip
    chosen_for = {latent_of[concept]: concept for concept in reversed(order) if concept in latent_of}
    return {
        "cells": cells,
        "cell": CELL,
        "rows": [(row * CELL, latent, chosen_for[latent]) for row, latent in enumerate(latents)],
        "columns": [(ROW_LABEL + column * CELL, concept) for column, concept in enumerate(order)],
        "left": ROW_LABEL,
        "width": ROW_LABEL + CELL * len(order) + 150,
        "height": CELL * len(latents) + 130,
        "bottom": CELL * len(latents),
        "left_out": len(own) - len(order),
        "wide": len(order) > SIDE_BY_SIDE,
    }


def coverage_bars(coverage: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """F1 on test per concept, a bar a dictionary."""
    own = coverage[coverage["dictionary"] == names[0]]
    order = _most_frequent(own)
    f1 = coverage.pivot(index="concept", columns="dictionary", values="f1")
    n_test = own.set_index("concept")["n_test"]
    group = BAR * len(names) + GROUP_GAP
    bars, labels = [], []
    for i, concept in enumerate(order):
        labels.append((i * group + BAR * len(names) / 2 + 3.5, concept, f"{int(n_test[concept]):,}"))
        for j, name in enumerate(names):
            value = float(f1.at[concept, name])
            length = BARS * value if math.isfinite(value) else 0.0
            said = f"{concept}, {name}: F1 {number(value)}"
            bars.append(
                {"number": j, "y": i * group + j * BAR, "width": length, "height": BAR - 1, "said": said}
            )
    return {
        "bars": bars,
        "labels": labels,
        "left": ROW_LABEL,
        "ticks": [(ROW_LABEL + BARS * t / 4, f"{t / 4:g}") for t in range(5)],
        "width": ROW_LABEL + BARS + 10,
        "bottom": group * len(order),
        "left_out": len(own) - len(order),
        "wide": len(order) > SIDE_BY_SIDE,
    }


def _most_frequent(table: pd.DataFrame) -> list[str]:
    """The concepts of a table with a row each, in its order; of very many those with the most test items."""
    kept = table.sort_values("n_test", ascending=False, kind="stable")["concept"].iloc[:MOST_CONCEPTS]
    return table.loc[table["concept"].isin(kept), "concept"].tolist()


def _rate(log10: float) -> str:
    percent = 100 * 10**log10
    return f"{percent:g} %"


def _ticks(most: float) -> list[float]:
    """Round numbers from 0, four to seven of them."""
    step = 10 ** math.floor(math.log10(most / 2))
    step = next(step * factor for factor in (1, 2, 5, 10) if most / (step * factor) <= 7)
    return [round(step * i, 10) for i in range(int(most / step) + 1)]
