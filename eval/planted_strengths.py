"""Do predicted strengths follow the quality of labels, and is the odd one found?

``python -m eval.planted_strengths --seeds 0,1,2`` draws one full planted corpus a seed and asks the judges of
``eval.planted_scorers``, through the scorers ``simulation`` and ``intruder``. One tidy CSV:

==========  =======================================================================================
mean        by grade, over factors
difference  paired over factors, better − worse, of protocols §8's pairs; ``holds``: above 0
rank        Spearman with planted quality (f1), over the labels, the twelve slots, within factors
==========  =======================================================================================
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from autointerp.judge.base import Judge
from autointerp.judge.trivial import RandomJudge
from autointerp.score.intervals import mean_interval
from eval.planted import FULL, load_params, planted_cells
from eval.planted.labels import GRADES
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
NUMBERS = (
    ("simulation", "pearson", "random"),
    ("simulation", "spearman", "random"),
    ("simulation", "spearman", ""),
)
PLACE = ("judge", "scorer", "metric", "negatives", "grade", "against")
COLUMNS = ("what", *PLACE, "value", "low", "high", "n", "holds")


def measured(planted: Planted) -> pd.DataFrame:
    """All judges and numbers on one corpus."""
    made: list[pd.DataFrame] = []
    judges: dict[str, Judge] = planted.judges() | {"random": RandomJudge(planted.seed)}
    for name, judge in judges.items():
        if name in JUDGES:
            grades = GRADES if name in INFORMED else NOTHING_GRADES
            made.append(planted.scores(name, judge, grades))
    return pd.concat(made, ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One tidy row a mean, difference and rank correlation; a factor's value is the mean over its labels and seeds."""
    rows: list[dict[str, Any]] = []
    for judge in dict.fromkeys(table.judge):
        odd = by_factor(table, judge, "intruder", "above_chance", "random")
        if "oracle" in odd:
            rows.append(
                mean_row("mean", (judge, "intruder", "above_chance", "random", "no label", ""), odd["oracle"])
            )
        for place in NUMBERS:
            grades = by_factor(table, judge, *place)
            for grade in (g for g in GRADES if g in grades):
                rows.append(mean_row("mean", (judge, *place, grade, ""), grades[grade]))
            for better, worse in ORDERED if judge in INFORMED else ():
                if {better, worse} <= set(grades.columns):
                    apart = (grades[better] - grades[worse]).dropna().round(12)  # ties to the last digit
                    row = mean_row("difference", (judge, *place, better, worse), apart)
                    equal = (better, worse) == ("oracle", "paraphrase")
                    rows.append(row | {"holds": bool(row["high"] >= 0 if equal else row["low"] > 0)})
            if judge in INFORMED:
                rows += ranks(table, judge, place)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def ranks(
    table: pd.DataFrame, judge: str, place: tuple[str, str, str], quality: str = "f1"
) -> list[dict[str, Any]]:
    """Spearman of a number, (scorer, metric, negatives), with a column of planted quality: over all labels, over the
    twelve slots, and within factors. A label's value is the mean over seeds."""
    scorer, metric, negatives = place
    kept = (table.judge == judge) & (table.scorer == scorer) & (table.metric == metric)
    rows = table[kept & (table.negatives == negatives)].dropna(subset="value")
    own = ["value", quality]
    labels = rows.groupby(["factor", "grade", "title"], sort=False)[own].mean().reset_index()
    if labels.empty:
        return []
    slot = labels.grade + labels.groupby(["factor", "grade"]).cumcount().astype(str)
    slots = labels.groupby(slot)[own].mean()
    each = labels.groupby("factor")[own].apply(_rho, quality).dropna()
    named = dict(zip(PLACE, (judge, *place, quality), strict=False))
    made = [
        {"what": "rank"} | named | {"against": "labels", "value": _rho(labels, quality), "n": len(labels)},
        {"what": "rank"} | named | {"against": "slots", "value": _rho(slots, quality), "n": len(slots)},
        mean_row("rank", (judge, *place, quality, "within"), each),
    ]
    return [row | {"holds": bool(row["value"] >= 0.9)} for row in made]


def _rho(labels: pd.DataFrame, quality: str) -> float:
    return float(spearmanr(labels[quality], labels["value"]).statistic)


def mean_row(what: str, place: tuple[str, ...], values: pd.Series) -> dict[str, Any]:
    """The mean of one value a factor, with its interval over factors."""
    told = dict(zip(PLACE, place, strict=True))
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
