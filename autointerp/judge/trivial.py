"""What would a judge score that knows nothing? Rules that read neither label nor item: the floor of every scorer.

``constant`` says 50 and ``always_yes`` 100 to everything, ``random`` draws a probability for each item; all score
chance. ``malformed`` never gives an answer that can be read, and so must never end as a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from autointerp.schema import Answer, Question


@dataclass(frozen=True)
class SameJudge:
    """One probability, 0–100, for everything."""

    name: str
    value: float
    batch_size = None

    async def answer(self, question: Question) -> Answer:
        n = len(question.rows)
        return Answer((self.value,) * n, (None,) * n)


@dataclass(frozen=True)
class RandomJudge:
    """Uniform on 0–100, drawn by (seed, latent, scorer, label), in the order of the question."""

    seed: int
    name = "random"
    batch_size = None

    async def answer(self, question: Question) -> Answer:
        label, n = int(question.label.label_id, 16), len(question.rows)
        rng = np.random.default_rng([self.seed, question.latent, crc32(question.scorer.encode()), label])
        return Answer(tuple(rng.uniform(0, 100, n).tolist()), (None,) * n)


class MalformedJudge:
    """Talks past every question."""

    name = "malformed"
    batch_size = None

    async def answer(self, question: Question) -> Answer:
        return Answer.failed(len(question.rows), "malformed: the reply holds no JSON object")
