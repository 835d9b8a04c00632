"""How sure are we of a score? 95 % intervals for proportions, means and correlations, over items, prompts and donors.

Every statistic with classes is written as value ≈ truth + Σ_i u_i with one *influence* u_i per item, so that one
variance (``clustered_variance``) serves items, prompts and donors. AUROC is in ``auroc.py``.

Why donors get a t interval on the logit scale and not the cluster bootstrap-t: with 10 or 20 donors and at least 20
positives it held the true AUROC in 0.947–0.971 of simulated runs, the bootstrap in 0.840–0.953
(``eval/bench/interval_coverage.py``).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtri, stdtrit

ITEMS_ONLY = "not an interval for new donors"
FEW_GROUPS = "few groups"
NO_VARIATION = "no variation between groups"


class Interval(NamedTuple):
    """A statistic with its confidence bounds, low <= value <= high."""

    value: float
    low: float
    high: float
    method: str  # ci_method of scores.csv
    n: int  # items
    n_pos: int  # positives among them; 0 for a statistic that has no classes


def normal_quantile(level: float) -> float:
    """z with P(|Z| <= z) = level."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    return float(ndtri(0.5 + level / 2))


def t_quantile(df: float, level: float) -> float:
    """t with P(|T_df| <= t) = level."""
    normal_quantile(level)
    return float(stdtrit(max(df, 1.0), 0.5 + level / 2))


def logit_bounds(value: float, variance: float, critical: float) -> tuple[float, float]:
    """expit(logit v ± c·se/(v(1 − v))), the delta method; (v, v) where v is 0 or 1 or the variance is 0."""
    if not 0 < value < 1 or variance <= 0:
        return value, value
    half = critical * math.sqrt(variance) / (value * (1 - value))
    return min(value, float(expit(logit(value) - half))), max(value, float(expit(logit(value) + half)))


def wilson(successes: float, n: float, critical: float = 1.959963984540054) -> tuple[float, float]:
    """Score interval (p + c²/2n ± c·√(p(1 − p)/n + c²/4n²)) / (1 + c²/n) [Wilson 1927]; n may be an effective n."""
    p, c2 = successes / n, critical**2
    center, shrink = p + c2 / (2 * n), 1 + c2 / n
    half = critical * math.sqrt(max(0.0, p * (1 - p) / n + c2 / (4 * n**2)))
    return max(0.0, min(p, (center - half) / shrink)), min(1.0, max(p, (center + half) / shrink))


def clustered_variance(influence: np.ndarray, truth: np.ndarray, codes: np.ndarray) -> float:
    """Variance of a statistic whose items come in clusters.

    With P_c, N_c the summed influence of the positives and negatives of cluster c, and I₁, I₀, I the number of
    clusters that hold positives, negatives, anything:
    V = I₁/(I₁ − 1)·ΣP² + I₀/(I₀ − 1)·ΣN² + 2·I/(I − 1)·ΣPN   [Obuchowski 1997, Biometrics 53:567, eqs 6–8].
    Clusters of one item give the variance of DeLong et al. 1988. A class that lies in one cluster gets I/(I − 1).

    influence : (n,) float, truth : (n,) bool, codes : (n,) int from 0
    """
    n_codes = int(codes.max()) + 1
    every = n_codes / max(n_codes - 1, 1)

    def inflation(mask: np.ndarray) -> float:
        filled = len(np.unique(codes[mask]))
        return filled / (filled - 1) if filled > 1 else every

    pos = np.bincount(codes[truth], influence[truth], n_codes)  # (clusters,)
    neg = np.bincount(codes[~truth], influence[~truth], n_codes)
    return max(
        0.0, float(inflation(truth) * pos @ pos + inflation(~truth) * neg @ neg + 2 * every * pos @ neg)
    )


class Spread(NamedTuple):
    """What prompts and donors do to the variance of one statistic."""

    item_variance: float
    prompt_variance: float  # == item_variance without prompts
    n_prompts: int  # 0 without prompts

    @property
    def design_effect(self) -> float:
        """V_prompt / V_item, at least 1: prompts are never credited with making answers more independent."""
        return max(1.0, self.prompt_variance / self.item_variance) if self.item_variance > 0 else 1.0

    def critical(self, level: float) -> float:
        """z, or t with (prompts − 1) degrees of freedom [Korn & Graubard 1998]."""
        return t_quantile(self.n_prompts - 1, level) if self.n_prompts else normal_quantile(level)


