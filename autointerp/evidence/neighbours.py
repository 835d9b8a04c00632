"""Which silent items look most like a latent's positives? Nearest in embedding space, dealt round-robin."""

from __future__ import annotations

import math

import numpy as np

MANY = 2**20  # distances at a time from which on compiled loops pick the nearest


class Space:
    """The embeddings of some rows, gathered once, asked many times for nearest neighbours.

    Parameters
    ----------
    embeddings : (n, d)
    rows : (r,) row numbers, rising: the silent items are among these
    """

    def __init__(self, embeddings: np.ndarray, rows: np.ndarray):
        self._all, self._rows = embeddings, rows
        self._embeddings = np.asarray(embeddings[rows], dtype=np.float32)  # (r, d)
        self._squares = np.einsum("rd,rd->r", self._embeddings, self._embeddings)

    def nearest_silent(self, positives: np.ndarray, silent: np.ndarray, count: int) -> np.ndarray:
        """Up to ``count`` distinct silent rows, dealt round-robin: the nearest of each positive, then the second …

        Parameters
        ----------
        positives : row numbers, in the order of dealing
        silent : row numbers, rising, among the rows of this space

        Returns
        -------
        (≤ count,) rows; where len(positives) ≥ count, entry i is the look-alike of positive i
        """
        positives = positives[: max(1, count)]
        if len(positives) == 0 or len(silent) == 0 or count <= 0:
            return np.empty(0, dtype=np.int64)
        depth, a = min(count, len(silent)), np.asarray(self._all[positives], dtype=np.float32)
        places = np.searchsorted(self._rows, silent)
        if len(a) * len(silent) < MANY:
            return silent[_nearest(a, self._embeddings[places], depth)]
        if 2 * len(silent) < len(self._rows):
            return silent[_nearest_of_many(a, self._embeddings[places], -self._squares[places], depth)]
        offsets = np.full(len(self._rows), -np.inf, np.float32)  # no copy of the silent ones
        offsets[places] = -self._squares[places]
        return self._rows[_nearest_of_many(a, self._embeddings, offsets, depth)]


def _nearest(a: np.ndarray, b: np.ndarray, depth: int) -> np.ndarray:
    """``depth`` ≤ s distinct positions in b (s, d), dealt to a (p, d)."""
    distance = a @ b.T  # (p, d) @ (d, s) -> (p, s)
    distance *= -2.0
    distance += (b * b).sum(1)  # squared, less a constant per row of a
    if depth < len(b):
        near = np.argpartition(distance, depth - 1, axis=1)[:, :depth]
    else:
        near = np.broadcast_to(np.arange(len(b)), distance.shape)
    by_distance = np.argsort(np.take_along_axis(distance, near, 1), axis=1, kind="stable")
    return _deal(np.take_along_axis(near, by_distance, 1), depth)


def _nearest_of_many(a: np.ndarray, b: np.ndarray, offsets: np.ndarray, depth: int) -> np.ndarray:
    """The same by compiled loops, offsets (s,) being −‖b‖², or −∞ for what is not to be dealt.

    Each row of a looks at a few candidates first; at more only where one runs out of those that are free.
    """
    from sae.compiled import largest

    products = a @ b.T
    products *= 2.0
    looked_at = min(4 * math.ceil(depth / len(a)) + 8, depth)
    while True:
        near, values = np.empty((len(a), looked_at), np.int64), np.empty((len(a), looked_at), np.float32)
        lanes = min(max(8 * looked_at, 64), len(b))
        largest(0, len(a), products, offsets, looked_at, lanes, near, values)
        dealt = _deal(near, depth)
        if len(dealt) == depth:
            return dealt
        looked_at = min(4 * looked_at, depth)


def _deal(near: np.ndarray, count: int) -> np.ndarray:
    """(p, c) candidates of each, nearest first -> (count,) distinct ones, one each a round.

    Fewer where one runs out of candidates before; with c ≥ count none does.
    """
    complete = near.shape[1] >= count
    queues = [iter(candidates) for candidates in near.tolist()]
    taken: dict[int, None] = {}  # in the order of dealing
    while len(taken) < count:
        for queue in queues:
            candidate = next((c for c in queue if c not in taken), None)
            if candidate is None and not complete:
                return np.array(list(taken), dtype=np.int64)
            if candidate is not None:
                taken[candidate] = None
            if len(taken) == count:
                break
    return np.array(list(taken), dtype=np.int64)
