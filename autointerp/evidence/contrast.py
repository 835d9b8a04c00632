"""Which features tell a latent's active items from silent ones? All latents at once, by blocked sparse products.

Shift of feature f: (mean over active − mean over silent) / (sd + s0), sd pooled over both sides, s0 the median sd of
the eligible features: a shrunken standardized difference that does not favour features of tiny variance
[Tusher, Tibshirani & Chu 2001]. A shift counts only above its null: the 95th percentile, over latents that fire as
often, of the greatest |shift| when activations are permuted (protocols, section 2). With five groups or more there are
two nulls, permuted within groups and drawn anew among them (`Chance`), each at half the error: above either will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from autointerp.corpus.base import Corpus
from autointerp.evidence.chance import Chance, Within
from autointerp.schema import Contrast, FeatureShift

TOP = 200
BLOCK_VALUES = (
    1_000_000  # latents × features held dense at a time, per statistic: what a cache holds is fastest
)
NULL_NEIGHBOURS = 100
LEAST_NULL_DRAWS = 200
ERROR, MOST_ROUNDS = 0.05, 40
ALIKE = (0.02, 0.1, 0.4)  # intraclass correlations between which latents lend each other draws


@dataclass(frozen=True, eq=False)
class Contrasts:
    """For every latent its ``t`` ≤ 200 most shifted features a side; the arrays are (m, t), −1 pads ``columns``.

    up, down : column numbers, most shifted first
    *_shift, *_fold (log2 fold change), *_active, *_silent (fractions expressed)
    null : (m,) what the greatest |shift| exceeds by chance in 5 % of cases; n_active, n_silent : (m,)
    whole : whether both sides are all items of some part of the data, so that shares of either side can be turned into
        shares of the items that express a feature
    """

    against: str
    up: np.ndarray
    down: np.ndarray
    up_figures: np.ndarray  # (m, t, 4): shift, log2 fold change, share active, share silent
    down_figures: np.ndarray
    null: np.ndarray
    n_active: np.ndarray
    n_silent: np.ndarray
    whole: bool = False
    up_more: np.ndarray | None = None  # (m, s, 2) of the first s: AUROC, FDR over groups; NaN unless known
    down_more: np.ndarray | None = None

    def of(self, latent: int, names: np.ndarray, most: int = TOP) -> Contrast:
        """What one latent's contrast says above its null, as names."""
        counts = int(self.n_active[latent]), int(self.n_silent[latent])
        null = float(self.null[latent])

        def told(
            columns: np.ndarray, figures: np.ndarray, more: np.ndarray | None
        ) -> tuple[FeatureShift, ...]:
            kept = np.flatnonzero((columns >= 0) & (np.abs(figures[:, 0]) > null))[:most].tolist()
            given = [_given(*counts, *figures[i, 2:].tolist()) if self.whole else [None, None] for i in kept]
            known = [] if more is None else [_known(pair) for pair in more[latent]]
            return tuple(
                FeatureShift(
                    str(names[columns[i]]),
                    *map(float, figures[i]),
                    *chance,
                    *(known[i] if i < len(known) else ()),
                )
                for i, chance in zip(kept, given, strict=True)
            )

        return Contrast(
            against=self.against,
            n_active=counts[0],
            n_silent=counts[1],
            up=told(self.up[latent], self.up_figures[latent], self.up_more),
            down=told(self.down[latent], self.down_figures[latent], self.down_more),
            null=null,
        )


def _given(n_active: int, n_silent: int, share_active: float, share_silent: float) -> list[float | None]:
    """P(active | expressed) and P(active | not expressed), None where there are no such items."""
    active, silent = round(n_active * share_active), round(n_silent * share_silent)
    sides = (active, silent), (n_active - active, n_silent - silent)
    return [a / (a + s) if a + s else None for a, s in sides]


def _known(figures: Iterable[float]) -> list[float | None]:
    return [None if np.isnan(figure) else float(figure) for figure in figures]


