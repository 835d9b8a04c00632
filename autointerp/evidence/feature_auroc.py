"""How well does one feature alone tell a latent's active items from all silent ones? AUROC, from ranks.

AUROC = (Σ ranks of active items − n₁(n₁ + 1)/2) / (n₁ n₀), ranks with ties at their mean, so that equal values count
half [Mann & Whitney 1947]. Ranks of a feature are made once for all latents; items that do not express it share one
rank, so that the rest is sparse.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from autointerp.corpus.base import Corpus

BLOCK_VALUES = 2_000_000  # latents × features held dense at a time


def feature_aurocs(
    corpus: Corpus, rows: np.ndarray, active: sparse.csr_matrix, columns: np.ndarray
) -> np.ndarray:
    """(m, t) AUROC of each latent's own features, active against all silent rows.

    Parameters
    ----------
    rows : (n,) explain rows
    active : (n, m) CSR of ones
    columns : (m, t) features asked for, −1 for none

    Returns
    -------
    (m, t) float64, NaN for no feature and where a side has no item
    """
    values = sparse.vstack([block for _, block in corpus.blocks(rows)], format="csr")
    asked = np.unique(columns[columns >= 0])
    above, shared = _ranks(values[:, asked].tocsc())
    above_rows = above.tocsr()
    by_latent = active.T.tocsr()
    n, m = active.shape
    found = np.full(columns.shape, np.nan)
    block = max(1, BLOCK_VALUES // max(1, len(asked)))
    for start in range(0, m, block):
        chosen = by_latent[start : start + block]
        n_active = np.diff(chosen.indptr)[:, None]
        sums = (chosen @ above_rows).toarray() + n_active * shared
        pairs = n_active * (n - n_active)
        auroc = np.divide(
            sums - n_active * (n_active + 1) / 2, pairs, out=np.full(sums.shape, np.nan), where=pairs > 0
        )
        own = columns[start : start + block]
        place = np.searchsorted(asked, np.maximum(own, 0)).clip(0, max(0, len(asked) - 1))
        if len(asked):
            found[start : start + block] = np.where(own >= 0, np.take_along_axis(auroc, place, 1), np.nan)
    return found


def _ranks(values: sparse.csc_matrix) -> tuple[sparse.csc_matrix, np.ndarray]:
    """(n, f) ranks 1 … n within columns, as what they have above the rank (f,) that all zeros share."""
    from scipy.stats import rankdata

    n, f = values.shape
    values.eliminate_zeros()
    above = np.empty(len(values.data))
    shared = np.empty(f)
    for j in range(f):
        part = slice(values.indptr[j], values.indptr[j + 1])
        own = values.data[part]
        below, zeros = int((own < 0).sum()), n - len(own)
        rank = rankdata(own)
        rank[own > 0] += zeros
        shared[j] = below + (zeros + 1) / 2
        above[part] = rank - shared[j]
    return sparse.csc_matrix((above, values.indices, values.indptr), shape=values.shape), shared
