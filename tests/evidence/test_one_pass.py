"""One pass over activations: exact where it says so, fair samples elsewhere, the same however it is cut up."""

import numpy as np
import pytest
from scipy import sparse, stats

from autointerp.errors import UserError
from autointerp.evidence.one_pass import OnePass, one_pass
from eval.bench.evidence_pass import rank_errors

SIZES = {"top": 5, "sample": 20, "pool": 30}


def activations(n=700, m=12, seed=0, ties=False):
    """(n, m) CSR; latent 0 never fires, latent 1 fires twice, latent 2 on all items, the others on shares of them."""
    rng = np.random.default_rng(seed)
    dense = rng.random((n, m)).astype(np.float32) + 0.1
    dense *= rng.random((n, m)) < np.linspace(0, 0.8, m)
    if ties:
        dense = np.ceil(dense * 4).astype(np.float32)
    dense[:, 0], dense[:, 1], dense[:, 2] = 0, 0, rng.random(n) + 0.1
    dense[[3, 50], 1] = 1.0
    return dense, sparse.csr_matrix(dense)


def same(a, b):
    for name, value in vars(a).items():
        if sparse.issparse(value):
            assert (value != getattr(b, name)).nnz == 0, name
        else:
            np.testing.assert_array_equal(value, getattr(b, name), name)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("part", [False, True])
def test_what_is_exact_is_that_of_the_dense_matrix(ties, part):
    dense, csr = activations(ties=ties)
    rows = np.flatnonzero(np.random.default_rng(1).random(700) < 0.5) if part else np.arange(700)
    made = one_pass(csr, rows if part else None, seed=0, **SIZES)
    chosen = dense[rows]
    assert made.n == len(rows)
    np.testing.assert_array_equal(made.counts, (chosen > 0).sum(0))
    np.testing.assert_allclose(made.sums, chosen.sum(0), rtol=1e-5)
    np.testing.assert_array_equal(made.maxima, chosen.max(0))
    for latent in range(12):
        order = np.argsort(-chosen[:, latent], kind="stable")[:5]
        order = order[chosen[order, latent] > 0]
        np.testing.assert_array_equal(made.top_rows[latent, : len(order)], rows[order])
        np.testing.assert_array_equal(made.top_values[latent, : len(order)], chosen[order, latent])
        assert (made.top_rows[latent, len(order) :] == -1).all()


def test_samples_are_distinct_active_items_and_all_where_they_fit():
    dense, csr = activations()
    made = one_pass(csr, seed=0, **SIZES)
    for latent in range(12):
        held = min(made.counts[latent], 20)
        rows = made.sample_rows[latent, :held]
        assert len(set(rows.tolist())) == held and (made.sample_rows[latent, held:] == -1).all()
        np.testing.assert_array_equal(made.sample_values[latent, :held], dense[rows, latent])
        assert (dense[rows, latent] > 0).all()
    assert sorted(made.sample_rows[1, :2]) == [3, 50]


def test_nothing_depends_on_blocks_or_threads(monkeypatch):
    _, csr = activations()
    whole = one_pass(csr, seed=3, **SIZES)
    for block, threads in ((1, 1), (7, 3), (64, 20)):
        monkeypatch.setattr("autointerp.evidence.one_pass.BLOCK_ROWS", block)
        same(whole, one_pass(csr, seed=3, threads=threads, **SIZES))
    other = one_pass(csr, seed=4, **SIZES)
    assert (other.sample_rows != whole.sample_rows).any() and (other.pool != whole.pool).any()


def test_items_are_drawn_alike_often():
    """Of 60 items that fire 20 are kept, of 60 items 10 are in the pool: chi-squared over 400 seeds and latents."""
    csr = sparse.csr_matrix(np.ones((60, 4), np.float32))
    drawn, pooled = np.zeros(60), np.zeros(60)
    for seed in range(400):
        made = one_pass(csr, seed=seed, sample=20, pool=10)
        drawn += np.bincount(made.sample_rows.ravel(), minlength=60)
        pooled += np.bincount(made.pool, minlength=60)
    for counts in (drawn, pooled):
        assert stats.chisquare(counts).pvalue > 1e-3
    assert len({tuple(sorted(row)) for row in made.sample_rows.tolist()}) == 4  # latents draw by themselves


def test_silent_items_are_those_of_the_pool_on_which_a_latent_does_not_fire():
    dense, csr = activations()
    made = one_pass(csr, seed=0, **SIZES)
    assert len(made.pool) == 30 and (np.diff(made.pool) > 0).all()
    for latent in range(12):
        expected = [row for row in made.pool if dense[row, latent] == 0]
        assert made.silent(latent).tolist() == expected
    assert made.silent(2).tolist() == [] and made.silent(0).tolist() == made.pool.tolist()
    assert one_pass(csr[:9], seed=0, **SIZES).pool.tolist() == list(range(9))


def test_active_items_are_spread_over_quantiles():
    dense, csr = activations(n=6000, m=4)
    made = one_pass(csr, seed=0, sample=1000)
    rows, strata = made.active(2, 40, 10, np.random.default_rng(0))
    ranks = stats.rankdata(dense[:, 2])[rows] / 6000
    assert np.bincount(strata).tolist() == [4] * 10
    assert np.abs(ranks - (strata + 0.5) / 10).max() < 0.05 + 3 * np.sqrt(0.25 / 1000)


def test_quantiles_are_as_near_as_those_of_a_perfect_sampler():
    ours, perfect = rank_errors(n=20_000, m=8, sample=512, seed=0)
    assert ours <= perfect + 0.01
    assert 0 < perfect < 0.02


def test_memory_does_not_grow_with_items():
    made = OnePass(6, 0, **SIZES)
    for start in range(0, 2000, 100):
        _, csr = activations(100, 6, seed=start)
        made.add(np.arange(start, start + 100), csr.indptr, csr.indices, csr.data)
    done = made.finish()
    assert done.n == 2000
    assert done.top_rows.shape == (6, 5) and done.sample_rows.shape == (6, 20) and len(done.pool) == 30


@pytest.mark.parametrize(
    ("indices", "values", "said"),
    [
        ([0, 6], [1, 1], "0 … 5"),
        ([-1, 2], [1, 1], "0 … 5"),
        ([0, 1], [1, -2], ">= 0"),
        ([0, 1], [1, np.nan], ">= 0"),
    ],
)
def test_what_is_no_activation_is_refused(indices, values, said):
    with pytest.raises(UserError, match=said):
        OnePass(6, 0, **SIZES).add(
            np.arange(1), np.array([0, 2]), np.array(indices), np.array(values, np.float32)
        )


def test_stored_zeros_are_silent():
    made = OnePass(3, 0, **SIZES)
    made.add(np.arange(2), np.array([0, 2, 3]), np.array([0, 1, 1]), np.array([0, 2, 3], np.float32))
    done = made.finish()
    assert done.counts.tolist() == [0, 2, 0]
    assert done.silent(0).tolist() == [0, 1]
