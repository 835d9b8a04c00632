"""What does a judge answer that understands every planted label, and errs as much as we let it?

It reads a label's meaning, never which latent is asked about nor which items are the active ones.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
from scipy.special import expit, logit

from autointerp.schema import Answer, Label, Question
from eval.planted.counts import PlantedCells
from eval.planted.labels import Meaning

SURE = float(logit(0.95))


class OracleJudge:
    """P = 100·expit(±2.94 + bias + noise·ε), + where the label's meaning holds, ε standard normal per item.

    Items (detection): it holds where its formula over the factors is true of the cell. Marks (fuzzing): as far as it
    holds of the cell, and by the share of the marks that are genes of its factors, ±2.94 at all and none of them.

    Parameters
    ----------
    noise : in logits; 3 makes one answer in six wrong
    bias : in logits; > 0 says yes too often
    """

    name = "oracle"
    batch_size = None

    def __init__(self, cells: PlantedCells, noise: float = 0.0, bias: float = 0.0, seed: int = 0):
        self._cells, self._noise, self._bias, self._seed = cells, noise, bias, seed
        self._factors = {factor.name: factor for factor in cells.factors}
        self._meanings = {
            (given.title, given.description): given.meaning
            for factor in cells.factors
            for given in factor.labels
        }

    async def answer(self, question: Question) -> Answer:
        """An answer for every item, or a failure for a label that is not of the grammar."""
        label, n = question.label, len(question.rows)
        meaning = self._meanings.get((label.title, label.description))
        if meaning is None:
            return Answer.failed(n, "the label is not one of those that were planted")
        names = tuple(self._factors)
        fits = meaning.truth(self._cells.activity[question.rows], names).astype(float)  # (q,)
        if question.marks:
            genes = self.genes(meaning)
            fits *= [sum(name in genes for name in marks) / len(marks) for marks in question.marks]
        said = SURE * (2 * fits - 1) + self._bias + self._noise * self._rng(question, label).normal(size=n)
        return Answer(tuple((100 * expit(said)).tolist()), (None,) * n)

    def genes(self, meaning: Meaning) -> frozenset[str]:
        """Those that rise with the factors that a meaning names."""
        return frozenset(g for name in (*meaning.all_of, *meaning.any_of) for g in self._factors[name].up)

    def _rng(self, question: Question, label: Label) -> np.random.Generator:
        place = [self._seed, question.latent, crc32(question.scorer.encode()), int(label.label_id, 16)]
        return np.random.default_rng(place)
