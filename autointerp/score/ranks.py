"""Which places may a configuration really have? Ranks with the room that the tests between rows leave them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .statistics import benjamini_hochberg

LEVEL = 0.05


class Ranks(NamedTuple):
    """Places of N rows, 1 is the best, (N,) int64 each.

    rank : 1 + rows of greater value; equal values share a place
    low, high : 1 + rows significantly better … N − rows significantly worse
    """

    rank: np.ndarray
    low: np.ndarray
    high: np.ndarray


def rank_intervals(values: np.ndarray, difference: np.ndarray, p: np.ndarray, level: float = LEVEL) -> Ranks:
    """Ranks by value, and their intervals by pairwise tests, corrected over all pairs [Benjamini & Hochberg 1995].

    A pair without a test (p is NaN) is not different. A test decides by the sign of its own difference, which may be
    over families of twins and not over latents as the values are.

    Parameters
    ----------
    values : (N,) float, greater is better; NaN comes last
    difference : (N, N) row − column, antisymmetric; p : (N, N) two-sided, symmetric; diagonals are not read

    Raises
    ------
    ValueError
        where the shapes do not fit, or ``p`` is not symmetric
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    if difference.shape != (n, n) or p.shape != (n, n) or not np.array_equal(p, p.T, equal_nan=True):
        raise ValueError(
            f"{n} values need ({n}, {n}) differences and symmetric p-values, got {difference.shape}"
        )
    sure = np.where(np.isnan(values), -np.inf, values)
    rank = 1 + (sure[None, :] > sure[:, None]).sum(1)
    upper = np.triu_indices(n, 1)
    q = np.full((n, n), np.nan)
    q[upper] = benjamini_hochberg(p[upper])
    q.T[upper] = q[upper]
    different = np.nan_to_num(q, nan=1.0) < level
    np.fill_diagonal(different, False)
    better = (different & (difference < 0)).sum(1)  # rows that are better than this one
    worse = (different & (difference > 0)).sum(1)
    return Ranks(rank.astype(np.int64), 1 + better.astype(np.int64), n - worse.astype(np.int64))
