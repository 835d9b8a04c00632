"""How often does each latent fire? Never (dead), on more than half of the items (dense), or in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .inputs import sparse
from .quality import DEAD_RATE, DENSE_RATE, MANY_ROWS


def firing(codes: Any) -> pd.DataFrame:
    """Count, rate and strength of every latent over these items (protocols §7).

    codes : (n, m) sparse, ≥ 0; active where > 0

    Returns
    -------
    DataFrame of m rows: latent, n (items), n_active, rate, mean_active and maximum (of activations > 0; NaN where
    there are none), dead (never fires, or on less than 1e-5 of n ≥ 10⁶ items), dense (fires on more than half),
    reason.
    """
    matrix = sparse(codes)
    n, m = matrix.shape
    if not n:
        raise ValueError("no items to measure on")
    n_active = np.bincount(matrix.indices, minlength=m)  # (m,)
    total, peaks = np.asarray(matrix.sum(0)), matrix.max(axis=0).toarray().ravel()
    silent = n_active == 0
    with np.errstate(invalid="ignore"):
        means = total / n_active
    return pd.DataFrame(
        {
            "latent": np.arange(m),
            "n": np.full(m, n),
            "n_active": n_active,
            "rate": n_active / n,
            "mean_active": means,
            "maximum": np.where(silent, np.nan, peaks),
            "dead": n_active < DEAD_RATE * n if n >= MANY_ROWS else silent,
            "dense": n_active > DENSE_RATE * n,
            "reason": np.where(silent, "the latent is silent", ""),
        }
    )
