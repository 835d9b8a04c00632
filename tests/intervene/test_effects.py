"""Are the numbers of an effect those worked out by hand, or by scipy?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr, ttest_1samp

from autointerp.intervene.effects import (
    direction_accuracy,
    directions,
    dose_response,
    isolation,
    mean_change,
    ravel,
    symmetry,
)
from autointerp.intervene.held_out import held_out_features


def test_intervals_over_items_and_over_groups_are_scipys():
    rng = np.random.default_rng(0)
    delta = rng.normal(1, 2, (30, 2))
    found = mean_change(delta, None)
    expected = ttest_1samp(delta, 0).confidence_interval()
    np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high])
    groups = np.repeat(["a", "b", "c"], [15, 10, 5])
    found = mean_change(delta, groups)
    means = np.stack([delta[groups == g].mean(0) for g in "abc"])
    expected = ttest_1samp(means, 0).confidence_interval()
    np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high])
    np.testing.assert_allclose(found.value, means.mean(0))
    assert (found.method, mean_change(delta, np.repeat(["a", "b"], 15)).method) == (
        "t over groups",
        "t over items",
    )
    assert np.isnan(mean_change(delta[:1], None).low).all()


def test_symmetry_by_hand():
    assert symmetry(np.array([3.0, 4.0]), np.array([-3.0, -4.0])) == (1.0, 1.0)
    assert symmetry(np.array([3.0, 0.0]), np.array([0.0, 6.0])) == (0.0, 2.0)
    cosine, ratio = symmetry(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    assert (cosine, ratio) == (-1.0, 2.0)
    assert np.isnan(symmetry(np.zeros(2), np.ones(2))).all()


def test_dose_response_is_scipys_spearman():
    doses = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    response = np.random.default_rng(0).integers(0, 4, (5, 6)).astype(float)
    response[:, 0], response[:, 1], response[:, 2] = doses**3, -doses, 7.0
    found = dose_response(doses, response)
    assert found[0] == pytest.approx(1) and found[1] == pytest.approx(-1) and np.isnan(found[2])
    for i in range(3, 6):
        assert found[i] == pytest.approx(spearmanr(doses, response[:, i]).statistic)


def test_isolation_by_hand():
    delta = np.array([[2.0, -1.0, 0.5], [4.0, 3.0, -0.5]])
    assert isolation(delta, np.array([True, False, False])) == pytest.approx(3 / ((2 + 0.5) / 2))
    assert isolation(delta, np.array([True, True, False])) == pytest.approx(2.5 / 0.5)
    assert np.isnan(isolation(delta, np.zeros(3, bool))) and np.isnan(isolation(delta, np.ones(3, bool)))
    assert isolation(np.array([[1.0, 0.0]]), np.array([True, False])) == float("inf")


def test_ravel_by_hand():
    delta = np.array([[0.3, -0.5, 0.1, 0.25], [0.1, -0.1, 0.0, -0.3], [0.9, 0.4, 0.05, 0.1]])
    found = ravel(delta, np.array([1, -1, 0, 0]))
    assert found.cause == pytest.approx(3 / 6)  # 0.3, 0.9 up; −0.5 down
    assert found.isolation == pytest.approx(4 / 6)  # 0.25 and −0.3 moved
    assert found.score == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert np.isnan(ravel(delta, np.zeros(4))).all() and np.isnan(ravel(delta, np.ones(4))).all()


def test_directions_by_hand():
    truth = directions(np.array([0.2, 0.19, -0.2, -1.0, 0.0, -0.1]))
    assert truth.tolist() == [1, 0, -1, -1, 0, 0]
    said = np.array([1, 0, -1, 1, 1, 0])
    assert direction_accuracy(truth, said) == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    assert direction_accuracy(truth, np.zeros(6)) == pytest.approx(1 / 3)
    assert np.isnan(direction_accuracy(np.array([]), np.array([])))


def test_held_out_features_are_a_seeded_fifth_whatever_their_order():
    names = np.array([f"G{i}" for i in range(203)])
    held = held_out_features(names, 0)
    assert held.sum() == 41
    shuffled = np.random.default_rng(1).permutation(names)
    assert set(shuffled[held_out_features(shuffled, 0)]) == set(names[held])
    assert set(names[held_out_features(names, 1)]) != set(names[held])
    assert not held_out_features(names, 0, 0.0).any()
    with pytest.raises(ValueError, match="share"):
        held_out_features(names, 0, 1.0)
