"""How does a model that argues with the data speak? Hypotheses, calls of tools, and what a label is made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from autointerp.explain.one_shot import FeatureReply, LabelReply, to_label
from autointerp.schema import Label, LabelKind


class Hypothesis(BaseModel):
    """One label that a model proposes."""

    title: str
    description: str
    kind: LabelKind = "unknown"
    confidence: float = Field(ge=0, le=1)
    key_features: list[FeatureReply] = []


class Turn(BaseModel):
    """The reply that ``agent/propose.j2`` and ``agent/revise.j2`` ask for, where tools are called by the provider."""

    reasoning: str = ""
    abstained: bool = False
    hypotheses: list[Hypothesis] = []


class ToolCall(BaseModel):
    """A call of a tool as part of a JSON reply; each tool reads the fields that it has."""

    tool: str
    names: list[str] = []
    a: str = ""
    b: str = ""
    stratum: str = ""
    latent: int | None = None
    title: str = ""
    description: str = ""
    key_features: list[FeatureReply] = []
    strength: float = 0.0

    def arguments(self, fields: list[str]) -> dict[str, Any]:
        """Those that the tool has."""
        return {name: value for name, value in self.model_dump().items() if name in fields}


class CallingTurn(BaseModel):
    """The same, for endpoints that do not call tools: a reply calls some, or says what it would say after them."""

    reasoning: str = ""
    calls: list[ToolCall] = []
    abstained: bool = False
    hypotheses: list[Hypothesis] = []


class Tried(BaseModel):
    """Arguments of the tool ``test``."""

    title: str
    description: str
    key_features: list[FeatureReply] = []


def label_of(said: Hypothesis | Tried, latent: int, explainer: str, model: str) -> Label:
    """The label that a hypothesis is, without history."""
    fields = said.model_dump()
    reply = LabelReply(**({"confidence": 0.0} | fields))
    return to_label(reply, latent, explainer, model, ())
