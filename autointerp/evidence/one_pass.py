"""What can be known of every latent after reading its activations once, in memory that does not grow with the items?

Counts, sums, maxima and the strongest items are exact. The items that stand for the quantiles are a uniform sample, and
silent items are looked up in one uniform pool of items for all latents. Nothing depends on how the items are cut into
blocks, or on the number of threads: what is drawn hangs on (seed, latent, how often it has fired so far).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from autointerp.errors import UserError
from autointerp.evidence.examples import draw_strata
from sae.compiled import Compiled
from sae.threads import even, share

TOP, SAMPLE, POOL = 40, 512, 4096
BLOCK_ROWS = 1 << 14


@dataclass(frozen=True)
class Collected:
    """What one pass over n items and m latents leaves.

    n : items read
    counts, sums, maxima : (m,) int64, float64, float32: how often each latent fires, and how strongly
    top_rows, top_values : (m, t) int64, float32: its strongest items, the earlier of equal ones first; −1 and 0 fill up
    sample_rows, sample_values : (m, s): a uniform sample of the items on which it fires, in no order; all where there
        are no more than s; −1 and 0 fill up
    pool : (p,) int64, a uniform sample of all items, rising; ``pool_codes`` (p, m) CSR of ones is where they are active
    """

    n: int
    counts: np.ndarray
    sums: np.ndarray
    maxima: np.ndarray
    top_rows: np.ndarray
    top_values: np.ndarray
    sample_rows: np.ndarray
    sample_values: np.ndarray
    pool: np.ndarray
    pool_codes: sparse.csc_matrix

    def active(
        self, latent: int, count: int, n_strata: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Up to ``count`` items spread evenly over equal-count quantiles, and the stratum of each (0 weakest)."""
        held = min(int(self.counts[latent]), self.sample_rows.shape[1])
        rows = self.sample_rows[latent, :held]
        order = np.argsort(rows)
        chosen, strata = draw_strata(self.sample_values[latent, :held][order], count, n_strata, rng)
        return rows[order][chosen], strata

    def silent(self, latent: int) -> np.ndarray:
        """Items of the pool on which it does not fire, rising: a uniform sample of all silent ones."""
        codes = self.pool_codes
        fires = codes.indices[codes.indptr[latent] : codes.indptr[latent + 1]]
        return np.delete(self.pool, fires)


class OnePass:
    """Takes activations block by block, in the order of the items.

    Parameters
    ----------
    m : latents
    seed : of everything that is drawn
    top, sample, pool : how many strongest items and sampled ones are kept of each latent, and how many of all items
    threads : latents are shared out among so many
    """

    def __init__(
        self, m: int, seed: int, top: int = TOP, sample: int = SAMPLE, pool: int = POOL, threads: int = 1
    ):
        self._m, self._seed, self._threads, self._n = m, np.uint64(seed), threads, 0
        self._counts, self._sums = np.zeros(m, np.int64), np.zeros(m)
        self._top = np.full((m, top), -1, np.int64), np.zeros((m, top), np.float32)
        self._sample = np.full((m, sample), -1, np.int64), np.zeros((m, sample), np.float32)
        self._least = np.zeros(m, np.float32)  # that enters the strongest items
        self._pool = np.full(pool, -1, np.int64)
        self._pool_codes: list[np.ndarray] = [np.empty(0, np.int64)] * pool

    def add(self, rows: np.ndarray, offsets: np.ndarray, indices: np.ndarray, values: np.ndarray) -> None:
        """The items ``rows`` (b,), rising over all calls; entries of item i are offsets[i] … offsets[i + 1] of
        ``indices`` and ``values`` (e,). Values of 0 count as silent; ``UserError`` for negative or NaN ones."""
        rows, offsets = np.ascontiguousarray(rows, np.int64), np.ascontiguousarray(offsets, np.int64)
        indices, values = np.ascontiguousarray(indices), np.ascontiguousarray(values, np.float32)
        if len(values) and not values.min() >= 0:
            raise UserError(f"Activations must be numbers >= 0, got {values.min()}.")
        if len(indices) and not (indices.min() >= 0 and indices.max() < self._m):
            raise UserError(f"Latents must lie in 0 … {self._m - 1}, got {indices.min()} … {indices.max()}.")
        block = rows, offsets, indices, values, self._seed
        held = self._counts, self._sums, self._least, *self._top, *self._sample
        share(_collect, even(self._m, self._threads), *block, *held)
        self._sample_items(rows, offsets, indices, values)
        self._n += len(rows)

    def finish(self) -> Collected:
        """What has been collected; the object is not to be used afterwards."""
        held = np.flatnonzero(self._pool >= 0)
        held = held[np.argsort(self._pool[held])]
        codes = [self._pool_codes[slot] for slot in held]
        ends = np.cumsum([0, *map(len, codes)])
        latents = np.concatenate([*codes, np.empty(0, np.int64)])
        ones = np.ones(len(latents), np.float32)
        pool_codes = sparse.csr_matrix((ones, latents, ends), (len(held), self._m)).tocsc()
        maxima = self._top[1][:, 0].copy()
        sums = self._counts, self._sums, maxima
        return Collected(self._n, *sums, *self._top, *self._sample, self._pool[held], pool_codes)

    def _sample_items(
        self, rows: np.ndarray, offsets: np.ndarray, indices: np.ndarray, values: np.ndarray
    ) -> None:
        """Algorithm R over all items, whether anything fires on them or not."""
        seen = self._n + np.arange(len(rows))
        slots = np.where(
            seen < len(self._pool),
            seen,
            (_uniform(self._seed, seen.astype(np.uint64)) * (seen + 1)).astype(int),
        )
        for i in np.flatnonzero(slots < len(self._pool)):
            part = slice(offsets[i], offsets[i + 1])
            self._pool[slots[i]] = rows[i]
            self._pool_codes[slots[i]] = indices[part][values[part] > 0]