def spread_over_prompts(influence: np.ndarray, truth: np.ndarray, clusters: np.ndarray | None) -> Spread:
    """Item and prompt variance. Under ten prompts, or where all prompts agree to the last digit, the prompts' variance
    is at least the items': a few prompts can agree by luck. Fewer than two prompts count as none."""
    items = clustered_variance(influence, truth, np.arange(len(influence)))
    codes = codes_of(clusters, len(influence))
    if codes is None or codes.max() < 1:
        return Spread(items, items, 0)
    prompts, n_prompts = clustered_variance(influence, truth, codes), int(codes.max()) + 1
    return Spread(items, max(prompts, items) if n_prompts < 10 or prompts < 1e-15 else prompts, n_prompts)


def codes_of(names: np.ndarray | None, n: int) -> np.ndarray | None:
    """(n,) names of prompts or donors -> (n,) int codes from 0."""
    if names is None:
        return None
    names = np.asarray(names)
    if names.shape != (n,):
        raise ValueError(f"clusters and groups need one name per item: {n} items, shape {names.shape}")
    return np.unique(names, return_inverse=True)[1]


def over_groups(
    item: Interval,
    influence: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray | None,
    spread: Spread,
    level: float = 0.95,
) -> Interval:
    """Widen an item interval to one for new donors (protocols, section 4).

    ``groups`` None: the item interval as it is. G counts the groups that hold positives or those that hold
    negatives, whichever are fewer. G < 3: the item interval, marked. G >= 3: logit v ± t·se/(v(1 − v)) with
    se² = V_groups + max(0, V_prompts − V_items), prompts being crossed with donors [Cameron, Gelbach & Miller 2011],
    and t with 1/Σh² − 1 degrees of freedom, h the groups' shares of the items (class by class, averaged), which is
    G − 1 for groups of one size [Carter, Schnepel & Steigerwald 2017]; equal-sized groups make this the t interval
    over group means. Marked 'few groups' under 10, and then never narrower than the item interval: three donors can
    agree by luck. Where all donors agree to the last digit, or the value is 0 or 1, the item interval stands, marked.
    """
    codes = codes_of(groups, len(influence))
    if codes is None:
        return item
    sides = [side for side in (truth, ~truth) if side.any()]
    n_groups = min(len(np.unique(codes[side])) for side in sides)
    if n_groups < 3:
        return item._replace(method=f"{item.method}, {ITEMS_ONLY}")
    share = np.mean(
        [np.bincount(codes[side], minlength=codes.max() + 1) / side.sum() for side in sides], axis=0
    )
    variance = clustered_variance(influence, truth, codes)
    variance += max(0.0, spread.prompt_variance - spread.item_variance)
    if not 0 < item.value < 1 or variance < 1e-15:
        return item._replace(method=f"{item.method}, {NO_VARIATION}")
    low, high = logit_bounds(item.value, variance, t_quantile(1 / float(share @ share) - 1, level))
    if n_groups >= 10:
        return item._replace(low=low, high=high, method="logit-t over groups")
    method = f"logit-t over groups, {FEW_GROUPS}"
    return item._replace(low=min(low, item.low), high=max(high, item.high), method=method)


def proportion_interval(
    hits: np.ndarray,
    clusters: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    level: float = 0.95,
) -> Interval:
    """Share of hits with a Wilson interval; with prompts, Wilson at n / design effect and t for z.

    hits : (n,) bool; clusters : (n,) prompt of each answer; groups : (n,) donor of each item, see ``over_groups``.
    Raises ValueError without items. ``n_pos`` is 0: a proportion has no classes.
    """
    hits = np.asarray(hits, dtype=bool)
    n = len(hits)
    if n == 0:
        raise ValueError("a proportion of no items has no interval")
    value = float(hits.mean())
    influence, truth = (hits - value) / n, np.ones(n, dtype=bool)
    spread = spread_over_prompts(influence, truth, clusters)
    n_effective = n / spread.design_effect
    low, high = wilson(value * n_effective, n_effective, spread.critical(level))
    method = "Wilson, clustered by prompt" if spread.n_prompts else "Wilson"
    item = Interval(value, min(low, value), max(high, value), method, n, 0)
    return over_groups(item, influence, truth, groups, spread, level)


