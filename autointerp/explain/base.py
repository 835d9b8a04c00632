"""What is an explainer? Evidence in, a Label or a typed Failure out; and which explainers are there."""

from __future__ import annotations

from typing import Any, Protocol

from autointerp.schema import Evidence, Failure, Label


class Explainer(Protocol):
    """Writes one label from what ``Evidence`` shows, which never holds held-out items.

    reads_categories : whether it is shown the user's annotation, which is withheld from all others
    """

    name: str
    needs_model: bool
    reads_categories: bool

    async def explain(self, evidence: Evidence, llm: Any) -> Label | Failure:
        """``llm`` is an ``autointerp.llm.client.LLM``, or None for an explainer without a model."""
        ...
