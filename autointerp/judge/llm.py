"""What does a language model answer when it reads a label and judges items by it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autointerp.corpus.base import Corpus
from autointerp.evidence.regions import part_noun
from autointerp.judge.expected import PARAMS, expected
from autointerp.judge.forms import BATCH_SIZES, FORMS, OTHER_FORMS, form_of, read, reader
from autointerp.llm.client import LLM
from autointerp.llm.items import ask_items
from autointerp.llm.parse import strict_schema
from autointerp.llm.request import Request
from autointerp.names import JUDGE_FORMS, judge_named
from autointerp.questions import NOT_SAID, Asked, Directions, Gain, Match, OddOneOut, Said
from autointerp.schema import Answer, Question, ShownItem
from autointerp.templates import render

MAX_TOKENS = 2000
REPLICATE = 100  # between two judgings; tries of one question are counted from each
SCHEMAS = {form.template: strict_schema(form.reply) for form in (*FORMS.values(), *OTHER_FORMS.values())}


class LLMJudge:
    """Reads title and description only, beside the items' cards and the panel of genes that the label names.

    replicate : tells apart independent answers to the same question
    logprobs : whether probabilities are read from the log-probabilities of their tokens, where the endpoint gives them
        (it is asked once); see ``judge.expected``
    form : how it answers about items, one of ``names.JUDGE_FORMS``; part of its name where it is not the first
    """

    def __init__(
        self, llm: LLM, corpus: Corpus, reask, logprobs: bool = False, replicate: int = 0, form: str = JUDGE_FORMS[0]
    ):  # fmt: skip
        self.name, self.batch_size = judge_named(llm.model, form), BATCH_SIZES[form]
        self._llm, self._corpus, self._reask, self._logprobs = llm, corpus, reask, logprobs
        self._replicate, self._form = replicate, form

    def again(self) -> LLMJudge:
        """The same judge, whose answers are given anew: what differs is its noise."""
        again = self._replicate + REPLICATE
        return LLMJudge(self._llm, self._corpus, self._reask, self._logprobs, again, self._form)

    async def answer(self, question: Asked) -> Answer:
        """One request for the whole question; one more for the items that it leaves out or answers badly.

        A question that is too long for the model is asked in two halves. The answers of a question are one cluster,
        named by its first request.
        """
        if isinstance(question, Gain):
            return Answer.failed(question.n_answers, NOT_SAID)
        form = form_of(question, self._form)
        finer = self._logprobs and form.read is read and bool(await self._llm.can("logprobs"))

        def request(places: Sequence[int], attempt: int) -> Request:
            return self._llm.request(
                self.prompt(question.at(places)),
                max_tokens=MAX_TOKENS,
                temperature=0.0,
                schema=SCHEMAS[form.template],  # here, so that the key in the trials is the key in the ledger
                schema_name=form.reply.__name__,
                replicate=self._replicate + attempt,
                purpose="judge",
                params=PARAMS if finer else {},
            )

        def refine(key: str, values: list[float | None]) -> list[float | None]:
            reply = self._llm.ledger.get(key)
            return values if reply is None else expected(reply, values)

        said = await ask_items(
            self._llm, question.n_answers, request, form.reply, reader(question, self._form), self._reask,
            refine if finer else None,
        )  # fmt: skip
        return Answer(said.values, said.failures, said.keys[0], said.status, said.keys)

    def prompt(self, question: Said) -> str:
        """The question in words."""
        marked = isinstance(question, Question) and question.marks
        features = part_noun(self._corpus) if marked else self._corpus.feature_noun
        nouns = {"noun": self._corpus.noun, "feature_noun": features}
        return render(form_of(question, self._form).template, **nouns, **self._told(question))

    def _told(self, question: Said) -> dict[str, Any]:
        """What the template of the question's kind gets beside the nouns."""
        if isinstance(question, OddOneOut):
            return {"items": self._shown(question.rows)}
        if isinstance(question, Match):
            return {"labels": question.labels, "changes": question.changes, "readout": question.readout}
        said = {"title": question.label.title, "description": question.label.description}
        if isinstance(question, Directions):
            return {**said, "features": question.features}
        return {**said, "items": self._shown(question.rows, question.panel, question.marks)}

    def _shown(
        self, rows: np.ndarray, names: tuple[str, ...] = (), marks: tuple[tuple[str, ...], ...] = ()
    ) -> list[ShownItem]:
        cards, panels = self._corpus.render(rows, marks or None), self._corpus.panel(rows, names)
        return [ShownItem("", 0, "", card, panel) for card, panel in zip(cards, panels, strict=True)]