def newcombe_mean(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float]:
    """Bounds of (a + b)/2 from (a, low, high) and (b, low, high): v − ½√((a − lₐ)² + (b − l_b)²), and likewise up.

    Newcombe 1998 (Stat Med 17:873, method 10) for a sum in place of a difference; MOVER [Zou & Donner 2008].
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second
    value = (a + b) / 2
    return value - math.hypot(a - a_low, b - b_low) / 2, value + math.hypot(a_high - a, b_high - b) / 2


def balanced_accuracy_interval(
    truth: np.ndarray,
    said: np.ndarray,
    clusters: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    level: float = 0.95,
) -> Interval:
    """(TPR + TNR)/2 with Newcombe's interval from two Wilson intervals; prompts as in ``proportion_interval``.

    truth, said : (n,) bool; clusters, groups : (n,) or None. Raises ValueError where a class is empty.
    """
    truth, said = np.asarray(truth, dtype=bool), np.asarray(said, dtype=bool)
    pos, neg = int(truth.sum()), int((~truth).sum())
    if not pos or not neg:
        raise ValueError(f"balanced accuracy needs both classes, got {pos} positives and {neg} negatives")
    tpr, tnr = float(said[truth].mean()), float((~said[~truth]).mean())
    influence = np.where(truth, (said - tpr) / pos, (~said - tnr) / neg) / 2
    spread = spread_over_prompts(influence, truth, clusters)
    critical, deff = spread.critical(level), spread.design_effect
    sides = [(p, *wilson(p * n / deff, n / deff, critical)) for p, n in ((tpr, pos), (tnr, neg))]
    low, high = newcombe_mean(*sides)
    method = "Newcombe, clustered by prompt" if spread.n_prompts else "Newcombe"
    value = (tpr + tnr) / 2
    item = Interval(value, max(0.0, min(low, value)), min(1.0, max(high, value)), method, pos + neg, pos)
    return over_groups(item, influence, truth, groups, spread, level)


def midranks(values: np.ndarray) -> np.ndarray:
    """(n,) -> (n,) ranks from 1, ties sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def spearman_interval(x: np.ndarray, y: np.ndarray, level: float = 0.95) -> Interval:
    """Spearman's ρ with tanh(arctanh ρ ± z·√((1 + ρ²/2)/(n − 3))) [Bonett & Wright 2000, Psychometrika 65:23].

    |ρ| = 1 enters arctanh as 1 − 6/(n(n² − 1)), half way to the next value that n ranks can reach.
    x, y : (n,) finite, n >= 4 and neither constant, else ValueError: there is no correlation to report.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n = len(x)
    if x.shape != y.shape or n < 4:
        raise ValueError(f"Spearman needs two columns of one length >= 4, got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("Spearman of values that are not finite")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("Spearman of a constant column is not defined")
    rho = float(np.clip(np.corrcoef(midranks(x), midranks(y))[0, 1], -1, 1))
    edge = 1 - 6 / (n * (n**2 - 1))
    center = math.atanh(min(edge, max(-edge, rho)))
    half = normal_quantile(level) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return Interval(
        rho,
        min(rho, math.tanh(center - half)),
        max(rho, math.tanh(center + half)),
        f"Fisher z, Bonett-Wright, {ITEMS_ONLY}",
        n,
        0,
    )


def mean_interval(values: np.ndarray, level: float = 0.95) -> Interval:
    """Mean of independent values (latents, redundancy families) ± t·sd/√n; NaN, the unscored, are left out.

    values : (n,). One value has a mean and no bounds (NaN); none is a ValueError.
    """
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    n = len(values)
    if n == 0:
        raise ValueError("the mean of no values has no interval")
    value = float(values.mean())
    if n == 1:
        return Interval(value, math.nan, math.nan, "none: one value", 1, 0)
    half = t_quantile(n - 1, level) * float(values.std(ddof=1)) / math.sqrt(n)
    return Interval(value, value - half, value + half, "t", n, 0)
