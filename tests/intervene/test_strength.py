"""Is the strength the smallest that reaches σ, and is what cannot be reached said to be so?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import entropy

from autointerp.intervene.strength import (
    GRID_POINTS,
    TOLERANCE,
    OnData,
    Point,
    divergence,
    find_strength,
    standardized,
    strength_grid,
)


def test_divergence_is_scipys():
    rng = np.random.default_rng(0)
    before, after = rng.dirichlet(np.ones(6), 20), rng.dirichlet(np.ones(6), 20)
    np.testing.assert_allclose(divergence(before, after), entropy(after, before, axis=1))
    assert (divergence(before, before) == 0).all()


def test_an_output_without_spread_does_not_count():
    assert standardized(np.array([[2.0, 3.0]]), np.array([4.0, 0.0])).tolist() == [[0.5, 0.0]]


def test_the_grid_is_geometric_around_the_unit():
    grid = strength_grid(2.0)
    assert (
        len(grid) == GRID_POINTS == 24 and grid[0] == pytest.approx(2 / 32) and grid[-1] == pytest.approx(64)
    )
    np.testing.assert_allclose(np.diff(np.log(grid)), np.log(grid[1] / grid[0]))
    with pytest.raises(ValueError, match="above 0"):
        strength_grid(0.0)


@pytest.mark.parametrize("target", [0.1, 0.3, 3.0])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 6.0])
def test_sigma_is_hit_within_a_tenth(target, power):
    tried = []

    def at(s):
        tried.append(s)
        return Point(s, 0.05 * s**power, 0.0, 0.0)

    found = find_strength(target, at, strength_grid(1.0))
    if 0.05 * 32**power < target:
        assert not found.reachable and f"reaches σ {0.05 * 32**power:.3g}" in found.reason
        return
    assert found.reachable and abs(found.reached / target - 1) <= TOLERANCE
    assert found.reached == pytest.approx(0.05 * found.s**power)
    assert [point.s for point in found.curve] == sorted({0.0, *tried})


def test_of_several_crossings_the_smallest_counts():
    found = find_strength(0.3, lambda s: Point(s, 0.4 * abs(np.sin(s)), 0.0, 0.0), np.linspace(0.2, 6, 24))
    assert found.s < np.pi / 2 and found.reached == pytest.approx(0.3, rel=TOLERANCE)


def test_leaving_the_data_first_is_not_reachable():
    found = find_strength(0.3, lambda s: Point(s, 0.1 * s, 0.0, 0.15 * s), strength_grid(1.0))
    assert not found.reachable and np.isnan(found.s)
    assert (
        found.reason.startswith("not_reachable: ") and "of the items leave the data at s = " in found.reason
    )
    assert found.leaving >= 0.2 and found.reached < 0.3
    assert found.most == max(point.sigma for point in found.curve if point.leaving < 0.2) > 0


def test_items_may_leave_between_the_last_strengths():
    """At the crossing of the grid all items have left, and bisection finds that at σ too many have."""
    gone = find_strength(0.3, lambda s: Point(s, 0.1 * s, 0.0, float(s > 2.5)), [1.0, 2.0, 4.0])
    assert "have left the data" in gone.reason and gone.reached == pytest.approx(0.3, rel=TOLERANCE)
    kept = find_strength(0.3, lambda s: Point(s, 0.1 * s, 0.0, float(s > 3.5)), [1.0, 2.0, 4.0])
    assert kept.reachable and kept.leaving == 0.0


def test_a_jump_across_sigma_is_not_reachable():
    found = find_strength(0.3, lambda s: Point(s, float(s > 1.7), 0.0, 0.0), strength_grid(1.0))
    assert "jumps from 0 to 1 at s = 1.7" in found.reason


def test_what_is_on_the_data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)).astype(np.float32)
    explain, develop = np.arange(250), np.arange(250, 400)
    on_data = OnData(x, explain, develop)
    tenth = np.sort(cdist(x[develop], x[explain]), axis=1)[:, 9]
    assert on_data.limit == pytest.approx(np.percentile(tenth, 99), rel=1e-5)
    assert on_data.holds(x[develop]).mean() == pytest.approx(148 / 150)
    assert not on_data.holds(np.full((1, 3), 9.0)).any()
    far = x[develop] + np.array([0, 0, 50])
    held = on_data.holds(x[develop])
    assert on_data.leaving(held, x[develop]) == 0.0 and on_data.leaving(held, far) == 1.0
    assert on_data.leaving(on_data.holds(far), x[develop]) == 1.0  # none was on the data before
    half = np.where(np.arange(150)[:, None] % 2, far, x[develop])
    assert on_data.leaving(held, half) == pytest.approx((np.arange(150)[held] % 2).mean())
