"""What does delphi's default explainer say? 40 activating examples, 4 of each tenth of strength, and no silent one.

Paulo, Mallen, Juang & Belrose 2024, "Automatically Interpreting Millions of Features in Large Language Models"
[arXiv 2410.13928], section 3.1. Theirs reads 32 tokens with the activating ones marked; here an example is a cell's
card with the latent's strength on it. One request, one sentence, here at temperature 0.
"""

from __future__ import annotations

from pydantic import BaseModel

from autointerp.explain.base import Lab
from autointerp.explain.one_shot import reask_message
from autointerp.llm.client import LLM
from autointerp.schema import Evidence, Failure, Label
from autointerp.templates import render
from eval.peers.named import on_cards, said

MAX_TOKENS = 1000


class ExplanationReply(BaseModel):
    """The reply that ``peers/delphi.j2`` and ``peers/saebench.j2`` ask for."""

    explanation: str


class Delphi:
    """The items are those that our own explainers are shown: 40 activating ones by quantile."""

    name = "delphi"
    needs_model = True
    reads_categories = False
    needs_lab = False

    async def explain(self, evidence: Evidence, llm: LLM, lab: Lab | None = None) -> Label | Failure:
        request = llm.request(
            self.prompt(evidence), max_tokens=MAX_TOKENS, temperature=0.0, purpose="explain"
        )
        answered = await llm.ask_for(request, ExplanationReply, reask_message)
        if isinstance(answered, Failure):
            return answered
        text, key = answered.value.explanation, answered.keys[-1]
        return said(text, evidence.latent, llm.model, key, answered.status, on_cards(evidence.shown))

    def prompt(self, evidence: Evidence) -> str:
        """The examples in words."""
        return render(
            "peers/delphi.j2", noun=evidence.noun, feature_noun=evidence.feature_noun, items=evidence.shown
        )
