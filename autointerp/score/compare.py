"""Are these labels better than those, over latents? One paired test, one unpaired, both on family means.

Two bases (protocols, section 4). ``scored``: latents with both values. ``all``: a latent whose value is missing for a
reason that counts as chance (abstained, failed, not explainable) enters with chance on that side.

Paired, for label controls on the same latents and items: Wilcoxon's signed-rank test. Unpaired, for dictionaries
matched on firing rate: Welch's t test and not Mann–Whitney's. The tables compare means, two dictionaries' scores differ
in spread, and unequal spreads with unequal numbers make Mann–Whitney reject equal means far too often, where Welch
holds its level (``eval/bench/sizes_of_tests.py``); its interval is that of the difference beside it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from .families import family_means
from .intervals import Interval, t_quantile
from .power import paired_mdd, welch_error, welch_mdd
from .statistics import benjamini_hochberg, paired_wilcoxon

Basis = Literal["scored", "all"]


@dataclass(frozen=True, eq=False)
class LatentScores:
    """One number a latent, of one label set or one control. NaN where there is none, and then ``reasons`` says why.

    latents : (n,) int, distinct; values : (n,) float; reasons : (n,) str, '' where there is a value
    as_chance : (n,) bool, what counts as chance in ``all`` where the value is missing; else the latent is left out
    weights : (n,) float > 0, how many latents each stands for in ``all`` where latents were sampled; None: one each
    """

    latents: np.ndarray
    values: np.ndarray
    reasons: np.ndarray
    as_chance: np.ndarray
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        if len({len(self.latents), len(self.values), len(self.reasons), len(self.as_chance)}) != 1:
            raise ValueError("columns of unequal length")
        if len(np.unique(self.latents)) != len(self.latents):
            raise ValueError("a latent stands twice in one set of scores")
        if not np.array_equal(np.isnan(self.values), self.reasons != ""):
            raise ValueError("a latent has a value or a reason, exactly one of them")


class Comparison(NamedTuple):
    """First minus second, over redundancy families. NaN where a number cannot be given."""

    basis: Basis
    test: str  # 'Wilcoxon signed-rank' or 'Welch t'
    mean: float  # of the first, over families
    control: float  # of the second
    difference: float  # mean − control
    ci_low: float  # 95 %
    ci_high: float
    ci_method: str
    p: float  # two-sided
    n: int  # latents in the test; unpaired: of the first
    n_control: int  # of the second; paired: the same
    n_families: int  # unpaired: of both together
    mdd: float  # found with power 0.8 at this n and spread, uncorrected
    dropped: dict[str, int]  # why latents are not in the test, and how many


class Share(NamedTuple):
    """A ratio of two means with its 95 % interval; NaN bounds where the denominator may be 0."""

    value: float
    low: float
    high: float


def mean_over(
    scores: LatentScores, families: np.ndarray | None = None, basis: Basis = "scored", chance: float = 0.5
) -> Interval:
    """Mean over latents with a 95 % interval by t over families as clusters.

    ȳ = Σ w·y/Σ w; se² = F/(F − 1)·Σ_f (Σ_{i in f} w_i·(y_i − ȳ))²/(Σ w)², t on F − 1 degrees of freedom; weights in
    ``all`` alone. NaN bounds with fewer than two families, NaN altogether without a value.
    """
    values = _on_basis(scores, basis, chance)
    kept = ~np.isnan(values)
    weights = np.ones(len(values)) if scores.weights is None or basis == "scored" else scores.weights
    y, w = values[kept], weights[kept]
    if not len(y):
        return Interval(math.nan, math.nan, math.nan, "none: no latents", 0, 0)
    mean = float(np.average(y, weights=w))
    of = scores.latents[kept] if families is None else families[scores.latents[kept]]
    _, code = np.unique(of, return_inverse=True)
    residuals = np.bincount(code, w * (y - mean))  # (F,)
    n = len(residuals)
    if n < 2:
        return Interval(mean, math.nan, math.nan, "none: one family", len(y), 0)
    half = t_quantile(n - 1, 0.95) * math.sqrt(n / (n - 1) * float(residuals @ residuals)) / float(w.sum())
    return Interval(mean, mean - half, mean + half, "t over families", len(y), 0)


def paired(
    first: LatentScores,
    second: LatentScores,
    families: np.ndarray | None = None,
    basis: Basis = "scored",
    chance: float = 0.5,
) -> Comparison:
    """Compare two sets of scores on the same latents and items.

    With d_f the mean difference of family f: difference = Σ w_f·d_f/Σ w_f with a t interval on (families − 1) degrees
    of freedom, se² = F/(F − 1)·Σ w_f²(d_f − d̄)²/(Σ w_f)², w = 1 where nothing was sampled; Wilcoxon on the d_f,
    zeros kept [Pratt 1959]; ``paired_mdd`` at their sd.

    families : (m,) family of each latent number, ``families.redundancy_families``; None: every latent is its own
    """
    a, b, latents, weights, dropped = _joined(first, second, basis, chance)
    if not len(a):
        return _nothing(basis, "Wilcoxon signed-rank", dropped)
    of = latents if families is None else families[latents]
    d, w = family_means(a - b, of, weights)
    mean, control = (float(np.average(family_means(x, of, weights)[0], weights=w)) for x in (a, b))
    difference, n_families = float(np.average(d, weights=w)), len(d)
    low = high = sd = math.nan
    if n_families > 1:
        variance = n_families / (n_families - 1) * float((w**2) @ (d - difference) ** 2) / w.sum() ** 2
        half, sd = t_quantile(n_families - 1, 0.95) * math.sqrt(variance), float(d.std(ddof=1))
        low, high = difference - half, difference + half
    p = paired_wilcoxon(d, np.zeros(n_families)).p
    method = "t over families" if n_families > 1 else "none: one family"
    return Comparison(basis, "Wilcoxon signed-rank", mean, control, difference, low, high, method, p, len(a), len(a),
                      n_families, paired_mdd(sd, n_families), dropped)  # fmt: skip


def unpaired(
    first: LatentScores,
    second: LatentScores,
    first_families: np.ndarray | None = None,
    second_families: np.ndarray | None = None,
    basis: Basis = "scored",
    chance: float = 0.5,
) -> Comparison:
    """Compare scores of different latents, as of two dictionaries after ``match_firing_rates``; weights are not used.

    Welch's t test and interval on family means, each side with its own families (see ``paired``); ``welch_mdd``.
    """
    sides, sizes, dropped = [], [], Counter[str]()
    for scores, families in ((first, first_families), (second, second_families)):
        values = _on_basis(scores, basis, chance)
        kept = ~np.isnan(values)
        dropped.update(scores.reasons[~kept].tolist())
        latents = scores.latents[kept]
        sides.append(family_means(values[kept], latents if families is None else families[latents])[0])
        sizes.append(int(kept.sum()))
    a, b = sides
    if not len(a) or not len(b):
        return _nothing(basis, "Welch t", dict(dropped))
    difference = float(a.mean() - b.mean())
    low = high = p = mdd = math.nan
    if min(len(a), len(b)) > 1:
        from scipy.stats import t

        spread = (float(a.std(ddof=1)), len(a), float(b.std(ddof=1)), len(b))
        se, df = welch_error(*spread)
        low, high = difference - t_quantile(df, 0.95) * se, difference + t_quantile(df, 0.95) * se
        p = float(2 * t.sf(abs(difference) / se, df)) if se > 0 else float(difference == 0)
        mdd = welch_mdd(*spread)
    method = "Welch t over families" if not math.isnan(p) else "none: one family"
    return Comparison(basis, "Welch t", float(a.mean()), float(b.mean()), difference, low, high, method, p,
                      sizes[0], sizes[1], len(a) + len(b), mdd, dict(dropped))  # fmt: skip


def with_q(comparisons: list[Comparison]) -> np.ndarray:
    """(c,) Benjamini–Hochberg q-values of one table: of its tests on the same basis, which are not tests of their own.

    NaN where there is no p.
    """
    q = np.full(len(comparisons), np.nan)
    for basis in ("scored", "all"):
        rows = np.array([c.basis == basis for c in comparisons], dtype=bool)
        q[rows] = benjamini_hochberg(np.array([c.p for c in comparisons])[rows])
    return q


def over_chance(control: LatentScores, chance: float = 0.5) -> LatentScores:
    """max(chance, control) latent by latent: what a margin is taken over (protocols, section 6).

    A control that scatters about chance is above it on average after this: the margin is a little too small, never
    too large.
    """
    values = np.where(np.isnan(control.values), np.nan, np.maximum(chance, control.values))
    return LatentScores(control.latents, values, control.reasons, control.as_chance, control.weights)


def share_of_margin(
    first: LatentScores,
    ceiling: LatentScores,
    families: np.ndarray | None = None,
    basis: Basis = "scored",
    chance: float = 0.5,
) -> Share:
    """Σ(score − chance)/Σ(ceiling − chance) over families, with Fieller's interval (1954) on t.

    A ratio of means: it is defined where single ceilings are at chance. The bounds are the ρ with
    (ȳ − ρx̄)² = t²·Var(ȳ − ρx̄), and are NaN where x̄, the ceiling's mean margin, is not clear of 0. Weights as in
    ``paired``. NaN altogether without two families or with a ceiling at or under chance.
    """
    a, b, latents, weights, _ = _joined(first, ceiling, basis, chance)
    of = latents if families is None else families[latents]
    y, w = family_means(a - chance, of, weights)
    x, _ = family_means(b - chance, of, weights)
    n = len(y)
    if n < 2 or np.average(x, weights=w) <= 0:
        return Share(math.nan, math.nan, math.nan)
    top, bottom = float(np.average(y, weights=w)), float(np.average(x, weights=w))
    u, v = w * (y - top), w * (x - bottom)
    scale = t_quantile(n - 1, 0.95) ** 2 * n / (n - 1) / w.sum() ** 2
    vyy, vxy, vxx = scale * float(u @ u), scale * float(u @ v), scale * float(v @ v)
    square, cross, rest = bottom**2 - vxx, top * bottom - vxy, top**2 - vyy
    if square <= 0:
        return Share(top / bottom, math.nan, math.nan)
    root = math.sqrt(max(0.0, cross**2 - square * rest))
    return Share(top / bottom, (cross - root) / square, (cross + root) / square)


def _on_basis(scores: LatentScores, basis: Basis, chance: float) -> np.ndarray:
    if basis == "scored":
        return scores.values
    return np.where(np.isnan(scores.values) & scores.as_chance, chance, scores.values)


def _joined(
    first: LatentScores, second: LatentScores, basis: Basis, chance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
    """Both values (n,), latents (n,), weights (n,) of the latents in both, and why the others are not there."""
    latents, i, j = np.intersect1d(first.latents, second.latents, assume_unique=True, return_indices=True)
    a, b = _on_basis(first, basis, chance)[i], _on_basis(second, basis, chance)[j]
    kept = ~(np.isnan(a) | np.isnan(b))
    why = np.where(np.isnan(a), first.reasons[i], second.reasons[j])[~kept]
    dropped = Counter(why.tolist())
    for only, word in ((first, "first"), (second, "second")):
        if missing := len(only.latents) - len(latents):
            dropped[f"only in the {word}"] += missing
    own = np.ones(len(latents)) if first.weights is None else first.weights[i]
    return (
        a[kept],
        b[kept],
        latents[kept],
        own[kept] if basis == "all" else np.ones(kept.sum()),
        dict(dropped),
    )


def _nothing(basis: Basis, test: str, dropped: dict[str, int]) -> Comparison:
    nan = math.nan
    return Comparison(basis, test, nan, nan, nan, nan, nan, "none: no latents", nan, 0, 0, 0, nan, dropped)
