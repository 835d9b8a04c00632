"""What would a label be that only names a gene set? The set that a latent's features come from most."""

from __future__ import annotations

import re
from typing import Any

from autointerp.explain.base import Lab
from autointerp.schema import Evidence, Failure, KeyFeature, Label

TITLE_WORDS = 10
COLLECTION = re.compile(r"^(HALLMARK|GOBP|GOCC|GOMF|KEGG|REACTOME|WP|BIOCARTA|PID)_|\s*\(GO:\d+\)\s*$")


class TopSet:
    """Label = the raised gene set of least false discovery rate, the stronger of equal ones; key features its genes.

    A lowered set only where none is raised: what cells have says more of them than what they lack.

    A control for labels that say more (protocols, section 6). It abstains where no set passes an FDR of 0.05;
    ``confidence`` is 1 − FDR.
    """

    name = "top_set"
    needs_model = False
    reads_categories = False
    needs_lab = False

    async def explain(self, evidence: Evidence, llm: Any = None, lab: Lab | None = None) -> Label | Failure:
        if not evidence.enriched:
            said = f"No {evidence.feature_noun} set is enriched (FDR 0.05)."
            return Label(evidence.latent, self.name, "", said, "unknown", 0.0, (), True)
        best = min(evidence.enriched, key=lambda s: (s.direction == "down", s.fdr, -abs(s.z)))
        words = readable(best.name).split()
        more = "more" if best.direction == "up" else "less"
        return Label(
            latent=evidence.latent,
            explainer=self.name,
            title=" ".join([*words[: TITLE_WORDS - 1], "high" if best.direction == "up" else "low"]),
            description=f"{evidence.noun.capitalize()}s with {more} of the {evidence.feature_noun} set {best.name}: "
            f"{', '.join(best.leading)}.",
            kind="unknown",
            confidence=round(1 - best.fdr, 4),
            key_features=tuple(KeyFeature(name, best.direction) for name in best.leading),
        )


def readable(name: str) -> str:
    """``HALLMARK_INTERFERON_ALPHA_RESPONSE`` -> ``interferon alpha response``; a GO id at the end is left out."""
    said = COLLECTION.sub("", name)
    shouted = said.isupper() and "_" in said
    said = " ".join(said.replace("_", " ").split())
    return (said.lower() if shouted else said) or name
