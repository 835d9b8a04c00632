"""Which of several labels is best, where a model is asked the same several times? The one that does best on develop."""

from __future__ import annotations

from dataclasses import replace

from autointerp.explain.agreement import agreement
from autointerp.explain.base import Lab
from autointerp.explain.one_shot import LabelReply, label_samples, reask_message, to_label
from autointerp.explain.rounds import Rounds
from autointerp.explain.told import FEWER, TOKENS, told
from autointerp.llm.client import LLM, Answered
from autointerp.schema import LABEL_KINDS, Evidence, Failure, Label
from autointerp.templates import render
from autointerp.together import together


class BestOfN:
    """``samples`` labels at temperature 0.8, the best on develop; ties go to the first.

    Samples that fail or abstain are not tested; where all of them abstain, so does the label, and where none can be
    read the first failure stands.
    """

    name = "best_of_n"
    needs_model = True
    reads_categories = False
    needs_lab = True

    def __init__(self, samples: int = 5):
        self.samples = samples

    async def explain(self, evidence: Evidence, llm: LLM, lab: Lab | None = None) -> Label | Failure:
        if lab is None:
            raise ValueError("best_of_n tests its samples, and needs a lab for that")
        answered = await self._ask(evidence, llm, TOKENS)
        if all(isinstance(one, Failure) and one.kind == "context" for one in answered):
            answered = await self._ask(evidence, llm, TOKENS // FEWER)
        labels: list[Label] = []
        keys: list[str] = []
        for one in answered:
            if not isinstance(one, Failure):
                keys += one.keys
                label = to_label(one.value, evidence.latent, self.name, llm.model, ())
                labels.append(replace(label, parse_status=one.status))
        if not labels:
            return next(one for one in answered if isinstance(one, Failure))
        labels = [replace(label, agreement=agreement(labels)) for label in labels]
        said = [label for label in labels if not label.abstained]
        if not said:
            return replace(labels[0], history=tuple(keys))
        rounds = Rounds(lab)
        await rounds.add(said, 0)
        assert rounds.standing is not None
        return rounds.finished(rounds.standing.label, f"best of {len(said)}", keys)

    async def _ask(self, evidence: Evidence, llm: LLM, tokens: int) -> list[Answered[LabelReply] | Failure]:
        requests = label_samples(llm, self.prompt(evidence, tokens), self.samples)
        return await together(llm.ask_for(request, LabelReply, reask_message) for request in requests)

    def prompt(self, evidence: Evidence, tokens: int = TOKENS) -> str:
        """That of ``one_shot``."""
        return render("explain/best_of_n.j2", kinds=LABEL_KINDS, **told(evidence, tokens))
