"""What would a label be that only names the commonest annotation? The category of most active items, by its markers."""

from __future__ import annotations

from typing import Any

from autointerp.explain.base import Lab
from autointerp.schema import Evidence, Failure, KeyFeature, Label

UP, DOWN = 20, 10
TITLE_WORDS = 10


class Majority:
    """Label = the category that most active explain items have, with that category's own marker features.

    A control for labels that say more than the annotation (protocols, section 6); it needs ``--category``. Its key
    features are the category's 20 most raised and 10 most lowered against all other items, whatever the latent does:
    that a category fires more often than its size is not asked. ``confidence`` is the category's share of active items.
    """

    name = "majority"
    needs_model = False
    reads_categories = True
    needs_lab = False

    async def explain(self, evidence: Evidence, llm: Any = None, lab: Lab | None = None) -> Label | Failure:
        if not evidence.category_counts or evidence.category_contrast is None:
            return Failure("no_category", "the majority label needs annotations. Pass --category COLUMN.")
        category, count = max(evidence.category_counts, key=lambda c: c[1])
        contrast = evidence.category_contrast
        up, down = contrast.up[:UP], contrast.down[:DOWN]
        return Label(
            latent=evidence.latent,
            explainer=self.name,
            title=" ".join(category.split()[:TITLE_WORDS]),
            description=f"{evidence.noun.capitalize()}s annotated as {category}.",
            kind="identity",
            confidence=round(count / sum(n for _, n in evidence.category_counts), 4),
            key_features=tuple(KeyFeature(f.name, "up") for f in up)
            + tuple(KeyFeature(f.name, "down") for f in down),
        )
