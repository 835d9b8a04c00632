"""Which features is a judge asked about, of all that an edit moved or left? As many of each direction as there are.

Every feature is dealt to one batch of items, so that none is asked about twice; a batch then asks about those of its
own that rose most, that fell most, and about unchanged ones, at most eight of each.
"""

from __future__ import annotations

import numpy as np

from autointerp.intervene.effects import directions

MOST_EACH = 8  # of a direction, in one question


def asked_features(in_sd: np.ndarray, askable: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Which features each batch asks about, in the order in which they are shown.

    Parameters
    ----------
    in_sd : (e, r) mean change of every feature on each batch, in sd
    askable : (r,) bool, those that may be asked about

    Returns
    -------
    e arrays of places among the r features, disjoint
    """
    dealt = rng.permutation(np.flatnonzero(askable))
    chosen = []
    for change, part in zip(in_sd, np.array_split(dealt, len(in_sd)), strict=True):
        moved = directions(change[part])
        up, down = part[moved > 0], part[moved < 0]
        kept = [
            up[np.argsort(-change[up], kind="stable")][:MOST_EACH],
            down[np.argsort(change[down], kind="stable")][:MOST_EACH],
            part[moved == 0][:MOST_EACH],  # dealt in random order
        ]
        chosen.append(rng.permutation(np.concatenate(kept)))
    return chosen
