"""How large must a difference be for this many latents to show it? Power and the minimum detectable difference."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from .statistics import EXACT_PAIRS

WILCOXON_EFFICIENCY = 3 / math.pi  # asymptotic relative to the t test, normal differences [Lehmann 1975]


def paired_power(difference: float, sd: float, n: int, alpha: float = 0.05) -> float:
    """Power of the two-sided signed-rank test: P(p < alpha) where n independent differences have this mean and sd.

    That of the t test on n·3/π pairs, noncentral t with ncp = difference/sd·√(n·3/π), at the level that n ranks
    really reach (8 pairs: 0.039). For normal differences it is within 0.03 of simulation from 8 pairs on
    (``eval/bench/sizes_of_tests.py``); heavier tails have more power. 0 where no p below alpha can be reached (n < 6 at
    0.05), NaN where sd is NaN.

    Raises ValueError for a negative sd or n < 1.
    """
    _check(sd, n)
    level = reachable_level(n, alpha)
    if level == 0:
        return 0.0
    effective = n * WILCOXON_EFFICIENCY
    return _t_power(difference, sd / math.sqrt(effective), max(effective - 1, 1.0), level)


def welch_power(
    difference: float, sd_a: float, n_a: int, sd_b: float, n_b: int, alpha: float = 0.05
) -> float:
    """Power of Welch's two-sided t test, noncentral t with Welch's degrees of freedom; 0 with a sample under two."""
    _check(sd_a, n_a)
    _check(sd_b, n_b)
    if min(n_a, n_b) < 2:
        return 0.0
    se, df = welch_error(sd_a, n_a, sd_b, n_b)
    return _t_power(difference, se, df, alpha)


def paired_mdd(sd: float, n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """Minimum detectable difference: the mean that the signed-rank test finds in ``power`` of studies like this one.

    In the units of ``sd``, which is that of the differences. inf where n is too small for any p < alpha; 0 where sd
    is 0; NaN where sd is NaN. ``alpha`` is that of one test: a correction for many makes it larger.
    """
    _check(sd, n)
    return sd * _paired_mdd(n, power, alpha) if sd > 0 else sd  # NaN and 0 stay


@cache
def _paired_mdd(n: int, power: float, alpha: float) -> float:
    """At sd 1: power depends on difference / sd."""
    return _mdd(lambda d: paired_power(d, 1.0, n, alpha), 1 / math.sqrt(n), power)


def welch_mdd(sd_a: float, n_a: int, sd_b: float, n_b: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """As ``paired_mdd``, for two independent samples and Welch's t test."""
    _check(sd_a, n_a)
    _check(sd_b, n_b)
    scale = math.hypot(sd_a / math.sqrt(n_a), sd_b / math.sqrt(n_b))
    return _mdd(lambda d: welch_power(d, sd_a, n_a, sd_b, n_b, alpha), scale, power)


def welch_error(sd_a: float, n_a: int, sd_b: float, n_b: int) -> tuple[float, float]:
    """Standard error of the difference of two means and its degrees of freedom [Welch 1947]."""
    va, vb = sd_a**2 / n_a, sd_b**2 / n_b
    if va + vb == 0:
        return 0.0, float(n_a + n_b - 2)
    return math.sqrt(va + vb), (va + vb) ** 2 / (va**2 / (n_a - 1) + vb**2 / (n_b - 1))


def reachable_level(n: int, alpha: float = 0.05) -> float:
    """The greatest two-sided p below alpha that the exact signed-rank test of n pairs can give; 0 if there is none.

    From the 2ⁿ equally likely sign patterns of the ranks 1 … n, counted by their sum. Above 50 pairs: alpha.
    """
    if n > EXACT_PAIRS:
        return alpha
    ways = np.zeros(n * (n + 1) // 2 + 1)  # sums of positive ranks
    ways[0] = 1
    for rank in range(1, n + 1):
        ways[rank:] = ways[rank:] + ways[:-rank]
    two_sided = 2 * np.cumsum(ways) / 2.0**n
    below = two_sided[two_sided < alpha]
    return float(below[-1]) if len(below) else 0.0


def _t_power(difference: float, se: float, df: float, alpha: float) -> float:
    """P(|T| > t_alpha), T noncentral: the normal power averaged over 200 quadrature points of the chi-squared quantile.

    Not scipy's noncentral t, which is NaN far out in its tails.
    """
    from scipy.special import chdtri, ndtr, stdtrit

    if math.isnan(se) or math.isnan(difference):
        return math.nan
    if se == 0:
        return 1.0 if difference else alpha
    critical, ncp = stdtrit(df, 1 - alpha / 2), difference / se
    nodes, weights = _quadrature()
    limit = critical * np.sqrt(chdtri(df, (1 - nodes) / 2) / df)  # sf at (1 − u)/2: the quantile of (1 + u)/2
    return float(weights @ (ndtr(ncp - limit) + ndtr(-ncp - limit)) / 2)


@cache
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Legendre nodes in (−1, 1) and their weights, both (200,)."""
    return np.polynomial.legendre.leggauss(200)


def _mdd(power_at: Callable[[float], float], scale: float, power: float) -> float:
    """The difference of a given power; ``scale`` is about its standard error."""
    from scipy.optimize import brentq

    if not 0 < power < 1:
        raise ValueError(f"power lies between 0 and 1, got {power}")
    if math.isnan(scale) or scale == 0:
        return scale
    high = scale
    if power_at(scale) == 0:
        return math.inf
    while power_at(high) < power:
        high *= 2
    return float(brentq(lambda d: power_at(d) - power, 0.0, high, xtol=1e-9 * scale))


def _check(sd: float, n: int) -> None:
    if sd < 0 or n < 1:
        raise ValueError(f"power needs sd >= 0 and at least one value, got sd {sd} and n {n}")
