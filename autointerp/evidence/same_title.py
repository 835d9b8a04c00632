"""Do latents of one title say the same thing? Those that fire on the same items do; else, what tells them apart?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from autointerp.corpus.base import Corpus
from autointerp.evidence.contrast import contrast_all

TOGETHER = 0.5  # Jaccard: where one of two latents fires, both do at least half of the time
MOST_FAMILIES = 50  # of one title: more have no feature each that tells them from all the others
BLOCK_LATENTS = 512


def fire_together(fired: Sequence[np.ndarray]) -> list[list[int]]:
    """Places of the latents in families: connected by a Jaccard of at least 0.5 of the items on which they fire.

    fired : per latent its rows, each once. Families and their members rise.
    """
    from scipy.sparse.csgraph import connected_components

    k = len(fired)
    if k == 0:
        return []
    columns = np.unique(np.concatenate(fired), return_inverse=True)[1]
    sizes = np.array([len(rows) for rows in fired])
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    shape = (k, int(columns.max(initial=0)) + 1)
    by_latent = sparse.csr_matrix((np.ones(len(columns)), columns, indptr), shape)  # (k, items) of ones
    edges = []
    for start in range(0, k, BLOCK_LATENTS):
        shared = (by_latent[start : start + BLOCK_LATENTS] @ by_latent.T).tocoo()  # (b, k) counts
        either = sizes[shared.row + start] + sizes[shared.col] - shared.data
        kept = shared.data >= TOGETHER * either
        edges.append(np.stack([shared.row[kept] + start, shared.col[kept]]))
    one, other = np.concatenate(edges, axis=1)
    of = connected_components(
        sparse.coo_matrix((np.ones(len(one)), (one, other)), shape=(k, k)), directed=False
    )[1]
    return [np.flatnonzero(of == family).tolist() for family in dict.fromkeys(of.tolist())]


def told_apart(
    corpus: Corpus, rows: np.ndarray, groups: Sequence[Sequence[np.ndarray]], seed: int
) -> list[list[list[str]]]:
    """What is higher in each family's items than in those of the other families of its title.

    Parameters
    ----------
    rows : (n,) explain rows, rising
    groups : per title, per family, the rows on which any latent of the family fires, each once

    Returns
    -------
    Per title and family the raised features above the null of that contrast, most shifted first; none where a family
    has no item of its own, or its title more than 50 families.
    """
    contrasted = [families for families in groups if len(families) <= MOST_FAMILIES]
    if not contrasted:
        return [[[] for _ in families] for families in groups]
    sides = [_sides(families, rows) for families in contrasted]
    active, silent = (sparse.hstack([side[i] for side in sides], format="csr") for i in (0, 1))
    contrasts = contrast_all(corpus, rows, active, silent, "the others of its title", None, seed)
    said = iter([f.name for f in contrasts.of(i, corpus.feature_names).up] for i in range(active.shape[1]))
    return [[next(said) if len(families) <= MOST_FAMILIES else [] for _ in families] for families in groups]


def _sides(families: Sequence[np.ndarray], rows: np.ndarray) -> tuple[sparse.csc_matrix, sparse.csc_matrix]:
    """(n, c) of ones where one family alone fires, and where others do and it does not."""
    fires = np.zeros((len(rows), len(families)), dtype=np.float32)
    for family, own in enumerate(families):
        fires[np.searchsorted(rows, np.intersect1d(own, rows)), family] = 1
    others = fires.sum(1, keepdims=True) - fires
    return sparse.csc_matrix(fires * (others == 0)), sparse.csc_matrix((others > 0) * (1 - fires))
