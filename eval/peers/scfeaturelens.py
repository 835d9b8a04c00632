"""What would scFeatureLens call a latent? The gene set that the strongest cells' raised genes come from most.

Schuster 2025, "Can sparse autoencoders make sense of gene expression latent variable models?", PMLR 311:81–94
[arXiv 2410.11468]: cells in the top percentile of a feature's activation against those where it is silent, a test of
every gene, enrichment of GO terms. No model is asked. Ours are

- the strongest 1 % of explain items, at least 20, or all active ones where those are fewer (theirs are of 10⁵ cells);
- Welch's t per gene on log-normalized expression, raised ones at a false discovery rate of 0.05 (Benjamini–Hochberg);
- the hypergeometric tail of a set's raised genes among all measured ones, the same rate over sets, at least 3 genes.

The label is the name of the set of least p; its raised genes are the key features, most raised first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse, stats

from autointerp.explain.base import Lab, Measured
from autointerp.explain.one_shot import TITLE_WORDS
from autointerp.explain.top_set import readable
from autointerp.schema import Evidence, Failure, KeyFeature, Label

TOP_SHARE, LEAST_TOP = 0.01, 20
FDR, LEAST_OVERLAP = 0.05, 3
KEY_FEATURES = 20


class ScFeatureLens:
    """It needs ``--gene-sets``, GO biological processes in the paper; without them it fails and says so."""

    name = "scfeaturelens"
    needs_model = False
    reads_categories = False
    needs_lab = True

    async def explain(self, evidence: Evidence, llm: Any = None, lab: Lab | None = None) -> Label | Failure:
        assert lab is not None, "it computes"
        data = lab.measured()
        if not len(data.set_names):
            return Failure("no gene sets", "scFeatureLens names gene sets. Pass --gene-sets FILE.gmt.")
        t, p = welch(data)
        raised = np.flatnonzero((_false_discovery(p) <= FDR) & (t > 0))
        best = best_set(raised, data.sets) if len(raised) else None
        if best is None:
            said = f"{len(raised)} {evidence.feature_noun}s are raised, and no set is enriched (FDR {FDR})."
            return Label(evidence.latent, self.name, "", said, "unknown", 0.0, (), True)
        name = str(data.set_names[best.place])
        genes = np.intersect1d(raised, data.sets[best.place].indices)
        genes = genes[np.lexsort((genes, -t[genes]))][:KEY_FEATURES]
        return Label(
            latent=evidence.latent,
            explainer=self.name,
            title=" ".join(readable(name).split()[:TITLE_WORDS]),
            description=f"{name}.",
            kind="unknown",
            confidence=round(1 - best.fdr, 4),
            key_features=tuple(KeyFeature(str(data.names[gene]), "up") for gene in genes),
        )


def welch(data: Measured) -> tuple[np.ndarray, np.ndarray]:
    """Welch's t and two-sided p of every feature, (g,) each, the strongest items against the silent ones.

    A feature that does not vary on either side has t = 0 and p = 1; so have all where a side has fewer than two items.
    """
    g = data.features.shape[1]
    top, silent = strongest(data.activations), np.flatnonzero(data.activations == 0)
    if min(len(top), len(silent)) < 2:
        return np.zeros(g), np.ones(g)
    mean, sd = zip(*(_moments(data.features[rows]) for rows in (top, silent)), strict=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = stats.ttest_ind_from_stats(
            mean[0], sd[0], len(top), mean[1], sd[1], len(silent), equal_var=False
        )
    told = np.isfinite(found.statistic) & np.isfinite(found.pvalue)
    return np.where(told, found.statistic, 0.0), np.where(told, found.pvalue, 1.0)


def strongest(activations: np.ndarray) -> np.ndarray:
    """Places of the strongest 1 % of all items (n,), at least 20, of those that are active; equal ones by place."""
    order = np.argsort(-activations, kind="stable")
    order = order[activations[order] > 0]
    return order[: max(LEAST_TOP, int(np.ceil(TOP_SHARE * len(activations))))]


class Enriched(NamedTuple):
    """A set, and its false discovery rate among all."""

    place: int
    fdr: float


def best_set(raised: np.ndarray, sets: sparse.csr_matrix) -> Enriched | None:
    """The set of least hypergeometric p, of equal ones that with more raised features, then the first.

    raised : (r,) columns; sets : (s, g) of ones. None where no set has three of them and a rate of at most 0.05.
    """
    g = sets.shape[1]
    chosen = np.zeros(g)
    chosen[raised] = 1
    overlap = np.asarray(sets @ chosen).ravel()  # (s, g) @ (g,) -> (s,)
    sizes = np.asarray(sets.sum(1)).ravel()
    p = stats.hypergeom.sf(overlap - 1, g, sizes, len(raised))
    fdr = _false_discovery(p)
    told = np.flatnonzero((overlap >= LEAST_OVERLAP) & (fdr <= FDR))
    if not len(told):
        return None
    place = told[np.lexsort((told, -overlap[told], p[told]))[0]]
    return Enriched(int(place), float(fdr[place]))


def _moments(values: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (g,) of columns, the latter with n − 1."""
    n, exact = values.shape[0], values.astype(np.float64)
    mean = np.asarray(exact.sum(0)).ravel() / n
    squares = np.asarray(exact.multiply(exact).sum(0)).ravel()
    return mean, np.sqrt(np.maximum(squares - n * mean**2, 0) / (n - 1))


def _false_discovery(p: np.ndarray) -> np.ndarray:
    return stats.false_discovery_control(np.clip(p, 0, 1), method="bh")
