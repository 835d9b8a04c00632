"""Which silent items look most like a latent's positives? Nearest in embedding space, dealt round-robin."""

from __future__ import annotations

import numpy as np

MAX_POOL = 50_000  # silent candidates; a seeded sample of so many where there are more
GATHERED_VALUES = 2**26  # 256 MiB of float32; more embeddings stay where they are and are read when asked for


class Space:
    """The embeddings of some rows, gathered once (where they fit), asked many times for nearest neighbours.

    Parameters
    ----------
    embeddings : (n, d)
    rows : (r,) row numbers, rising
    """

    def __init__(self, embeddings: np.ndarray, rows: np.ndarray):
        self._embeddings = embeddings
        self._place: np.ndarray | None = None
        if len(rows) * embeddings.shape[1] <= GATHERED_VALUES:
            self._embeddings = np.asarray(embeddings[rows], dtype=np.float32)  # (r, d)
            self._place = np.full(len(embeddings), -1, dtype=np.int64)  # (n,) row -> place among ``rows``
            self._place[rows] = np.arange(len(rows))

    def points(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), d) float32."""
        return np.asarray(
            self._embeddings[rows if self._place is None else self._place[rows]], dtype=np.float32
        )

    def nearest_silent(
        self, positives: np.ndarray, silent: np.ndarray, count: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Up to ``count`` distinct silent rows, dealt round-robin: the nearest of each positive, then the second …

        Parameters
        ----------
        positives, silent : row numbers; the order of ``positives`` is the order of dealing
        rng : only used to draw 50,000 candidates where there are more silent rows

        Returns
        -------
        (≤ count,) rows; where len(positives) ≥ count, entry i is the look-alike of positive i
        """
        if len(silent) > MAX_POOL:
            silent = np.sort(rng.choice(silent, MAX_POOL, replace=False))
        positives = positives[: max(1, count)]
        if len(positives) == 0 or len(silent) == 0 or count <= 0:
            return np.empty(0, dtype=np.int64)
        a, b = self.points(positives), self.points(silent)
        distance = a @ b.T  # (p, d) @ (d, s) -> (p, s)
        distance *= -2.0
        distance += (b * b).sum(1)  # squared, less a constant per positive
        depth = min(count, len(silent))
        if depth < len(silent):
            near = np.argpartition(distance, depth - 1, axis=1)[:, :depth]
        else:
            near = np.broadcast_to(np.arange(len(silent)), distance.shape)
        by_distance = np.argsort(np.take_along_axis(distance, near, 1), axis=1, kind="stable")
        return silent[_deal(np.take_along_axis(near, by_distance, 1), depth)]


def _deal(near: np.ndarray, count: int) -> np.ndarray:
    """(p, depth ≥ count) candidates of each, nearest first -> (count,) distinct ones, one each a round."""
    queues = [iter(candidates) for candidates in near.tolist()]
    taken: dict[int, None] = {}  # in the order of dealing
    while len(taken) < count:
        for queue in queues:
            candidate = next((c for c in queue if c not in taken), None)
            if candidate is not None and len(taken) < count:
                taken[candidate] = None
    return np.array(list(taken), dtype=np.int64)
