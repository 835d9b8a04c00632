"""Does a label make active items likelier to a language model than silent ones? Nobody is asked for an opinion.

AUROC of log p(item's card | label) − log p(card | fixed pseudo-label), as the surprisal scoring of [2410.13928]. The
items are detection's active ones and its ``random`` silent ones; the pseudo-label's half is the same for all labels.
"""

from __future__ import annotations

import numpy as np

from autointerp.judge.measuring import SurprisalReader
from autointerp.schema import Examples, Label, Question, Score, Trials
from autointerp.score import detection, simulation
from autointerp.score.base import Scorer
from autointerp.score.metrics import LEAST_PER_KIND, Metrics

NAME = "surprisal"


def questions(
    label: Label,
    latent: int,
    examples: Examples,
    batch_size: int | None,
    seed: int,
    panel: tuple[str, ...] = (),
) -> list[Question]:
    """One question about all items: they are read one by one, so their order tells nothing."""
    return [Question(NAME, latent, label, examples.rows)]


def scores(judged: Trials, firing_rate: float, split_mode: str, split_hash: str) -> list[Score]:
    """``auroc`` of the difference in nats against ``random`` silent items: an order, without a threshold."""
    metrics = Metrics(judged, split_mode, split_hash)
    every = np.ones(len(judged.rows), dtype=bool)
    metrics.add("auroc", simulation.HEADLINE, every, metrics.auroc, LEAST_PER_KIND)
    return metrics.made


SCORER = Scorer(
    name=NAME,
    items=simulation.items,
    questions=questions,
    trials=detection.trials,
    scores=scores,
    headline=simulation.HEADLINE,
    calibrated=False,
    asks=SurprisalReader,
)
