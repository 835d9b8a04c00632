"""The smallest corpus that a judge or an explainer can read: a dense matrix with names, nothing estimated."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from autointerp.corpus.base import Part
from autointerp.schema import POSITIVE, Examples, KeyFeature, Label, Rendering


class TinyCorpus:
    """Features (n, g) as given; moments over ``explain`` rows; cards name what a cell expresses."""

    noun, feature_noun, zero_is_absent = "cell", "gene", True

    def __init__(self, x: np.ndarray, names: list[str], explain: np.ndarray | None = None):
        self.x = np.asarray(x, dtype=np.float32)
        self.feature_names = np.array(names)
        self.explain = np.arange(len(self.x)) if explain is None else explain
        self.ids = np.array([f"cell_{i}" for i in range(len(self.x))])
        self.obs, self.groups = pd.DataFrame(index=self.ids), None
        self.eligible = np.ones(len(names), dtype=bool)
        self.notes, self.warnings = [], []
        self.embeddings = self.x

    def __len__(self) -> int:
        return len(self.x)

    def fingerprint(self):
        return "tiny"

    def fit_on(self, explain_rows):
        self.explain = explain_rows

    def features(self, rows):
        return sparse.csr_matrix(self.x[rows])

    def blocks(self, rows):
        for start in range(0, len(rows), 64):
            positions = np.arange(start, min(start + 64, len(rows)))
            yield positions, self.features(rows[positions])

    def feature_moments(self):
        return self.x[self.explain].mean(0, dtype=float), self.x[self.explain].std(0, dtype=float)

    def probe_features(self):
        return np.arange(len(self.feature_names))

    def render(self, rows, marks=None):
        said = [self.feature_names[self.x[row] > 0].tolist() for row in rows]
        marks = marks or [()] * len(said)
        told = [
            [f"«{n}»" if n in marked else n for n in names] for names, marked in zip(said, marks, strict=True)
        ]
        return [Rendering("expresses " + ", ".join(names)) for names in told]

    def markable(self, rows):
        return [
            tuple(
                Part(str(n), min(10.0, float(v)), float(v))
                for n, v in zip(self.feature_names, self.x[row], strict=True)
                if v > 0
            )
            for row in rows
        ]

    def panel(self, rows, names):
        place = {name: i for i, name in enumerate(self.feature_names)}
        return [tuple((n, float(self.x[row, place[n]])) for n in names if n in place) for row in rows]

    def covariates(self):
        return {"total counts": self.x.sum(1, dtype=float)}


def examples(active: list[int], **silent: list[int]) -> Examples:
    """Positives with activations 1, 2, …, and silent rows by kind: ``examples([0, 1], random=[2, 3])``."""
    rows = np.array([*active, *(row for found in silent.values() for row in found)], dtype=np.int64)
    kinds = [POSITIVE] * len(active) + [kind for kind, found in silent.items() for _ in found]
    strengths = np.zeros(len(rows), dtype=np.float32)
    strengths[: len(active)] = np.arange(1, len(active) + 1)
    strata = np.where(strengths > 0, 0, -1).astype(np.int16)
    return Examples(rows, strengths, np.array(kinds), strata)


def label(latent: int = 0, up: str = "", down: str = "", **fields) -> Label:
    """A label whose key features are the words of ``up`` and ``down``."""
    features = tuple(KeyFeature(n, "up") for n in up.split()) + tuple(
        KeyFeature(n, "down") for n in down.split()
    )
    given = {"explainer": "ours", "title": f"title {latent}", "description": "", "kind": "unknown"}
    return Label(latent=latent, confidence=0.5, key_features=features, **(given | fields))
