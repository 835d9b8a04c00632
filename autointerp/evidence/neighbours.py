"""Which silent items look most like a latent's positives? Nearest in embedding space, dealt round-robin."""

from __future__ import annotations

import numpy as np

MAX_POOL = 50_000  # silent candidates; a seeded sample of so many where there are more


def nearest_silent(
    embeddings: np.ndarray, positives: np.ndarray, silent: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Up to ``count`` distinct silent rows, dealt round-robin: the nearest of each positive, then the second nearest …

    Parameters
    ----------
    embeddings : (n, d)
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
    a = np.asarray(embeddings[positives], dtype=np.float32)  # (p, d)
    b = np.asarray(embeddings[silent], dtype=np.float32)  # (s, d)
    distance = (b * b).sum(1)[None, :] - 2.0 * (a @ b.T)  # (p, s), squared, less a constant per positive
    depth = min(count, len(silent))
    if depth < len(silent):
        near = np.argpartition(distance, depth - 1, axis=1)[:, :depth]
    else:
        near = np.broadcast_to(np.arange(len(silent)), distance.shape)
    by_distance = np.argsort(np.take_along_axis(distance, near, 1), axis=1, kind="stable")
    near = np.take_along_axis(near, by_distance, 1)  # (p, depth), nearest first
    taken: set[int] = set()
    dealt: list[int] = []
    place = [0] * len(positives)
    while len(dealt) < depth:
        before = len(dealt)
        for i in range(len(positives)):
            while place[i] < depth and int(near[i, place[i]]) in taken:
                place[i] += 1
            if place[i] < depth and len(dealt) < depth:
                taken.add(int(near[i, place[i]]))
                dealt.append(int(near[i, place[i]]))
        if len(dealt) == before:
            break
    return silent[np.array(dealt, dtype=np.int64)]
