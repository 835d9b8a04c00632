"""What do the nearest real items say of a point of the embedding? Gaussian weights on its nearest neighbours.

ŷ(x) = Σ_j w_j y_j / Σ_j w_j, w_j = exp(−‖x − x_j‖² / 2h²), over the 100 nearest of the reference items
[Nadaraya 1964; Watson 1964]. Distances are Euclidean, in the embedding as it was brought.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

NEIGHBOURS = 100
MOST_REFERENCES = 20_000  # real items that neighbours are sought among, drawn with the seed
WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # bandwidths tried, times the median distance to the 10th neighbour
WIDTH_NEIGHBOUR = 10
BLOCK_ROWS = 256


class Near(NamedTuple):
    """The k nearest references of b points: distances (b, k) rising, places (b, k) among the references."""

    distances: np.ndarray
    places: np.ndarray


class References:
    """Real items with known positions, asked for the nearest of any point.

    points : (r, d) float
    """

    def __init__(self, points: np.ndarray):
        from sklearn.neighbors import NearestNeighbors

        self.points = np.ascontiguousarray(points, dtype=np.float32)
        self._index = NearestNeighbors().fit(self.points)

    def nearest(self, x: np.ndarray, count: int = NEIGHBOURS) -> Near:
        """Of x (b, d); all references where there are fewer than ``count``. Memory: b·count, never b·r."""
        count = min(count, len(self.points))
        distances, places = self._index.kneighbors(np.asarray(x, dtype=np.float32), count)
        return Near(distances.astype(np.float64), places)

    def weights(self, near: Near, bandwidth: float) -> sparse.csr_matrix:
        """(b, r) CSR float64, rows sum to one; far from all references the nearest one counts."""
        squares = near.distances**2
        weight = np.exp(-(squares - squares[:, :1]) / (2 * bandwidth**2))  # (b, k); the nearest has 1
        weight /= weight.sum(1, keepdims=True)
        b, k = weight.shape
        indptr = np.arange(0, b * k + 1, k)
        made = sparse.csr_matrix((weight.ravel(), near.places.ravel(), indptr), shape=(b, len(self.points)))
        made.sort_indices()
        return made

    def average(self, x: np.ndarray, values: sparse.csr_matrix | np.ndarray, bandwidth: float) -> np.ndarray:
        """Weighted means at x (b, d) of the references' values (r, v): (b, v) float64."""
        parts = [_dense(self.weights(self.nearest(block), bandwidth) @ values) for block in blocks(x)]
        return np.concatenate(parts) if parts else np.zeros((0, values.shape[1]))

    def typical_distance(self, x: np.ndarray) -> float:
        """Median distance of x (b, d) to the 10th nearest reference; 1 where that is 0."""
        found = float(np.median(self.nearest(x, WIDTH_NEIGHBOUR).distances[:, -1]))
        return found if found > 0 else 1.0


def blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of x, 256 at a time."""
    for start in range(0, len(x), BLOCK_ROWS):
        yield x[start : start + BLOCK_ROWS]


def some_rows(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """A seeded sample of at most so many rows, rising."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng([seed, 7]).choice(rows, most, replace=False))


def _dense(product: Any) -> np.ndarray:
    return np.asarray(product.toarray() if sparse.issparse(product) else product, dtype=np.float64)
