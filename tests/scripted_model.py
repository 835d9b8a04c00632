"""A model without a wire: it says what it is given, one reply after another, and remembers what it was asked."""

from __future__ import annotations

from types import SimpleNamespace

from autointerp.llm.client import Answered
from autointerp.schema import Failure


class ScriptedModel:
    """Stands in for ``autointerp.llm.client.LLM``: replies are dicts of the form asked for, or Failures."""

    model = "scripted/model"

    def __init__(self, *replies: dict | Failure):
        self.replies, self.prompts = list(replies), []

    def request(self, prompt: str, **fields):
        self.prompts.append(prompt)
        return SimpleNamespace(key=f"key{len(self.prompts)}", **fields)

    async def ask_for(self, request, form, reask=None):
        reply = self.replies.pop(0)
        return reply if isinstance(reply, Failure) else Answered(form(**reply), "read", (request.key,))
