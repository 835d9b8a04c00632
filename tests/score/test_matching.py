"""Matching on firing rate: within the caliper, one to one, even, and as many pairs as there can be, nearly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from autointerp.score.matching import CALIPER, match_firing_rates

RATES = st.lists(st.one_of(st.just(0.0), st.floats(1e-5, 1.0)), max_size=30)


@given(RATES, RATES, st.integers(0, 99))
@settings(deadline=None)
def test_pairs_are_within_the_caliper_and_nobody_free_is_left_beside_a_seeker(first, second, seed):
    a, b = np.array(first), np.array(second)
    got = match_firing_rates(a, b, np.random.default_rng(seed))
    assert len(set(got.first.tolist())) == len(set(got.second.tolist())) == len(got.first)
    assert (np.abs(np.log(a[got.first] / b[got.second])) <= CALIPER + 1e-12).all()
    assert got.n_unmatched_first == len(a) - len(got.first)
    assert got.n_unmatched_second == len(b) - len(got.second)
    free_a, free_b = np.delete(a, got.first), np.delete(b, got.second)
    free_a, free_b = free_a[free_a > 0], free_b[free_b > 0]
    assert not (np.abs(np.log(free_a[:, None]) - np.log(free_b[None])) <= CALIPER).any()


def test_the_partner_is_the_nearest():
    a, b = np.array([0.01]), np.array([0.0085, 0.0101, 0.0115])
    assert match_firing_rates(a, b, np.random.default_rng(0)).second.tolist() == [1]
    assert (
        match_firing_rates(b, a, np.random.default_rng(0)).first.size == 1
    )  # whichever of the three comes first


def test_a_large_match_is_even_and_nearly_complete():
    rng = np.random.default_rng(1)
    a, b = np.exp(rng.normal(-5, 1, 2000)).clip(0, 1), np.exp(rng.normal(-4.6, 1.2, 4000)).clip(0, 1)
    got = match_firing_rates(a, b, rng)
    assert abs(got.mean_gap) < 0.01
    possible = np.abs(np.log(a)[:, None] - np.log(b)[None]) <= CALIPER
    most = (maximum_bipartite_matching(csr_matrix(possible), perm_type="column") >= 0).sum()
    assert len(got.first) > 0.95 * most


def test_the_same_rates_match_fully_and_the_seed_decides():
    rates = np.linspace(0.001, 0.4, 50)
    got = match_firing_rates(rates, rates[::-1], np.random.default_rng(3))
    again = match_firing_rates(rates, rates[::-1], np.random.default_rng(3))
    assert got.second.tolist() == again.second.tolist()
    assert len(got.first) == 50 and got.mean_gap == pytest.approx(0)
    assert len(match_firing_rates(np.array([]), rates, np.random.default_rng(0)).first) == 0
    with pytest.raises(ValueError, match="between 0 and 1"):
        match_firing_rates(np.array([1.2]), rates, np.random.default_rng(0))
