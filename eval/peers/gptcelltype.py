"""What would GPTCelltype call a latent's cells? The top ten markers in, a name out.

Hou & Ji 2024, "Assessing GPT-4 for cell type annotation in single-cell RNA-seq analysis", Nat Methods 21:1462–1465:
the ten best differential genes (theirs by a rank-sum test, ours those of the latent's contrast with all silent cells),
asked for the cell type alone. Theirs names tissue and species and asks about many clusters in one prompt; here nothing
of the data is told beside the genes, and each latent is asked about by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from autointerp.explain.base import Lab
from autointerp.explain.one_shot import reask_message
from autointerp.llm.client import LLM
from autointerp.schema import Evidence, Failure, Label
from autointerp.templates import render
from eval.peers.delphi import MAX_TOKENS
from eval.peers.named import said

MARKERS = 10


class NameReply(BaseModel):
    """The reply that ``peers/gptcelltype.j2`` asks for."""

    cell_type: str


class GPTCelltype:
    """A latent in which nothing is raised has no markers, so it abstains unasked."""

    name = "gptcelltype"
    needs_model = True
    reads_categories = False
    needs_lab = False

    async def explain(self, evidence: Evidence, llm: LLM, lab: Lab | None = None) -> Label | Failure:
        markers = [f.name for f in evidence.contrasts[0].up[:MARKERS]]
        if not markers:
            why = f"No {evidence.feature_noun} is raised more than by chance."
            return Label(evidence.latent, self.name, "", why, "unknown", 0.0, (), True)
        prompt = self.prompt(evidence, markers)
        request = llm.request(prompt, max_tokens=MAX_TOKENS, temperature=0.0, purpose="explain")
        answered = await llm.ask_for(request, NameReply, reask_message)
        if isinstance(answered, Failure):
            return answered
        name, key = answered.value.cell_type, answered.keys[-1]
        return said(name, evidence.latent, llm.model, key, answered.status, markers)

    def prompt(self, evidence: Evidence, markers: Sequence[str]) -> str:
        """The markers in words."""
        return render(
            "peers/gptcelltype.j2", noun=evidence.noun, feature_noun=evidence.feature_noun, markers=markers
        )
