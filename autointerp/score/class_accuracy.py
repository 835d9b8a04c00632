"""How often is each of several classes answered right, and how sure are we of the mean? Balanced accuracy and interval.

A plain share of right answers would reward who always says the commonest class.
"""

from __future__ import annotations

import math

import numpy as np

from autointerp.score.intervals import Interval, over_groups, spread_over_prompts, wilson


def class_accuracy_interval(
    truth: np.ndarray,
    said: np.ndarray,
    clusters: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    level: float = 0.95,
) -> Interval:
    """Mean over the C classes that occur in ``truth`` of the share a_c answered right; chance is 1/C.

    Bounds are v ± √Σ(a_c − bound_c)²/C from Wilson's of each class, as Newcombe's of two [MOVER, Zou & Donner 2008];
    clusters widen them by the design effect of the influence (hit − a_c)/(C·n_c), groups as in ``over_groups``.

    Parameters
    ----------
    truth, said : (n,) of one type, n >= 1
    clusters : (n,) prompt of each answer, groups : (n,) donor of each item, or None

    Raises
    ------
    ValueError
        without answers
    """
    truth, hits = np.asarray(truth), np.asarray(said) == np.asarray(truth)
    n = len(truth)
    if n == 0:
        raise ValueError("an accuracy of no answers has no interval")
    classes, codes, sizes = np.unique(truth, return_inverse=True, return_counts=True)
    shares = np.bincount(codes, hits) / sizes  # (C,)
    value = float(shares.mean())
    influence = (hits - shares[codes]) / (len(classes) * sizes[codes])
    every = np.ones(n, dtype=bool)
    spread = spread_over_prompts(influence, every, clusters)
    critical, deff = spread.critical(level), spread.design_effect
    sides = [(p, *wilson(p * m / deff, m / deff, critical)) for p, m in zip(shares, sizes, strict=True)]
    low = value - math.hypot(*(p - a for p, a, _ in sides)) / len(classes)
    high = value + math.hypot(*(b - p for p, _, b in sides)) / len(classes)
    method = f"Newcombe over {len(classes)} classes" + (", clustered by prompt" if spread.n_prompts else "")
    item = Interval(value, max(0.0, low), min(1.0, high), method, n, 0)
    return over_groups(item, influence, every, groups, spread, level)
