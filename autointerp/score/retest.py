"""How much of a score is noise of the judge? The same items judged again: within-latent sd and ICC."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Agreement(NamedTuple):
    """An intraclass correlation with its 95 % interval."""

    value: float
    low: float
    high: float


class Retest(NamedTuple):
    """Result of ``retest``; sds are in the units of the score."""

    within_sd: float  # of one judging: √(mean square within latents)
    within_low: float
    within_high: float
    between_sd: float  # of the latents' true scores: √max(0, (MSB − MSW)/k)
    repeatability: float  # 1.96·√2·within_sd: two judgings of one label differ by less in 95 %
    icc_1_1: Agreement  # exchangeable replicates: the same judge asked again
    icc_2_1: Agreement  # the columns are different judges, drawn from many
    n_latents: int  # with all replicates
    n_replicates: int
    n_dropped: int  # latents with a replicate missing


def retest(scores: np.ndarray, level: float = 0.95) -> Retest:
    """Test–retest of a score over replicates of the same questions (another replicate index, the same items).

    Mean squares of the n × k table: between latents MSB, within latents MSW, between columns MSC, residual MSE.
    ICC(1,1) = (MSB − MSW)/(MSB + (k − 1)MSW); ICC(2,1) = (MSB − MSE)/(MSB + (k − 1)MSE + k(MSC − MSE)/n), with the
    intervals of Shrout & Fleiss 1979 (Psychol Bull 86:420) from F, and for ICC(2,1) their Satterthwaite
    approximation. The interval of within_sd is χ² on n(k − 1) degrees of freedom.

    An ICC is a share of this set of latents' spread: the same judge has a low one where all labels are alike. Compare
    judges by ``within_sd``.

    scores : (n, k) float, a row a latent, a column a replicate; rows with NaN are dropped and counted

    Raises
    ------
    ValueError
        with fewer than two complete latents or two replicates
    """
    from scipy.stats import chi2

    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2:
        raise ValueError(f"scores are latents × replicates, got shape {scores.shape}")
    whole = ~np.isnan(scores).any(1)
    dropped = int((~whole).sum())
    scores = scores[whole]
    n, k = scores.shape
    if n < 2 or k < 2:
        raise ValueError(f"test–retest needs two latents and two replicates, got {n} complete ones × {k}")
    center = scores.mean()
    rows, columns = scores.mean(1), scores.mean(0)
    between = k * float(((rows - center) ** 2).sum()) / (n - 1)
    inside = float(((scores - rows[:, None]) ** 2).sum())
    within = inside / (n * (k - 1))
    of_columns = n * float(((columns - center) ** 2).sum())
    residual = max(0.0, inside - of_columns) / ((n - 1) * (k - 1))
    rounding = 1e-24 * float((scores**2).mean())
    between, within, of_columns, residual = (
        0.0 if square < rounding else square for square in (between, within, of_columns, residual)
    )
    df, tail = n * (k - 1), (1 - level) / 2
    sd = math.sqrt(within)
    return Retest(
        sd,
        sd * math.sqrt(df / chi2.ppf(1 - tail, df)),
        sd * math.sqrt(df / chi2.ppf(tail, df)),
        math.sqrt(max(0.0, (between - within) / k)),
        1.959963984540054 * math.sqrt(2) * sd,
        _one_way(between, within, n, k, tail),
        _two_way(between, of_columns / (k - 1), residual, n, k, tail),
        n,
        k,
        dropped,
    )


def _one_way(between: float, within: float, n: int, k: int, tail: float) -> Agreement:
    from scipy.stats import f

    if within == 0:
        return _without_noise(between)
    ratio = between / within
    low = ratio / f.ppf(1 - tail, n - 1, n * (k - 1))
    high = ratio * f.ppf(1 - tail, n * (k - 1), n - 1)
    return Agreement(*((r - 1) / (r + k - 1) for r in (ratio, low, high)))


def _two_way(between: float, columns: float, residual: float, n: int, k: int, tail: float) -> Agreement:
    from scipy.stats import f

    if residual == 0 and columns == 0:
        return _without_noise(between)
    icc = (between - residual) / (between + (k - 1) * residual + k * (columns - residual) / n)
    if residual == 0:
        return Agreement(icc, math.nan, math.nan)
    ratio = columns / residual
    numerator = (k - 1) * (n - 1) * (k * icc * ratio + n * (1 + (k - 1) * icc) - k * icc) ** 2
    denominator = (n - 1) * k**2 * icc**2 * ratio**2 + (n * (1 + (k - 1) * icc) - k * icc) ** 2
    df = numerator / denominator
    upper, lower = f.ppf(1 - tail, n - 1, df), f.ppf(1 - tail, df, n - 1)
    rest = k * columns + (k * n - k - n) * residual
    low = n * (between - upper * residual) / (upper * rest + n * between)
    high = n * (lower * between - residual) / (rest + n * lower * between)
    return Agreement(icc, low, high)


def _without_noise(between: float) -> Agreement:
    return Agreement(1.0, 1.0, 1.0) if between > 0 else Agreement(math.nan, math.nan, math.nan)
