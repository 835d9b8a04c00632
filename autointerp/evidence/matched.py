"""Which silent items is a latent held against closely? The 100 nearest to up to 100 of its active ones."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from autointerp.evidence.activations import Activations
from autointerp.evidence.neighbours import Space

MATCHED = 100


def matched_sides(
    activations: Activations, embeddings: np.ndarray, rows: np.ndarray, seed: int
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Per latent up to 100 active rows and the 100 silent rows nearest to them, dealt round-robin.

    Parameters
    ----------
    rows : (n,) explain rows, rising, all of which are looked through for each latent

    Returns
    -------
    active, silent : (n, m) CSR of ones
    """
    position = np.full(activations.shape[0], -1, dtype=np.int64)
    position[rows] = np.arange(len(rows))
    m = activations.shape[1]
    space = Space(embeddings, rows)
    sides: list[list[np.ndarray]] = [[], []]
    for latent in range(m):
        rng = np.random.default_rng([seed, latent, 3])
        active = activations.latent(latent)[0]
        active = active[position[active] >= 0]
        is_silent = np.ones(len(rows), dtype=bool)
        is_silent[position[active]] = False
        dealt = rng.permutation(active)[:MATCHED]
        near = space.nearest_silent(dealt, rows[is_silent], MATCHED)
        sides[0].append(position[dealt])
        sides[1].append(position[near])
    built = []
    for members in sides:
        indptr = np.cumsum([0, *(len(part) for part in members)])
        indices = np.concatenate(members) if members else np.empty(0, dtype=np.int64)
        ones = np.ones(len(indices), dtype=np.float32)
        built.append(sparse.csc_matrix((ones, indices, indptr), shape=(len(rows), m)).tocsr())
    return built[0], built[1]
