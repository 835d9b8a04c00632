"""In which clusters of items does a latent fire, and what tells its active items apart there?

k-means on the embeddings of explain items, k = √n / 4, at least 4 and at most 30: lineages, not states. A cluster is
named by the features that are raised most in it. A contrast within a cluster holds what it is a part of constant, so
that a state is not drowned by a lineage (protocols, section 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from autointerp.corpus.base import Corpus
from autointerp.evidence.chance import Within
from autointerp.evidence.contrast import Contrasts, contrast_all
from autointerp.schema import ClusterFiring, Contrast

FEWEST, MOST = 4, 30
MARKERS = 5  # features that name a cluster
TOLD = 5  # clusters told of a latent
CONTRASTED = 3
KEPT = 40  # features a side of a contrast within a cluster
LEAST_SHARE = 0.1  # of a latent's active items, in a third cluster
LEAST_ITEMS = 10  # on both sides of a contrast within a cluster


@dataclass(frozen=True, eq=False)
class Clusters:
    """Of ``n`` explain items, and how ``m`` latents fire in them.

    parts : (n,) cluster of each item; sizes : (c,); markers : the features that name each cluster
    fired, strong, weak : (m, c) active items; of these, in the upper and the lower third of the latent's activations
    within : a contrast for each of the p pairs of ``pairs`` (p, 2), latent and cluster, by latent and falling ``fired``
    """

    parts: np.ndarray
    sizes: np.ndarray
    markers: tuple[tuple[str, ...], ...]
    fired: np.ndarray
    strong: np.ndarray
    weak: np.ndarray
    pairs: np.ndarray
    within: Contrasts

    def firing(self, place: int) -> tuple[ClusterFiring, ...]:
        """Where the latent at a place among ``m`` fires: up to 5 clusters, most active items first."""
        order = [c for c in np.argsort(-self.fired[place], kind="stable")[:TOLD] if self.fired[place, c]]
        order = [c for c in order if self.markers[c]]
        n_strong, n_weak = (max(1, int(of[place].sum())) for of in (self.strong, self.weak))
        return tuple(
            ClusterFiring(
                self.markers[c],
                int(self.sizes[c]),
                int(self.fired[place, c]),
                float(self.strong[place, c] / n_strong),
                float(self.weak[place, c] / n_weak),
            )
            for c in order
        )

    def contrasts(self, place: int, names: np.ndarray) -> tuple[Contrast, ...]:
        """Active against silent items of the two or three clusters in which the latent fires most."""
        from dataclasses import replace

        return tuple(
            replace(self.within.of(int(i), names), inside=self.markers[self.pairs[i, 1]])
            for i in np.flatnonzero(self.pairs[:, 0] == place)
            if self.markers[self.pairs[i, 1]]
        )


def cluster_number(n: int) -> int:
    """How many clusters n items are cut into."""
    return min(max(FEWEST, min(MOST, round(np.sqrt(n) / 4))), n)


def cluster(
    corpus: Corpus, rows: np.ndarray, activations: sparse.csr_matrix, groups: np.ndarray | None, seed: int
) -> Clusters:
    """Cluster the items, name the clusters, and contrast every latent within those where it fires most.

    Parameters
    ----------
    rows : (n,) explain rows
    activations : (n, m) CSR ≥ 0 of these rows
    groups : (n,) what the null knows of groups (`chance`), or None
    """
    from sklearn.cluster import MiniBatchKMeans

    points = np.asarray(corpus.embeddings[rows], dtype=np.float32)
    means = MiniBatchKMeans(cluster_number(len(rows)), random_state=seed, n_init=3, batch_size=4096)
    with threadpool_limits(1):  # sums in one order
        parts = np.unique(means.fit_predict(points), return_inverse=True)[1]  # an empty cluster has no number
    sizes = np.bincount(parts)
    n, c = len(rows), len(sizes)
    is_of = sparse.csr_matrix((np.ones(n, np.float32), (np.arange(n), parts)), shape=(n, c))
    named = contrast_all(corpus, rows, is_of, None, "all other clusters", None, seed)
    raised = [columns[columns >= 0][:MARKERS] for columns in named.up]  # none where all items are one cluster
    active = _ones(activations)
    upper, lower = _thirds(activations.tocsc())
    fired, strong, weak = (
        (side.T @ is_of).toarray().astype(np.int64)
        for side in (active, upper, lower)  # (m, n) @ (n, c)
    )
    pairs = _pairs(fired, sizes)
    inside = _inside(active, parts, pairs)
    within = Within(parts, pairs[:, 1])
    return Clusters(
        parts,
        sizes,
        tuple(tuple(str(corpus.feature_names[column]) for column in columns) for columns in raised),
        fired,
        strong,
        weak,
        pairs,
        contrast_all(corpus, rows, inside, within, "silent", groups, seed, KEPT),
    )


def _pairs(fired: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(p, 2) latent and cluster: the two or three that fire most, of those with 10 active and 10 silent items."""
    found = []
    for place, counts in enumerate(fired):
        order = np.argsort(-counts, kind="stable")[:CONTRASTED]
        for rank, c in enumerate(order.tolist()):
            enough = min(counts[c], sizes[c] - counts[c]) >= LEAST_ITEMS
            if enough and (rank < 2 or counts[c] >= LEAST_SHARE * counts.sum()):
                found.append((place, c))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _inside(active: sparse.csr_matrix, parts: np.ndarray, pairs: np.ndarray) -> sparse.csr_matrix:
    """(n, p) CSR of ones: the active items of each latent that lie in the cluster of each pair."""
    columns = active.tocsc()[:, pairs[:, 0]].tocoo()
    kept = parts[columns.row] == pairs[columns.col, 1]
    places = (columns.row[kept], columns.col[kept])
    return sparse.csr_matrix((columns.data[kept], places), shape=columns.shape)


def _ones(activations: sparse.csr_matrix) -> sparse.csr_matrix:
    ones = np.ones(len(activations.data), dtype=np.float32)
    return sparse.csr_matrix((ones, activations.indices, activations.indptr), shape=activations.shape)


def _thirds(activations: sparse.csc_matrix) -> tuple[sparse.csc_matrix, sparse.csc_matrix]:
    """Ones where an activation is among the latent's upper third of them, and among its lower third."""
    upper, lower = np.zeros_like(activations.data), np.zeros_like(activations.data)
    for start, stop in zip(activations.indptr[:-1], activations.indptr[1:], strict=True):
        order = start + np.argsort(activations.data[start:stop], kind="stable")
        third = (stop - start) // 3
        lower[order[:third]] = 1
        upper[order[len(order) - third :]] = 1
    shape = activations.shape
    return tuple(  # type: ignore[return-value]
        sparse.csc_matrix((side, activations.indices, activations.indptr), shape=shape)
        for side in (upper, lower)
    )
