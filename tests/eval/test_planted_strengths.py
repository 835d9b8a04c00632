"""Does simulation order labels by their quality, is the odd one found, and is chance chance?"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from autointerp.questions import Change, Directions, Match, OddOneOut
from autointerp.schema import Label, Question
from eval.planted import FULL, load_params, planted_cells
from eval.planted.judges import OracleJudge
from eval.planted_scorers import Planted
from eval.planted_strengths import INFORMED, JUDGES, measured, summary
from tests.eval.test_planted_judges import FEW


@pytest.fixture(scope="module")
def planted() -> Planted:
    params = load_params(FULL)
    params["cells"]["n_cells"] = 1800
    return Planted(planted_cells(params, 0), FEW, judged=("simulation", "intruder"))


@pytest.fixture(scope="module")
def table(planted):
    return summary(measured(planted))


def rows(table, what, scorer, metric, judge=INFORMED[0], negatives=None):
    kept = (table.what == what) & (table.scorer == scorer) & (table.metric == metric) & (table.judge == judge)
    return table[kept & ((table.negatives == negatives) | (negatives is None))]


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_better_labels_are_better_simulations(table, metric):
    apart = rows(table, "difference", "simulation", metric, negatives="random")
    assert len(apart) == 7 and apart.holds.all(), apart[["grade", "against", "value", "low"]]
    for over in rows(table, "rank", "simulation", metric, negatives="random").itertuples():
        assert over.value >= 0.9, over
    means = rows(table, "mean", "simulation", metric, negatives="random").set_index("grade").value
    assert means["oracle"] > 0.98 and abs(means["wrong"]) < 0.25


def test_noise_costs_what_it_should(table):
    means = [
        rows(table, "mean", "simulation", "pearson", judge, "random").set_index("grade").value["oracle"]
        for judge in INFORMED[:3]
    ]
    assert means[0] > means[1] > means[2] > 0.2


@pytest.mark.parametrize(("judge", "least"), [(INFORMED[0], 0.7), ("signature", 0.1)])
def test_the_odd_one_is_found(table, judge, least):
    assert rows(table, "mean", "intruder", "above_chance", judge).value.item() > least


def test_judges_that_know_nothing_are_at_chance(table):
    for judge in JUDGES[4:]:
        simulated = rows(table, "mean", "simulation", "pearson", judge, "random")
        odd = rows(table, "mean", "intruder", "above_chance", judge)
        if judge == "malformed":
            assert all(part.value.isna().all() and (part.n == 0).all() for part in (simulated, odd))
        else:
            assert (simulated.value.abs() < (0.15 if judge == "random" else 1e-12)).all() and len(
                simulated
            ) == 2
            assert abs(odd.value.item()) < 0.15


# ------------------------------------------------------------------------------------------------ the oracle


@pytest.fixture(scope="module")
def oracle(planted) -> OracleJudge:
    return OracleJudge(planted.cells)


def label_of(planted, name, grade="oracle") -> Label:
    return planted.cells.factors[planted.cells.factor(name)].graded(grade)[0].label


def answer(judge, question):
    return asyncio.run(judge.answer(question)).values


def test_strengths_are_the_activity_of_the_labels_factors(planted, oracle):
    name, rows_ = "hypoxia", np.arange(300)
    own = planted.cells.activity[:, planted.cells.factor(name)]
    said = np.array(answer(oracle, Question("simulation", 0, label_of(planted, name), rows_)))
    assert said == pytest.approx(10 * np.clip(own[rows_] / own.max(), 0.05, 0.95))


def test_a_conjunction_is_as_strong_as_its_weakest_part(planted, oracle):
    given = planted.cells.factors[planted.cells.factor("hypoxia")].graded("too_narrow")[0]
    columns = [planted.cells.factor(name) for name in given.meaning.all_of]
    parts = planted.cells.activity[:300, columns] / planted.cells.activity[:, columns].max(0)
    said = np.array(answer(oracle, Question("simulation", 0, given.label, np.arange(300))))
    assert said == pytest.approx(10 * np.clip(parts.min(1), 0.05, 0.95))


def test_directions_are_those_of_the_labels_genes(planted, oracle):
    factor = next(f for f in planted.cells.factors if f.down)
    other = next(g for g in planted.cells.adata.var_names if g not in (*factor.up, *factor.down))
    asked = Directions("direction", 0, factor.oracle.label, (factor.up[0], factor.down[0], other))
    assert answer(oracle, asked) == (1.0, -1.0, 0.0)


def test_it_finds_the_cell_that_lacks_what_the_others_have(planted, oracle):
    own = planted.cells.activity[:, planted.cells.factor("b_naive")]
    four, one = np.flatnonzero(own > 0)[:4], np.flatnonzero(own == 0)[:1]
    for place in range(5):
        assert answer(oracle, OddOneOut("intruder", 0, np.insert(four, place, one))) == (float(place),)


def test_labels_that_were_not_planted_are_failures(oracle, planted):
    stranger = Label(0, "x", "Something else", "", "unknown", 1.0, ())
    asked = Match("match", 0, (label_of(planted, "hypoxia"), stranger), (Change("A", 1, 2, 1.0),))
    for question in (asked, Directions("d", 0, stranger, ("A", "B"))):
        assert answer(oracle, question) == (None,) * question.n_answers
