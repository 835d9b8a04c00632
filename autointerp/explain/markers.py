"""What can be said without a language model? The features that shift most between active and silent items."""

from __future__ import annotations

from typing import Any

from autointerp.explain.base import Lab
from autointerp.schema import Evidence, Failure, KeyFeature, Label

UP, DOWN = 20, 10
TITLE_FEATURES, TITLE_WORDS = 5, 10


class Markers:
    """Label = the 20 most raised and 10 most lowered features of the contrast against all silent items.

    Only features above the contrast's null; with none raised or lowered it abstains. ``confidence`` says how far the
    strongest shift stands above chance: 1 − null/|shift|.
    """

    name = "markers"
    needs_model = False
    reads_categories = False
    needs_lab = False

    async def explain(self, evidence: Evidence, llm: Any = None, lab: Lab | None = None) -> Label | Failure:
        contrast = evidence.contrasts[0]
        up, down = contrast.up[:UP], contrast.down[:DOWN]
        noun, feature = evidence.noun, evidence.feature_noun
        if not up and not down:
            return Label(
                evidence.latent,
                self.name,
                "",
                f"No {feature} shifts more than by chance.",
                "unknown",
                0.0,
                (),
                True,
            )
        features = tuple(KeyFeature(f.name, "up") for f in up) + tuple(
            KeyFeature(f.name, "down") for f in down
        )
        title = _title([f.name for f in up], "high") if up else _title([f.name for f in down], "low")
        said = []
        if up:
            said.append(f"more {', '.join(f.name for f in up[:10])}")
        if down:
            said.append(f"less {', '.join(f.name for f in down[:10])}")
        strongest = max(abs(f.shift) for f in (*up, *down))
        return Label(
            latent=evidence.latent,
            explainer=self.name,
            title=title,
            description=f"{noun.capitalize()}s with {' and '.join(said)} than silent {noun}s.",
            kind="unknown",
            confidence=round(1 - contrast.null / strongest, 4),
            key_features=features,
        )


def _title(names: list[str], direction: str) -> str:
    """``A, B high``: up to 5 names and 10 words; a name may be of several words."""
    count = next(
        (n for n in range(TITLE_FEATURES, 1, -1) if len(" ".join(names[:n]).split()) < TITLE_WORDS), 1
    )
    words = ", ".join(names[:count]).split()
    return " ".join([*words[: TITLE_WORDS - 1], direction])
