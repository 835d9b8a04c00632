"""Reliability, ECE and Brier against scikit-learn and cases worked by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from autointerp.score.intervals import wilson
from autointerp.score.reliability import brier, expected_calibration_error, reliability_table


def judged(n=2000, seed=0, tens=False):
    rng = np.random.default_rng(seed)
    stated = rng.beta(0.7, 1.2, n)
    if tens:
        stated = np.round(stated, 1)
    return stated, rng.random(n) < stated**1.5


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_bins_are_scikit_learns(strategy):
    stated, truth = judged()
    observed, mean = calibration_curve(truth, stated, n_bins=7, strategy=strategy)
    table = reliability_table(stated, truth, 7, equal_counts=strategy == "quantile")
    assert [b.stated for b in table] == pytest.approx(mean, abs=1e-3 if strategy == "quantile" else 1e-12)
    assert [b.observed for b in table] == pytest.approx(
        observed, abs=5e-3 if strategy == "quantile" else 1e-12
    )
    assert sum(b.n for b in table) == 2000
    for b in table:
        assert (b.ci_low, b.ci_high) == pytest.approx(wilson(round(b.observed * b.n), b.n))


def test_equal_answers_share_a_bin_and_empty_bins_are_left_out():
    stated, truth = judged(400, tens=True)
    for counts in (False, True):
        table = reliability_table(stated, truth, 5, equal_counts=counts)
        for b, after in pairwise(table):
            assert b.high <= after.low
        for value in np.unique(stated):
            assert sum(b.low < value <= b.high or (value == 0 == b.low) for b in table) == 1
    two = reliability_table(np.array([0.0, 0.05, 1.0]), np.array([False, False, True]))
    assert [(b.low, b.n, b.observed) for b in two] == [(0.0, 2, 0.0), (0.9, 1, 1.0)]


def test_error_and_score_by_hand():
    stated, truth = np.array([0.2, 0.2, 0.2, 0.8, 0.8]), np.array([False, False, True, True, True])
    table = reliability_table(stated, truth)
    assert expected_calibration_error(table) == pytest.approx((3 * (1 / 3 - 0.2) + 2 * 0.2) / 5)
    got = brier(stated, truth)
    assert got.score == pytest.approx((2 * 0.04 + 0.64 + 2 * 0.04) / 5)
    assert got.reliability == pytest.approx((3 * (1 / 3 - 0.2) ** 2 + 2 * 0.04) / 5)
    assert got.resolution == pytest.approx((3 * (1 / 3 - 0.6) ** 2 + 2 * 0.16) / 5)
    assert got.uncertainty == pytest.approx(0.24)
    assert got.within == pytest.approx(0, abs=1e-15)
    assert math.isnan(expected_calibration_error([]))


def test_the_parts_of_the_score_add_up_and_the_rest_is_stephensons():
    stated, truth = judged()
    got = brier(stated, truth)
    assert got.score == pytest.approx(brier_score_loss(truth, stated))
    code = np.minimum((np.ceil(stated * 10) - 1).clip(0), 9).astype(int)
    rest = 0.0
    for b in np.unique(code):
        p, y = stated[code == b], truth[code == b]
        rest += len(p) * (p.var() - 2 * np.mean((p - p.mean()) * (y - y.mean())))
    assert got.within == pytest.approx(rest / len(stated))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), st.booleans())
def test_every_answer_is_in_one_bin(answers, counts):
    stated, truth = map(np.array, zip(*answers, strict=True))
    table = reliability_table(stated, truth, 4, equal_counts=counts)
    assert sum(b.n for b in table) == len(stated)
    assert sum(b.n * b.observed for b in table) == pytest.approx(truth.sum())
    assert all(b.low - 1e-12 <= b.stated <= b.high + 1e-12 for b in table)
    assert 0 <= expected_calibration_error(table) <= 1


def test_prompts_widen_a_bins_interval():
    stated, prompts = np.full(40, 0.55), np.repeat(np.arange(20), 2)
    truth = np.repeat(np.arange(20) % 2 == 0, 2)
    (plain,) = reliability_table(stated, truth)
    (clustered,) = reliability_table(stated, truth, clusters=prompts)
    assert clustered.ci_high - clustered.ci_low > 1.3 * (plain.ci_high - plain.ci_low)


def test_refusals():
    with pytest.raises(ValueError, match="divided by 100"):
        reliability_table(np.array([70.0]), np.array([True]))
    with pytest.raises(ValueError, match="one stated"):
        brier(np.array([]), np.array([]))
    with pytest.raises(ValueError, match="one bin"):
        reliability_table(np.array([0.7]), np.array([True]), bins=0)
