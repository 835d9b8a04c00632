"""What would a judge score that knows nothing? Rules that read neither label nor item: the floor of every scorer.

``constant`` says 50 and ``always_yes`` 100 to everything (5 and 10 where strengths are asked for), ``random`` draws a
number for each item; where one must be chosen they take the first, the last and any; of directions they say unchanged,
up and any. All score chance. ``malformed`` never gives an answer that can be read, and so must never end as a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from autointerp.questions import DOWN, NOT_SAID, UNCHANGED, UP, Asked, Directions, Gain, most
from autointerp.schema import Answer, Question


@dataclass(frozen=True)
class SameJudge:
    """One probability, 0–100, for everything; at 100 the last option and up, else the first option and unchanged."""

    name: str
    value: float
    batch_size = None

    async def answer(self, question: Asked) -> Answer:
        n, sure = question.n_answers, self.value == 100
        if isinstance(question, Gain):
            return Answer.failed(n, NOT_SAID)
        if isinstance(question, Question):
            value = self.value * most(question) / 100
        elif isinstance(question, Directions):
            value = UP if sure else UNCHANGED
        else:
            value = float(question.options - 1) if sure else 0.0
        return Answer((value,) * n, (None,) * n)


@dataclass(frozen=True)
class RandomJudge:
    """Uniform on what can be said, drawn by (seed, latent, scorer, label or options), in the order of the question."""

    seed: int
    name = "random"
    batch_size = None

    async def answer(self, question: Asked) -> Answer:
        if isinstance(question, Gain):
            return Answer.failed(question.n_answers, NOT_SAID)
        n, place = question.n_answers, [self.seed, question.latent, crc32(question.scorer.encode())]
        told = [int(question.label.label_id, 16)] if isinstance(question, Question) else question.place
        rng = np.random.default_rng([*place, *told])
        if isinstance(question, Question):
            values = rng.uniform(0, most(question), n).tolist()
        elif isinstance(question, Directions):
            values = rng.choice([UP, DOWN, UNCHANGED], n).tolist()
        else:
            values = [float(rng.integers(question.options))]
        return Answer(tuple(values), (None,) * n)


class MalformedJudge:
    """Talks past every question."""

    name = "malformed"
    batch_size = None

    async def answer(self, question: Asked) -> Answer:
        return Answer.failed(question.n_answers, "malformed: the reply holds no JSON object")
