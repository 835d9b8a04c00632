"""Which items do the evidence tests read? Clusters in a plane, latents that fire on them, features they shift."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from autointerp.evidence.activations import Activations
from autointerp.evidence.coactivation import partners
from autointerp.evidence.splits import Split, split_items
from autointerp.schema import Rendering


@dataclass
class FeatureTable:
    """A corpus of measured features alone, read in blocks of 64 rows."""

    values: np.ndarray  # (n, g)
    eligible: np.ndarray
    noun: str = "item"
    feature_noun: str = "feature"
    zero_is_absent: bool = True
    depth: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def ids(self) -> np.ndarray:
        return np.array([f"item{i}" for i in range(len(self.values))])

    @property
    def feature_names(self) -> np.ndarray:
        return np.array([f"F{j}" for j in range(self.values.shape[1])])

    def blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, sparse.csr_matrix]]:
        for start in range(0, len(rows), 64):
            part = np.arange(start, min(start + 64, len(rows)))
            yield part, sparse.csr_matrix(self.values[rows[part]], dtype=np.float32)

    def render(self, rows: np.ndarray, marks: object = None) -> list[Rendering]:
        return [Rendering(f"card {row}") for row in rows]

    def panel(self, rows: np.ndarray, names: Sequence[str]) -> list[tuple[tuple[str, float], ...]]:
        return [tuple((name, float(self.values[row, int(name[1:])])) for name in names) for row in rows]

    def covariates(self) -> dict[str, np.ndarray]:
        return {"depth": self.depth} if len(self.depth) else {}


def feature_table(n: int = 300, g: int = 40, seed: int = 0, share: float = 0.4) -> FeatureTable:
    """Log-like values, zero in ``1 − share`` of places; the last feature is too rare to be eligible."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, 0.6, (n, g)) * (rng.random((n, g)) < share)
    values[:, -1] = 0
    values[:3, -1] = 9
    values = values.astype(np.float32).astype(np.float64)
    return FeatureTable(values, (values > 0).sum(0) >= 10, depth=rng.lognormal(8, 0.3, n))


@dataclass
class Planted:
    dense: np.ndarray  # (n, m) activations
    activations: Activations
    embeddings: np.ndarray  # (n, 8)
    groups: np.ndarray
    categories: np.ndarray
    split: Split
    together: np.ndarray  # (m, p) partners


def planted_items(n: int = 900, seed: int = 0, n_groups: int = 9) -> Planted:
    """Latents 0–3 fire on one of four clusters each, 4 and 5 on overlapping halves, 6 anywhere, 7 never, 8 rarely."""
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, 4, n)
    centers = rng.normal(size=(4, 8)) * 4
    embeddings = (centers[cluster] + rng.normal(size=(n, 8))).astype(np.float32)
    fires = np.zeros((n, 9), dtype=bool)
    for c in range(4):
        fires[:, c] = (cluster == c) & (rng.random(n) < 0.6)
    side = embeddings[:, 0] - np.median(embeddings[:, 0])
    fires[:, 4] = (side > 0) & (rng.random(n) < 0.7)
    fires[:, 5] = (side > -1) & (rng.random(n) < 0.6) & (cluster != 0)
    fires[:, 6] = rng.random(n) < 0.1
    fires[rng.permutation(n)[:12], 8] = True
    dense = (fires * rng.gamma(2.0, 1.0, fires.shape)).astype(np.float32)
    activations = Activations.from_matrix(dense, n, "planted")
    groups = np.array([f"g{i % n_groups}" for i in rng.permutation(n)])
    split = split_items(n, groups, seed)
    together, _ = partners(activations.binary(split.rows("explain")))
    categories = np.array([f"c{c}" for c in cluster])
    return Planted(dense, activations, embeddings, groups, categories, split, together)