def contrast_all(
    corpus: Corpus,
    rows: np.ndarray,
    active: sparse.csr_matrix,
    silent: sparse.csr_matrix | Within | None,
    against: str,
    permutation_groups: np.ndarray | None,
    seed: int,
    top: int = TOP,
) -> Contrasts:
    """Contrast every latent's active items with its silent ones, and both with chance.

    Parameters
    ----------
    rows : (n,) explain rows
    active : (n, m) CSR of ones
    silent : (n, m) CSR of ones, or all items of a part that are not active, or None for all that are not active
    permutation_groups : (n,) or None: what the null knows of groups (`Chance`); of no effect where ``silent`` is a
        matrix
    top : features kept a side

    Returns
    -------
    Contrasts
    """
    rng = np.random.default_rng([seed, 2])
    n, m = active.shape
    if silent is None:
        silent = Within(np.zeros(n, dtype=np.int64), np.zeros(m, dtype=np.int64))
    values = sparse.vstack([block for _, block in corpus.blocks(rows)], format="csr")
    products = _Products(values, corpus.eligible, silent)
    up, down, up_figures, down_figures = _top_shifts(products, active, silent, top)
    if not corpus.zero_is_absent:  # z-scores have no fold change
        up_figures[:, :, 1] = down_figures[:, :, 1] = np.nan
    n_active = np.asarray(active.sum(0)).ravel().astype(np.int64)
    if isinstance(silent, Within):
        n_silent = products.sizes[silent.of] - n_active
    else:
        n_silent = np.asarray(silent.sum(0)).ravel().astype(np.int64)
    null = np.full(m, np.inf)
    chance = Chance(active, silent, permutation_groups)
    kinds = np.where(chance.among_groups, np.searchsorted(ALIKE, chance.correlation), -1)
    for kind in np.unique(kinds):  # of latents that depend on groups alike
        of = np.flatnonzero(kinds == kind)
        some = Within(silent.parts, silent.of[of]) if isinstance(silent, Within) else silent[:, of]
        null[of] = _null(products, active[:, of], some, permutation_groups, n_active[of], n_silent[of], rng)
    whole = isinstance(silent, Within)
    return Contrasts(against, up, down, up_figures, down_figures, null, n_active, n_silent, whole)


class _Products:
    """Sums over chosen items, and over parts (c of them), of values, squares and presence of eligible features.

    totals : three of (c, g'); sizes : (c,) items
    """

    def __init__(self, values: sparse.csr_matrix, eligible: np.ndarray, silent: sparse.csr_matrix | Within):
        self.columns = np.flatnonzero(eligible)
        kept = values[:, self.columns].tocsr()
        self.parts = tuple(
            sparse.csr_matrix((part, kept.indices, kept.indptr), shape=kept.shape)
            for part in (kept.data, kept.data**2, (kept.data > 0).astype(np.float32))
        )
        n = values.shape[0]
        whole, squares = (np.asarray(part.sum(0), dtype=np.float64).ravel() for part in self.parts[:2])
        spread = np.sqrt(np.maximum(squares / n - (whole / n) ** 2, 0))
        self.s0 = float(np.median(spread)) if len(spread) else 1.0
        if isinstance(silent, Within):
            self.sizes = np.bincount(silent.parts, minlength=1)
            inside: list[Any] = [np.flatnonzero(silent.parts == c) for c in range(len(self.sizes))]
            if len(inside) == 1:
                inside = [slice(None)]  # no copy
            self.totals = tuple(
                np.stack([np.asarray(part[rows].sum(0), dtype=np.float64).ravel() for rows in inside])
                for part in self.parts
            )

    def sums(self, chosen: sparse.csr_matrix, n_parts: int) -> list[np.ndarray]:
        """(b, n) CSR of ones -> (b, g') float64 of each of the first ``n_parts`` statistics."""
        return [(chosen @ part).toarray().astype(np.float64) for part in self.parts[:n_parts]]


class _Block(NamedTuple):
    """Latents ``start`` to ``start + b``: figures (b, g')."""

    start: int
    shift: np.ndarray
    mean_active: np.ndarray
    mean_silent: np.ndarray
    share_active: np.ndarray | None
    share_silent: np.ndarray | None


