"""Is a latent an artifact of measurement? The share of its variance that depth, batch, damage or the cycle explains.

Share: η² = Σ_b n_b (z̄_b − z̄)² / Σ (z − z̄)², adjusted for the number of bins as in ``sae.metrics.covariates``. A number
is cut into 20 bins of equally many items, fewer where these were under 20: what fires below some depth is as visible as
what rises with it, and neither scale nor skew matters. A group (batch, donor) is a bin of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from autointerp.schema import TechnicalShare

BINS, ITEMS_A_BIN = 20, 20
LEAST_NAMED = 0.05  # a covariate of a smaller share is not called a latent's own
AS_MUCH = 0.75  # a coarser group that explains so much of what a finer one does is named in its place


def covariate_shares(
    codes: sparse.csr_matrix, numbers: Mapping[str, np.ndarray], groups: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Covariate -> (m,) adjusted share of each latent's variance, NaN where one of them does not vary.

    codes : (n, m) activations of the items, silent ones 0
    numbers : name -> (n,) float; groups : name -> (n,) of names; None or NaN where missing
    """
    from sae.metrics.covariates import variance_explained

    columns = {name: _binned(values) for name, values in numbers.items()} | dict(groups)
    if not columns:
        return {}
    frame = variance_explained(codes, columns)
    return {str(name): part["adjusted"].to_numpy() for name, part in frame.groupby("covariate", sort=False)}


def _binned(values: np.ndarray) -> np.ndarray:
    """(n,) bin of each number as text, None where it is not finite."""
    finite = np.isfinite(values)
    count = min(BINS, max(2, int(finite.sum()) // ITEMS_A_BIN))
    some = values[finite] if finite.any() else np.zeros(1)
    edges = np.unique(np.quantile(some, np.arange(1, count) / count))
    bins = np.searchsorted(edges, values, side="right").astype(str).astype(object)
    bins[~finite] = None
    return bins


def named_covariate(shares: tuple[TechnicalShare, ...]) -> str | None:
    """The covariate that a latent may be an artifact of: that of the largest share, if it is 0.05 or more.

    Batches that hold several donors each explain less than these by no more than chance: of two groups the one with
    fewer values is named where its share is at least 0.75 times the other's.
    """
    known = [one for one in shares if one.share is not None]
    if not known:
        return None
    first = max(known, key=lambda one: one.share or 0.0)
    if (first.share or 0.0) < LEAST_NAMED:
        return None
    if first.n_values is not None:
        coarser = [
            one
            for one in known
            if one.n_values is not None and (one.share or 0.0) >= AS_MUCH * (first.share or 0.0)
        ]
        first = min(coarser, key=lambda one: one.n_values or 0)
    return first.name
