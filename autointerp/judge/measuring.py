"""What do a model's vectors and likelihoods say of items and reports, where it is not asked for an opinion?

Each reader answers questions of one type alone, with bare numbers of any size: an order and no probabilities.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from autointerp.corpus.base import Corpus
from autointerp.llm.client import LLM
from autointerp.llm.measures import embedding_of, log_probability_of, nats_of, vector_of
from autointerp.llm.request import Reply, Request
from autointerp.questions import Asked, Change, Gain
from autointerp.schema import Answer, Failure, Question
from autointerp.templates import render

NOT_ITEMS = "vectors and likelihoods are about items alone"
NOT_REPORTS = "an information gain is about two reports alone"


class EmbeddingReader:
    """Cosine of the label's vector (title and description) with that of each item's rendering.

    A text is embedded once for a ledger: an item's vector serves all labels and latents.
    """

    batch_size = None

    def __init__(self, llm: LLM, corpus: Corpus):
        self.name = llm.model
        self._llm, self._corpus = llm, corpus

    async def answer(self, question: Asked) -> Answer:
        """A cosine in [−1, 1] for each item, or why it has none."""
        if not isinstance(question, Question):
            return Answer.failed(question.n_answers, NOT_ITEMS)
        label = question.label
        said = f"{label.title}. {label.description}"
        texts = [said, *(card.text for card in self._corpus.render(question.rows))]
        requests = [
            self._llm.request(**embedding_of(render("judge/embedding.j2", text=text)), purpose="judge")
            for text in texts
        ]
        ours, *theirs = await _all(self._llm, requests)
        if isinstance(ours, Failure):
            return Answer.failed(question.n_answers, ours.kind)
        vector = vector_of(ours)
        return _answer(
            [cosine(vector, vector_of(r)) if isinstance(r, Reply) else r for r in theirs], requests
        )


class SurprisalReader:
    """log p(item's card | label) − log p(card | fixed pseudo-label), in nats, under a model in this process."""

    batch_size = None

    def __init__(self, llm: LLM, corpus: Corpus):
        self.name = llm.model
        self._llm, self._corpus = llm, corpus

    async def answer(self, question: Asked) -> Answer:
        """A difference for each item, or why it has none."""
        if not isinstance(question, Question):
            return Answer.failed(question.n_answers, NOT_ITEMS)
        cards = [card.text for card in self._corpus.render(question.rows)]
        label = question.label
        prefixes = [self._prefix(label.title, label.description), self._prefix("", "")]
        requests = [
            self._llm.request(**log_probability_of(card, prefix), purpose="judge")
            for prefix in prefixes
            for card in cards
        ]
        replies = await _all(self._llm, requests)
        return _answer(
            [_difference(a, b) for a, b in zip(replies[: len(cards)], replies[len(cards) :], strict=True)],
            requests,
        )

    def _prefix(self, title: str, description: str) -> str:
        nouns = {"noun": self._corpus.noun, "feature_noun": self._corpus.feature_noun}
        return render("judge/surprisal.j2", **nouns, title=title, description=description)


class GainReader:
    """log p(label | report of edited items) − log p(label | report of them as they are), in nats, under a model in this
    process [the information gain of arXiv 2410.13928, section 3.3.5]."""

    batch_size = None

    def __init__(self, llm: LLM, corpus: Corpus):
        self.name = llm.model
        self._llm, self._corpus = llm, corpus

    async def answer(self, question: Asked) -> Answer:
        """One difference, or why there is none."""
        if not isinstance(question, Gain):
            return Answer.failed(question.n_answers, NOT_REPORTS)
        label = question.label
        said = render("judge/gain_label.j2", title=label.title, description=label.description)
        requests = [
            self._llm.request(**log_probability_of(said, self._report(question, changes)), purpose="judge")
            for changes in (question.edited, question.clean)
        ]
        edited, clean = await _all(self._llm, requests)
        return _answer([_difference(edited, clean)], requests)

    def _report(self, question: Gain, changes: Sequence[Change]) -> str:
        return render("judge/gain.j2", noun=self._corpus.noun, changes=changes, readout=question.readout)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """a·b / (|a| |b|) of (d,) vectors; 0 where one of them is 0."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths > 0 else 0.0


def _difference(given: Reply | Failure, fixed: Reply | Failure) -> float | Failure:
    if isinstance(given, Failure):
        return given
    if isinstance(fixed, Failure):
        return fixed
    label, pseudo = nats_of(given), nats_of(fixed)
    if label is None or pseudo is None:
        return Failure("logprobs", "the reply holds no log-probabilities")
    return label - pseudo


async def _all(llm: LLM, requests: Sequence[Request]) -> list[Reply | Failure]:
    """All answers, or the first exception once every request is made: a deferred run then wants them all."""
    found = await asyncio.gather(*(llm.ask(request) for request in requests), return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return [one for one in found if not isinstance(one, BaseException)]


def _answer(found: Sequence[float | Failure], requests: Sequence[Request]) -> Answer:
    return Answer(
        tuple(None if isinstance(one, Failure) else one for one in found),
        tuple(one.kind if isinstance(one, Failure) else None for one in found),
        keys=tuple(request.key for request in requests),
    )
