"""Is one label better than another, and what does a table's mean mean? Paired tests, corrections, means, margins.

Intervals live in ``intervals.py`` and ``auroc.py`` and are offered here too, so that a scorer has one import.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .auroc import auroc, auroc_interval
from .intervals import (
    Interval,
    balanced_accuracy_interval,
    mean_interval,
    midranks,
    proportion_interval,
    spearman_interval,
)

__all__ = [
    "CHANCE",
    "Interval",
    "Means",
    "PairedTest",
    "auroc",
    "auroc_interval",
    "balanced_accuracy_interval",
    "benjamini_hochberg",
    "margin",
    "mean_interval",
    "mean_scored_and_mean_all",
    "paired_wilcoxon",
    "proportion_interval",
    "share_of_ceiling",
    "spearman_interval",
]


EXACT_PAIRS = 50  # above, the normal approximation is as good

# What a label that says nothing scores, by metric; others have no such value.
CHANCE = {
    "auroc": 0.5, "balanced_accuracy": 0.5, "pearson": 0.0, "spearman": 0.0, "above_chance": 0.0,
    "information_gain": 0.0,
}  # fmt: skip


class PairedTest(NamedTuple):
    """Result of ``paired_wilcoxon``."""

    median_difference: float  # of a − b over pairs, zeros included
    p: float  # two-sided
    n: int  # pairs with both values


class Means(NamedTuple):
    """Result of ``mean_scored_and_mean_all``."""

    mean_scored: float  # NaN where nothing was scored
    mean_all: float  # rankings use this one
    n_scored: int
    n_all: int


def paired_wilcoxon(a: np.ndarray, b: np.ndarray) -> PairedTest:
    """Wilcoxon's signed-rank test of a − b, two-sided, on the pairs where neither is NaN.

    Zero differences keep their ranks and count for neither side [Pratt 1959]; dropping them makes ties look like
    agreement. Differences are rounded to 12 digits first, so that equal differences tie. Up to 50 pairs: exact, over
    all signs of the ranks, ties sharing theirs; else the normal distribution corrected for ties. All differences
    zero: p = 1.

    a, b : (n,), one value per latent or redundancy family. ValueError where no pair has both values.
    """
    from scipy.stats import wilcoxon

    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired values need one shape, got {a.shape} and {b.shape}")
    difference = np.round(a - b, 12)
    difference = difference[~np.isnan(difference)]
    n = len(difference)
    if n == 0:
        raise ValueError("no pair has both values")
    if not difference.any():
        return PairedTest(0.0, 1.0, n)
    if n <= EXACT_PAIRS:
        p = _over_all_signs(difference)
    else:
        p = float(wilcoxon(difference, zero_method="pratt", method="asymptotic").pvalue)
    return PairedTest(float(np.median(difference)), p, n)


def _over_all_signs(difference: np.ndarray) -> float:
    """Two-sided p of the signed-rank sum: the 2^k sign patterns of k non-zero differences, counted by their sum.

    scipy enumerates them one by one where there are ties, which takes seconds at 13 pairs.
    """
    twice = np.rint(2 * midranks(np.abs(difference))).astype(
        int
    )  # (n,) whole numbers, also where ranks are shared
    moved = difference != 0
    chance = np.zeros(int(twice[moved].sum()) + 1)  # of each sum of positive ranks
    chance[0] = 1.0
    for rank in twice[moved]:
        chance[rank:] = chance[rank:] + chance[:-rank]
    chance /= chance.sum()
    seen = int(twice[difference > 0].sum())
    return min(1.0, 2 * float(min(chance[: seen + 1].sum(), chance[seen:].sum())))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """(n,) p-values -> (n,) adjusted ones, min over j >= rank of p_(j)·n/j [Benjamini & Hochberg 1995].

    NaN is no test: it stays NaN and is not counted in n.
    """
    from scipy.stats import false_discovery_control

    p = np.asarray(p, dtype=float)
    tested = ~np.isnan(p)
    if ((p[tested] < 0) | (p[tested] > 1)).any():
        raise ValueError("p-values lie between 0 and 1")
    adjusted = np.full(p.shape, np.nan)
    if tested.any():
        adjusted[tested] = false_discovery_control(p[tested])
    return adjusted


def mean_scored_and_mean_all(values: np.ndarray, chance: float = 0.5) -> Means:
    """Both means of a table (protocols, section 4): over what was scored, and with the rest counted as chance.

    values : (n,), NaN for latents that abstained, failed or cannot be explained. ValueError for no latents.
    """
    values = np.asarray(values, dtype=float)
    if values.size == 0:
        raise ValueError("the mean over no latents is not defined")
    scored = values[~np.isnan(values)]
    mean_scored = float(scored.mean()) if len(scored) else math.nan
    return Means(
        mean_scored, float(np.where(np.isnan(values), chance, values).mean()), len(scored), len(values)
    )


def margin(value: float, shuffled: float, chance: float = 0.5) -> float:
    """value − max(chance, shuffled): a label of another lineage falls below chance, which is no credit (section 6)."""
    return math.nan if math.isnan(shuffled) else value - max(chance, shuffled)


def share_of_ceiling(value: float, ceiling: float) -> float:
    """(value − 0.5)/(ceiling − 0.5), what a label reaches of what it could convey; NaN where ceiling <= 0.5."""
    return (value - 0.5) / (ceiling - 0.5) if ceiling > 0.5 + 1e-9 else math.nan
