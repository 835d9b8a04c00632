"""Do latents say different things? Distinctness of their firing, and each one's nearest partner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from .inputs import sparse, table

BLOCK_BYTES = 1 << 27


def distinctness(codes: Any) -> pd.DataFrame:
    """Participation ratio of the eigenvalues of the active/silent correlation matrix (protocols §7).

    (Σ λ)² / Σ λ², λ the eigenvalues of C, the (m', m') Pearson correlation of z > 0 over items. Since C is
    symmetric with a unit diagonal this is m'² / Σ C², and no eigenvalue is computed. m' counts latents that
    fire on some but not all items; others have no correlation. From 1 (all the same) to m' (uncorrelated).

    codes : (n, m) sparse, the test rows

    Returns
    -------
    DataFrame of 1 row: m, varying (m'), distinctness, share (distinctness / m), reason. NaN where no latent varies.
    """
    matrix = sparse(codes)
    matrix.data[:] = 1.0
    squares, varying = 0.0, 0
    for _, block in _correlations(matrix):
        varying += len(block)
        squares += float(np.nansum(block**2))
    ratio = varying**2 / squares if varying else float("nan")
    m, reason = matrix.shape[1], "" if varying else "no latent varies over these items"
    return table(
        ("m", "varying", "distinctness", "share", "reason"), [(m, varying, ratio, ratio / m, reason)]
    )


def redundancy(codes: Any, above: float = 0.95) -> pd.DataFrame:
    """The nearest partner of each latent by Pearson correlation of activations over items (protocols §7).

    Redundancy of a dictionary = share of varying latents with a partner of correlation > ``above``:
    ``frame["redundant"][frame["reason"] == ""].mean()``.

    codes : (n, m) sparse, silent items counted as 0

    Returns
    -------
    DataFrame of m rows: latent, partner (−1 for none), correlation, redundant, reason. NaN for a latent that is
    dead or constant, or has no varying other latent.
    """
    matrix = sparse(codes)
    m = matrix.shape[1]
    partner, correlation = np.full(m, -1), np.full(m, np.nan)
    reason = np.full(m, "the latent does not vary over these items", dtype=object)
    reason[matrix.sum(0) == 0] = "the latent is dead"
    for latents, block in _correlations(matrix):
        block[np.arange(len(latents)), latents] = np.nan  # not with itself
        filled = np.where(np.isnan(block), -np.inf, block)
        nearest = filled.argmax(1)
        value = filled[np.arange(len(latents)), nearest]
        found = np.isfinite(value)
        partner[latents[found]], correlation[latents[found]] = nearest[found], value[found]
        reason[latents] = np.where(found, "", "no other latent varies")
    return pd.DataFrame(
        {
            "latent": np.arange(m),
            "partner": partner,
            "correlation": correlation,
            "redundant": correlation > above,
            "reason": reason,
        }
    )


def _correlations(matrix: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of varying latents (r,) and their correlation with all latents (r, m), NaN where one is constant."""
    n, m = matrix.shape
    mean = np.asarray(matrix.sum(0)) / n  # (m,)
    variance = np.asarray((matrix**2).sum(0)) / n - mean**2
    variance[variance <= 1e-12 * (variance + mean**2)] = np.nan  # constant up to rounding
    deviation = np.sqrt(variance)
    varying = np.isfinite(deviation).nonzero()[0]
    columns = matrix.tocsc()
    step = max(BLOCK_BYTES // (8 * max(m, 1)), 1)
    for start in range(0, len(varying), step):
        latents = varying[start : start + step]
        products = (columns[:, latents].T @ columns).toarray() / n  # (r, n) @ (n, m) -> (r, m)
        covariance = products - np.outer(mean[latents], mean)
        yield latents, covariance / np.outer(deviation[latents], deviation)
