"""How far are a judge's probabilities from the truth, once they are calibrated? The Brier score.

A judge's "70" is no probability before somebody has seen how often its 70s are right: a logistic curve over
logit(answer) is fitted to the judge's answers on develop items, pooled over the latents of an explainer, and applied
to those on test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from autointerp.schema import Score, Trials
from autointerp.score import reliability
from autointerp.score.metrics import LEAST_PER_KIND, Metrics

LEAST_ANSWERS = 20  # of each class on develop
EDGE = 0.01  # answers of 0 and 100 enter the logit as 1 and 99


class Calibration(NamedTuple):
    """P(true | answer) = expit(a + b·logit(answer/100)), b ≥ 0."""

    a: float
    b: float

    def __call__(self, answers: np.ndarray) -> np.ndarray:
        """(q,) answers 0–100 -> (q,) probabilities 0–1."""
        return expit(self.a + self.b * _logits(answers))


def fit_calibration(develop: Sequence[Trials]) -> Calibration | None:
    """Maximum likelihood over the answered develop trials [Platt 1999]; None under 20 answers of either class.

    Where develop would turn the order of the answers round, b is 0: everything gets the share of positives.
    """
    from sklearn.linear_model import LogisticRegression

    if not develop:
        return None
    answers = np.concatenate([t.answers for t in develop])
    truth = np.concatenate([t.truth for t in develop])[~np.isnan(answers)]
    answers = answers[~np.isnan(answers)]
    if min(int(truth.sum()), int((~truth).sum())) < LEAST_ANSWERS:
        return None
    base = float(logit(truth.mean()))
    if np.ptp(answers) == 0:
        return Calibration(base, 0.0)
    fitted = LogisticRegression(C=1e4, tol=1e-8, max_iter=1000).fit(_logits(answers)[:, None], truth)
    a, b = float(fitted.intercept_[0]), float(fitted.coef_[0, 0])
    return Calibration(a, b) if b > 0 else Calibration(base, 0.0)


def brier(judged: Trials, calibration: Calibration | None, split_mode: str, split_hash: str) -> Score:
    """Mean of (P(true | answer) − truth)² over all test items; lower is better, without an interval.

    Items stand as they were drawn, so it depends on the share of positives among them, n_pos / n.
    """
    metrics = Metrics(judged, split_mode, split_hash)

    def mean_square(kept: np.ndarray) -> float | None:
        if calibration is None:
            return None
        return reliability.brier(calibration(judged.answers[kept]), judged.truth[kept]).score

    metrics.add("brier", "all", np.ones(len(judged.rows), dtype=bool), mean_square, LEAST_PER_KIND)
    return metrics.made[0]


def _logits(answers: np.ndarray) -> np.ndarray:
    return logit(np.clip(answers / 100, EDGE, 1 - EDGE))
