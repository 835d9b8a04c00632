"""What does a language model say of a latent, asked once with all the evidence?"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, Field

from autointerp.explain.base import Lab
from autointerp.explain.told import FEWER, TOKENS, told
from autointerp.llm.client import LLM, Answered
from autointerp.schema import LABEL_KINDS, Evidence, Failure, KeyFeature, Label, LabelKind
from autointerp.templates import render

MAX_TOKENS = 4000
TITLE_WORDS = 10


class FeatureReply(BaseModel):
    """One feature as the model names it."""

    name: str
    direction: Literal["up", "down"]


class LabelReply(BaseModel):
    """The reply that ``explain/one_shot.j2`` asks for."""

    reasoning: str = ""
    title: str
    description: str
    kind: LabelKind = "unknown"
    confidence: float = Field(ge=0, le=1)
    abstained: bool = False
    key_features: list[FeatureReply] = []


class OneShot:
    """One request a latent. A reply that cannot be read twice is a Failure, never a label."""

    name = "one_shot"
    needs_model = True
    reads_categories = False
    needs_lab = False

    async def explain(self, evidence: Evidence, llm: LLM, lab: Lab | None = None) -> Label | Failure:
        answered = await self._ask(self.prompt(evidence), llm)
        if isinstance(answered, Failure) and answered.kind == "context":
            answered = await self._ask(self.prompt(evidence, TOKENS // FEWER), llm)
        if isinstance(answered, Failure):
            return answered
        label = to_label(answered.value, evidence.latent, self.name, llm.model, answered.keys)
        return replace(label, parse_status=answered.status)

    async def _ask(self, prompt: str, llm: LLM) -> Answered[LabelReply] | Failure:
        request = llm.request(prompt, max_tokens=MAX_TOKENS, temperature=0.0, purpose="explain")
        return await llm.ask_for(request, LabelReply, reask_message)

    def prompt(self, evidence: Evidence, tokens: int = TOKENS) -> str:
        """The evidence in words, of about so many tokens, and what is asked."""
        return render("explain/one_shot.j2", kinds=LABEL_KINDS, **told(evidence, tokens))


def reask_message(problem: str) -> str:
    """What a model is told whose reply could not be read."""
    return render("shared/reask.j2", problem=problem)


def to_label(reply: LabelReply, latent: int, explainer: str, model: str, keys: tuple[str, ...]) -> Label:
    """The label that a reply means; a title of more than 10 words is cut there, and the description keeps it whole."""
    words = reply.title.split()
    title, description = " ".join(words[:TITLE_WORDS]), reply.description.strip()
    if len(words) > TITLE_WORDS:
        description = f"{reply.title.strip()}. {description}"
    named = {f.name.strip(): f.direction for f in reply.key_features if f.name.strip()}
    return Label(
        latent=latent,
        explainer=explainer,
        title=title,
        description=description,
        kind=reply.kind,
        confidence=reply.confidence,
        key_features=tuple(KeyFeature(name, direction) for name, direction in named.items()),
        abstained=reply.abstained or not title,
        model=model,
        history=keys,
    )
