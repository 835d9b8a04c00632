"""Do scores follow the quality of labels on images too? Planted crops through the run's own pipeline.

``nice python -m eval.planted_images --seeds 0,1,2`` paints one corpus a seed (``planted/images.toml``), writes it as a
user would bring it, has the pipeline read and measure the crops and take the factors' activity as latents, and asks the
judges of ``eval.planted_scorers`` about every graded label. Splits hold out plates. Fuzzing marks regions, by the
factors' masks in place of a vision model's patches. One tidy CSV, and a page:

==========  ======================================================================================
mean        by grade, over factors
difference  paired over factors, better − worse, of protocols §8's pairs
bound       what §8 demands of an oracle: ``holds``
==========  ======================================================================================
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from autointerp.config import make_config
from autointerp.judge.base import Judge
from autointerp.prepare import Prepared
from eval.planted.images import PlantedImages, load_image_params, planted_images
from eval.planted.labels import GRADES
from eval.planted.patches import oracle_regions
from eval.planted_orderings import ORDERED, SURE, by_factor
from eval.planted_scorers import NOTHING_GRADES, SHUFFLED, Planted
from eval.planted_strengths import COLUMNS, mean_row

RESULTS = Path(__file__).parent / "results" / "planted_images.csv"
JUDGED = {"items": ("detection", "simulation"), "regions": ("fuzzing",)}  # scorers, by what they ask about
INFORMED = (SURE, "oracle:noise=1.5", "oracle:noise=3", "signature")
NUMBERS = (  # scorer, metric, negatives
    ("detection", "auroc", "random"),
    ("detection", "auroc", "all"),
    ("detection", "balanced_accuracy", "random"),
    ("simulation", "pearson", "random"),
    ("simulation", "spearman", "random"),
    ("signature", "auroc", "random"),
    ("fuzzing", "auroc", "all"),
    ("fuzzing", "auroc", "matched"),
    ("fuzzing", "balanced_accuracy", "all"),
)
HEADLINES = (NUMBERS[0], NUMBERS[4], NUMBERS[6])
LOSSES = (
    (("detection", "specificity", "all"), "oracle", "too_broad"),
    (("detection", "recall", ""), "oracle", "too_narrow"),
    (("fuzzing", "specificity", "all"), "oracle", "too_broad"),
    (("fuzzing", "recall", ""), "oracle", "too_narrow"),
)
LEAST_AUROC, MOST_BALANCED = 0.95, 0.55


def prepared_images(crops: PlantedImages, folder: Path, seed: int, **options: Any) -> Prepared:
    """As a run prepares them: crops in an ``.npz``, plates as groups, control wells, the activity brought."""
    images, activations = crops.write(folder)
    brought = {} if "dictionary" in options else {"activations": str(activations)}
    made = Prepared(
        make_config(
            {
                "images": images,
                "group": "plate",
                "control": "treatment=DMSO",
                "control_group": "plate",
                "threads": 1,
                "seed": seed,
                **brought,
                **options,
            }
        )
    )
    made.cache = folder / "cache"
    return made


def planted_on(
    crops: PlantedImages, folder: Path, seed: int, scorers: Sequence[str], most: int | None = None
) -> Planted:
    """Ready to be asked; marks of fuzzing stand on the patches where factors show."""
    made = prepared_images(crops, folder, seed)
    made.corpus.part_activations = oracle_regions(made.corpus, crops)
    return Planted(crops, seed=seed, judged=scorers, made=made, most=most)


def measured(planted: Planted, regions: bool) -> pd.DataFrame:
    """All judges and numbers on one corpus; shuffled labels for those who know something. Rules see no regions."""
    judges: dict[str, Judge] = planted.judges()
    if regions:
        del judges["signature"]
    tables = [planted.random()] if regions else [planted.read(GRADES, shuffle=True), planted.random()]
    for name in (name for name in (*INFORMED, "constant", "always_yes", "malformed") if name in judges):
        informed = name in INFORMED
        tables.append(
            planted.scores(name, judges[name], GRADES if informed else NOTHING_GRADES, shuffle=informed)
        )
    return pd.concat(tables, ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One tidy row a mean, difference and bound; a factor's value is the mean over its labels and seeds."""
    rows: list[dict[str, Any]] = []
    for judge in dict.fromkeys(table.judge):
        for place in (*NUMBERS, *(place for place, _, _ in LOSSES)):
            grades = by_factor(table, judge, *place)
            shown = [grade for grade in (*GRADES, SHUFFLED) if grade in grades]
            rows += [mean_row("mean", (judge, *place, grade, ""), grades[grade]) for grade in shown]
            if judge not in INFORMED:
                continue
            pairs = [pair for lost, *pair in LOSSES if lost == place] or ORDERED
            for better, worse in pairs:
                if {better, worse} <= set(grades.columns):
                    apart = (grades[better] - grades[worse]).dropna().round(12)  # ties to the last digit
                    row = mean_row("difference", (judge, *place, better, worse), apart)
                    equal = (better, worse) == ("oracle", "paraphrase")
                    rows.append(row | {"holds": bool(row["high"] >= 0 if equal else row["low"] > 0)})
    return pd.DataFrame([*rows, *_bounds(rows)], columns=list(COLUMNS))


