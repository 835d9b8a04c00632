"""Which features does a latent's direction point to, linearly? Ridge from embedding to features, no readout.

A linear edit of a linear readout moves every item alike: this is a property of the weights. It is no evidence about
any item, has no interval, and goes into no mean (protocols, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autointerp.corpus.base import Corpus
from autointerp.corpus.kernel_neighbours import MOST_REFERENCES, blocks, some_rows
from autointerp.corpus.readouts import MOST_MEASURED, Moments, Quality

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # times the mean squared singular value of the centered embedding


@dataclass(frozen=True, eq=False)
class OutputWeights:
    """weights (d, r) of features outputs (r,) str; penalty : ridge's λ in ‖y − xB‖² + λ‖B‖²; quality on develop."""

    outputs: np.ndarray
    weights: np.ndarray
    penalty: float
    quality: Quality

    def effect(self, step: np.ndarray) -> np.ndarray:
        """(r,) change of every feature for a step (d,) of the embedding, the same wherever it starts."""
        return np.asarray(step, dtype=np.float64) @ self.weights  # (d,) @ (d, r) -> (r,)


def output_weights(
    corpus: Corpus, explain: np.ndarray, develop: np.ndarray, columns: np.ndarray, seed: int = 0
) -> OutputWeights:
    """Ridge on (at most 20,000) explain items, its penalty that of the smallest squared error on develop.

    columns : (r,) features
    """
    rows, measured = some_rows(explain, MOST_REFERENCES, seed), some_rows(develop, MOST_MEASURED, seed)
    x = np.asarray(corpus.embeddings[rows], dtype=np.float64)
    center = x.mean(0)
    values = corpus.features(rows)[:, columns].tocsr()
    mean = np.asarray(values.mean(0), dtype=np.float64).ravel()
    about = x - center
    cross = np.asarray((values.T @ about).T, dtype=np.float64)  # (d, r); Σ about = 0, so y needs no centering
    lengths, axes = np.linalg.eigh(about.T @ about)  # (d,), (d, d)
    turned = axes.T @ cross
    unit = max(float(lengths.mean()), 1e-12)
    made = [axes @ (turned / (np.maximum(lengths, 0) + penalty * unit)[:, None]) for penalty in PENALTIES]
    held = np.asarray(corpus.embeddings[measured], dtype=np.float64) - center
    truth = corpus.features(measured)[:, columns].tocsr()
    errors, total, at = np.zeros(len(made)), 0.0, 0
    said = [Moments(len(columns)) for _ in made]
    for block in blocks(held):
        real = truth[at : at + len(block)].toarray().astype(np.float64) - mean
        at += len(block)
        total += (real**2).sum()
        for i, weights in enumerate(made):
            errors[i] += ((block @ weights - real) ** 2).sum()
            said[i].add(real, block @ weights)
    best = int(errors.argmin())
    explained = 1 - errors[best] / total if total > 0 else float("nan")
    quality = Quality(
        "explained variance", float(explained), 0.0, len(measured), "correlation", said[best].correlation()
    )
    return OutputWeights(corpus.feature_names[columns], made[best], PENALTIES[best] * unit, quality)
