"""What does a language model answer when it reads a label and judges items by it?"""

from __future__ import annotations

from pydantic import BaseModel

from autointerp.corpus.base import Corpus
from autointerp.llm.client import LLM
from autointerp.llm.parse import strict_schema
from autointerp.schema import Answer, Failure, Question, ShownItem
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
        """One request for the whole question. Items fail that are missing, answered in two ways or out of 0–100."""
        request = self._llm.request(
            self.prompt(question),
            max_tokens=MAX_TOKENS,
            temperature=0.0,
            schema=SCHEMA,  # here, so that the key in the trials is the key in the ledger
            schema_name=DetectionReply.__name__,
        )
        answered = await self._llm.ask_for(request, DetectionReply, self._reask)
        n = len(question.rows)
        if isinstance(answered, Failure):
            return Answer.failed(n, answered.kind, request.key)
        said: dict[int, list[float]] = {}
        for reply in answered.value.answers:
            said.setdefault(reply.item, []).append(reply.probability)
        values: list[float | None] = []
        failures: list[str | None] = []
        for number in range(1, n + 1):
            told = said.get(number, [])
            problem = None
            if not told:
                problem = "no answer for this item"
            elif len(set(told)) > 1:
                problem = "contradictory answers for this item"
            elif not 0 <= told[0] <= 100:
                problem = f"probability {told[0]:g} outside 0–100"
            values.append(told[0] if problem is None else None)
            failures.append(problem)
        return Answer(tuple(values), tuple(failures), request.key)

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