def _bounds(rows: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """What §8 demands of the sure oracle."""
    sure = [row for row in rows if row["judge"] == SURE]
    for place in HEADLINES:
        mine = [r for r in sure if r["what"] == "difference" and _place(r) == place]
        if not mine:
            continue
        told = dict(zip(("judge", "scorer", "metric", "negatives"), (SURE, *place), strict=True))
        least = min(r["low"] for r in mine if r["against"] != "paraphrase")
        all_hold = len(mine) == len(ORDERED) and all(r["holds"] for r in mine)
        yield {
            "what": "bound",
            **told,
            "grade": "all orderings",
            "against": "",
            "low": least,
            "holds": all_hold,
        }
    for place, better, worse in LOSSES:
        lost = [r for r in sure if _place(r) == place and (r["grade"], r["against"]) == (better, worse)]
        yield from (row | {"what": "bound"} for row in lost)
    for metric, grade in (
        ("auroc", "oracle"),
        ("balanced_accuracy", "wrong"),
        ("balanced_accuracy", SHUFFLED),
    ):
        place = ("detection", metric, "random")
        (row,) = [r for r in sure if r["what"] == "mean" and _place(r) == place and r["grade"] == grade]
        enough = row["value"] >= LEAST_AUROC if grade == "oracle" else row["value"] <= MOST_BALANCED
        yield row | {"what": "bound", "holds": bool(enough)}


def _place(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["scorer"], row["metric"], row["negatives"]


def page(frame: pd.DataFrame) -> str:
    """The tables for people; all rows are in the CSV."""
    lines = [
        "# Graded labels on planted images",
        "",
        "`python -m eval.planted_images` makes this page from crops that are measured and split as in any run. A",
        "judge reads a label's meaning, never the latent. Means over factors; all rows, with 95 % t intervals, are in",
        "the CSV of the same name. Fuzzing marks patches of 8 × 8 pixels that a mask covers, or others as bright;",
        "factors for which none can be set against them have no value there.",
        "",
        "## Bounds of protocols §8, oracle judge without noise",
        "",
        "| scorer | metric | negatives | what | against | value | holds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in frame[frame.what == "bound"].to_dict("records"):
        value = f"{row['value']:.3f}" if np.isfinite(row["value"]) else f"least lower bound {row['low']:+.3f}"
        names = " | ".join(str(row[name]) for name in ("scorer", "metric", "negatives", "grade", "against"))
        lines.append(f"| {names} | {value} | {'yes' if row['holds'] else '**no**'} |")
    grades = (*GRADES, SHUFFLED)
    lines += ["", "## Means by grade", ""]
    lines += ["| scorer | judge | metric | negatives | " + " | ".join(grades) + " | factors |"]
    lines += ["|---" * (5 + len(grades)) + "|"]
    means = frame[(frame.what == "mean") & (frame.negatives != "all")]
    for place, part in means.groupby(["scorer", "judge", "metric", "negatives"], sort=False):
        values = part.set_index("grade").value
        told = ["none" if not np.isfinite(values.get(g, np.nan)) else f"{values[g]:.3f}" for g in grades]
        lines.append("| " + " | ".join([*place, *told, f"{part.n.max():.0f}"]) + " |")
    lines += [
        "",
        "## Paired differences",
        "",
        "| scorer | judge | metric | negatives | pair | difference | holds |",
    ]
    lines += ["|---" * 7 + "|"]
    apart_rows = frame[(frame.what == "difference") & frame.judge.isin((SURE, "signature"))]
    for row in apart_rows.to_dict("records"):
        if _place(row) not in HEADLINES:
            continue
        names = " | ".join(str(row[name]) for name in ("scorer", "judge", "metric", "negatives"))
        apart = f"{row['value']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        holds = "yes" if row["holds"] else "**no**"
        lines.append(f"| {names} | {row['grade']} − {row['against']} | {apart} | {holds} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Score what is missing, seed by seed, and write both tables."""
    asked = argparse.ArgumentParser(prog="python -m eval.planted_images")
    asked.add_argument("--seeds", default="0,1,2", help="of the corpora")
    asked.add_argument("--out", type=Path, default=RESULTS)
    given = asked.parse_args(arguments)
    work = given.out.with_name(
        f".{given.out.name}.work"
    )  # crops, measurements, every label's scores; not committed
    tables = []
    for seed in map(int, given.seeds.split(",")):
        for about, scorers in JUDGED.items():
            file = work / f"{seed}-{about}.parquet"
            if not file.exists():
                began = time.perf_counter()
                with threadpool_limits(1):
                    crops = planted_images(load_image_params(), seed)
                    planted = planted_on(crops, work / f"seed{seed}", seed, scorers)
                    measured(planted, about == "regions").to_parquet(file, index=False)
                print(f"seed {seed}, {about}: {time.perf_counter() - began:.0f} s", flush=True)
            tables.append(pd.read_parquet(file))
    frame = summary(pd.concat(tables, ignore_index=True))
    frame.to_csv(given.out, index=False, float_format="%.6g", lineterminator="\n")
    given.out.with_suffix(".md").write_text(page(frame), encoding="utf-8")
    print(page(frame))


if __name__ == "__main__":
    main()
