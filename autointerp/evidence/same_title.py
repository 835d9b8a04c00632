"""Do latents of one title say the same thing? Those that fire on the same items do; else, what tells them apart?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from scipy import sparse

from autointerp.corpus.base import Corpus
from autointerp.evidence.coactivation import jaccard
from autointerp.evidence.contrast import contrast_all

TOGETHER = 0.5  # Jaccard: where one of two latents fires, both do at least half of the time


def fire_together(fired: Sequence[np.ndarray]) -> list[list[int]]:
    """Places of the latents in families: connected by a Jaccard of at least 0.5 of the items on which they fire.

    fired : per latent its rows, each once. Families and their members rise.
    """
    family = list(range(len(fired)))
    for i in range(len(fired)):
        for j in range(i):
            if family[i] != family[j] and jaccard(fired[i], fired[j]) >= TOGETHER:
                joined, gone = sorted((family[i], family[j]))
                family = [joined if one == gone else one for one in family]
    return [[i for i, one in enumerate(family) if one == first] for first in dict.fromkeys(sorted(family))]


def told_apart(
    corpus: Corpus, rows: np.ndarray, groups: Sequence[Sequence[np.ndarray]], seed: int
) -> list[list[list[str]]]:
    """What is higher in each family's items than in those of the other families of its title.

    Parameters
    ----------
    rows : (n,) explain rows, rising
    groups : per title, per family, the rows on which any latent of the family fires

    Returns
    -------
    Per title and family the raised features above the null of that contrast, most shifted first; none where a family
    has no item of its own.
    """
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for families in groups:
        for i, own in enumerate(families):
            others = reduce(
                np.union1d, (other for j, other in enumerate(families) if j != i), np.empty(0, int)
            )
            sides[0].append(np.setdiff1d(own, others))
            sides[1].append(np.setdiff1d(others, own))
    if not sides[0]:
        return []
    active, silent = (_columns(side, rows) for side in sides)
    contrasts = contrast_all(corpus, rows, active, silent, "the others of its title", None, seed)
    said = iter([f.name for f in contrasts.of(i, corpus.feature_names).up] for i in range(len(sides[0])))
    return [[next(said) for _ in families] for families in groups]


def _columns(members: Sequence[np.ndarray], rows: np.ndarray) -> sparse.csr_matrix:
    """Row numbers of each column -> (n, c) CSR of ones; rows outside of ``rows`` are left out."""
    places = [np.searchsorted(rows, np.intersect1d(own, rows)) for own in members]
    indptr = np.cumsum([0, *(len(own) for own in places)])
    indices = np.concatenate(places)
    ones = np.ones(len(indices), dtype=np.float32)
    return sparse.csc_matrix((ones, indices, indptr), shape=(len(rows), len(members))).tocsr()
