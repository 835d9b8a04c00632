"""Does a judge's 70 % come true 70 % of the time? Reliability table, expected calibration error, Brier score."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .intervals import proportion_interval


class Bin(NamedTuple):
    """The answers in (low, high], the first bin with its lower edge."""

    low: float
    high: float
    n: int
    stated: float  # mean stated probability
    observed: float  # share of positives among them
    ci_low: float  # of the share, Wilson 95 %
    ci_high: float


class Brier(NamedTuple):
    """score = reliability − resolution + uncertainty + within, exactly. Lower is better; [0, 1]."""

    score: float  # mean of (p − y)²
    reliability: float  # Σ n_b/n·(stated_b − observed_b)²: 0 where every bin keeps its word
    resolution: float  # Σ n_b/n·(observed_b − ȳ)²: how far the bins tell positives apart
    uncertainty: float  # ȳ(1 − ȳ): the score of stating ȳ for all
    within: float  # what binning hides; 0 where each bin holds one stated value
    n: int


def reliability_table(
    stated: np.ndarray,
    truth: np.ndarray,
    bins: int = 10,
    equal_counts: bool = False,
    clusters: np.ndarray | None = None,
) -> list[Bin]:
    """Stated probability against what came true, over bins of equal width, or of about equal count.

    Parameters
    ----------
    stated : (n,) float in [0, 1]
        P(active) as calibrated on develop; answers in percent are divided by 100 before
    truth : (n,) bool
    bins : greatest number of bins; empty ones are left out. Equal answers are never cut apart
    clusters : (n,) prompt of each answer, or None; see ``intervals.proportion_interval``

    Raises
    ------
    ValueError
        for no items, columns of unequal length, or a stated value outside [0, 1]
    """
    stated, truth = _checked(stated, truth)
    edges, code = _binned(stated, bins, equal_counts)
    table = []
    for b in np.unique(code):
        inside = code == b
        share = proportion_interval(truth[inside], None if clusters is None else np.asarray(clusters)[inside])
        mean = float(stated[inside].mean())
        low, high = float(edges[b]), float(edges[b + 1])
        table.append(Bin(low, high, int(inside.sum()), mean, share.value, share.low, share.high))
    return table


def expected_calibration_error(table: list[Bin]) -> float:
    """ECE = Σ n_b/n·|stated_b − observed_b| [Naeini et al. 2015; Guo et al. 2017], in [0, 1].

    It depends on the bins and is above 0 for a perfect judge too: by about Σ √(n_b·q_b(1 − q_b))/n·0.8. NaN without
    bins.
    """
    n = sum(b.n for b in table)
    return sum(b.n * abs(b.stated - b.observed) for b in table) / n if n else math.nan


def brier(stated: np.ndarray, truth: np.ndarray, bins: int = 10, equal_counts: bool = False) -> Brier:
    """Brier score and Murphy's (1973) parts over the bins of ``reliability_table``, with the remainder within bins
    [Stephenson, Coelho & Jolliffe 2008]. Parameters and errors as there."""
    stated, truth = _checked(stated, truth)
    code = np.unique(_binned(stated, bins, equal_counts)[1], return_inverse=True)[1]
    size = np.bincount(code)
    share = size / len(stated)
    mean, observed = np.bincount(code, stated) / size, np.bincount(code, truth) / size
    rate = float(truth.mean())
    score = float(np.mean((stated - truth) ** 2))
    reliability = float(share @ (mean - observed) ** 2)
    resolution = float(share @ (observed - rate) ** 2)
    uncertainty = rate * (1 - rate)
    within = score - (reliability - resolution + uncertainty)
    return Brier(score, reliability, resolution, uncertainty, within, len(stated))


def _checked(stated: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    stated, truth = np.asarray(stated, dtype=float), np.asarray(truth, dtype=bool)
    if stated.shape != truth.shape or stated.ndim != 1 or not len(stated):
        raise ValueError(
            f"one stated probability and one truth per item, got {stated.shape} and {truth.shape}"
        )
    if not ((stated >= 0) & (stated <= 1)).all():
        raise ValueError("stated probabilities lie between 0 and 1; percent are divided by 100 before")
    return stated, truth


def _binned(stated: np.ndarray, bins: int, equal_counts: bool) -> tuple[np.ndarray, np.ndarray]:
    """Edges (b + 1,) and the bin of each answer (n,)."""
    if bins < 1:
        raise ValueError(f"at least one bin is needed, got {bins}")
    edges = np.linspace(0, 1, bins + 1)
    if equal_counts:
        inner = np.quantile(stated, edges[1:-1], method="inverted_cdf")
        edges = np.concatenate([[0.0], np.unique(inner[(inner > 0) & (inner < 1)]), [1.0]])
    return edges, np.searchsorted(edges[1:-1], stated, side="left")
