"""Is the ceiling scikit-learn's ridge on explain, its penalty chosen on develop, and test never read?"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import rankdata
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from autointerp.evidence.activations import Activations
from autointerp.judge.ceiling import PENALTIES, CeilingJudge
from autointerp.schema import Label, Question
from tests.tiny_corpus import TinyCorpus, examples

N, EXPLAIN, DEVELOP, TEST = 300, np.arange(140), np.arange(140, 200), np.arange(200, 300)
LATENTS = np.array([0, 2])  # latent 1 is not asked about
NOTHING = Label(0, "ceiling", "", "", "unknown", 0.0, ())


@pytest.fixture
def planted():
    """Three latents; 0 fires where two genes are high, 2 where another is low, with noise; 30 genes."""
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(1, 0.7, (N, 30)))
    active = np.column_stack([x[:, 0] + x[:, 1] > 2.6, x[:, 5] > 1.8, x[:, 9] < 0.6])
    active ^= rng.random((N, 3)) < 0.05
    activations = Activations.from_matrix(active * rng.uniform(0.5, 2, (N, 3)), N, "planted")
    return x, active, activations


def judge_of(x, active, activations):
    develop = {}
    for latent in LATENTS.tolist():
        on = active[DEVELOP, latent]
        develop[latent] = examples(DEVELOP[on].tolist(), random=DEVELOP[~on].tolist())
    corpus = TinyCorpus(x, [f"G{i}" for i in range(x.shape[1])], EXPLAIN)
    return CeilingJudge(corpus, activations, EXPLAIN, LATENTS, develop)


def answers(judge, latent, rows):
    return np.array(asyncio.run(judge.answer(Question("detection", latent, NOTHING, rows))).values)


def ridge(x, truth, penalty):
    """The same scale of the penalty: times the mean variance of a gene × the number of explain cells."""
    x32 = x.astype(np.float32).astype(np.float64)
    centered = x32[EXPLAIN] - x32[EXPLAIN].mean(0)
    fit = Ridge(alpha=penalty * (centered**2).sum(0).mean(), solver="cholesky")
    return fit.fit(x32[EXPLAIN], truth[EXPLAIN].astype(float)), x32


def test_weights_are_scikit_learns_ridge(planted):
    x, active, _ = planted
    judge = judge_of(*planted)
    for place, latent in enumerate(LATENTS):
        fit, x32 = ridge(x, active[:, latent], judge.penalty)
        assert judge._weights[:, place] == pytest.approx(fit.coef_, rel=1e-3, abs=1e-6)
        ours = answers(judge, int(latent), TEST)
        assert rankdata(ours.round(6)) == pytest.approx(rankdata(fit.predict(x32[TEST]).round(8)), abs=1)


def test_the_penalty_is_the_one_of_highest_mean_auroc_on_develop(planted):
    x, active, _ = planted
    reached = []
    for penalty in PENALTIES:
        found = []
        for latent in LATENTS:
            fit, x32 = ridge(x, active[:, latent], penalty)
            found.append(roc_auc_score(active[DEVELOP, latent], fit.predict(x32[DEVELOP])))
        reached.append(np.mean(found))
    judge = judge_of(*planted)
    assert judge.develop_auroc == pytest.approx(max(reached), abs=1e-6)
    assert judge.penalty == PENALTIES[int(np.argmax(np.round(reached, 9)))]


def test_it_reads_what_is_there(planted):
    _, active, _ = planted
    judge = judge_of(*planted)
    for latent in LATENTS.tolist():
        said = answers(judge, latent, TEST)
        assert ((said >= 0) & (said <= 100)).all()
        assert roc_auc_score(active[TEST, latent], said) > 0.75


def test_held_out_cells_never_reach_the_weights(planted):
    x, active, activations = planted
    other_x, other_active = x.copy(), active.copy()
    other_x[TEST] = np.random.default_rng(1).uniform(0, 50, other_x[TEST].shape)
    other_active[TEST] = ~other_active[TEST]
    values = sparse.csr_matrix(other_active.astype(np.float32))
    before = judge_of(*planted)
    after = judge_of(other_x, other_active, Activations.from_matrix(values, N, "changed"))
    assert np.array_equal(before._weights, after._weights)
    assert before.penalty == after.penalty
    assert np.array_equal(answers(before, 0, DEVELOP), answers(after, 0, DEVELOP))
    other_x[EXPLAIN[0]] += 5  # the comparison can fail: an explain cell does reach them
    moved = judge_of(other_x, other_active, activations)
    assert not np.array_equal(before._weights, moved._weights)


def test_it_ignores_the_label(planted):
    judge = judge_of(*planted)
    said = Label(0, "ours", "B cells", "", "unknown", 1.0, ())
    answer = asyncio.run(judge.answer(Question("detection", 0, said, TEST)))
    assert np.array_equal(answers(judge, 0, TEST), answer.values)


def test_a_latent_without_develop_positives_still_gets_answers(planted):
    x, _active, activations = planted
    corpus = TinyCorpus(x, [f"G{i}" for i in range(30)], EXPLAIN)
    develop = {0: examples([], random=DEVELOP.tolist())}
    judge = CeilingJudge(corpus, activations, EXPLAIN, np.array([0]), develop)
    said = answers(judge, 0, TEST)
    assert np.isfinite(said).all()
    assert np.ptp(said) > 0
