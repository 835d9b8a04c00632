"""What does a language model say from a latent's hardest pairs: active items beside the silent ones most like them?"""

from __future__ import annotations

from autointerp.evidence.assemble import spread
from autointerp.explain.base import Lab
from autointerp.explain.one_shot import asked_label
from autointerp.llm.client import LLM
from autointerp.schema import LABEL_KINDS, Evidence, Failure, Label
from autointerp.templates import render

PAIRS, LINES = 20, 20
FEWER = 4  # times fewer pairs, for a model whose context is too short for that


class Contrastive:
    """One request a latent. A reply that cannot be read twice is a Failure, never a label.

    samples : how many more are asked for, to say how far they agree
    """

    name = "contrastive"
    needs_model = True
    reads_categories = False
    needs_lab = False

    def __init__(self, samples: int = 0):
        self.samples = samples

    async def explain(self, evidence: Evidence, llm: LLM, lab: Lab | None = None) -> Label | Failure:
        prompts = (self.prompt(evidence, most) for most in (PAIRS, PAIRS // FEWER))
        return await asked_label(prompts, evidence.latent, self.name, llm, self.samples)

    def prompt(self, evidence: Evidence, most: int = PAIRS) -> str:
        """Pairs spread over strength, after the contrasts, the one against look-alikes first."""
        pairs = [
            (item, like)
            for item, like in zip(evidence.shown, evidence.look_alikes, strict=True)
            if like is not None
        ]
        near_first = sorted(evidence.contrasts, key=lambda contrast: contrast.against != "nearest silent")
        return render(
            "explain/contrastive.j2",
            noun=evidence.noun,
            feature_noun=evidence.feature_noun,
            firing_rate=evidence.firing_rate,
            n_active=evidence.n_active,
            n_explain=evidence.n_explain,
            contrasts=near_first,
            lines=LINES,
            pairs=[pairs[i] for i in spread(len(pairs), most)],
            n_pairs=len(pairs),
            kinds=LABEL_KINDS,
        )
