"""What is a judge? A Question in, an Answer out; a scorer never knows whether it is a model or a rule."""

from __future__ import annotations

from typing import Protocol

from autointerp.schema import Answer, Question


class Judge(Protocol):
    """Answers P(active) 0–100 for every item of a question, or says why it could not.

    batch_size : how many items a question should hold; None for a rule that reads items one by one
    """

    @property
    def name(self) -> str: ...

    @property
    def batch_size(self) -> int | None: ...

    async def answer(self, question: Question) -> Answer: ...
