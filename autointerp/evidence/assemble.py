"""What may an explainer see of one latent? Contrasts, items with look-alikes, panels and covariates: explain only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.corpus.base import Corpus
from autointerp.evidence.contrast import Contrasts
from autointerp.schema import POSITIVE, Evidence, Examples, ShownItem

PANEL_FEATURES = 10
STRENGTHS = 10


def strengths(activations: np.ndarray, greatest: float) -> np.ndarray:
    """0–10: ceil(10·a/max)."""
    return (
        np.ceil(STRENGTHS * activations / greatest).astype(int)
        if greatest > 0
        else np.zeros(len(activations), int)
    )


def panel_features(contrasts: Sequence[Contrasts], latent: int, names: np.ndarray) -> list[str]:
    """The 10 strongest features over all contrasts, taken in turn, each once."""
    ranked = []
    for contrast in contrasts:
        told = contrast.of(latent, names, PANEL_FEATURES)
        both = sorted((*told.up, *told.down), key=lambda f: -abs(f.shift))
        ranked.append([f.name for f in both])
    chosen: dict[str, None] = {}
    for place in range(max((len(r) for r in ranked), default=0)):
        for r in ranked:
            if place < len(r):
                chosen.setdefault(r[place])
    return list(chosen)[:PANEL_FEATURES]


def assemble(
    corpus: Corpus,
    latent: int,
    explain: Examples,
    contrasts: Sequence[Contrasts],
    n_active: int,
    n_explain: int,
    shown: bool = True,
) -> Evidence:
    """Evidence of one latent from its explain examples.

    shown : False leaves out the rendered items, for explainers that read contrasts only
    """
    names = corpus.feature_names
    positives = explain.truth
    order = np.flatnonzero(positives)[::-1]  # strongest first
    neighbours = explain.of_kind("neighbour")  # entry i is the look-alike of positive i
    others = np.flatnonzero(~positives & (explain.kinds != "neighbour"))
    panel = panel_features(contrasts, latent, names) if shown else []
    greatest = float(explain.activations.max(initial=0.0))
    strength = strengths(explain.activations, greatest)

    def items(rows: np.ndarray, kinds: Sequence[str], shown_strength: Sequence[int]) -> tuple[ShownItem, ...]:
        if not shown or len(rows) == 0:
            return ()
        cards, panels = corpus.render(rows), corpus.panel(rows, panel)
        return tuple(
            ShownItem(str(corpus.ids[row]), int(s), kind, card, values)
            for row, s, kind, card, values in zip(rows, shown_strength, kinds, cards, panels, strict=True)
        )

    matched = neighbours[order[order < len(neighbours)]]
    return Evidence(
        latent=latent,
        firing_rate=n_active / n_explain,
        n_active=n_active,
        n_explain=n_explain,
        contrasts=tuple(c.of(latent, names) for c in contrasts),
        shown=items(explain.rows[order], [POSITIVE] * len(order), strength[order].tolist()),
        look_alikes=items(matched, ["neighbour"] * len(matched), [0] * len(matched)),
        silent=items(explain.rows[others], explain.kinds[others].tolist(), [0] * len(others)),
        covariates=tuple(
            (name, float(np.median(values[explain.rows[positives]])), float(np.median(values[neighbours])))
            for name, values in corpus.covariates().items()
            if positives.any() and len(neighbours)
        ),
        noun=corpus.noun,
        feature_noun=corpus.feature_noun,
    )
