"""What does SAEBench's explainer say? The 10 strongest examples and 5 drawn in proportion to their activation.

Karvonen et al. 2025, "SAEBench" [arXiv 2503.09532], automated interpretability, after Paulo et al. 2024. Examples are
of explain items; the 5 are drawn without replacement among those that are not the strongest, by (latent). One request,
one short sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from autointerp.explain.base import Lab
from autointerp.explain.one_shot import reask_message
from autointerp.llm.client import LLM
from autointerp.schema import Evidence, Failure, Label, ShownItem
from autointerp.templates import render
from eval.peers.delphi import MAX_TOKENS, ExplanationReply
from eval.peers.named import on_cards, said

STRONGEST, WEIGHTED = 10, 5


class SAEBench:
    """Items of its own choice, strongest first."""

    name = "saebench"
    needs_model = True
    reads_categories = False
    needs_lab = True

    async def explain(self, evidence: Evidence, llm: LLM, lab: Lab | None = None) -> Label | Failure:
        assert lab is not None, "it chooses its own items"
        items = lab.cards(chosen(lab.measured().activations, evidence.latent))
        prompt = self.prompt(evidence, items)
        request = llm.request(prompt, max_tokens=MAX_TOKENS, temperature=0.0, purpose="explain")
        answered = await llm.ask_for(request, ExplanationReply, reask_message)
        if isinstance(answered, Failure):
            return answered
        text, key = answered.value.explanation, answered.keys[-1]
        return said(text, evidence.latent, llm.model, key, answered.status, on_cards(items))

    def prompt(self, evidence: Evidence, items: Sequence[ShownItem]) -> str:
        """The examples in words."""
        return render(
            "peers/saebench.j2", noun=evidence.noun, feature_noun=evidence.feature_noun, items=items
        )


def chosen(activations: np.ndarray, latent: int) -> list[int]:
    """Places of the shown items: up to 10 strongest active ones, then up to 5 others, strongest first.

    activations : (n,); equal ones by place
    """
    order = np.argsort(-activations, kind="stable")
    order = order[activations[order] > 0]
    first, rest = order[:STRONGEST], order[STRONGEST:]
    weights = activations[rest].astype(np.float64)
    rng = np.random.default_rng([latent, crc32(b"saebench")])
    drawn = (
        rng.choice(rest, min(WEIGHTED, len(rest)), replace=False, p=weights / weights.sum())
        if len(rest)
        else rest
    )
    return [*first.tolist(), *sorted(drawn.tolist(), key=lambda i: (-activations[i], i))]
