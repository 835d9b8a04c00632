"""Is a label nearer to active items than to silent ones in a space of texts? Nobody is asked for an opinion.

Cosine of the vectors of the label's words and of each item's rendering; an item's vector serves all labels.
"""

from __future__ import annotations

from autointerp.judge.measuring import EmbeddingReader
from autointerp.schema import Examples, Label, Question, Score, Trials
from autointerp.score import detection
from autointerp.score.base import Scorer
from autointerp.score.metrics import Metrics

NAME = "embedding"


def questions(
    label: Label,
    latent: int,
    examples: Examples,
    batch_size: int | None,
    seed: int,
    panel: tuple[str, ...] = (),
) -> list[Question]:
    """One question about all of detection's items: they are read one by one, so their order tells nothing."""
    return [Question(NAME, latent, label, examples.rows)]


def scores(judged: Trials, firing_rate: float, split_mode: str, split_hash: str) -> list[Score]:
    """``auroc`` of the cosine, per kind of silent items and over ``all``: an order, without a threshold."""
    metrics = Metrics(judged, split_mode, split_hash)
    metrics.add_aurocs(first=("random",))
    return metrics.made


SCORER = Scorer(
    name=NAME,
    items=detection.items,
    questions=questions,
    trials=detection.trials,
    scores=scores,
    headline="random",
    calibrated=False,
    asks=EmbeddingReader,
    role="embedding",
)
