"""What is a judge? A Question in, an Answer out; a scorer never knows whether it is a model or a rule."""

from __future__ import annotations

from typing import Protocol

from autointerp.questions import Asked
from autointerp.schema import Answer


class Judge(Protocol):
    """Answers every part of a question, in the units of ``autointerp.questions``, or says why it could not.

    batch_size : how many items a question should hold; None for a rule that reads items one by one
    """

    @property
    def name(self) -> str: ...

    @property
    def batch_size(self) -> int | None: ...

    async def answer(self, question: Asked) -> Answer: ...
