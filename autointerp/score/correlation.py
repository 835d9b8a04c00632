"""How sure are we of a correlation between what was predicted and what was measured? Pearson's and Spearman's.

Strengths of a latent are mostly 0, and predictions pile up there too, so that the usual interval for normal data
(Fisher's z with 1/(n − 3)) does not hold: the spread comes from the data, by leaving one item out at a time.
``eval/bench/correlation_coverage.py`` counts how often the interval holds the truth.
"""

from __future__ import annotations

import math

import numpy as np

from autointerp.score.intervals import (
    Interval,
    logit_bounds,
    midranks,
    over_groups,
    spread_over_prompts,
    t_quantile,
)

LEAST_ITEMS = 4
CONSTANT = "none: the same prediction for every item"
PERFECT = 1 - 1e-9


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Σ(x − x̄)(y − ȳ)/√(Σ(x − x̄)²·Σ(y − ȳ)²); 0 where x or y (n,) is constant: it tells nothing of the other."""
    return float(_rows(np.asarray(x, dtype=float)[None], np.asarray(y, dtype=float)[None])[0])


def correlation_interval(
    predicted: np.ndarray,
    measured: np.ndarray,
    ranks: bool = False,
    clusters: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    level: float = 0.95,
) -> Interval:
    """Pearson's r, or of midranks Spearman's ρ, with a jackknife interval on Fisher's scale.

    u_i = (n − 1)/n · (r − r₍₋ᵢ₎) is the influence of item i, and the interval is tanh(atanh r ± t·√Σu²/(1 − r²)),
    t with n − 1 degrees of freedom; for v = (r + 1)/2 that is logit v ± t·se/(v(1 − v)), so that prompts and donors
    widen it as they do any proportion (``intervals.over_groups``).

    Parameters
    ----------
    predicted, measured : (n,) finite, n >= 4; a constant prediction correlates at 0, with no interval
    ranks : Spearman's in place of Pearson's
    clusters : (n,) prompt of each prediction, groups : (n,) donor of each item, or None

    Raises
    ------
    ValueError
        fewer than 4 items, a value that is not finite, or a measured column that is constant
    """
    x, y = np.asarray(predicted, dtype=float), np.asarray(measured, dtype=float)
    n = len(x)
    if x.shape != y.shape or n < LEAST_ITEMS:
        raise ValueError(f"a correlation needs two columns of one length >= 4, got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a correlation of values that are not finite")
    if np.ptp(y) == 0:
        raise ValueError("a correlation with a constant is not defined")
    if np.ptp(x) == 0:
        return Interval(0.0, math.nan, math.nan, CONSTANT, n, 0)
    value = pearson(midranks(x), midranks(y)) if ranks else pearson(x, y)
    left_out = _rows(_without_each(x, ranks), _without_each(y, ranks))  # (n,)
    influence = (n - 1) / n * (value - left_out) / 2  # of v = (r + 1)/2
    every = np.ones(n, dtype=bool)
    spread = spread_over_prompts(influence, every, clusters)
    variance, critical = spread.item_variance * spread.design_effect, t_quantile(n - 1, level)
    if spread.n_prompts:
        critical = max(critical, spread.critical(level))
    method = "jackknife Fisher z" + (", clustered by prompt" if spread.n_prompts else "")
    v = (value + 1) / 2
    item = Interval(v, *_bounds(v, variance, critical), method, n, 0)
    made = over_groups(item, influence, every, groups, spread, level)
    return made._replace(value=value, low=2 * made.low - 1, high=2 * made.high - 1)


def _bounds(v: float, variance: float, critical: float) -> tuple[float, float]:
    return logit_bounds(v, variance, critical) if v < PERFECT else (v, v)


def _without_each(x: np.ndarray, ranks: bool) -> np.ndarray:
    """(n, n − 1): row i is x, or the midranks of x, without item i."""
    n = len(x)
    kept = ~np.eye(n, dtype=bool)
    rows = np.broadcast_to(x, (n, n))
    if ranks:  # an item moves up by one for each below it that is gone, by a half for an equal one
        rows = midranks(x)[None] - (x[:, None] < x[None]) - 0.5 * (x[:, None] == x[None])
    return rows[kept].reshape(n, n - 1)


def _rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(r, n), (r, n) -> (r,) correlations, 0 where a row is constant."""
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    scale = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    tiny = scale <= 1e-12 * np.maximum(1.0, np.abs(x).max(1) * np.abs(y).max(1))
    return np.where(tiny, 0.0, np.clip((x * y).sum(1) / np.where(tiny, 1.0, scale), -1, 1))
