"""A lab without data: labels have the develop scores that a test says, and tools answer with their name."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from autointerp.explain.base import Comparison, DevelopScore, Mistake, Mistakes
from autointerp.llm.client import Answered
from autointerp.llm.request import Reply
from autointerp.pictures import marked
from autointerp.schema import Failure, Label, Rendering, ShownItem


def develop_score(label: Label, value: float | None, half: float = 0.1, reason: str = "") -> DevelopScore:
    none, empty = np.empty(0), np.empty(0, dtype=str)
    low, high = (None, None) if value is None else (value - half, value + half)
    keys = np.array([f"judged {label.title}"])
    return DevelopScore(
        label, value, low, high, reason, {"random": value or 0.0}, none, none, empty, none, empty, keys
    )


class FakeLab:
    """values : title -> develop AUROC, or None; a difference of 0.05 is significant."""

    perturbs = False
    pictures: tuple[bytes, ...] = ()

    def __init__(self, n_mistakes: int = 1, **values: float | None):
        self.values, self.n_mistakes = values, n_mistakes
        self.tested: list[str] = []
        self.called: list[tuple[str, dict]] = []

    async def test(self, label):
        self.tested.append(label.title)
        value = self.values[label.title]
        return develop_score(label, value, reason="" if value is not None else "no answers")

    def mistakes(self, score, most):
        item = ShownItem("", 0, "neighbour", Rendering("a card", self.pictures), (("CD3D", 0.0),))
        wrong = (Mistake(item, 77.0),) * min(self.n_mistakes, most)
        return Mistakes(wrong, self.n_mistakes, (), 0)

    def better(self, new, old):
        if new.value is None or old.value is None:
            return Comparison(0.0, 1.0)
        difference = new.value - old.value
        return Comparison(difference, 0.01 if difference > 0.05 else 0.4)

    async def call(self, tool, arguments):
        self.called.append((tool, dict(arguments)))
        return f"{tool} says something" + marked(self.pictures)


class TalkingModel:
    """Stands in for ``LLM``: says what it is given, remembers the messages, and may call tools."""

    model = "scripted/model"

    def __init__(self, *replies, native: bool = False):
        self.replies, self.native = list(replies), native
        self.requests: list[SimpleNamespace] = []

    async def can(self, feature):
        assert feature == "tools"
        return self.native

    def request(self, messages, **fields):
        said = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        made = SimpleNamespace(key=f"key{len(self.requests) + 1}", messages=tuple(said), reply=None, **fields)
        self.requests.append(made)
        return made

    async def ask(self, request):
        if request.reply is None:
            request.reply = self.replies.pop(0)
        if isinstance(request.reply, Failure):
            return request.reply
        if isinstance(request.reply, tuple):  # calls of tools
            return Reply("", "tool_calls", tool_calls=request.reply)
        return Reply("said", "stop")

    async def ask_for(self, request, form, reask=None):
        await self.ask(request)
        said = request.reply
        return said if isinstance(said, Failure) else Answered(form(**said), "ok", (request.key,))


def hypotheses(*titles: str, **fields) -> dict:
    """A reply that proposes labels of these titles."""
    said = [{"title": title, "description": f"{title}.", "confidence": 0.5} for title in titles]
    return {"reasoning": "so", "abstained": False, "hypotheses": said, **fields}