def one_pass(
    csr: sparse.csr_matrix, rows: np.ndarray | None = None, *, seed: int, threads: int = 1, **sizes: int
) -> Collected:
    """`OnePass` over ``rows`` (rising; all for None) of a CSR matrix (n, m), whose arrays may be memory-mapped."""
    n, m = csr.shape
    inside = np.ones(n, bool)
    if rows is not None:
        inside[:] = False
        inside[rows] = True
    made = OnePass(m, seed, threads=threads, **sizes)
    for start in range(0, n, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, n)
        chosen = inside[start:stop]
        if not chosen.any():
            continue
        first, last = int(csr.indptr[start]), int(csr.indptr[stop])
        counts = np.diff(csr.indptr[start : stop + 1])
        indices, values = csr.indices[first:last], csr.data[first:last]
        if not chosen.all():
            entries = np.repeat(chosen, counts)
            indices, values, counts = indices[entries], values[entries], counts[chosen]
        made.add(start + np.flatnonzero(chosen), np.append(0, np.cumsum(counts)), indices, values)
    return made.finish()


def _uniform(seed: np.uint64, counts: np.ndarray) -> np.ndarray:
    """[0, 1) from (seed, count): SplitMix64, the numbers that `_collect` draws for latent −1."""
    with np.errstate(over="ignore"):
        z = seed * np.uint64(0xD1342543DE82EF95) + counts * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))).astype(np.float64) * 2.0**-64


@Compiled
def _collect(start, stop, rows, offsets, indices, values, seed, counts, sums, least, top_rows, top_values,
             sample_rows, sample_values):  # type: ignore[no-untyped-def] # fmt: skip
    """The entries of latents start … stop − 1, in order."""
    n_top, n_sample = top_rows.shape[1], sample_rows.shape[1]
    for r in range(len(rows)):
        for e in range(offsets[r], offsets[r + 1]):
            j, value = np.int64(indices[e]), values[e]
            if j < start or j >= stop or not value > 0:
                continue
            seen = counts[j]
            counts[j] = seen + 1
            sums[j] += value
            if value > least[j]:
                place = n_top - 1
                while place > 0 and top_values[j, place - 1] < value:
                    top_values[j, place] = top_values[j, place - 1]
                    top_rows[j, place] = top_rows[j, place - 1]
                    place -= 1
                top_values[j, place], top_rows[j, place] = value, rows[r]
                least[j] = top_values[j, n_top - 1]
            slot = seen
            if seen >= n_sample:  # Algorithm R: the new one stays with probability n_sample / (seen + 1)
                z = seed * np.uint64(0xD1342543DE82EF95) + np.uint64(j + 1) * np.uint64(0xA24BAED4963EE407)
                z += np.uint64(seen) * np.uint64(0x9E3779B97F4A7C15)
                z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                z = z ^ (z >> np.uint64(31))
                slot = np.int64(np.float64(z >> np.uint64(11)) * 2.0**-53 * (seen + 1))
            if slot < n_sample:
                sample_values[j, slot], sample_rows[j, slot] = value, rows[r]
