"""What do the trials add up to? Scores of the labels with the shuffled control beside them, and what has no score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autointerp.controls import CALIBRATION, OWN, RETEST
from autointerp.judging import Judged, Plan
from autointerp.labeling import Labels
from autointerp.prepare import Prepared
from autointerp.schema import Failure, Label, Score, Trials
from autointerp.score import detection
from autointerp.score.brier import Calibration, brier, fit_calibration
from autointerp.score.registry import SCORERS


def score_all(prepared: Prepared, plans: Sequence[Plan], labels: Labels, judged: Judged) -> list[Score]:
    """Scores of the labels with the shuffled control beside them, of the ceiling, and the labels without a score.

    Labels that could not be judged have a row for each scorer of each plan; of former judges, where they judged that
    explainer.
    """
    split = prepared.split
    test = split.rows("test")
    rates = prepared.activations.n_active(test) / len(test)
    shuffled: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    own: list[Score] = []
    calibrations = _calibrations(judged.trials)
    for trials in judged.trials:
        if trials.control in (CALIBRATION, RETEST):
            continue
        made = SCORERS[trials.scorer].scores(trials, float(rates[trials.latent]), split.mode, split.hash)
        if trials.control == "shuffled":
            for score in made:
                if score.value is not None:
                    shuffled[_place(score)].append(score.value)
        else:
            own += made
            if trials.control == OWN and _judging(trials) in calibrations:
                calibration = calibrations[_judging(trials)]
                own.append(brier(trials, calibration, split.mode, split.hash))
    own = [replace(s, shuffled_value=_mean(shuffled.get(_place(s)))) for s in own]
    own += judged.unasked
    reasons = _reasons(prepared, labels.outcomes)
    for plan in plans:
        seen = {t.explainer for t in judged.trials if t.judge == plan.name}
        told = {key: why for key, why in reasons.items() if not plan.settled or key[0] in seen}
        own += _unscored(prepared, plan, told)
    return own


def _judging(trials: Trials) -> tuple[str, str, str]:
    return trials.explainer, trials.scorer, trials.judge


def _calibrations(judged: Sequence[Trials]) -> dict[tuple[str, str, str], Calibration | None]:
    """Of every explainer, scorer and judge that answered about develop items."""
    develop: dict[tuple[str, str, str], list[Trials]] = defaultdict(list)
    for trials in judged:
        if trials.control == CALIBRATION:
            develop[_judging(trials)].append(trials)
    return {place: fit_calibration(answered) for place, answered in develop.items()}


def _reasons(
    prepared: Prepared, outcomes: Mapping[tuple[str, int], Label | Failure]
) -> dict[tuple[str, int], tuple[str, str]]:
    """(explainer, latent) -> why there is no score, and the label's id where there is a label."""
    reasons: dict[tuple[str, int], tuple[str, str]] = {}
    for name in dict.fromkeys(name for name, _ in outcomes):
        for latent, why in enumerate(prepared.reasons):
            if why:
                reasons[name, latent] = (f"not explainable: {why}", "")
    for key, outcome in outcomes.items():
        if isinstance(outcome, Failure):
            reasons[key] = (f"label failed ({outcome.kind})", "")
        elif outcome.abstained:
            reasons[key] = ("abstained", outcome.label_id)
    return reasons


def _unscored(
    prepared: Prepared, plan: Plan, reasons: Mapping[tuple[str, int], tuple[str, str]]
) -> list[Score]:
    """A row for every label that is not judged and every latent that is not labeled."""
    split = prepared.split
    asked = [s for s in (SCORERS[name] for name in plan.scorers) if s.judged and not s.on_sample]
    made = []
    for scorer in asked or ([] if plan.settled else [detection.SCORER]):
        for (name, latent), (reason, label_id) in reasons.items():
            named = (latent, name, label_id, scorer.name, plan.name, scorer.metric, scorer.headline, None)
            made.append(Score(*named, reason=reason, split_mode=split.mode, split_hash=split.hash))
    return made


def _place(score: Score) -> tuple[Any, ...]:
    return (score.explainer, score.latent, score.scorer, score.judge, score.metric, score.negatives)


def _mean(values: list[float] | None) -> float | None:
    return float(np.mean(values)) if values else None
