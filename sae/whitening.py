"""Which linear map makes the covariance of some rows the identity? PCA whitening, shrunk where rows are few."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .rows import Rows, blocks, first_not_finite

SHRINK_BELOW = 10  # rows a dimension; with 10, eigenvalues of white noise still spread over 0.47 … 1.73
FLOOR = 1e-8  # a component with less than this share of the largest variance is dropped
ROUNDING = 1e-7  # what float32 leaves of a constant, relative to it


class Moments(NamedTuple):
    """Of r rows.

    rows : r
    mean : (d,) float64
    scatter : (d, d) Σ (x − mean)(x − mean)ᵀ, or its diagonal (d,), float64
    """

    rows: int
    mean: np.ndarray
    scatter: np.ndarray


class Whitening(NamedTuple):
    """y = (x − center) @ forward and back: x = y @ back + center, for what the p kept components span.

    forward : (d, p) float32, V λ^-½; V the leading eigenvectors of the covariance, λ its eigenvalues
    back : (p, d) float32, λ^½ Vᵀ, so that back @ forward is the identity
    shrinkage : α of Ledoit and Wolf, 0 where there was no need
    """

    forward: Tensor
    back: Tensor
    shrinkage: float


def moments(x: Rows, rows: np.ndarray, block_rows: int, full: bool) -> Moments:
    """Stream once over ``rows`` of x (n, d), merging block by block [Chan et al. 1979].

    full : the whole scatter matrix (d, d), not its diagonal alone

    ``ValueError`` names the first row that holds NaN or infinity.
    """
    d = x.shape[1]
    count, mean, scatter = 0, np.zeros(d), np.zeros((d, d) if full else d)
    for numbers, values in blocks(x, rows, block_rows):
        bad = first_not_finite(numbers, values)
        if bad is not None:
            raise ValueError(f"row {bad} of the embedding holds NaN or infinity")
        b, values = len(values), values.astype(np.float64)
        about = values - values.mean(0)  # (b, d)
        delta = values.mean(0) - mean  # (d,)
        share = count * b / (count + b)
        if full:
            scatter += about.T @ about + np.outer(delta, delta) * share
        else:
            scatter += (about**2).sum(0) + delta**2 * share
        mean += delta * b / (count + b)
        count += b
    return Moments(count, mean, scatter)


def whitening(x: Rows, rows: np.ndarray, block_rows: int) -> Whitening:
    """PCA whitening fitted on ``rows`` of x (n, d), streaming; components by falling variance.

    With fewer than 10 rows a dimension the covariance S becomes (1 − α) S + α tr(S)/d · I, α by `shrinkage`;
    directions in which few rows do not vary then count as having the variance α tr(S)/d, and stay. A
    component is dropped where its variance is below 1e-8 of the largest, or what rounding leaves.

    ``ValueError`` where there are fewer than 2 rows, they are all the same, or one holds NaN or infinity.
    """
    if len(rows) < 2:
        raise ValueError(f"whitening needs at least 2 rows, got {len(rows)}")
    count, mean, scatter = moments(x, rows, block_rows, full=True)
    covariance, d = scatter / count, len(mean)
    rounding = ROUNDING**2 * float(mean @ mean)
    if np.trace(covariance) <= rounding:
        raise ValueError(f"the {count} rows that whitening is fitted on are all the same")
    alpha = 0.0
    if count < SHRINK_BELOW * d:
        alpha = shrinkage(x, rows, mean, covariance, block_rows)
        covariance = (1 - alpha) * covariance + alpha * np.trace(covariance) / d * np.eye(d)
    variances, vectors = np.linalg.eigh(covariance)  # ascending
    kept = np.flatnonzero(variances > max(FLOOR * variances[-1], rounding))[::-1]
    variances, vectors = variances[kept], vectors[:, kept]  # (p,), (d, p)
    vectors = vectors * np.where(vectors[np.abs(vectors).argmax(0), np.arange(len(kept))] < 0, -1, 1)
    deviations = np.sqrt(variances)
    forward, back = vectors / deviations, (vectors * deviations).T
    return Whitening(
        torch.from_numpy(np.ascontiguousarray(forward)).float(),
        torch.from_numpy(np.ascontiguousarray(back)).float(),
        float(alpha),
    )


def shrinkage(x: Rows, rows: np.ndarray, mean: np.ndarray, covariance: np.ndarray, block_rows: int) -> float:
    """α in 0 … 1, the share of a multiple of the identity that a covariance S of r rows needs
    [Ledoit and Wolf 2004, lemmas 3.2–3.4].

    α = min(β, δ) / δ, δ = ‖S − tr(S)/d · I‖² / d, β = (Σ‖x − mean‖⁴ / r − ‖S‖²) / (r d)

    mean : (d,); covariance : (d, d), of these rows, with 1/r
    """
    fourth = 0.0
    for _, values in blocks(x, rows, block_rows):
        fourth += float((((values - mean) ** 2).sum(1) ** 2).sum())
    r, d = len(rows), len(mean)
    squares = float((covariance**2).sum())
    delta = squares / d - (np.trace(covariance) / d) ** 2
    beta = (fourth / r - squares) / (r * d)
    return float(min(beta, delta) / delta) if delta > 0 else 0.0
