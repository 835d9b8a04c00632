"""Which latents are twins, so that a test must not count them twice? Families of activation correlation > 0.95."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

BLOCK_PRODUCTS = 10_000_000  # multiplications, and at most as many stored entries, of one block


def redundancy_families(codes: Any, above: float = 0.95) -> np.ndarray:
    """The family of each latent: connected components of Pearson correlation > ``above`` (protocols, section 6).

    r = (x·y/n − x̄ȳ)/(s_x s_y), silent items counted as 0. Families chain: a and c can share one through b. Nothing
    of (n, m) or (m, m) is ever dense: latents are ordered by how often they fire, and a block of them is multiplied
    with those alone that could reach ``above``, see ``least_partner``. Two latents that never fire together have
    r <= 0 and need no product.

    Parameters
    ----------
    codes : (n, m) sparse, >= 0

    Returns
    -------
    (m,) int64, the smallest latent of each latent's family. A latent that is dead or constant is alone.

    Raises
    ------
    ValueError
        if ``above`` is not in (0, 1), a code is negative or there are no items
    """
    if not 0 < above < 1:
        raise ValueError(f"correlation lies between 0 and 1, got {above}")
    matrix = sparse.csc_matrix(codes, dtype=np.float64)
    n, m = matrix.shape
    if n == 0 or (len(matrix.data) and matrix.data.min() < 0):
        raise ValueError(f"activations of at least one item, all >= 0, are needed; got {matrix.shape}")
    mean = np.asarray(matrix.sum(0)).ravel() / n  # (m,)
    square = np.asarray(matrix.multiply(matrix).sum(0)).ravel() / n
    variance = square - mean**2
    varies = variance > 1e-12 * square
    fired = np.diff(matrix.indptr)  # (m,)
    order = np.flatnonzero(varies)
    order = order[np.argsort(fired[order], kind="stable")]
    least = least_partner(matrix, above)[order]  # (v,)
    counts, mean, deviation = fired[order], mean[order], np.sqrt(variance[order])
    matrix = matrix[:, order]
    by_item = np.diff(matrix.tocsr().indptr)  # (n,) active latents of each item
    edges: list[np.ndarray] = []
    for start, stop in _blocks(matrix, by_item):
        others = start + np.flatnonzero(least[start:] <= counts[stop - 1])  # that fire as often, or more
        shared = (matrix[:, start:stop].T.tocsr() @ matrix[:, others].tocsr()).tocoo()  # (b, n) @ (n, o)
        i, j = start + shared.row, others[shared.col]
        correlation = (shared.data / n - mean[i] * mean[j]) / (deviation[i] * deviation[j])
        twins = (correlation > above) & (i != j)
        edges.append(order[np.stack([i[twins], j[twins]])])
    pairs = np.concatenate(edges, axis=1) if edges else np.empty((2, 0), dtype=np.int64)
    graph = sparse.coo_matrix((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=(m, m))
    _, component = sparse.csgraph.connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    return first[component].astype(np.int64)


def least_partner(matrix: sparse.csc_matrix, above: float) -> np.ndarray:
    """On how many items a latent must fire, at least, to correlate > ``above`` with each latent: (m,) int64.

    Correlated latents fire about equally often, except where a few strong items carry all; so the bound is made from
    the values. Let x fire on c of n items. Then x·y <= |x|·|y on x's items| <= |x|·|y's c strongest|, and by
    Cauchy-Schwarz x̄² <= (c/n)·mean(x²), so that s_x² >= (1 − c/n)·mean(x²). Hence r > ``above`` needs

        (energy share of y's c strongest)·mean(y²)/s_y² >= above²·(1 − c/n),

    whose left side rises with c while the right side falls: the least such c is exact, never a guess.

    matrix : (n, m) CSC float64, >= 0
    """
    n, m = matrix.shape
    least = np.full(m, n + 1, dtype=np.int64)
    for latent in range(m):
        squares = np.sort(matrix.data[matrix.indptr[latent] : matrix.indptr[latent + 1]] ** 2)[::-1]
        if not len(squares) or squares[0] == 0:
            continue
        energy = np.cumsum(squares)  # (c,)
        total = matrix.data[matrix.indptr[latent] : matrix.indptr[latent + 1]].sum()
        variance = energy[-1] / n - (total / n) ** 2
        if variance <= 1e-12 * energy[-1] / n:
            continue
        count = np.arange(1, len(energy) + 1)
        enough = energy / n >= above**2 * (1 - count / n) * variance * (1 - 1e-9)
        least[latent] = int(np.argmax(enough)) + 1 if enough.any() else n + 1
    return least


def _blocks(matrix: sparse.csc_matrix, by_item: np.ndarray) -> list[tuple[int, int]]:
    """Runs of latents whose product with all others takes at most BLOCK_PRODUCTS multiplications, or one latent."""
    m = matrix.shape[1]
    running = np.concatenate([[0], np.cumsum(by_item[matrix.indices], dtype=np.int64)])[
        matrix.indptr
    ]  # (m + 1,)
    blocks, start = [], 0
    while start < m:
        stop = int(np.searchsorted(running, running[start] + BLOCK_PRODUCTS, side="right")) - 1
        stop = min(max(stop, start + 1), m)
        blocks.append((start, stop))
        start = stop
    return blocks


def family_means(
    values: np.ndarray, families: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each family over its latents, and the family's mean weight: both (f,), families rising.

    values : (n,) float, NaN left out: a family without any value is not in the result
    families : (n,) int, family of each value; weights : (n,) > 0, default 1
    """
    values = np.asarray(values, dtype=float)
    kept = ~np.isnan(values)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=float)
    _, code, size = np.unique(np.asarray(families)[kept], return_inverse=True, return_counts=True)
    mass = np.bincount(code, weights[kept], len(size))
    return np.bincount(code, weights[kept] * values[kept], len(size)) / mass, mass / size
