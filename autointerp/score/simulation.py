"""How well does a label predict how strongly held-out items activate a latent? Simulation [Bills et al. 2023].

The judge predicts 0–10 for each item from the label; the score is the correlation with the measured activation. The
items are detection's active ones, drawn evenly from strata of strength, and its ``random`` silent ones, about as many;
harder silent ones are detection's business. Both correlations are the same for 10·a/max as for the activation a, so
that no maximum is needed; a is not rounded to whole steps, as it is where examples are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from autointerp.questions import SIMULATION
from autointerp.schema import POSITIVE, Examples, Failure, Label, Question, Score, SplitName, Trials
from autointerp.score import detection
from autointerp.score.base import Material, Scorer
from autointerp.score.correlation import LEAST_ITEMS, correlation_interval
from autointerp.score.intervals import Interval
from autointerp.score.metrics import LEAST_PER_KIND, Metrics

NAME = SIMULATION
HEADLINE = "random"


def items(material: Material, latent: int, split: SplitName) -> Examples | Failure:
    """Up to 50 active items over strata of strength, and 30–50 ``random`` silent ones: those of detection."""
    examples = getattr(material.example_sets[latent], split)
    kept = np.isin(examples.kinds, (POSITIVE, HEADLINE))
    columns = (examples.rows, examples.activations, examples.kinds, examples.strata)
    return Examples(*(column[kept] for column in columns))


def questions(
    label: Label,
    latent: int,
    examples: Examples,
    batch_size: int | None,
    seed: int,
    panel: tuple[str, ...] = (),
) -> list[Question]:
    """All items, shuffled by (seed, latent), in batches without truth."""
    asked = detection.questions(label, latent, examples, batch_size, seed, panel)
    return [replace(question, scorer=NAME) for question in asked]


def scores(judged: Trials, firing_rate: float, split_mode: str, split_hash: str) -> list[Score]:
    """``pearson`` and ``spearman`` of predicted and measured strength: over all items (negatives ``random``), and over
    the active ones alone (negatives ''), where knowing which items are active earns nothing.

    A judge that says the same of every item scores 0, as it would with AUROC score 0.5: it tells nothing. Intervals:
    ``correlation.correlation_interval``.
    """
    metrics = Metrics(judged, split_mode, split_hash)
    every = np.ones(len(judged.rows), dtype=bool)
    for negatives, members, least in ((HEADLINE, every, LEAST_PER_KIND), ("", judged.truth, 0)):
        for metric, ranks in (("pearson", False), ("spearman", True)):
            metrics.add(metric, negatives, members, _correlation(judged, ranks), least)
    return metrics.made


def _correlation(judged: Trials, ranks: bool) -> Callable[[np.ndarray], Interval | None]:
    def of(kept: np.ndarray) -> Interval | None:
        strength = judged.activations[kept]
        if len(strength) < LEAST_ITEMS or np.ptp(strength) == 0:
            return None
        prompts = judged.prompts[kept] if (judged.prompts != "").any() else None
        return correlation_interval(judged.answers[kept], strength, ranks, prompts, judged.groups[kept])

    return of


SCORER = Scorer(
    name=NAME,
    items=items,
    questions=questions,
    trials=detection.trials,
    scores=scores,
    headline=HEADLINE,
    metric="pearson",
    panel=True,
    calibrated=False,
)
