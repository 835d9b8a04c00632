"""Are correlations those of scipy, and do their intervals hold the truth where strengths are mostly 0?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from autointerp.score.correlation import CONSTANT, correlation_interval, pearson
from eval.bench.correlation_coverage import coverage, truth_of


def columns(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    measured = rng.permutation(np.where(np.arange(n) < n // 2, rng.gamma(2, 1, n), 0.0))
    return np.round(np.clip(2 * measured + rng.normal(0, 2, n), 0, 10)), measured


@pytest.mark.parametrize("seed", range(5))
def test_values_are_those_of_scipy(seed):
    x, y = columns(seed)
    assert correlation_interval(x, y).value == pytest.approx(pearsonr(x, y).statistic, abs=1e-12)
    assert correlation_interval(x, y, ranks=True).value == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)


@pytest.mark.parametrize("ranks", [False, True])
def test_the_interval_is_the_jackknife_on_fishers_scale_computed_one_item_at_a_time(ranks):
    x, y = columns(7, 30)
    of = spearmanr if ranks else pearsonr
    n, r = len(x), of(x, y).statistic
    left_out = [of(np.delete(x, i), np.delete(y, i)).statistic for i in range(n)]
    influence = (n - 1) / n * (r - np.array(left_out))
    se = np.sqrt(n / (n - 1) * (influence**2).sum()) / (1 - r**2)
    half = 2.045229642132703 * se  # t, 29 degrees of freedom
    found = correlation_interval(x, y, ranks)
    assert found.low == pytest.approx(np.tanh(np.arctanh(r) - half), rel=1e-9)
    assert found.high == pytest.approx(np.tanh(np.arctanh(r) + half), rel=1e-9)
    assert found.method == "jackknife Fisher z"


def test_a_constant_prediction_tells_nothing_and_a_constant_truth_is_refused():
    y = np.arange(10.0)
    found = correlation_interval(np.full(10, 5.0), y)
    assert found.value == 0 and np.isnan(found.low) and found.method == CONSTANT
    for bad in (np.full(10, 1.0), np.array([np.nan, *y[1:]])):
        with pytest.raises(ValueError, match=r"constant|finite"):
            correlation_interval(y, bad)
    with pytest.raises(ValueError, match="length >= 4"):
        correlation_interval(y[:3], y[:3])


def test_a_perfect_prediction_is_one():
    y = np.arange(12.0)
    found = correlation_interval(3 * y + 1, y)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))
    assert correlation_interval(-y, y, ranks=True).value == -1


@given(st.integers(0, 10_000), st.booleans(), st.floats(0.1, 50), st.floats(-5, 5))
@settings(max_examples=30, deadline=None)
def test_bounds_hold_the_value_and_a_scale_changes_nothing(seed, ranks, scale, shift):
    x, y = columns(seed, 20)
    found = correlation_interval(x, y, ranks)
    assert -1 <= found.low <= found.value <= found.high <= 1
    moved = correlation_interval(x, scale * y, ranks)
    assert moved[:3] == pytest.approx(found[:3], abs=1e-6)
    if not ranks:
        assert correlation_interval(x * scale + shift, y)[:3] == pytest.approx(found[:3], abs=1e-6)


def test_prompts_that_agree_and_donors_that_differ_widen_it():
    rng = np.random.default_rng(3)
    y = rng.gamma(2, 1, 100) * (np.arange(100) % 2)
    donors = np.repeat(np.arange(10), 10)
    x = y + rng.normal(0, 2, 10)[donors] * (1 + y) + rng.normal(0, 0.3, 100)
    plain = correlation_interval(x, y)
    for wider in (
        correlation_interval(x, y, clusters=donors.astype(str)),
        correlation_interval(x, y, groups=donors.astype(str)),
    ):
        assert wider.high - wider.low > plain.high - plain.low
    assert "groups" in correlation_interval(x, y, groups=donors.astype(str)).method
    assert "not an interval for new donors" in correlation_interval(x, y, groups=np.full(100, "a")).method


def test_intervals_hold_the_truth():
    """A short version of the committed benchmark: 300 replicates, binomial sd 0.013."""
    for ranks in (False, True):
        for noise in (1.0, 4.0):
            held = coverage(noise, 50, ranks, 300, truth_of(noise, ranks, 200_000))
            assert 0.91 <= held <= 0.99
