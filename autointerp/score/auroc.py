"""How well does a score tell active from silent items, and how sure are we? AUROC, its interval, a paired test.

Alphabet: n items, n_pos = M positives, N negatives.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, stdtr

from .intervals import Interval, logit_bounds, normal_quantile, over_groups, spread_over_prompts


def checked(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool and (n,) finite float with both classes present, or ValueError."""
    truth, score = np.asarray(truth, dtype=bool), np.asarray(score, dtype=float)
    if truth.shape != score.shape or truth.ndim != 1:
        raise ValueError(f"truth and score need one entry per item, got {truth.shape} and {score.shape}")
    if not np.isfinite(score).all():
        raise ValueError("AUROC of scores that are not finite; failures are left out before, and counted")
    if truth.all() or not truth.any():
        raise ValueError(f"AUROC needs both classes, got {truth.sum()} positives of {len(truth)} items")
    return truth, score


def placements(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """For each positive the share of negatives below it, for each negative the share of positives above it.

    (n,) bool, (n,) float -> (n,) float in [0, 1], ties counting half [DeLong et al. 1988]. The mean over the
    positives, and over the negatives, is the AUROC.
    """
    pos, neg = np.sort(score[truth]), np.sort(score[~truth])
    placed = np.empty(len(score))
    for side, others, up in ((truth, neg, True), (~truth, pos, False)):
        s = score[side]
        below = (np.searchsorted(others, s, "left") + np.searchsorted(others, s, "right")) / (2 * len(others))
        placed[side] = below if up else 1 - below
    return placed


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """P(score of a positive > score of a negative) + ½ P(equal).

    truth : (n,) bool; score : (n,) float, higher means active. ValueError where a class is empty.
    """
    truth, score = checked(truth, score)
    return float(placements(truth, score)[truth].mean())


def newcombe_auroc(value: float, n_pos: int, n_neg: int, critical: float) -> tuple[float, float]:
    """Bounds where DeLong's variance is 0 (perfect separation, or one score for all): Newcombe 2006, method 5.

    The θ with (value − θ)² = c²·θ(1 − θ)/(MN)·[1 + ((M + N)/2 − 1)·((1 − θ)/(2 − θ) + θ/(1 + θ))], Stat Med 25:559:
    a score interval on Hanley & McNeil's variance. 50 + 50 items perfectly apart give [0.96, 1].
    """

    def lower(v: float) -> float:
        theta_low, theta_high = 0.0, v if v < 1 else 1 - 1e-12
        for _ in range(60):
            theta = (theta_low + theta_high) / 2
            shape = (1 - theta) / (2 - theta) + theta / (1 + theta)
            variance = theta * (1 - theta) / (n_pos * n_neg) * (1 + ((n_pos + n_neg) / 2 - 1) * shape)
            outside = (v - theta) ** 2 > critical**2 * variance
            theta_low, theta_high = (theta, theta_high) if outside else (theta_low, theta)
        return theta_high

    return (lower(value) if value > 0 else 0.0), (1 - lower(1 - value) if value < 1 else 1.0)


def auroc_interval(
    truth: np.ndarray,
    score: np.ndarray,
    clusters: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    level: float = 0.95,
) -> Interval:
    """AUROC with its interval on the logit scale: expit(logit A ± c·√V/(A(1 − A))).

    With V₁₀, V₀₁ the placement values, an item's influence is (V₁₀ − A)/M for a positive, (V₀₁ − A)/N for a
    negative. V is DeLong's for independent items, Obuchowski's (1997) when answers of one prompt are a cluster, with
    t on (prompts − 1) degrees of freedom. V = 0: ``newcombe_auroc``.

    truth : (n,) bool; score : (n,) float; clusters : (n,) prompt of each answer, or None; groups : (n,) test donor of
    each item, or None for an item interval as it is (split by item, no donors known). Groups: ``over_groups``.
    Raises ValueError where a class is empty or a score is not finite.
    """
    truth, score = checked(truth, score)
    placed = placements(truth, score)
    pos, neg = int(truth.sum()), int((~truth).sum())
    value = float(placed[truth].mean())
    influence = (placed - value) / np.where(truth, pos, neg)  # (n,)
    spread = spread_over_prompts(influence, truth, clusters)
    critical = spread.critical(level)
    if spread.item_variance > 1e-15 and 0 < value < 1:
        variance = spread.prompt_variance if spread.n_prompts else spread.item_variance
        low, high = logit_bounds(value, variance, critical)
        method = "logit-DeLong" + (", clustered by prompt" if spread.n_prompts else "")
    else:
        low, high = newcombe_auroc(value, pos, neg, normal_quantile(level))
        method = "Newcombe 2006 method 5"
    item = Interval(value, min(low, value), max(high, value), method, pos + neg, pos)
    return over_groups(item, influence, truth, groups, spread, level)


class Difference(NamedTuple):
    """One score's AUROC minus another's on the same items, and P(as great or greater by chance), one-sided."""

    value: float
    p: float


def paired_difference(
    truth: np.ndarray, first: np.ndarray, second: np.ndarray, clusters: np.ndarray | None = None
) -> Difference:
    """Is the first AUROC greater? DeLong's test for two correlated AUROCs [DeLong, DeLong & Clarke-Pearson 1988].

    With u the influences of ``auroc_interval``, z = (A₁ − A₂)/√V(u₁ − u₂), V over items or, where answers of one prompt
    are a cluster, over prompts [Obuchowski 1997] with t on (prompts − 1) degrees of freedom. Where V is 0, both order
    all items alike or each is perfect or constant: then p is 1, or for A₁ > A₂ the chance of that one order of n items
    with M positives, 1/C(n, M).

    truth : (n,) bool; first, second : (n,) float; clusters : (n,) prompt of each answer, or None. ValueError where a
    class is empty or a score is not finite.
    """
    truth, first = checked(truth, first)
    truth, second = checked(truth, second)
    sizes = np.where(truth, truth.sum(), (~truth).sum())
    values, influences = [], []
    for score in (first, second):
        placed = placements(truth, score)
        values.append(float(placed[truth].mean()))
        influences.append((placed - values[-1]) / sizes)  # (n,)
    difference = values[0] - values[1]
    spread = spread_over_prompts(influences[0] - influences[1], truth, clusters)
    variance = spread.prompt_variance if spread.n_prompts else spread.item_variance
    if variance < 1e-15:
        least = 1 / math.comb(len(truth), int(truth.sum()))
        return Difference(difference, least if difference > 1e-12 else 1.0)
    z = difference / math.sqrt(variance)
    return Difference(difference, float(stdtr(spread.n_prompts - 1, -z) if spread.n_prompts else ndtr(-z)))
