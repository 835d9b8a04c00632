"""What do labels of known quality score on every planted factor, by a judge that understands them and by a rule?

``python -m eval.planted.graded`` writes ``eval/results/graded_labels.csv``: mean over factors of each metric for each
grade, with the rank correlation of planted quality and score. 12,000 cells, about 5 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import pandas as pd
from scipy.stats import spearmanr

from autointerp.config import RunConfig
from autointerp.judge.base import Judge
from autointerp.judge.signature import SignatureJudge
from autointerp.judging import material_of
from autointerp.prepare import Prepared
from autointerp.schema import Failure
from autointerp.score.registry import SCORERS
from eval.planted.counts import FULL, PlantedCells, load_params, planted_cells
from eval.planted.judges import OracleJudge
from eval.planted.labels import GRADES

RESULTS = Path(__file__).resolve().parents[1] / "results" / "graded_labels.csv"
QUALITY = {"oracle": 3, "paraphrase": 3, "too_broad": 2, "too_narrow": 2, "near_miss": 1, "wrong": 1}
JUDGED = ("detection", "fuzzing")


def full_corpus(n_cells: int, seed: int = 0) -> PlantedCells:
    """The full planted corpus with another number of cells."""
    params = load_params(FULL)
    params["cells"]["n_cells"] = n_cells
    return planted_cells(params, seed)


class Graded:
    """Some factors of a planted corpus as latents, and the scores of their graded labels by any judge.

    items : (scorer, latent) -> what is asked on test, or why nothing can be
    """

    def __init__(self, cells: PlantedCells, names: tuple[str, ...] = ()):
        self.cells = cells
        self.factors = [cells.factors[cells.factor(name)] for name in names] or list(cells.factors)
        adata = cells.adata.copy()
        adata.obsm["activations"] = cells.activity[:, [cells.factor(factor.name) for factor in self.factors]]
        config = RunConfig(
            data=Path("planted.h5ad"), embedding="pca", activations="activations", group="donor", controls=()
        )
        self.made = Prepared(config, data=adata)
        self.material = material_of(self.made)
        self.items = {
            (name, latent): SCORERS[name].items(self.material, latent, "test")
            for name in JUDGED
            for latent in self.made.chosen
        }

    def signature(self) -> SignatureJudge:
        """The rule, calibrated on develop."""
        develop = {latent: examples.develop for latent, examples in self.made.example_sets.items()}
        return SignatureJudge(self.made.corpus, develop, [factor.oracle.label for factor in self.factors])

    def scores(self, judge: Judge, grades: tuple[str, ...] = GRADES) -> pd.DataFrame:
        """A row per scorer, factor, label and metric: scorer, factor, grade, metric, negatives, value, reason."""
        rows = []
        for (name, latent), items in self.items.items():
            if isinstance(items, Failure):
                continue
            scorer, factor = SCORERS[name], self.factors[latent]
            for given in (g for grade in grades for g in factor.graded(grade)):
                asked = scorer.questions(given.label, latent, items, judge.batch_size, 0, ())
                answers = [asyncio.run(judge.answer(question)) for question in asked]
                judged = scorer.trials(asked, answers, items, self.made.corpus.groups, judge.name, "x", "y")
                made = scorer.scores(judged, 0.1, "group", "")
                rows += [
                    (name, factor.name, given.grade, s.metric, s.negatives, s.value, s.reason) for s in made
                ]
        columns = ["scorer", "factor", "grade", "metric", "negatives", "value", "reason"]
        return pd.DataFrame(rows, columns=columns).astype({"value": float})


def by_factor(table: pd.DataFrame, scorer: str, metric: str, negatives: str) -> pd.DataFrame:
    """(factors, grades) means over the labels of a grade."""
    kept = (table.scorer == scorer) & (table.metric == metric) & (table.negatives == negatives)
    return table[kept].pivot_table(index="factor", columns="grade", values="value")


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row per judge, scorer, metric and negatives: mean over factors by grade, and Spearman with quality."""
    rows = []
    keys = ["judge", "scorer", "metric", "negatives"]
    for key, part in table.groupby(keys, sort=False):
        means = part.pivot_table(index="factor", columns="grade", values="value").mean()
        if set(means.index) == set(GRADES):
            rho = spearmanr([QUALITY[grade] for grade in GRADES], means[list(GRADES)]).statistic
            n = part[part.value.notna()].factor.nunique()
            rows.append((*key, n, *means[list(GRADES)].round(3), round(float(rho), 3)))
    return pd.DataFrame(rows, columns=[*keys, "n_factors", *GRADES, "spearman_with_quality"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n-cells", type=int, default=12_000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    graded = Graded(full_corpus(given.n_cells))
    judges: list[Judge] = [OracleJudge(graded.cells), graded.signature()]
    judges += [OracleJudge(graded.cells, noise=3)]
    names = ("oracle", "signature", "oracle, noise 3")
    table = pd.concat(
        [graded.scores(judge).assign(judge=name) for judge, name in zip(judges, names, strict=True)]
    )
    made = summary(table)
    made.to_csv(given.out, index=False)
    print(made.to_string(index=False))
    for (name, latent), items in graded.items.items():
        if isinstance(items, Failure):
            print(f"{name} of {graded.factors[latent].name}: {items.message}")


if __name__ == "__main__":
    main()
