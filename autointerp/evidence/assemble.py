"""What may an explainer see of one latent? Contrasts, and items with look-alikes and panels: explain only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.corpus.base import Corpus
from autointerp.evidence.examples import EXPLAIN_POSITIVES
from autointerp.schema import POSITIVE, Contrast, Evidence, Examples, ShownItem

PANEL_FEATURES = 10
STRENGTHS = 10


def strengths(activations: np.ndarray, greatest: float) -> np.ndarray:
    """0–10: ceil(10·a/max), in double precision: in single, 10·a/a may exceed 10."""
    if greatest <= 0:
        return np.zeros(len(activations), int)
    return np.ceil(STRENGTHS * activations.astype(np.float64) / greatest).astype(int)


def panel_features(contrasts: Sequence[Contrast], lineage: Sequence[str] = ()) -> list[str]:
    """The lineage's features, then the 10 strongest over all contrasts, taken in turn, each once."""
    ranked = [[f.name for f in sorted((*c.up, *c.down), key=lambda f: -abs(f.shift))] for c in contrasts]
    chosen: dict[str, None] = {}
    for place in range(PANEL_FEATURES):
        for names in ranked:
            if place < len(names):
                chosen.setdefault(names[place])
    return list(dict.fromkeys((*lineage, *list(chosen)[:PANEL_FEATURES])))


def spread(n: int, most: int) -> list[int]:
    """Up to ``most`` of the places 0 … n−1, evenly, first and last among them."""
    if n <= most:
        return list(range(n))
    return [round(i * (n - 1) / max(1, most - 1)) for i in range(most)]


def assemble(
    corpus: Corpus,
    latent: int,
    explain: Examples,
    contrasts: Sequence[Contrast],
    n_active: int,
    n_explain: int,
    shown: int = EXPLAIN_POSITIVES,
    lineage: Sequence[str] = (),
) -> Evidence:
    """Evidence of one latent from its explain examples.

    contrasts : what those of the latent say; lineage : features that stand first on the panel
    shown : how many activating items to render, spread over strength; 0 renders nothing, for explainers that read
        contrasts only
    """
    positives = explain.truth
    order = np.flatnonzero(positives)[::-1]  # strongest first
    order = order[spread(len(order), shown)]
    neighbours = explain.of_kind("neighbour")  # entry i is the look-alike of positive i
    paired = order[order < len(neighbours)]
    others = np.flatnonzero(~positives & (explain.kinds != "neighbour"))
    panel = panel_features(contrasts, lineage) if shown else []
    greatest = float(explain.activations.max(initial=0.0))
    strength = strengths(explain.activations, greatest)

    def items(rows: np.ndarray, kinds: Sequence[str], shown_strength: Sequence[int]) -> tuple[ShownItem, ...]:
        if shown == 0 or len(rows) == 0:
            return ()
        cards, panels = corpus.render(rows), corpus.panel(rows, panel)
        return tuple(
            ShownItem(str(corpus.ids[row]), int(s), kind, card, values)
            for row, s, kind, card, values in zip(rows, shown_strength, kinds, cards, panels, strict=True)
        )

    near = items(neighbours[paired], ["neighbour"] * len(paired), [0] * len(paired))
    look_alike = dict(zip(paired.tolist(), near, strict=False))
    return Evidence(
        latent=latent,
        firing_rate=n_active / n_explain,
        n_active=n_active,
        n_explain=n_explain,
        contrasts=tuple(contrasts),
        shown=items(explain.rows[order], [POSITIVE] * len(order), strength[order].tolist()),
        look_alikes=tuple(look_alike.get(i) for i in order.tolist()) if shown else (),
        silent=items(explain.rows[others], explain.kinds[others].tolist(), [0] * len(others)),
        noun=corpus.noun,
        feature_noun=corpus.feature_noun,
    )
