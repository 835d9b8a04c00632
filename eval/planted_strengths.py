"""Do predicted strengths follow the quality of labels, is the odd one found, and is the right label chosen?

``python -m eval.planted_strengths --seeds 0,1,2`` draws one full planted corpus a seed and asks the judges of
``eval.planted_scorers``, through the scorers ``simulation`` and ``intruder`` and through ``Match`` questions about what
a factor changes, with the label under test among four oracle labels of other families. One tidy CSV:

==========  =======================================================================================
mean        by grade, over factors
difference  paired over factors, better − worse, of protocols §8's pairs; ``holds``: above 0
rank        Spearman with planted quality (f1), over the labels, the twelve slots, within factors
==========  =======================================================================================
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from autointerp.judge.base import Judge
from autointerp.judge.trivial import RandomJudge
from autointerp.questions import Change, Match
from autointerp.schema import Label
from autointerp.score.intervals import mean_interval
from eval.planted import FULL, PlantedCells, load_params, planted_cells
from eval.planted.labels import GRADES, GradedLabel
from eval.planted_orderings import ORDERED, SURE, by_factor
from eval.planted_scorers import NOTHING_GRADES, Planted

OUT = Path(__file__).parent / "results" / "planted_strengths.csv"
JUDGES = (
    SURE,
    "oracle:noise=1.5",
    "oracle:noise=3",
    "signature",
    "constant",
    "always_yes",
    "random",
    "malformed",
)
INFORMED = JUDGES[:4]
CHOICES, REPORTS, SHOWN = 5, 10, 20  # labels of a question, questions a label, genes of a report
READING_NOISE = 0.5  # sd of a report, in units of the sd of the factor's own changes
NUMBERS = (
    ("simulation", "pearson", "random"),
    ("simulation", "spearman", "random"),
    ("simulation", "spearman", ""),
    ("match", "above_chance", ""),
)
COLUMNS = (
    "what",
    "judge",
    "scorer",
    "metric",
    "negatives",
    "grade",
    "against",
    "value",
    "low",
    "high",
    "n",
    "holds",
)


def report(cells: PlantedCells, factor: int, rng: np.random.Generator) -> tuple[Change, ...]:
    """The 20 genes that move most where a factor is amplified by one unit, as a noisy readout tells it."""
    effect = cells.effects[factor].astype(float)
    spread = float(effect[effect != 0].std()) or 1.0
    told = (effect + READING_NOISE * spread * rng.normal(size=len(effect))) / spread
    order = np.argsort(-np.abs(told), kind="stable")[:SHOWN]
    names = cells.adata.var_names
    return tuple(Change(str(names[i]), 1.0, float(np.exp(told[i])), float(told[i])) for i in order)


def matched(planted: Planted, name: str, judge: Judge, grades: Sequence[str]) -> pd.DataFrame:
    """A row a label: share of reports about its factor that it was chosen for, − 1/5. Columns as ``Planted.scores``."""
    return asyncio.run(_matched(planted, name, judge, grades))


async def _matched(planted: Planted, name: str, judge: Judge, grades: Sequence[str]) -> pd.DataFrame:
    rows = []
    for latent in planted.latents:
        factor = planted.factors[latent]
        others = [f.oracle.label for f in planted.cells.factors if f.family != factor.family]
        column = planted.cells.factor(factor.name)
        for given in (g for grade in grades for g in factor.graded(grade)):
            right = [await _chosen(planted, judge, latent, column, given, others, n) for n in range(REPORTS)]
            answered = [hit for hit in right if hit is not None]
            value = float(np.mean(answered)) - 1 / CHOICES if answered else np.nan
            rows.append(
                {
                    "seed": planted.seed, "judge": name, "scorer": "match", "factor": factor.name,
                    "grade": given.grade, "title": given.title, "metric": "above_chance", "negatives": "",
                    "value": value, "f1": planted.quality(latent, given)["f1"],
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


async def _chosen(
    planted: Planted,
    judge: Judge,
    latent: int,
    column: int,
    given: GradedLabel,
    others: list[Label],
    number: int,
) -> bool | None:
    rng = np.random.default_rng([planted.seed, latent, number])
    free = [label for label in others if label.title != given.title]
    drawn = [free[i] for i in rng.choice(len(free), CHOICES - 1, replace=False)]
    changes, place = report(planted.cells, column, rng), int(rng.integers(CHOICES))
    labels = (*drawn[:place], given.label, *drawn[place:])
    answer = await judge.answer(Match("match", latent, labels, changes, number=number))
    return None if answer.values[0] is None else int(answer.values[0]) == place


def measured(planted: Planted) -> pd.DataFrame:
    """All judges and numbers on one corpus."""
    made = []
    judges: dict[str, Judge] = planted.judges() | {"random": RandomJudge(planted.seed)}
    for name, judge in judges.items():
        if name in JUDGES:
            grades = GRADES if name in INFORMED else NOTHING_GRADES
            made += [planted.scores(name, judge, grades), matched(planted, name, judge, grades)]
    return pd.concat(made, ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One tidy row a mean, difference and rank correlation; a factor's value is the mean over its labels and seeds."""
    rows: list[dict[str, Any]] = []
    for judge in dict.fromkeys(table.judge):
        odd = by_factor(table, judge, "intruder", "above_chance", "random")
        if "oracle" in odd:
            rows.append(
                _row("mean", (judge, "intruder", "above_chance", "random", "no label", ""), odd["oracle"])
            )
        for place in NUMBERS:
            grades = by_factor(table, judge, *place)
            for grade in (g for g in GRADES if g in grades):
                rows.append(_row("mean", (judge, *place, grade, ""), grades[grade]))
            for better, worse in ORDERED if judge in INFORMED else ():
                if {better, worse} <= set(grades.columns):
                    apart = (grades[better] - grades[worse]).dropna().round(12)  # ties to the last digit
                    row = _row("difference", (judge, *place, better, worse), apart)
                    equal = (better, worse) == ("oracle", "paraphrase")
                    rows.append(row | {"holds": bool(row["high"] >= 0 if equal else row["low"] > 0)})
            if judge in INFORMED:
                rows += _ranks(table, judge, place)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _ranks(table: pd.DataFrame, judge: str, place: tuple[str, str, str]) -> list[dict[str, Any]]:
    scorer, metric, negatives = place
    kept = (table.judge == judge) & (table.scorer == scorer) & (table.metric == metric)
    rows = table[kept & (table.negatives == negatives)].dropna(subset="value")
    labels = rows.groupby(["factor", "grade", "title"], sort=False)[["value", "f1"]].mean().reset_index()
    if labels.empty:
        return []
    slot = labels.grade + labels.groupby(["factor", "grade"]).cumcount().astype(str)
    slots = labels.groupby(slot)[["value", "f1"]].mean()
    each = labels.groupby("factor")[["value", "f1"]].apply(_rho).dropna()
    blank = {
        "what": "rank",
        "judge": judge,
        "scorer": scorer,
        "metric": metric,
        "negatives": negatives,
        "grade": "f1",
    }
    made = [
        blank | {"against": "labels", "value": _rho(labels), "n": len(labels)},
        blank | {"against": "slots", "value": _rho(slots), "n": len(slots)},
        _row("rank", (judge, *place, "f1", "within"), each),
    ]
    return [row | {"holds": bool(row["value"] >= 0.9)} for row in made]


