"""Which activations would mean nothing? About as many as a latent has, alike in how they are spread over groups.

Without groups they are permuted. Where items come in groups (donors, compounds), a latent fires in some more than in
others, and features differ between groups, too: permuted freely it would have too little in common with any of them.
There are two ways. *Within groups* its activations are permuted in each group: what it shares with its groups as a
whole is chance. *Among groups* each group fires at a rate drawn anew, from the beta distribution with the latent's own
mean rate and its own spread over groups, the intraclass correlation by analysis of variance [Ridout, Demétrio & Firth
1999]: what any groups share is chance, but not what those have in common on which a latent fires.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse

LEAST_GROUPS = 5  # fewer say too little of their spread
BLOCK_VALUES = 1 << 22  # items × latents drawn at a time
TRIES = 20


@dataclass(frozen=True, eq=False)
class Within:
    """Silent are all other items of one part of the items, for each latent of its own.

    parts : (n,) part number of each item; of : (m,) part of each latent, outside of which it has no active item
    """

    parts: np.ndarray
    of: np.ndarray


class _Part(NamedTuple):
    """Items (n',) of a part, their groups 0 … g − 1, the latents (l,) of the part, CSR (l, g) of how many items of each
    group are active, and the intraclass correlation (l,)."""

    items: np.ndarray
    codes: np.ndarray
    latents: np.ndarray
    counts: sparse.csr_matrix
    correlation: np.ndarray


class Chance:
    """Draws sides that mean nothing for the contrast of ``active`` (n, m) with ``silent``.

    groups : (n,) or None; of no effect where ``silent`` is a matrix: sides are then drawn anew within each latent's own
        items

    correlation : (m,) between two items of a group; 0 where it is not known
    among_groups : (m,) whether a latent's part has enough groups to draw their rates anew
    """

    def __init__(
        self, active: sparse.csr_matrix, silent: sparse.csr_matrix | Within, groups: np.ndarray | None
    ):
        self._active, self._silent, self._groups = active, silent, None
        self.correlation = np.zeros(active.shape[1])
        self.among_groups = np.zeros(active.shape[1], bool)
        self._parts: list[_Part] = []
        if groups is None or not isinstance(silent, Within):
            return
        self._groups = np.unique(groups, return_inverse=True)[1]
        for part in np.unique(silent.of):
            items, latents = np.flatnonzero(silent.parts == part), np.flatnonzero(silent.of == part)
            names, codes, sizes = np.unique(self._groups[items], return_inverse=True, return_counts=True)
            n, g = len(items), len(names)
            is_of = sparse.csr_matrix((np.ones(n), (np.arange(n), codes)), shape=(n, g))
            counts = (active[items][:, latents].T @ is_of).tocsr()  # (l, g)
            correlation = np.zeros(len(latents))
            if g < LEAST_GROUPS:
                continue
            if n > g:  # of single items nothing is known of how alike those of a group are
                typical = (n - (sizes**2).sum() / n) / (g - 1)
                for block in _blocks(len(latents), g):
                    correlation[block] = intraclass(counts[block].toarray(), sizes, typical)
            self.correlation[latents], self.among_groups[latents] = correlation, True
            self._parts.append(_Part(items, codes, latents, counts, correlation))

    def draw(
        self, rng: np.random.Generator, among_groups: bool = False
    ) -> tuple[sparse.csr_matrix, sparse.csr_matrix | Within]:
        """Active and silent anew, of the shapes given; within groups, or among them."""
        if not isinstance(self._silent, Within):
            return self._sides(self._silent, rng)
        if among_groups:
            return self._among(rng), self._silent
        keys = self._silent.parts
        if self._groups is not None:
            keys = self._groups * (int(keys.max(initial=0)) + 1) + keys
        order = rng.permutation(len(keys))
        given = np.empty_like(order)
        given[np.argsort(keys, kind="stable")] = order[np.argsort(keys[order], kind="stable")]
        return self._active[given], self._silent

    def _among(self, rng: np.random.Generator) -> sparse.csr_matrix:
        rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for part in self._parts:
            sizes = np.bincount(part.codes)
            for block in _blocks(len(part.latents), len(part.items)):
                rates = _rates(part.counts[block].toarray(), sizes, part.correlation[block], rng)  # (b, g)
                fires = rng.random((len(rates), len(part.items)), np.float32) < rates[:, part.codes]
                latents, items = fires.nonzero()
                rows.append(part.items[items])
                columns.append(part.latents[block][latents])
        places = np.concatenate(rows), np.concatenate(columns)
        return sparse.csr_matrix((np.ones(len(places[0]), np.float32), places), shape=self._active.shape)

    def _sides(
        self, silent: sparse.csr_matrix, rng: np.random.Generator
    ) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Each latent's own items, cut anew into as many active and silent ones."""
        n, m = self._active.shape
        both = (self._active + silent).tocsc()
        n_active = np.asarray(self._active.sum(0)).ravel().astype(int)
        sides = np.zeros(len(both.data), dtype=bool)
        for j in range(m):
            start, stop = both.indptr[j], both.indptr[j + 1]
            sides[start + rng.permutation(stop - start)[: n_active[j]]] = True
        latents = np.repeat(np.arange(m), np.diff(both.indptr))
        drawn = []
        for side in (sides, ~sides):
            places = (both.indices[side], latents[side])
            drawn.append(sparse.csr_matrix((np.ones(side.sum(), dtype=np.float32), places), shape=(n, m)))
        return drawn[0], drawn[1]


def _blocks(m: int, values: int) -> list[slice]:
    """Slices of m latents with so many values each."""
    step = max(1, BLOCK_VALUES // max(values, 1))
    return [slice(start, start + step) for start in range(0, m, step)]


def intraclass(counts: np.ndarray, sizes: np.ndarray, typical: float) -> np.ndarray:
    """(l,) correlation of two items of a group, from how many of each group's items are active: counts (l, g), sizes
    (g,), and their typical size n₀ = (n − Σ n_g²/n)/(g − 1); by analysis of variance, between 0 and 0.99."""
    n, g = sizes.sum(), len(sizes)
    rates, mean = counts / sizes, counts.sum(1, keepdims=True) / n
    between = (sizes * (rates - mean) ** 2).sum(1) / (g - 1)
    within = (counts * (1 - rates)).sum(1) / (n - g)
    total = between + (typical - 1) * within
    return np.clip(np.divide(between - within, total, out=np.zeros(len(counts)), where=total > 0), 0, 0.99)


def _rates(
    counts: np.ndarray, sizes: np.ndarray, correlation: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(b, g) rates at which groups fire that are drawn anew, for as many active items as there are, on average."""
    wanted = counts.sum(1)  # (b,)
    mean = wanted / sizes.sum()
    rates = np.repeat(mean[:, None], len(sizes), axis=1)
    left = np.flatnonzero((correlation > 0) & (mean > 0) & (mean < 1))
    for _ in range(TRIES):  # where far too few or too many items fire, all groups are drawn again
        spread = (1 - correlation[left]) / correlation[left]
        drawn = rng.beta(
            (spread * mean[left])[:, None], (spread * (1 - mean[left]))[:, None], (len(left), len(sizes))
        )
        rates[left] = np.nan_to_num(drawn)
        expected = rates[left] @ sizes
        left = left[(expected < wanted[left] / 2) | (expected > 2 * wanted[left])]
    if len(left):  # their own rates, dealt to other groups
        rates[left] = rng.permuted(counts[left] / sizes, axis=1)
    for _ in range(5):  # rates end at 1
        expected = np.maximum(rates @ sizes, 1e-12)
        rates = (rates * (wanted / expected)[:, None]).clip(0, 1)
    return rates
