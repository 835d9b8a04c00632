"""What does a language model say of a latent, asked once with all the evidence?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, Field

from autointerp.explain.agreement import agreement
from autointerp.explain.base import Lab
from autointerp.explain.told import FEWER, TOKENS, told
from autointerp.llm.client import LLM, Answered
from autointerp.llm.request import Request
from autointerp.schema import LABEL_KINDS, Evidence, Failure, KeyFeature, Label, LabelKind
from autointerp.templates import render
from autointerp.together import together

MAX_TOKENS = 4000
TEMPERATURE = 0.8  # of samples
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
    """One request a latent. A reply that cannot be read twice is a Failure, never a label.

    samples : how many more are asked for, to say how far they agree
    """

    name = "one_shot"
    needs_model = True
    reads_categories = False
    needs_lab = False

    def __init__(self, samples: int = 0):
        self.samples = samples

    async def explain(self, evidence: Evidence, llm: LLM, lab: Lab | None = None) -> Label | Failure:
        prompts = (self.prompt(evidence, tokens) for tokens in (TOKENS, TOKENS // FEWER))
        return await asked_label(prompts, evidence.latent, self.name, llm, self.samples)

    def prompt(self, evidence: Evidence, tokens: int = TOKENS) -> str:
        """The evidence in words, of about so many tokens, and what is asked."""
        return render("explain/one_shot.j2", kinds=LABEL_KINDS, **told(evidence, tokens))


async def asked_label(
    prompts: Iterable[str], latent: int, explainer: str, llm: LLM, samples: int
) -> Label | Failure:
    """The label that a model gives for the first prompt that fits into its context, at temperature 0.

    samples : how many more are asked for at once, at temperature 0.8; how far they and the label agree is stored with
        it. A sample that fails is left out.
    """
    answered: list[Answered[LabelReply] | Failure] = []
    for prompt in prompts:
        answered = await together(
            llm.ask_for(request, LabelReply, reask_message)
            for request in [label_request(llm, prompt, 0.0), *label_samples(llm, prompt, samples)]
        )
        if not (isinstance(answered[0], Failure) and answered[0].kind == "context"):
            break
    first, *others = answered
    if isinstance(first, Failure):
        return first
    made = [
        to_label(one.value, latent, explainer, llm.model, one.keys)
        for one in (first, *others)
        if not isinstance(one, Failure)
    ]
    history = tuple(key for label in made for key in label.history)
    return replace(made[0], parse_status=first.status, history=history, agreement=agreement(made))


def label_request(llm: LLM, prompt: str, temperature: float, replicate: int = 0) -> Request:
    """A request for one label."""
    return llm.request(
        prompt, max_tokens=MAX_TOKENS, temperature=temperature, replicate=replicate, purpose="explain"
    )


def label_samples(llm: LLM, prompt: str, samples: int) -> list[Request]:
    """Requests for so many independent labels at temperature 0.8."""
    return [label_request(llm, prompt, TEMPERATURE, place) for place in range(samples)]


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