def _shift_blocks(
    products: _Products, active: sparse.csr_matrix, silent: sparse.csr_matrix | Within, shares: bool
) -> Iterator[_Block]:
    m = active.shape[1]
    n_parts = 3 if shares else 2
    active_by_latent = active.T.tocsr()
    silent_by_latent = silent if isinstance(silent, Within) else silent.T.tocsr()
    block = max(1, BLOCK_VALUES // max(1, len(products.columns)))
    for start in range(0, m, block):
        chosen = active_by_latent[start : start + block]
        n_active = np.asarray(chosen.sum(1)).ravel()
        inside = products.sums(chosen, n_parts)
        if isinstance(silent_by_latent, Within):
            of = silent_by_latent.of[start : start + block]
            n_silent = products.sizes[of] - n_active
            outside = [total[of] - part for total, part in zip(products.totals, inside, strict=False)]
        else:
            others = silent_by_latent[start : start + block]
            n_silent = np.asarray(others.sum(1)).ravel()
            outside = products.sums(others, n_parts)
        na, ns = np.maximum(n_active, 1)[:, None], np.maximum(n_silent, 1)[:, None]
        mean_a, mean_s = inside[0] / na, outside[0] / ns
        within = (inside[1] - na * mean_a**2) + (outside[1] - ns * mean_s**2)
        sd = np.sqrt(np.maximum(within, 0) / np.maximum(na + ns - 2, 1))
        shift = (mean_a - mean_s) / (sd + products.s0)  # (b, g')
        shift[(n_active <= 1) | (n_silent <= 1)] = 0
        share_a, share_s = (inside[2] / na, outside[2] / ns) if shares else (None, None)
        yield _Block(start, shift, mean_a, mean_s, share_a, share_s)


def _greatest_shifts(
    products: _Products, active: sparse.csr_matrix, silent: sparse.csr_matrix | Within
) -> np.ndarray:
    """(m,) greatest |shift| of each latent; NaN where one side has an item or none."""
    blocks = _shift_blocks(products, active, silent, shares=False)
    found = [np.abs(block.shift).max(1, initial=0) for block in blocks]
    greatest = np.concatenate(found) if found else np.empty(0)  # of no latents
    n_active = np.asarray(active.sum(0)).ravel()
    if isinstance(silent, Within):
        n_silent = products.sizes[silent.of] - n_active
    else:
        n_silent = np.asarray(silent.sum(0)).ravel()
    greatest[(n_active <= 1) | (n_silent <= 1)] = np.nan
    return greatest


def _top_shifts(
    products: _Products, active: sparse.csr_matrix, silent: sparse.csr_matrix | Within, top: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``up``, ``down``, ``up_figures`` and ``down_figures`` of Contrasts."""
    m = active.shape[1]
    top = min(top, len(products.columns))
    sides = [
        (sign, np.full((m, top), -1, dtype=np.int64), np.zeros((m, top, 4), np.float32)) for sign in (1, -1)
    ]
    for block in _shift_blocks(products, active, silent, shares=True):
        place = slice(block.start, block.start + len(block.shift))
        for sign, columns, stored in sides:
            order = _leading(sign * block.shift, top)  # (b, t)
            shift, mean_a, mean_s, share_a, share_s = (
                np.take_along_axis(figure, order, 1) for figure in block[1:]
            )
            fold = (mean_a - mean_s) / np.log(2)  # both means are of log1p values
            stored[place] = np.stack([shift, fold, share_a, share_s], axis=2)
            columns[place] = np.where(sign * shift > 0, products.columns[order], -1)
    (_, up, up_figures), (_, down, down_figures) = sides
    return up, down, up_figures, down_figures


def _leading(values: np.ndarray, top: int) -> np.ndarray:
    """(b, g) -> (b, top) columns of the greatest values, falling; of equal ones the first columns."""
    b, g = values.shape
    if top == g:
        return np.argsort(-values, axis=1, kind="stable")
    leading = np.empty((b, top), dtype=np.int64)
    for i, row in enumerate(-values):
        candidates = np.flatnonzero(row <= np.partition(row, top - 1)[top - 1]) if top else leading[i]
        leading[i] = candidates[np.argsort(row[candidates], kind="stable")[:top]]
    return leading


def _null(
    products: _Products,
    active: sparse.csr_matrix,
    silent: sparse.csr_matrix | Within,
    groups: np.ndarray | None,
    n_active: np.ndarray,
    n_silent: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """(m,) what the greatest |shift| exceeds by chance in 5 % of cases; of two nulls the lower, each at half that."""
    chance = Chance(active, silent, groups)
    rounds = max(1, int(np.ceil(LEAST_NULL_DRAWS / max(1, int((n_active > 0).sum())))))
    if chance.among_groups.any():  # of several kinds of latents, some of them few
        rounds = min(rounds, MOST_ROUNDS)
    sizes = n_active * n_silent / np.maximum(n_active + n_silent, 1)
    alive = (n_active > 1) & (n_silent > 1)
    ways = (False, True) if chance.among_groups.any() else (False,)
    found = []
    for among_groups in ways:
        greatest = [_greatest_shifts(products, *chance.draw(rng, among_groups)) for _ in range(rounds)]
        found.append(_smoothed_null(np.stack(greatest), sizes, alive, 1 - ERROR / len(ways)))
    return np.minimum(found[0], found[-1])


def _smoothed_null(greatest: np.ndarray, sizes: np.ndarray, alive: np.ndarray, level: float) -> np.ndarray:
    """(m,) the ``level`` quantile of (rounds, m) chance maxima over the 100 draws of most similar size.

    sizes : (m,) of a contrast: n_active · n_silent / (n_active + n_silent), to whose root chance shifts are inverse
    alive : (m,) whether there are several items on both sides
    """
    live = np.flatnonzero(alive)
    null = np.full(len(sizes), np.inf)
    if len(live) == 0:
        return null
    order = live[np.argsort(sizes[live], kind="stable")]
    half = max(1, NULL_NEIGHBOURS // (2 * len(greatest)))
    for place, latent in enumerate(order):
        start = max(0, min(place - half, len(order) - 2 * half))
        drawn = greatest[:, order[start : start + 2 * half]]
        if not np.isnan(drawn).all():
            null[latent] = np.nanquantile(drawn, level)
    return null