def _rho(labels: pd.DataFrame) -> float:
    return float(spearmanr(labels["f1"], labels["value"]).statistic)


def _row(what: str, place: tuple[str, ...], values: pd.Series) -> dict[str, Any]:
    told = dict(zip(("judge", "scorer", "metric", "negatives", "grade", "against"), place, strict=True))
    values = values.dropna()
    if values.empty:
        return {"what": what, **told, "n": 0}
    found = mean_interval(values.to_numpy())
    return {"what": what, **told, "value": found.value, "low": found.low, "high": found.high, "n": found.n}


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m eval.planted_strengths")
    parser.add_argument("--seeds", default="0,1,2", help="of the corpora")
    parser.add_argument("--n-cells", type=int, help="in place of the 12,000 of the parameters")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    tables = []
    for seed in map(int, given.seeds.split(",")):
        params = load_params(FULL)
        params["cells"]["n_cells"] = given.n_cells or params["cells"]["n_cells"]
        with threadpool_limits(1):
            planted = Planted(planted_cells(params, seed), seed=seed, judged=("simulation", "intruder"))
            tables.append(measured(planted))
        print(f"seed {seed} is measured", flush=True)
    made = summary(pd.concat(tables, ignore_index=True))
    made.to_csv(given.out, index=False, float_format="%.6g", lineterminator="\n")
    print(made[made.judge == SURE].to_string(index=False))


if __name__ == "__main__":
    main()
