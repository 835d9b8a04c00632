"""What does a language model answer when it reads a label and judges items by it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autointerp.corpus.base import Corpus
from autointerp.judge.forms import FORMS, read
from autointerp.llm.client import LLM
from autointerp.llm.items import ask_items
from autointerp.llm.parse import strict_schema
from autointerp.llm.request import Request
from autointerp.schema import Answer, Question, ShownItem
from autointerp.templates import render

BATCH_SIZE = 10
MAX_TOKENS = 2000
SCHEMAS = {scorer: strict_schema(form.reply) for scorer, form in FORMS.items()}


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
        form = FORMS[kind_of(question)]

        def request(places: Sequence[int], attempt: int) -> Request:
            some = list(places)
            marks = tuple(question.marks[i] for i in some) if question.marks else ()
            return self._llm.request(
                self.prompt(replace(question, rows=question.rows[some], marks=marks)),
                max_tokens=MAX_TOKENS,
                temperature=0.0,
                schema=SCHEMAS[
                    kind_of(question)
                ],  # here, so that the key in the trials is the key in the ledger
                schema_name=form.reply.__name__,
                replicate=attempt,
                purpose="judge",
            )

        said = await ask_items(self._llm, len(question.rows), request, form.reply, read, self._reask)
        return Answer(said.values, said.failures, said.keys[0], said.status)

    def prompt(self, question: Question) -> str:
        """The question in words."""
        cards = self._corpus.render(question.rows, question.marks or None)
        panels = self._corpus.panel(question.rows, question.panel)
        items = [ShownItem("", 0, "", card, panel) for card, panel in zip(cards, panels, strict=True)]
        return render(
            FORMS[kind_of(question)].template,
            noun=self._corpus.noun,
            feature_noun=self._corpus.feature_noun,
            title=question.label.title,
            description=question.label.description,
            items=items,
        )


def kind_of(question: Question) -> str:
    """The form that a scorer's questions take: ``detection:masked`` asks as ``detection`` does."""
    return question.scorer.partition(":")[0]
