"""What does a judge answer that understands every planted label, and errs as much as we let it?

It reads a label's meaning, never which latent is asked about nor which items are the active ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol
from zlib import crc32

import numpy as np
from scipy.special import expit, log_softmax, logit

from autointerp.judge.choices import mean_change
from autointerp.questions import (
    DOWN,
    SIMULATION,
    UNCHANGED,
    UP,
    Asked,
    Change,
    Chosen,
    Directions,
    Gain,
    Match,
    OddOneOut,
    best_place,
)
from autointerp.schema import Answer, Label, Question
from eval.planted.labels import Factor, Meaning

SURE = float(logit(0.95))
UNKNOWN = "the label is not one of those that were planted"
EDGE = 0.05  # the logit of a strength of 0 is that of 5 %


class Truth(Protocol):
    """What is known of a planted corpus, of cells or of images: ``activity`` (n, f) >= 0 of its factors (f,), and by
    which parts of an item (genes, regions) factors show."""

    @property
    def activity(self) -> np.ndarray: ...

    @property
    def factors(self) -> tuple[Factor, ...]: ...

    def shown_by(self, factors: Sequence[str], row: int) -> frozenset[str]: ...


class OracleJudge:
    """P = 100·expit(±2.94 + bias + noise·ε), + where the label's meaning holds, ε standard normal per item.

    Items (detection): it holds where its formula over the factors is true of the cell. Marks (fuzzing): as far as it
    holds of the item, and by the share of the marks that are genes (or regions) of its factors, ±2.94 at all and none.
    Strengths (simulation): 10·expit(logit(s) + bias + noise·ε), s in 0.05–0.95, the activity of the label's factors in
    units of each one's greatest: the least of those that must all be active, the most of those of which one must.
    Labels for a change: the one whose factors' genes moved most, each counted in the direction of its factor.
    Directions: those of its factors' genes; other genes stay. The odd one out of cells: the one that lacks most of what
    the others share, over all factors. Noise of choices is ε in units of their scores' spread / 2.94; directions have
    none. Likelihoods of a label after a report: softmax over all planted labels of 2.94 · the mean change of their
    factors' genes, without noise.

    Parameters
    ----------
    noise : in logits; 3 makes one answer in six wrong
    bias : in logits; > 0 says yes too often
    """

    name = "oracle"
    batch_size = None

    def __init__(self, cells: Truth, noise: float = 0.0, bias: float = 0.0, seed: int = 0):
        self._cells, self._noise, self._bias, self._seed = cells, noise, bias, seed
        self._factors = {factor.name: factor for factor in cells.factors}
        greatest = cells.activity.max(0)
        self._scaled = cells.activity / np.where(greatest > 0, greatest, 1)  # (n, f)
        self._meanings = {
            (given.title, given.description): given.meaning
            for factor in cells.factors
            for given in factor.labels
        }

    async def answer(self, question: Asked) -> Answer:
        """An answer for every item, or a failure for a label that is not of the grammar."""
        if isinstance(question, Match):
            return self._matched(question)
        if isinstance(question, OddOneOut):
            return self._chosen(self._lacking(question.rows), question)
        label, n = question.label, question.n_answers
        meaning = self._meaning(label)
        if meaning is None:
            return Answer.failed(n, UNKNOWN)
        if isinstance(question, Gain):
            return Answer(
                (self._likelihood(label, question.edited) - self._likelihood(label, question.clean),), (None,)
            )
        if isinstance(question, Directions):
            signs = self._signs(meaning)
            return Answer(tuple(signs.get(name, UNCHANGED) for name in question.features), (None,) * n)
        if question.scorer == SIMULATION:
            said = logit(np.clip(self._strength(meaning, question.rows), EDGE, 1 - EDGE)) + self._bias
            said += self._noise * self._rng(question, label).normal(size=n)
            return Answer(tuple((10 * expit(said)).tolist()), (None,) * n)
        names = tuple(self._factors)
        fits = meaning.truth(self._cells.activity[question.rows], names).astype(float)  # (q,)
        if question.marks:
            said_of = (*meaning.all_of, *meaning.any_of)
            for i, (row, marks) in enumerate(zip(question.rows.tolist(), question.marks, strict=True)):
                parts = self._cells.shown_by(said_of, row)
                fits[i] *= sum(name in parts for name in marks) / len(marks)
        said = SURE * (2 * fits - 1) + self._bias + self._noise * self._rng(question, label).normal(size=n)
        return Answer(tuple((100 * expit(said)).tolist()), (None,) * n)

    def _meaning(self, label: Label) -> Meaning | None:
        return self._meanings.get((label.title, label.description))

    def _signs(self, meaning: Meaning) -> dict[str, float]:
        """+1 for genes that rise with the factors of a meaning, −1 for those that fall."""
        factors = [self._factors[name] for name in (*meaning.all_of, *meaning.any_of)]
        falling = {gene: DOWN for factor in factors for gene in factor.down}
        return falling | {gene: UP for factor in factors for gene in factor.up}

    @cached_property
    def _planted_signs(self) -> list[dict[str, float]]:
        return [{} if meaning is None else self._signs(meaning) for meaning in self._meanings.values()]

    def _likelihood(self, label: Label, report: tuple[Change, ...]) -> float:
        """log p of a planted label after a report."""
        scores = np.array([mean_change(signs, report) for signs in self._planted_signs])
        place = list(self._meanings).index((label.title, label.description))
        return float(log_softmax(SURE * scores)[place])

    def _strength(self, meaning: Meaning, rows: np.ndarray) -> np.ndarray:
        """(len(rows),) 0–1: how strongly the formula holds."""
        names = list(self._factors)
        scaled = self._scaled[rows]  # (q, f)
        parts = [scaled[:, names.index(name)] for name in meaning.all_of]
        if meaning.any_of:
            parts.append(scaled[:, [names.index(name) for name in meaning.any_of]].max(1))
        return np.min(parts, axis=0)

    def _lacking(self, rows: np.ndarray) -> np.ndarray:
        """(o,) for each item, over the factors that it lacks and all others have, the least strength among those."""
        scaled = self._scaled[rows]  # (o, f)
        others = [np.delete(scaled, i, axis=0).min(0) for i in range(len(rows))]
        return np.array([(least * (own == 0)).sum() for own, least in zip(scaled, others, strict=True)])

    def _matched(self, question: Match) -> Answer:
        meanings = [self._meaning(label) for label in question.labels]
        signs = [self._signs(meaning) for meaning in meanings if meaning is not None]
        if len(signs) < len(meanings):
            return Answer.failed(1, UNKNOWN)
        return self._chosen(np.array([mean_change(each, question.changes) for each in signs]), question)

    def _chosen(self, scores: np.ndarray, question: Chosen) -> Answer:
        place = [self._seed, question.latent, crc32(question.scorer.encode()), *question.place]
        spread = scores.std() * self._noise / SURE
        noisy = scores + spread * np.random.default_rng(place).normal(size=len(scores))
        return Answer((best_place(noisy, question, self._seed),), (None,))

    def _rng(self, question: Question, label: Label) -> np.random.Generator:
        place = [self._seed, question.latent, crc32(question.scorer.encode()), int(label.label_id, 16)]
        return np.random.default_rng(place)
