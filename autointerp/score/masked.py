"""What is left of a label's detection score when it cannot spell out the answer? ``detection:masked``.

The names of measured features in title and description become ▮, and no panel shows their values: what a judge can
still use are words. A label that is only a list of genes says nothing then; one that names a cell type or a process
does. Names that the data does not measure (CD20 for MS4A1) stay.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from autointerp.mentions import mentions
from autointerp.schema import Examples, Label, Question
from autointerp.score import detection
from autointerp.score.base import Scorer

NAME = "detection:masked"
MASK = "▮"


def masked(text: str, measured: Collection[str]) -> str:
    """The text with ▮ in place of every name of a measured feature."""
    kept, end_before = "", 0
    for start, end in mentions(text, measured):
        kept += text[end_before:start] + MASK
        end_before = end
    return kept + text[end_before:]


def masked_label(label: Label, measured: frozenset[str]) -> Label:
    """Without names of features, and without key features, which a rule would read."""
    title, description = masked(label.title, measured), masked(label.description, measured)
    return replace(label, title=title, description=description, key_features=())


def questions(
    label: Label,
    latent: int,
    examples: Examples,
    batch_size: int | None,
    seed: int,
    panel: tuple[str, ...] = (),
) -> list[Question]:
    """Those of detection, in the same order and batches."""
    asked = detection.questions(label, latent, examples, batch_size, seed)
    return [replace(question, scorer=NAME) for question in asked]


SCORER = Scorer(
    name=NAME,
    items=detection.items,
    questions=questions,
    trials=detection.trials,
    scores=detection.scores,
    headline="random",
    as_shown=masked_label,
    on_sample=True,
    controls=(),
    calibrated=False,
)
