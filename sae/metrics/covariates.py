"""How much of a latent is technical? The share of its variance that batch, donor or depth explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .inputs import known, sparse


def variance_explained(codes: Any, covariates: Mapping[str, Sequence[Any] | np.ndarray]) -> pd.DataFrame:
    """Share of each latent's variance over items that each covariate explains alone (protocols §7).

    Categories (text, bool, object): η² = Σ_g n_g (z̄_g − z̄)² / Σ (z − z̄)²
    Numbers: r², the squared Pearson correlation
    adjusted = 1 − (1 − share)(n − 1)/(n − p − 1), p = categories − 1 or 1: 0 on average where nothing is
    explained, which matters for many small donors; may be negative.

    codes : (n, m) sparse, silent items counted as 0
    covariates : name -> (n,); integer codes of categories must come as text. Items where it is missing (None,
        NaN, infinite) are left out for that covariate

    Returns
    -------
    DataFrame of (covariates)·m rows: covariate, latent, kind (category, number), share, adjusted, n, reason. NaN
    for a latent without variance and a covariate that is constant.
    """
    matrix = sparse(codes)
    parts = [
        _one(name, matrix, _column(name, values, matrix.shape[0])) for name, values in covariates.items()
    ]
    if not parts:
        raise ValueError("no covariates given")
    return pd.concat(parts, ignore_index=True)


def _column(name: str, values: Sequence[Any] | np.ndarray, n: int) -> np.ndarray:
    column = np.asarray(values)
    if column.shape != (n,):
        raise ValueError(f"covariate {name!r} must be ({n},), got {column.shape}")
    return column


def _one(name: str, matrix: Any, column: np.ndarray) -> pd.DataFrame:
    from scipy.sparse import csr_array

    number = column.dtype.kind in "fiu"
    if number:
        present = np.isfinite(column)
    else:
        present = known(column)
    part, column = matrix[present.nonzero()[0]], column[present]
    n, m = part.shape
    share, freedom = np.full(m, np.nan), 0
    reason = np.full(m, "", dtype=object)
    total, varies = _total(part)
    if number:
        centered = column.astype(np.float64) - column.mean() if n else column
        scale = float(np.abs(centered).max()) if n else 0.0
        constant = scale <= 1e-12 * (np.abs(column).max() if n else 1.0)
        if not constant:
            centered = centered / scale
            freedom, explained = 1, (centered @ part) ** 2 / (centered @ centered)  # (n,) @ (n, m)
    else:
        _, group = np.unique(np.array([str(value) for value in column]), return_inverse=True)
        sizes = np.bincount(group)
        constant = len(sizes) < 2
        if not constant:
            is_of = csr_array((np.ones(n), (group, np.arange(n))), shape=(len(sizes), n))
            sums = (is_of @ part).toarray()  # (g, n) @ (n, m)
            explained = (sums**2 / sizes[:, None]).sum(0) - sums.sum(0) ** 2 / n
            freedom = len(sizes) - 1
    if constant:
        reason[:] = "the covariate is constant or missing"
    else:
        share[varies] = np.clip(explained[varies] / total[varies], 0, 1)
        reason[~varies] = "the latent does not vary over these items"
    left = n - freedom - 1
    if not constant and left < 1:
        reason[varies] = "adjusted needs more items than categories"
    return pd.DataFrame(
        {
            "covariate": np.full(m, name, dtype=object),
            "latent": np.arange(m),
            "kind": np.full(m, "number" if number else "category", dtype=object),
            "share": share,
            "adjusted": 1 - (1 - share) * (n - 1) / left if left > 0 else np.full(m, np.nan),
            "n": np.full(m, n),
            "reason": reason,
        }
    )


def _total(part: Any) -> tuple[np.ndarray, np.ndarray]:
    """Σ (z − z̄)² (m,) and whether it is more than rounding (m,)."""
    if part.shape[0] == 0:
        return np.zeros(part.shape[1]), np.zeros(part.shape[1], dtype=bool)
    squares = np.asarray((part**2).sum(0))
    total = squares - np.asarray(part.sum(0)) ** 2 / part.shape[0]
    return total, total > 1e-12 * np.maximum(squares, 1e-300)
