"""Which latents have almost the same direction? Cosine of decoder rows, the nearest of each latent."""

from __future__ import annotations

import numpy as np

BLOCK_LATENTS = 1024


def similar_latents(decoder: np.ndarray, most: int = 8) -> np.ndarray:
    """The ``most`` latents whose decoder rows have the highest cosine with each latent's, if that is above 0.

    decoder : (m, p) float, unit rows; computed by blocks, never (m, m) at once

    Returns
    -------
    (m, most) int64 latents by falling cosine, of equal ones the lower number first; −1 where there is none
    """
    m = len(decoder)
    found = np.full((m, most), -1, dtype=np.int64)
    for start in range(0, m, BLOCK_LATENTS):
        cosine = decoder[start : start + BLOCK_LATENTS] @ decoder.T  # (b, m)
        here = np.arange(len(cosine))
        cosine[here, start + here] = -np.inf
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :most]
        kept = np.take_along_axis(cosine, order, 1) > 0
        found[start : start + BLOCK_LATENTS, : order.shape[1]] = np.where(kept, order, -1)
    return found
