"""Is a judge calibrated on develop alone, by maximum likelihood, and scored as scikit-learn scores it?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss

from autointerp.schema import POSITIVE, Trials
from autointerp.score.brier import EDGE, LEAST_ANSWERS, Calibration, brier, fit_calibration


def judged(truth, answers, control="calibration") -> Trials:
    truth, answers = np.asarray(truth), np.asarray(answers, dtype=float)
    n = len(truth)
    return Trials(
        latent=0, explainer="ours", label_id="x", scorer="detection", judge="rule", control=control, replicate=0,
        rows=np.arange(n), groups=np.full(n, ""), kinds=np.where(truth, POSITIVE, "random"),
        activations=truth * 1.0, answers=answers, failures=np.where(np.isnan(answers), "parse", ""),
        prompts=np.full(n, ""),
    )  # fmt: skip


def drawn(seed, n=400, scale=3.0):
    """An overconfident judge: it states logits three times too large."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    belief = rng.normal(1.2 * truth - 0.9, 1)
    return truth, 100 * expit(scale * belief)


def likelihood(truth, answers):
    x = logit(np.clip(answers / 100, EDGE, 1 - EDGE))

    def loss(ab):
        return np.logaddexp(0, -np.where(truth, 1, -1) * (ab[0] + ab[1] * x)).sum()

    return minimize(loss, [0, 1], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}).x


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_the_maximum_of_the_likelihood(seed):
    truth, answers = drawn(seed)
    parts = [judged(truth[:150], answers[:150]), judged(truth[150:], answers[150:])]  # latents are pooled
    assert fit_calibration(parts) == pytest.approx(likelihood(truth, answers), abs=2e-3)


def test_calibration_helps_an_overconfident_judge_on_items_it_was_not_fitted_on():
    calibration = fit_calibration([judged(*drawn(0))])
    truth, answers = drawn(1)
    test = judged(truth, answers, "")
    found = brier(test, calibration, "group", "h")
    assert found.value == pytest.approx(brier_score_loss(truth, calibration(answers)))
    assert found.value < brier_score_loss(truth, answers / 100)
    assert (found.metric, found.negatives, found.n, found.n_pos) == ("brier", "all", 400, truth.sum())
    assert found.ci_low is None


def test_failed_answers_are_left_out_of_fit_and_score():
    truth, answers = drawn(2)
    holed = answers.copy()
    holed[:40] = np.nan
    assert fit_calibration([judged(truth, holed)]) == fit_calibration([judged(truth[40:], answers[40:])])
    found = brier(judged(truth, holed, ""), Calibration(0.0, 1.0), "group", "h")
    assert (found.n, found.n_failed) == (360, 40)


def test_a_judge_that_tells_nothing_gets_the_share_of_positives():
    truth = np.arange(100) < 30
    for answers in (np.full(100, 50.0), np.where(truth, 10.0, 90.0)):  # the second reads labels backwards
        calibration = fit_calibration([judged(truth, answers)])
        assert calibration.b == 0
        assert brier(judged(truth, answers, ""), calibration, "g", "h").value == pytest.approx(0.21)


def test_too_few_answers_of_a_class_are_no_calibration():
    truth = np.arange(100) < LEAST_ANSWERS - 1
    assert fit_calibration([judged(truth, np.linspace(0, 100, 100))]) is None
    assert fit_calibration([]) is None
    found = brier(judged(truth, np.full(100, 50.0), ""), None, "g", "h")
    assert found.value is None and found.reason
