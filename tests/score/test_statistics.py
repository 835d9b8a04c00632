"""Paired tests, corrections, means and margins against scipy, statsmodels and cases worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, wilcoxon
from statsmodels.stats.multitest import multipletests

from autointerp.score.statistics import (
    benjamini_hochberg,
    margin,
    mean_scored_and_mean_all,
    paired_wilcoxon,
    share_of_ceiling,
)


def test_unscored_latents_count_as_chance_in_mean_all_only():
    got = mean_scored_and_mean_all(np.array([0.9, np.nan, 0.7, np.nan]))
    assert got == pytest.approx((0.8, 0.65, 2, 4))
    assert mean_scored_and_mean_all(np.array([0.5, np.nan]), chance=0.2).mean_all == pytest.approx(0.35)
    nothing = mean_scored_and_mean_all(np.array([np.nan, np.nan]))
    assert math.isnan(nothing.mean_scored)
    assert nothing.mean_all == 0.5


def test_margins():
    assert margin(0.8, 0.6) == pytest.approx(0.2)
    assert margin(0.8, 0.1) == pytest.approx(0.3)  # a wrong lineage's label earns nothing for it
    assert math.isnan(margin(0.8, math.nan))
    assert share_of_ceiling(0.7, 0.9) == pytest.approx(0.5)
    assert share_of_ceiling(0.4, 0.9) == pytest.approx(-0.25)
    assert math.isnan(share_of_ceiling(0.7, 0.5))
    assert math.isnan(share_of_ceiling(0.7, math.nan))


def test_paired_wilcoxon_by_all_sign_flips_with_zeros_ranked():
    a = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.9, 0.4, 0.8])
    b = np.array([0.8, 0.8, 0.5, 0.7, 0.4, 0.6, 0.4, 0.5])
    d = np.round(a - b, 12)
    ranks, moved = rankdata(np.abs(d)), d != 0
    signs = np.array(np.meshgrid(*[[-1, 1]] * moved.sum())).reshape(moved.sum(), -1)
    null, seen = ranks[moved] @ signs, ranks[moved] @ np.sign(d[moved])
    got = paired_wilcoxon(a, b)
    assert got.p == pytest.approx(
        min(1.0, 2 * min((null >= seen - 1e-9).mean(), (null <= seen + 1e-9).mean()))
    )
    assert got.median_difference == pytest.approx(0.1)
    assert got.n == 8


def test_paired_wilcoxon_without_ties_is_scipys_and_turns_with_the_sides():
    rng = np.random.default_rng(13)
    a, b = rng.normal(0.1, 1, (2, 30)) * [[1], [0.5]]
    a[3] = np.nan
    got, turned = paired_wilcoxon(a, b), paired_wilcoxon(b, a)
    keep = ~np.isnan(a)
    assert got.p == pytest.approx(wilcoxon(a[keep], b[keep]).pvalue)
    assert got.n == 29
    assert turned == pytest.approx((-got.median_difference, got.p, 29))


def test_paired_wilcoxon_up_to_fifty_pairs_is_exact_and_above_nearly_the_same():
    rng = np.random.default_rng(4)
    for n in (3, 13, 30, 50):
        d = rng.normal(0.4, 1, n)
        assert paired_wilcoxon(d, np.zeros(n)).p == pytest.approx(wilcoxon(d, method="exact").pvalue)
    d = np.round(rng.normal(0.2, 1, 50), 1)  # ties and zeros
    near = wilcoxon(d, zero_method="pratt", method="asymptotic").pvalue
    assert paired_wilcoxon(d, np.zeros(50)).p == pytest.approx(near, abs=2e-3)


def test_paired_wilcoxon_at_its_ends():
    assert paired_wilcoxon(np.ones(9), np.ones(9)) == (0.0, 1.0, 9)
    assert paired_wilcoxon(np.arange(1.0, 11), np.zeros(10)).p == pytest.approx(2 / 2**10)
    with pytest.raises(ValueError, match="no pair"):
        paired_wilcoxon(np.array([np.nan]), np.array([1.0]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_benjamini_hochberg_is_statsmodels(p):
    np.testing.assert_allclose(
        benjamini_hochberg(np.array(p)), multipletests(p, method="fdr_bh")[1], atol=1e-12
    )


def test_benjamini_hochberg_does_not_count_what_was_not_tested():
    got = benjamini_hochberg(np.array([0.01, np.nan, 0.04]))
    assert np.isnan(got[1])
    assert got[[0, 2]] == pytest.approx([0.02, 0.04])
    with pytest.raises(ValueError, match="between 0 and 1"):
        benjamini_hochberg(np.array([1.2]))
