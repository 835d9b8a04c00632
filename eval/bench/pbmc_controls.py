"""What are marker labels of sorted blood cells worth beside their controls? Of labels, and of dictionaries.

``AUTOINTERP_DATA=FOLDER python -m eval.bench.pbmc_controls`` runs ``autointerp run`` with every control of protocols §6
on pbmc_facs_zheng (3,774 cells, ten sorted types), with the dictionary's default size and with 512 latents, and writes
../results/pbmc_controls.csv (every comparison), ../results/pbmc_controls_dictionaries.csv (what each dictionary scores
and holds) and ../results/pbmc_controls.md, whose finding is written by hand and kept. No language model is asked.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parent.parent / "results"
CONTROLS = "shuffled,ceiling,markers,top_set,majority,random,pca,ica,nmf,neurons"
SIZES = {"default": (), "512": ("--latents", "512", "--k", "16")}
KINDS = ("random", "neighbour")  # of negatives, in the tables for people
FINDING, TABLES = "## What it says", "## Labels against their controls, paired"
NOT_YET = "Not written yet."


def main() -> None:
    folder = os.environ.get("AUTOINTERP_DATA")
    if not folder:
        print("skipped: set AUTOINTERP_DATA to the folder that holds pbmc_facs_zheng/ and genesets/")
        return
    comparisons, dictionaries = [], []
    for size, options in SIZES.items():
        made = _run(Path(folder), options)
        for frame in made:
            frame.insert(0, "size", size)
        comparisons.append(made[0])
        dictionaries.append(made[1])
    tables = pd.concat(comparisons, ignore_index=True), pd.concat(dictionaries, ignore_index=True)
    for frame, name in zip(tables, ("pbmc_controls", "pbmc_controls_dictionaries"), strict=True):
        frame.to_csv(RESULTS / f"{name}.csv", index=False, float_format="%.4g", lineterminator="\n")
    write_markdown(*tables, RESULTS / "pbmc_controls.md")


def _run(folder: Path, options: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """comparisons.csv and dictionaries.csv of one run."""
    with tempfile.TemporaryDirectory() as made:
        out, started = Path(made) / "run", time.perf_counter()
        command = [
            "run", "--data", str(folder / "pbmc_facs_zheng" / "pbmc_facs.h5ad"), "--embedding", "pca",
            "--category", "celltype", "--gene-sets", str(folder / "genesets" / "h.all.v7.0.symbols.gmt"),
            "--explainer", "markers", "--judge", "signature", "--controls", CONTROLS, *options, "--out", str(out),
        ]  # fmt: skip
        subprocess.run([sys.executable, "-m", "autointerp", *command], check=True, stdout=subprocess.DEVNULL)
        print(f"{' '.join(options) or 'default size'}: {time.perf_counter() - started:.0f} s")
        return pd.read_csv(out / "comparisons.csv"), pd.read_csv(out / "dictionaries.csv")


def write_markdown(comparisons: pd.DataFrame, dictionaries: pd.DataFrame, path: Path) -> None:
    """Write the tables; what stands under ``## What it says`` in the file is kept."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    kept = text.partition(FINDING)[2].partition(TABLES)[0].strip() or NOT_YET
    shown = comparisons[
        (comparisons.explainer == "markers") & (comparisons.scorer == "detection")
        & (comparisons.metric == "auroc") & comparisons.negatives.isin(KINDS)
    ]  # fmt: skip
    labels, others = (shown[(shown.kind == "dictionary control") == is_other] for is_other in (False, True))
    held = dictionaries[
        (dictionaries.scorer == "detection") & (dictionaries.metric == "auroc")
        & dictionaries.negatives.isin(KINDS)
    ]  # fmt: skip
    parts = [
        "# `markers` labels of sorted blood cells beside their controls",
        "Made by `python -m eval.bench.pbmc_controls`; every number is in the CSV files of the same name. Detection "
        "AUROC, judged by `signature` (no language model), on held-out cells; dictionaries on 50 principal components. "
        "`scored`: latents with both scores; `all`: latents without one at chance. q is Benjamini and Hochberg's over "
        "all comparisons of a run on one basis, detectable what one test finds in 80 % of runs.",
        FINDING,
        kept,
        TABLES,
        _table(labels, "against"),
        "## Latents of this dictionary against latents of another, matched on firing rate",
        "Of the latents that can be explained, in pairs whose ln(firing rate) differs by less than 0.2.",
        _table(others, "against", "unmatched", "unmatched_control"),
        "## What each dictionary scores, and what it holds",
        "All latents; coverage, selectivity and the ten sorted types on test cells.",
        _holds(held),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _table(rows: pd.DataFrame, *names: str) -> str:
    head = ["latents", "negatives", "against", "basis", "difference", "95 %", "q", "n", *names[1:], "detectable",
            "mean", "control", "share of the ceiling"]  # fmt: skip
    lines = [_line(head), "|---" * len(head) + "|"]
    for row in rows.to_dict(orient="records"):
        between = f"{_number(row['ci_low'], 3, True)} … {_number(row['ci_high'], 3, True)}"
        lines.append(
            _line(
                [row["size"], row["negatives"], row["against"], row["basis"], _number(row["difference"], 3, True),
                 between, f"{row['q']:.2g}", f"{row['n']:.0f}", *(f"{row[name]:.0f}" for name in names[1:]),
                 _number(row["mdd"]), _number(row["mean"]), _number(row["control"]), _number(row["share"], 2)]
            )
        )  # fmt: skip
    return "\n".join(lines)


def _holds(rows: pd.DataFrame) -> str:
    columns = {"mean_scored": 3, "mean_all": 3, "median": 3, "margin": 3, "share_of_ceiling": 2, "fvu": 3,
               "selectivity": 2, "coverage": 2, "distinctness": 0}  # fmt: skip
    head = ["latents", "negatives", "dictionary", "scored", "95 % of the mean", *columns]
    lines = [_line(head), "|---" * len(head) + "|"]
    for row in rows.sort_values(["size", "negatives"], ascending=[False, False], kind="stable").to_dict(
        orient="records"
    ):
        of_all = f"{row['n_scored']} of {row['n_latents'] + row['n_not_explainable']}"
        between = f"{_number(row['scored_low'])} … {_number(row['scored_high'])}"
        figures = [_number(row[name], digits) for name, digits in columns.items()]
        lines.append(_line([row["size"], row["negatives"], row["dictionary"], of_all, between, *figures]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("_", " ") for cell in cells) + " |"


def _number(value: float, digits: int = 3, sign: bool = False) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
