"""What does a language model say from a latent's hardest pairs: active items beside the silent ones most like them?"""

from __future__ import annotations

from bisect import bisect_left

from autointerp.evidence.assemble import spread
from autointerp.explain.one_shot import OneShot
from autointerp.explain.told import CHARS_PER_TOKEN, TOKENS
from autointerp.pictures import length
from autointerp.schema import LABEL_KINDS, Evidence
from autointerp.templates import render

PAIRS, LINES = 20, 20
PLANS = (  # (pairs, lines of one side of a contrast), from all that a prompt tells to the least
    *((pairs, LINES) for pairs in range(PAIRS, 6, -1)),
    *((6, lines) for lines in range(LINES, 4, -1)),
    *((pairs, 4) for pairs in range(6, 1, -1)),
)


class Contrastive(OneShot):
    """As ``one_shot``, of another prompt."""

    name = "contrastive"

    def prompt(self, evidence: Evidence, tokens: int = TOKENS) -> str:
        """As many pairs, spread over strength, and lines of the contrasts as about so many tokens hold."""
        fits = bisect_left(
            PLANS, True, key=lambda plan: length(self._prompt(evidence, *plan)) <= tokens * CHARS_PER_TOKEN
        )
        return self._prompt(evidence, *PLANS[min(fits, len(PLANS) - 1)])

    def _prompt(self, evidence: Evidence, most: int, lines: int) -> str:
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
            lines=lines,
            pairs=[pairs[i] for i in spread(len(pairs), most)],
            n_pairs=len(pairs),
            kinds=LABEL_KINDS,
        )
