"""What do collections and annotations say of a latent? Enriched gene sets; for one control, its commonest category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from autointerp.corpus.base import Corpus
from autointerp.corpus.gene_sets import GeneSets
from autointerp.evidence.activations import Activations
from autointerp.evidence.contrast import Contrasts, contrast_all
from autointerp.evidence.enrichment import Enrichment, enrich


@dataclass(frozen=True, eq=False)
class Annotation:
    """Of all latents, estimated on explain rows; parts that were not asked for are None.

    enrichment : against the contrast with all silent items
    categories : (c,) names; category_counts : (m, c) active explain items; category_contrasts : a "latent" a category
    """

    contrasts: Contrasts
    enrichment: Enrichment | None = None
    categories: np.ndarray | None = None
    category_counts: np.ndarray | None = None
    category_contrasts: Contrasts | None = None

    def of(self, latent: int, features: np.ndarray, reads_categories: bool) -> dict[str, Any]:
        """Fields of ``Evidence``: categories only for an explainer that reads them."""
        told: dict[str, Any] = {}
        if self.enrichment is not None:
            told["enriched"] = self.enrichment.of(latent, self.contrasts, features)
        if reads_categories and self.categories is not None:
            assert self.category_counts is not None and self.category_contrasts is not None
            counts = self.category_counts[latent]
            order = [c for c in np.argsort(-counts, kind="stable").tolist() if counts[c]]
            told["category_counts"] = tuple((str(self.categories[c]), int(counts[c])) for c in order)
            if order:
                told["category_contrast"] = self.category_contrasts.of(order[0], features)
        return told


def annotate(
    corpus: Corpus,
    activations: Activations,
    contrasts: Contrasts,
    rows: np.ndarray,
    sets: GeneSets | None,
    categories: np.ndarray | None,
    seed: int,
) -> Annotation:
    """Enrichment of every latent where ``sets`` are given, counts and markers of categories where those are.

    rows : explain rows; categories : (n,) str
    """
    enrichment = None
    if sets is not None:
        enrichment = enrich(contrasts, sets, corpus.feature_moments()[0], corpus.eligible, seed)
    if categories is None:
        return Annotation(contrasts, enrichment)
    names, codes = np.unique(categories[rows], return_inverse=True)
    is_of = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (np.arange(len(rows)), codes)), shape=(len(rows), len(names))
    )
    counts = (activations.binary(rows).T @ is_of).toarray().astype(np.int64)  # (m, c)
    markers = contrast_all(corpus, rows, is_of, None, "all other categories", None, seed)
    return Annotation(contrasts, enrichment, names, counts, markers)
