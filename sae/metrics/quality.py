"""How well does a dictionary reconstruct rows that it has not seen, and how often do its latents fire?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..rows import Rows, blocks, chosen_rows

if TYPE_CHECKING:
    from ..dictionaries import Dictionary
    from ..preprocess import Preprocessing

MANY_ROWS = 1_000_000  # from here on, dead is a rate below DEAD_RATE, not never
DEAD_RATE = 1e-5
DENSE_RATE = 0.5


def quality(
    dictionary: Dictionary, x: Rows, rows: np.ndarray | None = None, block_rows: int = 8192
) -> dict[str, float]:
    """Measure a dictionary on ``rows`` of x (n, d), streaming.

    Returns
    -------
    n : rows measured
    fvu : Σ‖x − x̂‖² / Σ‖x − x̄‖², x̄ the mean of these rows, in the embedding's space; NaN for a single row.
        What whitening drops counts as missed; with unit norm, x̂ has the norm of x
    fvu_scaled : the same in preprocessed space, which training minimizes; equal under scaling ``global``
    cosine : mean cosine of x − center and x̂ − center
    l0 : mean number of active latents
    dead_share : share of latents that fire on none of these rows; from 10⁶ rows on, on less than 1e-5 of them
    dense_share : share of latents that fire on more than half of these rows
    """
    rows, d = chosen_rows(x, rows), x.shape[1]
    preprocessing = dictionary.preprocessing
    center = preprocessing.center.double().numpy()
    errors, squares, sums = 0.0, 0.0, np.zeros(d)  # about the center
    missed, spread, means = 0.0, 0.0, np.zeros(preprocessing.width)  # the same of preprocessed rows
    cosines = 0.0
    fired = torch.zeros(dictionary.config.m, dtype=torch.int64)
    for _, values in blocks(x, rows, block_rows):
        codes = dictionary.encode(values)
        about = values - center  # (b, d) float64
        decoded = dictionary.decode(codes, like=values) - center
        errors += float(((about - decoded) ** 2).sum())
        squares += float((about**2).sum())
        sums += about.sum(0)
        scaled, scaled_back = _scaled(preprocessing, about + center, decoded + center)  # (b, p)
        missed += float(((scaled - scaled_back) ** 2).sum())
        spread += float((scaled**2).sum())
        means += scaled.sum(0)
        norms = np.linalg.norm(about, axis=1) * np.linalg.norm(decoded, axis=1)  # (b,)
        cosines += float(((about * decoded).sum(1) / np.where(norms > 0, norms, 1.0)).sum())
        active = torch.from_numpy(codes.indices[codes.values > 0])
        fired += torch.bincount(active, minlength=dictionary.config.m)
    n = len(rows)
    dead = fired < DEAD_RATE * n if n >= MANY_ROWS else fired == 0
    return {
        "n": n,
        "fvu": _ratio(errors, squares - float(sums @ sums) / n),
        "fvu_scaled": _ratio(missed, spread - float(means @ means) / n),
        "cosine": cosines / n,
        "l0": float(fired.sum()) / n,
        "dead_share": float(dead.float().mean()),
        "dense_share": float((fired > DENSE_RATE * n).float().mean()),
    }


def _scaled(
    preprocessing: Preprocessing, x: np.ndarray, decoded: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """T(x) and what was decoded, (b, p) float64, both divided by the norms of x where there is unit norm."""
    items, back = torch.from_numpy(x), torch.from_numpy(decoded)
    norms = preprocessing.norms(items).clamp_min(torch.finfo(torch.float64).tiny)  # (b, 1)
    return (preprocessing.linear(items) / norms).numpy(), (preprocessing.linear(back) / norms).numpy()


def _ratio(errors: float, variances: float) -> float:
    return float(errors / variances) if variances > 0 else float("nan")
