"""Minimum detectable differences against statsmodels and against simulated tests."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind, wilcoxon
from statsmodels.stats.power import TTestPower

from autointerp.score.power import (
    WILCOXON_EFFICIENCY,
    paired_mdd,
    paired_power,
    reachable_level,
    welch_error,
    welch_mdd,
    welch_power,
)


@pytest.mark.parametrize("n", [60, 200])
def test_paired_power_is_statsmodels_on_the_effective_number_of_pairs(n):
    theirs = TTestPower().power(0.4, n * WILCOXON_EFFICIENCY, 0.05, df=n * WILCOXON_EFFICIENCY - 1)
    assert paired_power(0.04, 0.1, n) == pytest.approx(theirs, abs=1e-6)
    assert paired_power(-0.04, 0.1, n) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("n", [8, 12, 20, 100])
def test_the_paired_difference_is_found_in_eighty_percent_of_simulated_tables(n):
    sd = 0.07
    rng = np.random.default_rng(n)
    drawn = rng.normal(paired_mdd(sd, n), sd, (3000, n))
    found = (wilcoxon(drawn, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.035)


@pytest.mark.parametrize(("n_a", "n_b", "sd_b"), [(10, 10, 0.1), (15, 60, 0.3), (100, 40, 0.05)])
def test_the_unpaired_difference_is_found_in_eighty_percent_of_simulated_tables(n_a, n_b, sd_b):
    rng = np.random.default_rng(n_a)
    a = rng.normal(welch_mdd(0.1, n_a, sd_b, n_b), 0.1, (4000, n_a))
    b = rng.normal(0, sd_b, (4000, n_b))
    found = (ttest_ind(a, b, axis=1, equal_var=False).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.03)


def test_power_is_there_for_any_level_number_and_difference():
    for n in (20, 100, 5000):
        for alpha in (0.05, 1e-3, 1e-6):
            powers = [paired_power(d, 1.0, n, alpha) for d in (0.0, 0.01, 0.3, 1.0, 5.0, 200.0)]
            assert np.all(np.diff(powers) >= 0) and powers[0] <= alpha * 1.001 and powers[-1] <= 1 + 1e-12
            found = paired_mdd(1.0, n, alpha=alpha)
            assert found == math.inf or paired_power(found, 1.0, n, alpha) == pytest.approx(0.8)


def test_welchs_error_is_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 9), rng.normal(0, 3, 21)
    theirs = ttest_ind(a, b, equal_var=False)
    se, df = welch_error(a.std(ddof=1), 9, b.std(ddof=1), 21)
    assert df == pytest.approx(theirs.df)
    assert (a.mean() - b.mean()) / se == pytest.approx(theirs.statistic)


@pytest.mark.parametrize("n", [6, 8, 13])
def test_the_level_that_ranks_reach_is_scipys(n):
    """Every p that n pairs without ties can have: all 2ⁿ sign patterns through scipy's exact test."""
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * n)).reshape(n, -1).T[: 2 ** (n - 1)]
    p = np.unique(np.round(wilcoxon(signs * np.arange(1, n + 1), axis=1, method="exact").pvalue, 12))
    assert reachable_level(n) == pytest.approx(p[p < 0.05].max())


def test_what_cannot_be_found():
    assert reachable_level(5) == 0 and paired_mdd(0.1, 5) == math.inf and paired_power(9.0, 0.1, 5) == 0
    assert welch_mdd(0.1, 1, 0.1, 30) == math.inf
    assert paired_mdd(0.0, 20) == 0
    assert math.isnan(paired_mdd(math.nan, 20))
    assert paired_mdd(0.1, 20, alpha=0.001) > paired_mdd(0.1, 20) > paired_mdd(0.1, 80)
    assert welch_power(0.0, 0.1, 20, 0.1, 20) == pytest.approx(0.05, abs=1e-5)
    with pytest.raises(ValueError, match="sd >= 0"):
        paired_mdd(-1, 5)
    with pytest.raises(ValueError, match="power lies"):
        paired_mdd(0.1, 20, power=1.0)
