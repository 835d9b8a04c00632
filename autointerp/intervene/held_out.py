"""Which features may nobody who writes labels see, so that a label can be asked what an edit does to them?

A seeded fifth of the features. Where it is drawn, `CellCorpus.withhold` keeps it out of contrasts, enrichment, panels
and cards, on which every explainer and tool draws.
"""

from __future__ import annotations

import zlib

import numpy as np

SHARE = 0.2


def held_out_features(names: np.ndarray, seed: int, share: float = SHARE) -> np.ndarray:
    """(g,) bool, ⌊share·g + ½⌋ of them true; the same names are drawn in whatever order they stand.

    names : (g,) str, unique
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of features to hold out lies in [0, 1), got {share}")
    order = np.argsort(names.astype(str), kind="stable")
    rng = np.random.default_rng([seed, zlib.crc32(b"held-out features")])
    drawn = rng.permutation(len(names))[: int(share * len(names) + 0.5)]
    held = np.zeros(len(names), dtype=bool)
    held[order[drawn]] = True
    return held
