"""Do ranks leave the room that the tests between rows leave? By hand, and against a count pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from autointerp.score.compare import LatentScores, mean_over
from autointerp.score.ranks import rank_intervals


def _pairs(values, different):
    """Differences of values, and p = 1e-6 where a pair is in ``different``, else 0.9."""
    values = np.asarray(values, dtype=float)
    difference = values[:, None] - values[None, :]
    p = np.full(difference.shape, 0.9)
    for i, j in different:
        p[i, j] = p[j, i] = 1e-6
    return values, difference, p


def test_one_row_is_first():
    ranks = rank_intervals(np.array([0.7]), np.zeros((1, 1)), np.full((1, 1), np.nan))
    assert [r.tolist() for r in ranks] == [[1], [1], [1]]


def test_rows_that_no_test_parts_share_all_places():
    ranks = rank_intervals(*_pairs([0.9, 0.8, 0.7], []))
    assert ranks.rank.tolist() == [1, 2, 3]
    assert ranks.low.tolist() == [1, 1, 1]
    assert ranks.high.tolist() == [3, 3, 3]


def test_a_row_worse_than_two_begins_at_place_three():
    ranks = rank_intervals(*_pairs([0.9, 0.8, 0.5], [(0, 2), (1, 2)]))
    assert ranks.low.tolist() == [1, 1, 3]
    assert ranks.high.tolist() == [2, 2, 3]


def test_the_test_decides_by_its_own_difference():
    """Over families of twins a row can be the better one that is the worse over latents."""
    values, difference, p = _pairs([0.8, 0.7], [(0, 1)])
    ranks = rank_intervals(values, -difference, p)
    assert ranks.rank.tolist() == [1, 2]
    assert ranks.low.tolist() == [2, 1]


def test_pairs_without_a_test_are_not_different_and_missing_values_come_last():
    values, difference, p = _pairs([0.9, 0.8, 0.5], [(0, 1)])
    p[:, 2] = p[2, :] = np.nan
    values[2] = np.nan
    ranks = rank_intervals(values, difference, p)
    assert ranks.rank.tolist() == [1, 2, 3]
    assert (ranks.low[2], ranks.high[2]) == (1, 3)


def test_equal_values_share_a_place():
    assert rank_intervals(*_pairs([0.8, 0.8, 0.7], [])).rank.tolist() == [1, 1, 3]


def test_corrected_over_all_pairs():
    """20 pairs at p = 0.04 among 190 are no difference [Benjamini & Hochberg 1995]; a single pair of two rows is."""
    rng = np.random.default_rng(0)
    n = 20
    values = rng.normal(size=n)
    p = np.full((n, n), 0.5)
    for i in range(0, n, 2):
        p[i, i + 1] = p[i + 1, i] = 0.04
    ranks = rank_intervals(values, values[:, None] - values[None, :], p)
    assert (ranks.low == 1).all() and (ranks.high == n).all()
    two = rank_intervals(*_pairs([1.0, 0.0], [(0, 1)]))
    assert two.low.tolist() == [1, 2] and two.high.tolist() == [1, 2]


def test_a_table_that_is_not_symmetric_is_refused():
    values, difference, p = _pairs([0.9, 0.8], [])
    p[0, 1] = 0.1
    with pytest.raises(ValueError, match="symmetric"):
        rank_intervals(values, difference, p)


def _scores(values, weights=None, reasons=None):
    values = np.asarray(values, dtype=float)
    missing = np.isnan(values)
    return LatentScores(
        np.arange(len(values)),
        values,
        np.where(missing, "abstained", ""),
        np.ones(len(values), bool),
        weights,
    )


def test_the_mean_of_single_latents_has_the_textbook_interval():
    values = np.random.default_rng(1).uniform(0.4, 1.0, 30)
    found = mean_over(_scores(values))
    wanted = t.interval(0.95, 29, values.mean(), values.std(ddof=1) / np.sqrt(30))
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(wanted)


def test_twins_count_once_for_the_interval():
    """Each latent four times over: four times the latents, and the interval of the single ones."""
    values = np.random.default_rng(2).uniform(0.4, 1.0, 12)
    single = mean_over(_scores(values))
    four = mean_over(_scores(np.repeat(values, 4)), np.repeat(np.arange(12), 4))
    assert (four.value, four.low, four.high) == pytest.approx((single.value, single.low, single.high))
    assert four.n == 48


def test_missing_labels_count_as_chance_in_all_alone():
    scores = _scores([0.9, 0.8, np.nan])
    assert mean_over(scores).value == pytest.approx(0.85)
    assert mean_over(scores, basis="all").value == pytest.approx((0.9 + 0.8 + 0.5) / 3)


def test_weights_are_of_all_alone():
    scores = _scores([1.0, 0.5], np.array([3.0, 1.0]))
    assert mean_over(scores, basis="all").value == pytest.approx(0.875)
    assert mean_over(scores).value == pytest.approx(0.75)


def test_nothing_to_average():
    assert np.isnan(mean_over(_scores([np.nan])).value)
    alone = mean_over(_scores([0.7]))
    assert alone.value == 0.7 and np.isnan(alone.low)
