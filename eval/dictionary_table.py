"""How is the table of dictionaries told to people? As Markdown, with every figure's n, and a place for the finding."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from autointerp.evidence.splits import Split

FINDING = "## What it says"
ON_TEST = "## On test"
NOT_YET = "Not written yet."
SHOWN = {  # column -> (measure, decimals)
    "FVU": ("fvu", 3),
    "L0": ("l0", 1),
    "dead": ("dead_share", 3),
    "selectivity avg": ("selectivity_average", 2),
    "max": ("selectivity_maximum", 2),
    "probe 1": ("probing_1", 2),
    "2": ("probing_2", 2),
    "4": ("probing_4", 2),
    "8": ("probing_8", 2),
    "coverage": ("coverage", 2),
    "states": ("state_reconstruction", 2),
    "distinct": ("distinctness", 0),
    "shared": ("stability_shared", 2),
    "MMCS": ("stability_mmcs", 2),
    "detection": ("detection_random", 3),
    "mean all": ("detection_random_mean_all", 3),
    "neighbour": ("detection_neighbour", 3),
}
ON_DEVELOP = {
    "FVU": ("fvu_develop", 3),
    "selectivity avg": ("selectivity_average_develop", 3),
    "coverage": ("coverage_develop", 3),
    "distinct": ("distinctness_develop", 0),
    "fit, s": ("fit_s", 0),
}


def write_markdown(frame: pd.DataFrame, path: Path, data: str, split: Split) -> None:
    """Write the table; what stands under ``## What it says`` in the file is kept."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    kept = text.partition(FINDING)[2].partition(ON_TEST)[0].strip() or NOT_YET
    counts = split.counts()
    parts = [
        f"# Dictionaries on {data}",
        "Made by `python -m eval.dictionaries`; every figure with its n, per seed, is in the CSV of the same name.",
        f"Fitted on {counts['explain']:,} explain items; latents, thresholds and probes are chosen on "
        f"{counts['develop']:,} develop items, figures are from {counts['test']:,} test items (split {split.mode}). "
        "Mean over seeds (lowest–highest). " + _counts(frame),
        FINDING,
        kept,
        ON_TEST,
        _table(frame, SHOWN),
        "## On develop, by which a default may be chosen",
        "Coverage: each half of develop chooses for the other. Selectivity is of latents chosen on the same items.",
        _table(frame, ON_DEVELOP),
        "Times are of a shared machine: they order the kinds, no more.",
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _counts(frame: pd.DataFrame) -> str:
    """What stands behind the columns."""
    seeds = frame.loc[frame["measure"] == "l0", "seed"].nunique()
    pairs = frame.loc[frame["measure"] == "stability_mmcs", "seed"].nunique()
    over = frame.loc[frame["measure"] == "coverage", "n"]
    concepts = int(over.max()) if len(over) else 0
    return (
        f"n: {seeds} seeds; selectivity, probes, coverage and states over {concepts} concepts; shared and MMCS over "
        f"{pairs} pairs of seeds, dead latents left out; detection: one seed, medians over as many labels as the cell "
        "says, marker labels judged by signature (no language model); mean all counts latents without one as chance."
    )


def _table(frame: pd.DataFrame, columns: dict[str, tuple[str, int]]) -> str:
    head = ["dictionary", *columns]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for keys, part in frame.groupby(["kind", "latents", "k"], sort=False):
        kind, _, k = keys
        m = part["m"].max()
        cells = [_cell(part[part["measure"] == measure], digits) for measure, digits in columns.values()]
        lines.append("| " + " | ".join([f"{kind} {m}/{k}", *cells]) + " |")
    return "\n".join(lines)


def _cell(rows: pd.DataFrame, digits: int) -> str:
    """Mean and range over seeds, or over pairs; a detection score with the number of its labels."""
    values = rows["value"].dropna()
    if not len(values):
        return "–"
    said = f"{values.mean():.{digits}f}"
    low, high = f"{values.min():.{digits}f}", f"{values.max():.{digits}f}"
    if low != high:
        said += f" ({low}–{high})"
    of = set(rows["of"])
    if of == {"labels"}:
        said += f" (n {int(rows['n'].iloc[0])})"
    return said
