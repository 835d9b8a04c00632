"""Test–retest against the six-by-four table of Shrout & Fleiss (1979) and a simulated judge."""

import math

import numpy as np
import pytest

from autointerp.score.retest import retest

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)


def test_shrout_and_fleiss():
    """Their table 4 gives ICC(1,1) = .17 and ICC(2,1) = .29; R's psych::ICC prints the intervals."""
    got = retest(SHROUT_FLEISS)
    assert got.icc_1_1 == pytest.approx((0.166, -0.133, 0.723), abs=1e-3)
    assert got.icc_2_1 == pytest.approx((0.290, 0.019, 0.761), abs=1e-3)
    assert got.within_sd**2 == pytest.approx(6.26, abs=0.005)  # their WMS
    assert (got.n_latents, got.n_replicates, got.n_dropped) == (6, 4, 0)


def test_a_simulated_judge_has_the_noise_that_was_drawn():
    rng = np.random.default_rng(0)
    held = np.zeros(3)
    for _ in range(1500):
        scores = rng.normal(0.75, 0.1, (40, 1)) + rng.normal(0, 0.05, (40, 3))
        got = retest(scores)
        held += [
            got.within_low <= 0.05 <= got.within_high,
            got.icc_1_1.low <= 0.8 <= got.icc_1_1.high,
            got.icc_2_1.low <= 0.8 <= got.icc_2_1.high,
        ]
    assert held / 1500 == pytest.approx(0.95, abs=0.02)


def test_a_judge_that_shifts_lowers_agreement_only_where_judges_count():
    rng = np.random.default_rng(1)
    scores = rng.normal(0.75, 0.1, (60, 1)) + rng.normal(0, 0.02, (60, 2))
    level, shifted = retest(scores), retest(scores + np.array([0.0, 0.1]))
    assert level.icc_2_1.value == pytest.approx(level.icc_1_1.value, abs=0.01)
    assert shifted.icc_2_1.value < level.icc_2_1.value - 0.2
    two = np.random.default_rng(2).normal(0.5, 0.05, (4000, 2))
    apart = np.abs(two[:, 0] - two[:, 1])
    assert (apart < retest(two).repeatability).mean() == pytest.approx(0.95, abs=0.01)


def test_missing_replicates_and_no_noise():
    scores = np.array([[0.8, 0.8], [0.6, 0.6], [0.9, np.nan]])
    got = retest(scores)
    assert (got.within_sd, got.n_latents, got.n_dropped) == (0.0, 2, 1)
    assert got.icc_1_1 == got.icc_2_1 == (1, 1, 1)
    assert got.between_sd == pytest.approx(0.1 * math.sqrt(2))
    assert math.isnan(retest(np.full((3, 2), 0.7)).icc_1_1.value)
    with pytest.raises(ValueError, match="two latents"):
        retest(scores[:1])
    with pytest.raises(ValueError, match="latents × replicates"):
        retest(scores[0])
