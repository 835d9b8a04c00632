"""How likely is it that a label passes? What its writer stated, samples' agreement and its develop score, calibrated.

A label *passes* where its detection AUROC against ``random`` silent items exceeds 0.75. The probability of that is a
logistic regression on what is known before test, fitted on develop outcomes of labels of *other* redundancy families
(five folds), so that neither a label nor its twins vouch for themselves.

Feature and outcome must not be the same numbers. The develop items of every label are cut in two halves, active and
silent ones apart, by the seed: the AUROC of one half is the feature, whether the other half's exceeds 0.75 the outcome,
and both ways round count half. A label's own log-odds are the mean over its two halves.

An outcome measured on half of the items is noisier than one on all, which draws all probabilities towards a half. With
R the variance of logit AUROC of a half that its features leave, and V the variance of a half's own noise (half the
variance of the difference of two halves), the outcome of twice the items would leave R − V/2: log-odds are multiplied
by κ = √(R/(R − V/2)), at most √2, which is exact where noise is normal on that scale (probit and logit hardly differ).
Test items draw the reliability table (``score.reliability``) and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple
from zlib import crc32

import numpy as np
from scipy.special import expit, logit

from autointerp.schema import Trials
from autointerp.score.auroc import auroc
from autointerp.score.reliability import Bin, brier, expected_calibration_error, reliability_table
from autointerp.score.support import NEGATIVES

PASSES = 0.75
FOLDS, BINS = 5, 5
LEAST_A_SIDE = 4  # active, and silent, items of a half whose AUROC means something
LEAST_LABELS, LEAST_FAMILIES, LEAST_OUTCOMES = 40, 10, 8
EDGE = 0.02  # shares enter the logit as 0.02 … 0.98


class Calibrated(NamedTuple):
    """probability : (n,) that each label passes, NaN where it cannot be said; reason : why it can be said of none."""

    probability: np.ndarray
    reason: str


class Reliability(NamedTuple):
    """What became of stated probabilities on test items."""

    n: int
    mean: float  # stated
    passed: float  # share
    brier: float
    ece: float
    bins: list[Bin]


def halves(develop: Trials, seed: int) -> tuple[float, float]:
    """AUROC against ``random`` silent items in two halves of a label's answered develop items.

    Cut by (seed, latent, crc32('halves')), active and silent items apart; NaN twice where a half would hold fewer than
    4 of either.
    """
    rng = np.random.default_rng([seed, develop.latent, crc32(b"halves")])
    answered = ~np.isnan(develop.answers)
    sides = [answered & develop.truth, answered & (develop.kinds == NEGATIVES)]
    half = np.full(len(develop.answers), -1)
    for side in sides:
        rows = rng.permutation(np.flatnonzero(side))
        half[rows] = np.arange(len(rows)) % 2
    if min(int(side.sum()) for side in sides) < 2 * LEAST_A_SIDE:
        return math.nan, math.nan
    first, second = (auroc(develop.truth[half == i], develop.answers[half == i]) for i in (0, 1))
    return first, second


def calibrate(
    stated: np.ndarray, agreement: np.ndarray, split: np.ndarray, families: np.ndarray, seed: int
) -> Calibrated:
    """The probability that each label of one explainer, as one judge answers, passes.

    stated : (n,) confidence 0–1 of the writer; agreement : (n,) of its samples, NaN where there are none
    split : (n, 2) of ``halves``; families : (n,) int, see ``score.families``

    Under 40 labels with both halves, 10 families, or 8 labels of either outcome nothing is fitted, and it says so.
    """
    from sklearn.model_selection import GroupKFold

    found = np.full(len(stated), np.nan)
    usable = np.flatnonzero(~np.isnan(split).any(1))
    family = families[usable]
    passed = split[usable] > PASSES  # (u, 2)
    n, n_families = len(usable), len(np.unique(family))
    rarer = min(passed.sum(), (~passed).sum()) / 2
    if n < LEAST_LABELS:
        return Calibrated(found, f"{n} labels with enough develop items, fewer than {LEAST_LABELS}")
    if n_families < LEAST_FAMILIES:
        return Calibrated(found, f"{n_families} families of latents, fewer than {LEAST_FAMILIES}")
    if rarer < LEAST_OUTCOMES:
        outcome = "pass" if passed.mean() > 0.5 else "fail"
        return Calibrated(found, f"nearly all labels {outcome} on develop: nothing to tell apart")
    known = [_logit(stated[usable])]
    if not np.isnan(agreement[usable]).any():
        known.append(agreement[usable])
    by_half = [np.column_stack([*known, _logit(split[usable, i])]) for i in (0, 1)]  # (u, f) each
    made = np.empty(n)
    for others, own in GroupKFold(FOLDS, shuffle=True, random_state=seed).split(family, groups=family):
        x = np.concatenate([half[others] for half in by_half])
        if len(np.unique(passed[others])) < 2:
            return Calibrated(found, "in one fold all other families have the same outcome")
        log_odds = _log_odds(x, split[usable[others]])
        made[own] = expit(np.mean([log_odds(half[own]) for half in by_half], axis=0))
    found[usable] = made
    return Calibrated(found, "")


def _log_odds(x: np.ndarray, split: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """x (2u, f), both halves of u labels one after the other, and their AUROCs (u, 2) -> features to log-odds."""
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    outcome = np.concatenate([split[:, 1], split[:, 0]])  # each half's outcome is the other half
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0))
    weights = np.full(len(x), 0.5)
    model.fit(x, outcome > PASSES, logisticregression__sample_weight=weights)
    left = np.var(_logit(outcome) - LinearRegression().fit(x, _logit(outcome)).predict(x))
    noise = np.var(_logit(split[:, 0]) - _logit(split[:, 1])) / 2
    kappa = math.sqrt(left / max(left - noise / 2, left / 2)) if left > 0 else 1.0
    return lambda features: kappa * model.decision_function(features)


def reliability(probability: np.ndarray, passed: np.ndarray, families: np.ndarray) -> Reliability | None:
    """Probabilities (n,) against what came true on test (n,) bool, NaN probabilities left out; None without any.

    Five bins of width 0.2, the share that passed with a Wilson interval at which a family counts as a cluster, and the
    expected calibration error, which is above 0 by chance too: by about 0.4/√(n/5) at most.
    """
    told = ~np.isnan(probability)
    if not told.any():
        return None
    said, came = probability[told], np.asarray(passed, dtype=bool)[told]
    bins = reliability_table(said, came, BINS, clusters=families[told].astype(str))
    score = brier(said, came, BINS).score
    ece = expected_calibration_error(bins)
    return Reliability(int(told.sum()), float(said.mean()), float(came.mean()), score, ece, bins)


def _logit(share: np.ndarray) -> np.ndarray:
    return logit(np.clip(share, EDGE, 1 - EDGE))
