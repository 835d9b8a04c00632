"""What do labels of known quality score on cells of known truth? Detection by the signature judge, no model asked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pandas as pd

from autointerp.config import RunConfig
from autointerp.explain.markers import Markers
from autointerp.judge.ceiling import CeilingJudge
from autointerp.judge.signature import SignatureJudge
from autointerp.prepare import Prepared
from autointerp.schema import KeyFeature, Label
from autointerp.score import detection
from autointerp.score.shuffled import RULE_ROUNDS
from eval.planted import GradedLabel, PlantedCells, load_params, planted_cells

N_CELLS = 4000  # twice the committed number, so that the rare factor (2 % of cells) has enough positives in each split


def more_cells(seed: int) -> PlantedCells:
    """The planted corpus with N_CELLS cells, all else as committed."""
    params = load_params()
    params["cells"]["n_cells"] = N_CELLS
    return planted_cells(params, seed)


def prepared(cells: PlantedCells, activations: np.ndarray, seed: int) -> Prepared:
    """As a user prepares activations of their own: in obsm, split by donor."""
    adata = cells.adata.copy()
    adata.obsm["activations"] = activations
    config = RunConfig(
        data=Path("planted.h5ad"), embedding="X_planted", activations="activations", group="donor", seed=seed
    )
    return Prepared(config, data=adata)


def as_label(latent: int, given: GradedLabel, explainer: str = "graded") -> Label:
    features = [KeyFeature(g, "up") for g in given.up] + [KeyFeature(g, "down") for g in given.down]
    return Label(latent, explainer, given.title, given.description, "unknown", 1.0, tuple(features))


class Scorer:
    """Detection scores of any label on one prepared corpus: (metric, negatives) -> value."""

    def __init__(self, made: Prepared, labels: list[Label]):
        self.made = made
        self.develop = {latent: s.develop for latent, s in made.example_sets.items()}
        self.signature = SignatureJudge(made.corpus, self.develop, labels)

    def score(self, label: Label, latent: int, judge=None) -> dict[tuple[str, str], float | None]:
        judge = judge or self.signature
        held_out, seed = self.made.example_sets[latent].test, self.made.config.seed
        asked = detection.questions(label, latent, held_out, judge.batch_size, seed)
        answers = [asyncio.run(judge.answer(question)) for question in asked]
        groups = self.made.corpus.groups
        trials = detection.trials(
            asked, answers, held_out, groups, judge.name, label.explainer, label.label_id
        )
        return {(s.metric, s.negatives): s.value for s in detection.scores(trials, 0.1, "group", "")}


def markers(made: Prepared, latent: int) -> Label:
    return asyncio.run(Markers().explain(made.evidence(latent, 0)))


def score_everything(seed: int) -> pd.DataFrame:
    """One row per factor and label: graded ones, shuffled (oracles of other factors), markers, and the ceiling."""
    cells = more_cells(seed)
    made = prepared(cells, cells.activity, seed)
    assert made.chosen == list(range(len(cells.factors)))
    oracles = [as_label(j, factor.oracle) for j, factor in enumerate(cells.factors)]
    scorer = Scorer(made, oracles)
    ceiling = CeilingJudge(
        made.corpus, made.activations, made.contrast_rows, np.array(made.chosen), scorer.develop
    )
    rng = np.random.default_rng(seed)
    rows = []
    for j, factor in enumerate(cells.factors):
        others = [o for o in range(len(oracles)) if o != j]
        named = [(given.grade, as_label(j, given)) for given in factor.labels]
        named += [("shuffled", oracles[o]) for o in rng.choice(others, RULE_ROUNDS, replace=False)]
        named.append(("markers", markers(made, j)))
        for grade, label in named:
            rows.append({"factor": factor.name, "grade": grade} | _flat(scorer.score(label, j)))
        best = scorer.score(as_label(j, factor.oracle), j, ceiling)
        rows.append({"factor": factor.name, "grade": "ceiling"} | _flat(best))
    return pd.DataFrame(rows).assign(seed=seed)


def _flat(scores: dict[tuple[str, str], float | None]) -> dict[str, float | None]:
    return {" ".join(key).strip(): value for key, value in scores.items()}


def within_donors(activity: np.ndarray, donors: np.ndarray, copies: int, seed: int) -> np.ndarray:
    """Null latents (n, copies · f): each activity permuted over the cells of its donor."""
    rng = np.random.default_rng(seed)
    null = np.tile(activity, copies)
    for donor in np.unique(donors):
        rows = np.flatnonzero(donors == donor)
        for column in null.T:
            column[rows] = column[rng.permutation(rows)]
    return null
