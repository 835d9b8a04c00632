"""AUROC and its interval against scikit-learn, and DeLong, Obuchowski and Newcombe by their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from autointerp.score.auroc import newcombe_auroc
from autointerp.score.intervals import clustered_variance
from autointerp.score.statistics import (
    auroc,
    auroc_interval,
)
from tests.score.judged import answers, judged


def psi(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(positives, negatives): 1 where the positive wins, ½ for a tie."""
    pos, neg = score[truth], score[~truth]
    return np.array([[1.0 if p > q else 0.5 if p == q else 0.0 for q in neg] for p in pos])


@pytest.mark.parametrize("tens", [True, False])
def test_auroc_is_sklearns(tens):
    for seed in range(20):
        truth, score = answers(seed, tens=tens)
        assert auroc(truth, score) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)


@given(judged())
def test_auroc_is_sklearns_on_any_ties(case):
    assert auroc(*case) == pytest.approx(roc_auc_score(*case), abs=1e-12)


def test_delong_by_the_definition_of_placement_values():
    truth, score = answers(3)
    wins = psi(truth, score)
    area = wins.mean()
    variance = wins.mean(1).var(ddof=1) / wins.shape[0] + wins.mean(0).var(ddof=1) / wins.shape[1]
    half = norm.ppf(0.975) * math.sqrt(variance) / (area * (1 - area))
    got = auroc_interval(truth, score)
    want = [1 / (1 + math.exp(-(math.log(area / (1 - area)) + s * half))) for s in (-1, 1)]
    assert (got.low, got.high) == pytest.approx(want, abs=1e-12)
    assert got[3:] == ("logit-DeLong", 65, 25)


def test_obuchowski_by_its_formula_with_every_loop_written_out():
    truth, score = answers(4)
    prompts = np.random.default_rng(4).permutation(65) // 10
    wins, area = psi(truth, score), auroc(truth, score)
    rows, columns = prompts[truth], prompts[~truth]
    big_m, big_n, clusters = 25, 40, np.unique(prompts)
    x = {c: wins.mean(1)[rows == c].sum() - (rows == c).sum() * area for c in clusters}
    y = {c: wins.mean(0)[columns == c].sum() - (columns == c).sum() * area for c in clusters}
    i10, i01, i = len(set(rows)), len(set(columns)), len(clusters)
    s10 = i10 / ((i10 - 1) * big_m) * sum(v**2 for v in x.values())
    s01 = i01 / ((i01 - 1) * big_n) * sum(v**2 for v in y.values())
    s11 = i / (i - 1) * sum(x[c] * y[c] for c in clusters)
    variance = s10 / big_m + s01 / big_n + 2 * s11 / (big_m * big_n)
    half = student.ppf(0.975, i - 1) * math.sqrt(variance) / (area * (1 - area))
    got = auroc_interval(truth, score, clusters=prompts)
    assert got.method == "logit-DeLong, clustered by prompt"
    assert math.log(got.high / (1 - got.high)) - math.log(area / (1 - area)) == pytest.approx(half, rel=1e-9)


def test_copied_answers_widen_the_interval_as_if_they_were_one():
    """Every item three times in one cluster: the standard error is that of the items without copies."""
    truth, score = answers(5)
    single = clustered_variance(*influence(truth, score), np.arange(65))
    triple = clustered_variance(
        *influence(np.repeat(truth, 3), np.repeat(score, 3)), np.repeat(np.arange(65), 3)
    )
    naive = clustered_variance(*influence(np.repeat(truth, 3), np.repeat(score, 3)), np.arange(195))
    assert triple == pytest.approx(single, rel=1e-12)
    assert naive < single / 2.5


def influence(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wins, out = psi(truth, score), np.empty(len(truth))
    out[truth] = (wins.mean(1) - wins.mean()) / truth.sum()
    out[~truth] = (wins.mean(0) - wins.mean()) / (~truth).sum()
    return out, truth


@given(judged(), st.sampled_from([None, 2, 4, 12]), st.booleans())
def test_auroc_interval_holds_its_value_and_mirrors_under_negation(case, n_groups, with_prompts):
    truth, score = case
    groups = None if n_groups is None else np.arange(len(truth)) % n_groups
    prompts = np.arange(len(truth)) // 5 if with_prompts else None
    got = auroc_interval(truth, score, prompts, groups)
    mirrored = auroc_interval(truth, -score, prompts, groups)
    assert 0 <= got.low <= got.value <= got.high <= 1
    assert got.low < got.high
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - got.high, 1 - got.low), abs=1e-9)


@pytest.mark.parametrize("n", [5, 20, 50])
def test_perfect_separation_has_a_bound_that_solves_newcombes_equation(n):
    truth = np.arange(2 * n) < n
    got = auroc_interval(truth, truth.astype(float))
    theta, z = got.low, norm.ppf(0.975)
    q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)  # Hanley & McNeil 1982
    variance = (theta * (1 - theta) + (n - 1) * (q1 - theta**2) + (n - 1) * (q2 - theta**2)) / n**2
    assert got.value == got.high == 1
    assert (1 - theta) == pytest.approx(z * math.sqrt(variance), rel=1e-6)
    assert got.method == "Newcombe 2006 method 5"


def test_bound_at_perfect_separation_rises_with_the_items():
    lows = [newcombe_auroc(1.0, n, n, 1.96)[0] for n in (5, 10, 20, 50, 200)]
    assert lows == sorted(lows)
    assert lows[0] > 0.5
    assert lows[-1] > 0.98


def test_one_answer_for_all_items_is_not_certainty():
    got = auroc_interval(np.arange(40) < 20, np.full(40, 50.0))
    assert got.value == 0.5
    assert got.low < 0.4 < 0.6 < got.high


@pytest.mark.parametrize(
    ("truth", "score", "said"),
    [
        ([True, True], [1.0, 2.0], "both classes"),
        ([False, False], [1.0, 2.0], "both classes"),
        ([True, False], [1.0, math.nan], "finite"),
        ([True, False], [1.0], "one entry per item"),
    ],
)
def test_auroc_refuses_what_it_cannot_answer(truth, score, said):
    for function in (auroc, auroc_interval):
        with pytest.raises(ValueError, match=said):
            function(np.array(truth), np.array(score))
