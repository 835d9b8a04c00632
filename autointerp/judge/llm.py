"""What does a language model answer when it reads a label and judges items by it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel

from autointerp.corpus.base import Corpus
from autointerp.llm.client import LLM
from autointerp.llm.items import ask_items
from autointerp.llm.parse import strict_schema
from autointerp.llm.request import Request
from autointerp.schema import Answer, Question, ShownItem
from autointerp.templates import render

BATCH_SIZE = 10
MAX_TOKENS = 2000


class ItemReply(BaseModel):
    """One item's answer."""

    item: int
    probability: float


class DetectionReply(BaseModel):
    """The reply that ``judge/detection.j2`` asks for."""

    answers: list[ItemReply]


SCHEMA = strict_schema(DetectionReply)


class LLMJudge:
    """Reads title and description only, beside the items' cards and the panel of genes that the label names."""

    batch_size = BATCH_SIZE

    def __init__(self, llm: LLM, corpus: Corpus, reask):
        self.name = llm.model
        self._llm, self._corpus, self._reask = llm, corpus, reask

    async def answer(self, question: Question) -> Answer:
        """One request for the whole question; one more for the items that it leaves out or answers badly.

        A question that is too long for the model is asked in two halves. The answers of a question are one cluster,
        named by its first request.
        """

        def request(places: Sequence[int], attempt: int) -> Request:
            some = replace(question, rows=question.rows[list(places)])
            return self._llm.request(
                self.prompt(some),
                max_tokens=MAX_TOKENS,
                temperature=0.0,
                schema=SCHEMA,  # here, so that the key in the trials is the key in the ledger
                schema_name=DetectionReply.__name__,
                replicate=attempt,
                purpose="judge",
            )

        said = await ask_items(self._llm, len(question.rows), request, DetectionReply, read, self._reask)
        return Answer(said.values, said.failures, said.keys[0], said.status)

    def prompt(self, question: Question) -> str:
        cards = self._corpus.render(question.rows)
        panels = self._corpus.panel(question.rows, question.panel)
        items = [ShownItem("", 0, "", card, panel) for card, panel in zip(cards, panels, strict=True)]
        return render(
            "judge/detection.j2",
            noun=self._corpus.noun,
            feature_noun=self._corpus.feature_noun,
            title=question.label.title,
            description=question.label.description,
            items=items,
        )


def read(reply: DetectionReply, n: int) -> tuple[list[float | None], list[str | None]]:
    """A value or a failure for each of ``n`` items: fails what is missing, answered in two ways or out of 0–100.

    A reply that counts from 0 fails as a whole: its answers would go to the wrong items.
    """
    said: dict[int, list[float]] = {}
    for answer in reply.answers:
        said.setdefault(answer.item, []).append(answer.probability)
    values: list[float | None] = []
    failures: list[str | None] = []
    for number in range(1, n + 1):
        told = said.get(number, [])
        problem = None
        if 0 in said:
            problem = "items counted from 0"
        elif not told:
            problem = "no answer for this item"
        elif len(set(told)) > 1:
            problem = "contradictory answers for this item"
        elif not 0 <= told[0] <= 100:
            problem = f"probability {told[0]:g} outside 0–100"
        values.append(told[0] if problem is None else None)
        failures.append(problem)
    return values, failures
