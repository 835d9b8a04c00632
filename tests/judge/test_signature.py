"""Is the rule judge the arithmetic that it promises, and does it never read a label backwards?"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from autointerp.judge.signature import LEAST_SLOPE, RIDGE, SignatureJudge, Signatures, fit_logistic
from autointerp.schema import KeyFeature, Question
from tests.tiny_corpus import TinyCorpus, examples, label

UP, DOWN = KeyFeature("A", "up"), KeyFeature("B", "down")


@pytest.fixture
def four():
    """Explain rows 0–3: A has mean 2 and sd 1 there, B mean 1 and sd 1, C never varies; row 4 is held out."""
    x = [[1, 0, 5], [3, 2, 5], [1, 2, 5], [3, 0, 5], [6, 3, 5]]
    return TinyCorpus(x, ["A", "B", "C"], explain=np.arange(4))


def ask(judge, given, rows):
    return asyncio.run(judge.answer(Question("detection", given.latent, given, np.asarray(rows))))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ([UP], [-1, 1, -1, 1, 4]),  # (x − 2)/1
        ([DOWN], [1, -1, -1, 1, -2]),  # −(x − 1)/1
        ([UP, DOWN], [0, 0, -1, 1, 1]),  # their mean
        ([UP, UP], [-1, 1, -1, 1, 4]),  # named twice counts once
        ([UP, KeyFeature("A", "down")], [-1, 1, -1, 1, 4]),  # the first direction holds
        (
            [UP, KeyFeature("C", "up"), KeyFeature("nowhere", "up")],
            [-1, 1, -1, 1, 4],
        ),  # only what varies counts
    ],
)
def test_mean_signed_z_by_hand(four, features, expected):
    assert Signatures(four).scores(features, np.arange(5)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("features", [[], [KeyFeature("nowhere", "up")], [KeyFeature("C", "up")]])
def test_no_measured_feature_is_no_score(four, features):
    assert Signatures(four).scores(features, np.arange(5)) is None


def test_a_label_without_measured_features_fails_and_is_no_zero(four):
    given = label(0, up="nowhere")
    judge = SignatureJudge(four, {0: examples([1, 3], random=[0, 2])}, [given])
    answer = ask(judge, given, [4, 0])
    assert answer.values == (None, None)
    assert all(str(said).startswith("the label lists no measured feature") for said in answer.failures)


# ------------------------------------------------------------------------------------------------ the logistic fit


def sklearn_fit(scores, truth):
    """The same objective there: ½w² + C·Σ weight·loss, weights n/(2·n_class), so C = 1/(RIDGE·n)."""
    fit = LogisticRegression(C=1 / (RIDGE * len(truth)), class_weight="balanced", tol=1e-10, max_iter=10_000)
    fit.fit(scores[:, None], truth)
    return float(fit.intercept_[0]), float(fit.coef_[0, 0])


@pytest.mark.parametrize("seed", range(8))
def test_the_fit_is_scikit_learns_balanced_logistic_regression(seed):
    rng = np.random.default_rng(seed)
    truth = np.arange(60) < (10, 20, 30, 50)[seed % 4]
    scores = (0.3, 3)[seed // 4] * (rng.normal(size=60) + truth)
    assert fit_logistic(scores, truth) == pytest.approx(sklearn_fit(scores, truth), rel=1e-3, abs=1e-3)


def test_separated_classes_have_a_finite_fit():
    truth = np.arange(40) < 12
    scores = np.where(truth, 2.0, -1.0) + np.linspace(0, 0.5, 40)
    assert fit_logistic(scores, truth) == pytest.approx(sklearn_fit(scores, truth), rel=1e-2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_extreme_scores_have_a_finite_fit(scale):
    rng = np.random.default_rng(0)
    truth = np.arange(60) < 20
    a, b = fit_logistic(scale * rng.standard_t(1, 60), truth)
    assert np.isfinite([a, b]).all()
    assert b >= LEAST_SLOPE


def test_reversed_labels_are_not_read_backwards():
    """Where active items score lower, the slope stays at its bound and the intercept balances the classes."""
    rng = np.random.default_rng(0)
    truth = np.arange(60) < 20
    scores = rng.normal(size=60) - 2.0 * truth
    a, b = fit_logistic(scores, truth)
    assert sklearn_fit(scores, truth)[1] < -1
    assert b == LEAST_SLOPE
    residual = expit(a + b * scores) - truth  # d loss/d a = 0 at the best intercept
    assert residual[truth].mean() + residual[~truth].mean() == pytest.approx(0, abs=1e-5)


# ------------------------------------------------------------------------------------------------ calibration


@pytest.fixture
def noisy():
    """120 cells; A is high in the first 40 (active for latent 0); latent 1 is active in the last 5."""
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(2, 1, (120, 3)))
    x[:40, 0] += 3
    return TinyCorpus(x, ["A", "B", "C"])


DEVELOP = {
    0: examples(list(range(20)), random=list(range(40, 70))),
    1: examples(list(range(115, 120)), random=list(range(40, 70))),
    2: examples(list(range(20, 40)), random=list(range(70, 110))),
}


@pytest.mark.parametrize("direction", ["up", "down"])
def test_answers_keep_the_order_of_the_scores_whatever_develop_says(noisy, direction):
    given = label(0, **{direction: "A"})
    rows = np.arange(20, 110)
    answer = ask(SignatureJudge(noisy, DEVELOP, [given]), given, rows)
    scores = Signatures(noisy).scores(given.key_features, rows)
    assert np.array_equal(rankdata(answer.values), rankdata(scores))
    assert np.ptp(answer.values) > 1


def test_a_good_label_is_calibrated_on_its_own_develop_items(noisy):
    given = label(0, up="A")
    rows = np.arange(20, 110)
    a, b = fit_logistic(Signatures(noisy).scores(given.key_features, DEVELOP[0].rows), DEVELOP[0].truth)
    expected = 100 * expit(a + b * Signatures(noisy).scores(given.key_features, rows))
    answer = ask(SignatureJudge(noisy, DEVELOP, [given]), given, rows)
    assert answer.values == pytest.approx(expected)
    assert answer.failures == (None,) * len(rows)
    said = np.array(answer.values) >= 50
    assert said[:20].mean() > 0.7  # active, not in develop
    assert said[50:].mean() < 0.3


def test_under_ten_develop_positives_the_fit_is_the_median_of_the_others(noisy):
    labels = [label(0, up="A"), label(1, up="B"), label(2, up="A", down="C")]
    judge = SignatureJudge(noisy, DEVELOP, labels)
    fits = [
        fit_logistic(Signatures(noisy).scores(given.key_features, DEVELOP[i].rows), DEVELOP[i].truth)
        for i, given in ((0, labels[0]), (2, labels[2]))
    ]
    a, b = np.median(fits, axis=0)
    rows = np.arange(100, 120)
    scores = Signatures(noisy).scores(labels[1].key_features, rows)
    assert logit(np.array(ask(judge, labels[1], rows).values) / 100) == pytest.approx(
        a + b * scores, abs=1e-6
    )


def test_without_any_fit_the_score_is_read_as_it_is(noisy):
    given = label(1, up="B")
    rows = np.arange(10)
    answer = ask(SignatureJudge(noisy, {1: DEVELOP[1]}, [given]), given, rows)
    scores = Signatures(noisy).scores(given.key_features, rows)
    assert answer.values == pytest.approx(100 * expit(scores))


def test_a_shuffled_label_is_calibrated_on_the_asked_latent(noisy):
    """The label is of latent 2, the question about latent 0: latent 0's develop items decide."""
    own, other = label(0, up="A"), label(2, up="A", down="C")
    judge = SignatureJudge(noisy, DEVELOP, [own, other])
    rows = np.arange(20, 60)
    answer = asyncio.run(judge.answer(Question("detection", 0, other, rows)))
    scores = Signatures(noisy).scores(other.key_features, DEVELOP[0].rows)
    a, b = fit_logistic(scores, DEVELOP[0].truth)
    expected = 100 * expit(a + b * Signatures(noisy).scores(other.key_features, rows))
    assert answer.values == pytest.approx(expected)
