"""Is a feature's shift there in donor after donor? Moderated t over groups, the only p-values of a contrast.

Items of one donor are no independent samples, so no p-value is over items (pseudoreplication; Squair et al. 2021).
Here a group is one observation: d = mean over its active items − mean over its silent ones, for groups with 5 or more
of both; with fewer than 4 such groups nothing is tested. t = mean(d) / (s̃ √(1/G)), s̃² = (d₀ s₀² + (G − 1) s²) /
(d₀ + G − 1), where d₀ and s₀² are estimated over all tested features of the latent, and t has d₀ + G − 1 degrees of
freedom [Smyth 2004]. False discovery rates are Benjamini and Hochberg's over all latents × features that are tested.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse, special, stats

from autointerp.corpus.base import Corpus

LEAST_GROUPS = 4
LEAST_ITEMS = 5  # on either side of a group
BLOCK_VALUES = 2_000_000  # groups × latents × features held dense at a time
CELLS_PER_DECADE, DECADES = 100, 60  # p-values are counted on a log scale, rounded up


class Moderated(NamedTuple):
    """t and p (…, g) of ``g`` features, with the prior's variance and degrees of freedom (inf: no feature differs)."""

    t: np.ndarray
    p: np.ndarray
    prior_variance: float
    prior_df: float


def moderated_t(differences: np.ndarray) -> Moderated:
    """One-sample moderated t of differences (G, g), G ≥ 2 groups; features that do not vary at all have p = 1."""
    n = len(differences)
    mean, variance = differences.mean(0), differences.var(0, ddof=1)
    varies = variance > 1e-12
    if not varies.any():
        return Moderated(np.zeros_like(mean), np.ones_like(mean), 0.0, np.inf)
    s0, d0 = fit_prior(variance[varies], n - 1)
    if np.isinf(d0):
        shrunken, freedom = np.full_like(variance, s0), np.inf
    else:
        shrunken, freedom = (d0 * s0 + (n - 1) * variance) / (d0 + n - 1), d0 + n - 1
    t = np.where(varies, mean / np.sqrt(shrunken / n), 0.0)
    p = 2 * (stats.norm.sf(np.abs(t)) if np.isinf(freedom) else stats.t.sf(np.abs(t), freedom))
    return Moderated(t, np.where(varies, p, 1.0), s0, d0)


def fit_prior(variance: np.ndarray, df: int) -> tuple[float, float]:
    """s₀² and d₀ of a scaled inverse χ² prior from (g,) sample variances > 0 of ``df`` degrees of freedom.

    By the moments of log variances: E = log s₀² + ψ(df/2) − ψ(d₀/2) + log(d₀/df), Var = ψ′(df/2) + ψ′(d₀/2) [Smyth
    2004, section 6.2]. d₀ = inf where they vary no more than by sampling.
    """
    logs = np.log(variance)
    centered = logs - special.digamma(df / 2) + np.log(df / 2)
    spread = (logs.var(ddof=1) if len(logs) > 1 else 0.0) - special.polygamma(1, df / 2)
    if spread <= 0:
        return float(np.exp(centered.mean())), np.inf
    d0 = 2 * _trigamma_inverse(float(spread))
    return float(np.exp(centered.mean() + special.digamma(d0 / 2) - np.log(d0 / 2))), d0


def _trigamma_inverse(y: float) -> float:
    """x with ψ′(x) = y, by Newton's steps on 1/ψ′, which is convex [Smyth 2004, appendix]."""
    if y > 1e7:
        return float(1 / np.sqrt(y))
    if y < 1e-6:
        return 1 / y
    x = 0.5 + 1 / y
    for _ in range(50):
        value = float(special.polygamma(1, x))
        step = value * (1 - value / y) / float(special.polygamma(2, x))
        x += step
        if -step / x < 1e-8:
            break
    return x


def group_fdr(
    corpus: Corpus,
    rows: np.ndarray,
    active: sparse.csr_matrix,
    groups: np.ndarray,
    columns: np.ndarray,
) -> np.ndarray:
    """False discovery rates of some features of each latent, out of all latents × eligible features.

    Parameters
    ----------
    rows : (n,) explain rows; groups : (n,) str, items of '' belong to none
    active : (n, m) CSR of ones
    columns : (m, t) features asked for, −1 for none

    Returns
    -------
    (m, t) float64, NaN for no feature, one that is not eligible, and latents with fewer than 4 groups
    """
    names, codes = np.unique(groups, return_inverse=True)
    kept_groups = [c for c, name in enumerate(names) if name]
    fdr = np.full(columns.shape, np.nan)
    eligible = np.flatnonzero(corpus.eligible)
    place = np.full(len(corpus.eligible), -1)
    place[eligible] = np.arange(len(eligible))
    if len(kept_groups) < LEAST_GROUPS or len(eligible) == 0:
        return fdr
    values = sparse.vstack([block for _, block in corpus.blocks(rows)], format="csr")[:, eligible].tocsr()
    parts = [np.flatnonzero(codes == c) for c in kept_groups]
    by_group = [values[part] for part in parts]
    totals = [np.asarray(part.sum(0), dtype=np.float64).ravel() for part in by_group]
    of_group = [active[part].T.tocsr() for part in parts]  # (m, n_g)
    n_active = np.stack([np.diff(part.indptr) for part in of_group])  # (G, m)
    n_silent = np.array([len(part) for part in parts])[:, None] - n_active
    usable = (n_active >= LEAST_ITEMS) & (n_silent >= LEAST_ITEMS)
    tested = np.flatnonzero(usable.sum(0) >= LEAST_GROUPS)
    counts = np.zeros(CELLS_PER_DECADE * DECADES + 1, dtype=np.int64)
    own = np.full(columns.shape, -1)  # cell of each feature that is asked for
    block = max(1, BLOCK_VALUES // (len(parts) * len(eligible)))
    for start in range(0, len(tested), block):
        some = tested[start : start + block]
        sums = [(of_group[c][some] @ by_group[c]).toarray() for c in range(len(parts))]  # G × (b, g')
        for i, latent in enumerate(some):
            used = np.flatnonzero(usable[:, latent])
            inside = np.stack([sums[c][i] for c in used]).astype(np.float64)
            outside = np.stack([totals[c] for c in used]) - inside
            a, s = n_active[used, latent][:, None], n_silent[used, latent][:, None]
            cells = _cell(moderated_t(inside / a - outside / s).p)
            counts += np.bincount(cells, minlength=len(counts))
            asked = columns[latent]
            known = (asked >= 0) & (place[asked] >= 0)
            own[latent, known] = cells[place[asked[known]]]
    rates = _rates(counts)
    fdr[own >= 0] = rates[own[own >= 0]]
    return fdr


def _cell(p: np.ndarray) -> np.ndarray:
    """Falling with p; p is at most 10^(−cell/100)."""
    depth = -np.log10(np.maximum(p, 10.0**-DECADES)) * CELLS_PER_DECADE
    return np.floor(depth + 1e-9).astype(np.int64)


def _rates(counts: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's rate of each cell, every p-value in it taken for the cell's greatest."""
    greatest = 10.0 ** (-np.arange(len(counts)) / CELLS_PER_DECADE)
    rank = counts[::-1].cumsum()[::-1]  # tests with a p-value of this cell or a smaller one
    raw = greatest * counts.sum() / np.maximum(rank, 1)
    return np.minimum(np.minimum.accumulate(raw), 1)  # the least of this and all cells of greater p
