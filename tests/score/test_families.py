"""Redundancy families against the dense correlation matrix, and the pruning bound against every pair."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from autointerp.score import families
from autointerp.score.families import family_means, least_partner, redundancy_families


def drawn(rng, n=300, m=40, heavy=False):
    """Sparse codes with planted twins, chains, dead, constant and dense latents."""
    codes = rng.gamma(0.3 if heavy else 2.0, 1.0, (n, m)) * (rng.random((n, m)) < rng.uniform(0.01, 0.6, m))
    for twin in range(0, m - 10, 4):
        noise = rng.uniform(0.0, 0.5)
        codes[:, twin + 1] = codes[:, twin] * (1 + noise * rng.normal(size=n).clip(-1, 1))
        codes[:, twin + 2] = codes[:, twin + 1] * (rng.random(n) < 0.97)
    codes[:, m - 1], codes[:, m - 2] = 0, 1.5
    codes[:, m - 3] = 2 * codes[:, m - 4] + (rng.random(n) < 0.5) * 1e-3  # the same, but fires far more often
    return codes


def by_dense(codes, above):
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.nan_to_num(np.corrcoef(codes.T), nan=0.0)
    _, component = connected_components(correlation > above, directed=False)
    return np.array([np.flatnonzero(component == c)[0] for c in component])


@pytest.mark.parametrize("above", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("block", [200, 10_000_000])
def test_families_are_those_of_the_dense_matrix(monkeypatch, above, block):
    monkeypatch.setattr(families, "BLOCK_PRODUCTS", block)
    merged = 0
    for seed in range(12):
        codes = drawn(np.random.default_rng(seed), heavy=seed % 2 == 1)
        got = redundancy_families(sparse.csr_matrix(codes), above)
        np.testing.assert_array_equal(got, by_dense(codes, above))
        merged += codes.shape[1] - len(np.unique(got))
    assert merged > 50


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_no_pair_above_the_threshold_is_pruned(seed):
    codes = drawn(np.random.default_rng(seed), n=60, m=20, heavy=seed % 2 == 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.corrcoef(codes.T)
    least = least_partner(sparse.csc_matrix(codes), 0.9)
    fired = (codes > 0).sum(0)
    for x, y in zip(*np.nonzero(correlation > 0.9), strict=True):
        assert fired[x] >= least[y]


def test_even_values_make_the_bound_one_of_firing_counts():
    codes = np.zeros((10_000, 1))
    codes[:100] = 3.0
    # c/100 >= 0.95²·(1 − c/10,000)·(1 − 100/10,000), by hand: c >= 88.6
    assert least_partner(sparse.csc_matrix(codes), 0.95).tolist() == [89]


def test_odd_input():
    assert redundancy_families(sparse.csr_matrix((5, 3))).tolist() == [0, 1, 2]  # dead latents are no twins
    assert redundancy_families(sparse.csr_matrix(np.ones((5, 2)))).tolist() == [0, 1]  # nor are constant ones
    with pytest.raises(ValueError, match="all >= 0"):
        redundancy_families(sparse.csr_matrix(np.array([[-1.0]])))
    with pytest.raises(ValueError, match="between 0 and 1"):
        redundancy_families(sparse.csr_matrix((5, 3)), above=1.0)


def test_family_means_leave_out_the_unscored():
    values, weights = np.array([1.0, 3.0, np.nan, 5.0, np.nan]), np.array([1.0, 3.0, 9.0, 2.0, 1.0])
    got, mass = family_means(values, np.array([4, 4, 4, 7, 8]), weights)
    assert got == pytest.approx([2.5, 5.0])
    assert mass == pytest.approx([2.0, 2.0])
    assert family_means(values, np.arange(5))[0] == pytest.approx([1, 3, 5])


def large(n, m, k, seed=0):
    """n items with k active of m latents of uneven firing rates, every 50th latent a twin of the one before."""
    rng = np.random.default_rng(seed)
    chance = rng.lognormal(0, 1.5, m)
    columns = np.searchsorted(np.cumsum(chance) / chance.sum(), rng.random((n, k))).clip(0, m - 1)
    codes = sparse.csr_matrix(
        (rng.gamma(2, 1, n * k), columns.ravel(), np.arange(0, n * k + 1, k)), shape=(n, m)
    )
    codes.sum_duplicates()
    csc = codes.tocsc()
    source = np.arange(m)
    source[50::50] -= 1
    return csc[:, source]


def test_a_large_dictionary_in_seconds():
    codes = large(20_000, 8192, 16)
    started = time.process_time()
    got = redundancy_families(codes)
    assert time.process_time() - started < 10
    twins = np.arange(50, 8192, 50)
    fires = np.diff(codes.indptr)[twins] > 1
    assert (got[twins] == got[twins - 1])[fires].all()
