"""Activations that mean nothing: as many, as unlike between groups, and with the level that they promise."""

import numpy as np
import pytest
from scipy import sparse

from autointerp.evidence.chance import Chance, Within, intraclass

UNEVEN = np.repeat(np.arange(12), [600, 300, 100, 50, 20, 10, 5, 5, 3, 3, 2, 2])
EVEN = np.repeat(np.arange(40), 25)


def sides(active, codes, parts=None, of=None):
    n, m = active.shape
    within = Within(np.zeros(n, int) if parts is None else parts, np.zeros(m, int) if of is None else of)
    return Chance(sparse.csr_matrix(active.astype(np.float32)), within, codes.astype(str))


def beta_binomial(codes, mean, correlation, m, seed=0):
    rng = np.random.default_rng(seed)
    spread = (1 - correlation) / correlation
    rates = rng.beta(spread * mean, spread * (1 - mean), (m, codes.max() + 1))
    return (rng.random((m, len(codes))) < rates[:, codes]).T


@pytest.mark.parametrize("correlation", [0.05, 0.3, 0.8])
def test_the_intraclass_correlation_is_that_of_beta_binomials(correlation):
    active, sizes = beta_binomial(EVEN, 0.2, correlation, 400), np.bincount(EVEN)
    counts = np.stack([np.bincount(EVEN, column) for column in active.T])
    found = intraclass(counts, sizes, 25.0)
    assert np.median(found) == pytest.approx(correlation, abs=0.04)


def test_the_intraclass_correlation_by_hand_and_at_its_ends():
    sizes = np.array([2, 2, 2])
    assert intraclass(np.array([[2, 0, 1]]), sizes, 2.0) == pytest.approx((0.5 - 1 / 6) / (0.5 + 1 / 6))
    assert intraclass(np.array([[2, 0, 0], [1, 1, 1], [0, 0, 0], [2, 2, 2]]), sizes, 2.0).tolist() == [
        0.99,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("codes", "correlation"),
    [(EVEN, 0.001), (EVEN, 0.4), (EVEN, 0.9), (UNEVEN, 0.001)],
    ids=["even", "unlike", "whole groups", "uneven"],
)
def test_drawn_among_groups_are_as_many_and_as_unlike(codes, correlation):
    active = beta_binomial(codes, 0.15, correlation, 300)
    chance = sides(active, codes)
    drawn = chance.draw(np.random.default_rng(1), among_groups=True)[0].toarray()
    kept = active.sum(0) > 30
    ratios = drawn.sum(0)[kept] / active.sum(0)[kept]
    assert np.median(ratios) == pytest.approx(1, abs=0.05)
    again = sides(drawn > 0, codes)
    assert np.median(again.correlation) == pytest.approx(np.median(chance.correlation), rel=0.35, abs=0.01)
    assert (drawn > 0).any(0)[kept].all() and not (drawn[:, kept] == active[:, kept]).all(0).any()


def test_within_groups_each_group_keeps_what_it_has():
    active = beta_binomial(UNEVEN, 0.2, 0.3, 50)
    parts = np.arange(len(UNEVEN)) % 2
    drawn, same = sides(active, UNEVEN, parts).draw(np.random.default_rng(0))
    assert (same.parts == parts).all()
    for group in range(12):
        for part in (0, 1):
            here = (group == UNEVEN) & (parts == part)
            np.testing.assert_array_equal(np.sort(drawn.toarray()[here], 0), np.sort(active[here], 0))
    assert (drawn.toarray() != active).any()


def test_latents_of_a_part_stay_in_it_and_parts_of_few_groups_are_not_drawn_among():
    codes, parts = EVEN.copy(), (EVEN >= 30).astype(int) + (EVEN >= 37)
    of = np.repeat([0, 1, 2], 20)
    active = beta_binomial(codes, 0.3, 0.2, 60) & (parts[:, None] == of)
    chance = sides(active, codes, parts, of)
    assert chance.among_groups.tolist() == [True] * 40 + [False] * 20
    drawn = chance.draw(np.random.default_rng(0), among_groups=True)[0].toarray() > 0
    assert not (drawn & (parts[:, None] != of)).any() and drawn[:, :40].any(0).all()


def test_fewer_groups_than_five_and_none_are_only_permuted():
    rng = np.random.default_rng(0)
    active = sparse.csr_matrix((rng.random((60, 8)) < 0.3).astype(np.float32))
    within = Within(np.zeros(60, int), np.zeros(8, int))
    for groups in (None, np.repeat(list("abcd"), 15)):
        chance = Chance(active, within, groups)
        assert not chance.among_groups.any() and (chance.correlation == 0).all()
        drawn = chance.draw(np.random.default_rng(0))[0]
        assert drawn.sum(0).tolist() == active.sum(0).tolist() and (drawn != active).nnz


def test_latents_that_care_for_no_group_are_drawn_as_widely_however_uneven_groups_are():
    """Their greatest shifts by chance, of features that differ between donors, are those within groups."""
    rng = np.random.default_rng(0)
    n = len(UNEVEN)
    features = rng.normal(size=(n, 60)) + rng.normal(0, 0.5, (12, 60))[UNEVEN]
    chance = sides(rng.random((n, 200)) < 0.2, UNEVEN)
    wide = []
    for among in (False, True):
        drawn = chance.draw(np.random.default_rng(1), among)[0].toarray() > 0
        shifts = [np.abs(features[a].mean(0) - features[~a].mean(0)).max() for a in drawn.T]
        wide.append(np.quantile(shifts, 0.95))
    assert wide[1] < 1.5 * wide[0]


def test_of_groups_of_one_item_each_latents_are_drawn_freely():
    active = np.random.default_rng(0).random((200, 20)) < 0.3
    chance = sides(active, np.arange(200))
    assert chance.among_groups.all() and (chance.correlation == 0).all()
    drawn = chance.draw(np.random.default_rng(1), among_groups=True)[0].toarray() > 0
    assert 0.5 < (drawn == active).mean() < 0.66
