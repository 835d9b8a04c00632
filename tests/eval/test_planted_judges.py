"""Does the oracle answer from what was planted, with the noise and bias asked for, and do marks give nothing away?"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.metrics import roc_auc_score

from autointerp.questions import Change, Directions, Gain
from autointerp.schema import Failure, Label, Question
from eval.planted import FULL, load_params, planted_cells
from eval.planted.judges import OracleJudge
from eval.planted_orderings import by_factor
from eval.planted_scorers import Planted

FEW = ("t_cell", "cd4_t", "b_naive", "mono_classical", "g2m")


@pytest.fixture(scope="module")
def few() -> Planted:
    params = load_params(FULL)
    params["cells"]["n_cells"] = 1500
    cells = planted_cells(params, 0)
    svd = TruncatedSVD(20, random_state=0)
    cells.adata.obsm["X_svd"] = svd.fit_transform(cells.adata.X.log1p()).astype(np.float32)
    return Planted(cells, FEW, embedding="X_svd")


def test_noise_and_bias_cost_what_they_should(few):
    def figure(judge: OracleJudge, metric: str, negatives: str) -> np.ndarray:
        table = few.scores("oracle", judge, ("oracle",))
        return by_factor(table, "oracle", "detection", metric, negatives)["oracle"].to_numpy()

    assert (figure(OracleJudge(few.cells), "auroc", "random") == 1).all()
    assert 0.7 < figure(OracleJudge(few.cells, noise=3), "auroc", "random").mean() < 0.98
    biased = OracleJudge(few.cells, bias=4)
    assert (figure(biased, "auroc", "random") == 1).all()
    assert (figure(biased, "specificity", "all") == 0).all()


def test_the_oracle_fails_on_what_was_not_planted(few):
    asked = Question("detection", 0, Label(0, "x", "Something else", "", "unknown", 1.0, ()), np.arange(3))
    assert asyncio.run(OracleJudge(few.cells).answer(asked)).values == (None,) * 3


def marked(few: Planted) -> list:
    found = [(latent, items) for (name, latent), items in few.items.items() if name == "fuzzing"]
    return [(latent, items) for latent, items in found if not isinstance(items, Failure)]


def test_marked_cells_are_active_test_cells_that_no_explainer_sees(few):
    assert len(marked(few)) >= 4
    for latent, items in marked(few):
        sets = few.material.example_sets[latent]
        assert set(items.rows.tolist()) <= set(sets.test.rows[sets.test.truth].tolist())
        assert not set(items.rows.tolist()) & set(sets.explain.rows.tolist())


def test_the_strength_of_marks_tells_little(few):
    """A judge that reads nothing but the printed strengths of the marked genes."""
    told = []
    for _, items in marked(few):
        shown = [{p.name: p.strength for p in parts} for parts in few.made.corpus.markable(items.rows)]
        mean = [np.mean([s[m] for m in marks]) for s, marks in zip(shown, items.marks, strict=True)]
        told.append(roc_auc_score(items.truth, mean))
    assert abs(np.mean(told) - 0.5) < 0.1


def test_the_oracle_knows_where_genes_go_and_how_likely_a_label_is(few):
    oracle = OracleJudge(few.cells)
    factor = next(f for f in few.cells.factors if f.name == "t_cell")
    other = next(f for f in few.cells.factors if f.name == "b_naive")
    given = {one.factor: one.label for f in few.cells.factors for one in f.labels if one.grade == "oracle"}
    stays = next(str(gene) for gene in few.cells.adata.var_names if gene not in {*factor.up, *factor.down})
    asked = Directions("direction:genes:0.3", 0, given["t_cell"], (factor.up[0], stays))
    assert asyncio.run(oracle.answer(asked)).values == (1.0, 0.0)
    rises = tuple(Change(gene, 0.0, 1.0, 1.0) for gene in factor.up)
    noise = (Change(stays, 0.0, 0.1, 0.1),)

    def gain(name: str) -> float:
        question = Gain("gain:genes:0.3", 0, given[name], rises, noise)
        return asyncio.run(oracle.answer(question)).values[0]

    assert gain("t_cell") > 0 > gain(other.name)
    assert asyncio.run(oracle.answer(Gain("gain:genes:0.3", 0, given["t_cell"], noise, noise))).values == (
        0.0,
    )
    strange = Label(0, "x", "Something else", "", "unknown", 1.0, ())
    assert asyncio.run(oracle.answer(Gain("gain:genes:0.3", 0, strange, rises, noise))).values == (None,)
