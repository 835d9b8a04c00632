"""Which genes tell cells apart? Pearson residual variance on explain cells (protocols, section 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from autointerp.corpus.expression import Expression

THETA = 100.0  # overdispersion of the null model [Lause, Berens & Kobak 2021]
MIN_RESIDUAL_VARIANCE = 1.2
MIN_SHARE, MIN_CELLS = 0.02, 10
MAX_CELLS = 50_000  # gene statistics are estimated on at most so many explain cells, drawn with the seed
DENSE_BLOCK = 512

UNINFORMATIVE = re.compile(
    r"^(RP[SL]\d+[A-Z]?\d*(-?[XYL]\d*)?|RPLP\d|RPSA|MT-.+|MTRNR.*|MALAT1|NEAT1|ACTB|ACTG1|GAPDH|B2M|EEF1[ABDG]\d?|EEF2"
    r"|TPT1|UBA52|FAU|NACA|BTF3|TMSB4X|TMSB10|PTMA|HNRNPA1|RACK1|GNB2L1|H3F3B|H3-3B)$",
    re.IGNORECASE,
)
MITOCHONDRIAL = re.compile(r"^MT-", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class GeneStatistics:
    """Per gene, all (g,), estimated on explain cells.

    mean, sd : of log-normalized expression
    share : of all counts (the null model's rate)
    expressed : fraction of cells with expression > 0
    residual_variance : variance of Pearson residuals (counts), or variance over its trend (log values)
    variable : (bool) expressed in max(2 %, 10 cells), residual variance > 1.2
    informative : (bool) variable, and not in the housekeeping-like list that cards leave out
    eligible : (bool) expressed in 10 cells
    """

    mean: np.ndarray
    sd: np.ndarray
    share: np.ndarray
    expressed: np.ndarray
    residual_variance: np.ndarray
    variable: np.ndarray
    informative: np.ndarray
    eligible: np.ndarray
    n: int


def gene_statistics(expression: Expression, names: np.ndarray, rows: np.ndarray) -> GeneStatistics:
    """Estimate on ``rows`` (explain cells; a seeded 50,000 of them where there are more)."""
    if len(rows) > MAX_CELLS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MAX_CELLS, replace=False))
    n, g = len(rows), expression.shape[1]
    total, squares, positive = np.zeros(g), np.zeros(g), np.zeros(g)
    for _, block in expression.blocks(rows):
        total += np.asarray(block.sum(0)).ravel()
        squares += np.asarray(block.multiply(block).sum(0)).ravel()
        positive += np.bincount(block.indices[block.data > 0], minlength=g)
    mean = total / n
    sd = np.sqrt(np.maximum(squares / n - mean**2, 0))
    expressed = positive / n
    if expression.kind == "counts":
        share, residual_variance = _pearson_residual_variance(expression, rows)
    else:
        share, residual_variance = mean / max(mean.sum(), 1e-12), _variance_over_trend(mean, sd**2, expressed)
    housekeeping = np.array([bool(UNINFORMATIVE.match(name)) for name in names])
    seen = positive >= max(MIN_SHARE * n, MIN_CELLS)
    variable = (residual_variance > MIN_RESIDUAL_VARIANCE) & seen
    return GeneStatistics(
        mean=mean,
        sd=sd,
        share=share,
        expressed=expressed,
        residual_variance=residual_variance,
        variable=variable,
        informative=variable & ~housekeeping,
        eligible=positive >= MIN_CELLS,
        n=n,
    )


def _pearson_residual_variance(expression: Expression, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """r = (x − μ)/√(μ + μ²/θ), μ = depth × share; dense blocks of 512 cells, never the whole matrix."""
    g = expression.shape[1]
    depth = expression.depth[rows]
    counts = np.zeros(g)
    for start in range(0, len(rows), DENSE_BLOCK):
        counts += np.asarray(expression.raw(rows[start : start + DENSE_BLOCK]).sum(0)).ravel()
    share = counts / max(counts.sum(), 1e-12)
    total, squares = np.zeros(g), np.zeros(g)
    for start in range(0, len(rows), DENSE_BLOCK):
        mu = np.outer(depth[start : start + DENSE_BLOCK], share).astype(np.float32)  # (b, g)
        residual = expression.raw(rows[start : start + DENSE_BLOCK]).toarray()
        residual -= mu
        residual /= np.sqrt(mu + mu**2 / THETA) + 1e-12
        total += residual.sum(0, dtype=np.float64)
        squares += np.einsum("bg,bg->g", residual, residual, dtype=np.float64)
    return share, np.maximum(squares / len(rows) - (total / len(rows)) ** 2, 0)


def _variance_over_trend(mean: np.ndarray, variance: np.ndarray, expressed: np.ndarray) -> np.ndarray:
    """Variance over its trend in the mean: the median variance of genes with a similar mean (20 bins)."""
    ratio = np.zeros_like(variance)
    seen = np.flatnonzero((expressed > 0) & (variance > 0))
    if len(seen) == 0:
        return ratio
    bins = np.array_split(seen[np.argsort(mean[seen], kind="stable")], max(1, min(20, len(seen) // 10)))
    for members in bins:
        ratio[members] = variance[members] / np.median(variance[members])
    return ratio


def residuals(counts: np.ndarray, depth: float, share: np.ndarray) -> np.ndarray:
    """Pearson residuals of one cell's expressed genes: counts and share (e,), depth in counts."""
    mu = depth * share
    return (counts - mu) / (np.sqrt(mu + mu**2 / THETA) + 1e-12)
