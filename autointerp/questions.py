"""What can a judge be asked, beside one number for each of some items? Odd one out, choice, directions, likelihoods.

Like ``schema.Question`` they carry no truth. Each says how many answers it wants, and what is left of it where only
some of them are asked for again. Answers are those of ``schema.Answer``, in these units:

=============  ==========================================================================================
Question       P(active), or that marks are true, 0–100; of the scorer ``simulation`` the strength, 0–10
OddOneOut      one value: the place of the item that does not belong, from 0
Match          one value: the place of the label that fits, from 0
Directions     a value for each feature: +1 up, −1 down, 0 unchanged
Gain           one value: log p(label | edited report) − log p(label | clean report), in nats
=============  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from autointerp.schema import Label, Question

SIMULATION = "simulation"
MOST = {SIMULATION: 10.0}  # greatest answer about an item, by scorer; of all others 100
UP, DOWN, UNCHANGED = 1.0, -1.0, 0.0
NOT_SAID = "only a model's log-probabilities answer this"  # of Gain, where a judge says what it thinks


@dataclass(frozen=True, slots=True)
class Change:
    """One output of a readout before and after an edit; ``in_sd`` is the change in sd of real items."""

    name: str
    before: float
    after: float
    in_sd: float


@dataclass(frozen=True, eq=False)
class OddOneOut:
    """Which of these items does not belong with the others? There is no label.

    rows : (o,) int64, in the order in which they are shown
    """

    scorer: str
    latent: int
    rows: np.ndarray

    n_answers = 1

    @property
    def options(self) -> int:
        """How many there are to choose from."""
        return len(self.rows)

    @property
    def place(self) -> list[int]:
        """What tells it from other questions of its latent, for a draw."""
        return [int(row) for row in self.rows]

    def at(self, places: Sequence[int]) -> OddOneOut:
        """The same: there is one answer."""
        return self


@dataclass(frozen=True, eq=False)
class Match:
    """Which of these labels fits what an edit changed? With two labels, and again in the other order, it is 2AFC.

    labels : (o,) options, in the order in which they are shown
    changes : what the edit did, in the order in which it is shown
    readout : what was read, such as ``genes``
    number : tells apart questions about the same labels
    """

    scorer: str
    latent: int
    labels: tuple[Label, ...]
    changes: tuple[Change, ...]
    readout: str = "genes"
    number: int = 0

    n_answers = 1

    @property
    def options(self) -> int:
        """How many there are to choose from."""
        return len(self.labels)

    @property
    def place(self) -> list[int]:
        """What tells it from other questions of its latent, for a draw."""
        return [self.number, *(int(label.label_id, 16) for label in self.labels)]

    def at(self, places: Sequence[int]) -> Match:
        """The same: there is one answer."""
        return self


@dataclass(frozen=True, eq=False)
class Directions:
    """Judging by the label alone, does each of these features go up or down where the latent is amplified?

    features : (q,) names that the writer of the label never saw, in the order in which they are shown
    """

    scorer: str
    latent: int
    label: Label
    features: tuple[str, ...]

    @property
    def n_answers(self) -> int:
        """One a feature."""
        return len(self.features)

    @property
    def place(self) -> list[int]:
        """What tells it from other questions of its latent, for a draw."""
        return [int(self.label.label_id, 16), *(crc32(name.encode()) for name in self.features)]

    def at(self, places: Sequence[int]) -> Directions:
        """The question about some of the features."""
        return replace(self, features=tuple(self.features[i] for i in places))


@dataclass(frozen=True, eq=False)
class Gain:
    """How much likelier does a report of edited items make the label than one of the same items as they are?

    edited, clean : what tells the items from typical ones (``before``), in the order in which it is shown
    readout : what was read, such as ``genes``
    number : tells apart questions about the same label
    """

    scorer: str
    latent: int
    label: Label
    edited: tuple[Change, ...]
    clean: tuple[Change, ...]
    readout: str = "genes"
    number: int = 0

    n_answers = 1

    def at(self, places: Sequence[int]) -> Gain:
        """The same: there is one answer."""
        return self


Said = Question | OddOneOut | Match | Directions  # what a judge says what it thinks of
Asked = Said | Gain
Chosen = OddOneOut | Match


def most(question: Question) -> float:
    """The greatest answer about an item: 100, of a simulation 10."""
    return MOST.get(question.scorer.partition(":")[0], 100.0)


def best_place(scores: np.ndarray, question: Chosen, seed: int) -> float:
    """The place of the greatest of ``scores`` (o,); among equal ones drawn by (seed, latent, scorer, question)."""
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    place = [seed, question.latent, crc32(question.scorer.encode()), *question.place]
    return float(np.random.default_rng(place).choice(best))
