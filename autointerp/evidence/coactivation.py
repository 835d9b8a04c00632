"""Which latents fire together? Jaccard of active explain items, the strongest partners of each latent."""

from __future__ import annotations

import numpy as np
from scipy import sparse

BLOCK_LATENTS = 512


def partners(binary: sparse.csr_matrix, most: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """The ``most`` latents of highest co-activation Jaccard with each latent.

    Parameters
    ----------
    binary : (n, m) CSR of ones

    Returns
    -------
    latents (m, most) int64, −1 where there is none, and their Jaccard (m, most) float32, falling
    """
    m = binary.shape[1]
    counts = np.asarray(binary.sum(0)).ravel()
    by_latent = binary.T.tocsr()
    found = np.full((m, most), -1, dtype=np.int64)
    strength = np.zeros((m, most), dtype=np.float32)
    for start in range(0, m, BLOCK_LATENTS):
        together = (
            by_latent[start : start + BLOCK_LATENTS] @ binary
        ).tocsr()  # (b, m) counts of shared items
        for i in range(together.shape[0]):
            j = start + i
            others = together.indices[together.indptr[i] : together.indptr[i + 1]]
            shared = together.data[together.indptr[i] : together.indptr[i + 1]]
            keep = others != j
            others, shared = others[keep], shared[keep]
            jaccard = shared / (counts[j] + counts[others] - shared)
            order = np.lexsort((others, -jaccard))[:most]
            found[j, : len(order)] = others[order]
            strength[j, : len(order)] = jaccard[order]
    return found, strength


def jaccard(rows_a: np.ndarray, rows_b: np.ndarray) -> float:
    """Of two sets of row numbers, each without repeats."""
    shared = len(np.intersect1d(rows_a, rows_b, assume_unique=True))
    union = len(rows_a) + len(rows_b) - shared
    return shared / union if union else 0.0
