"""In which embeddings are the planted cells seen? Principal components, a random network, a trained autoencoder.

Nothing here reads the truth, and whatever is fitted is fitted on the explain rows. n cells, g genes, d dimensions.
"""

from __future__ import annotations

import anndata as ad
import numpy as np

from autointerp.corpus.cells import CellCorpus
from autointerp.corpus.expression import Expression
from autointerp.evidence.splits import split_items
from eval.planted.autoencoder import Autoencoder, fit_autoencoder


def explain_rows(adata: ad.AnnData, seed: int = 0) -> np.ndarray:
    """Rows that a run with ``--group donor`` and this seed explains from."""
    return split_items(adata.n_obs, adata.obs["donor"].astype(str).to_numpy(), seed).rows("explain")


def log_normalized(adata: ad.AnnData) -> np.ndarray:
    """(n, g) float32 log1p(counts · 10,000 / depth)."""
    expression = Expression(adata.X, "counts")
    return expression.log_normalized(np.arange(adata.n_obs)).toarray()


def pca(adata: ad.AnnData, rows: np.ndarray, d: int = 50) -> np.ndarray:
    """(n, d) float32: what ``--embedding pca`` computes, from the components of these rows."""
    corpus = CellCorpus(adata, embedding="pca", pca_components=d)
    corpus.fit_on(rows)
    return np.asarray(corpus.embeddings, dtype=np.float32)


def random_mlp(
    x: np.ndarray, rows: np.ndarray, d: int = 256, hidden: int = 1024, seed: int = 0
) -> np.ndarray:
    """(n, d) float32: two layers with random weights and a ReLU between, of x (n, g) centered on these rows.

    Never trained: what a dictionary finds here is in the data and not in the backbone.
    """
    rng = np.random.default_rng(seed)
    first = rng.normal(0, x.shape[1] ** -0.5, (x.shape[1], hidden)).astype(np.float32)
    second = rng.normal(0, hidden**-0.5, (hidden, d)).astype(np.float32)
    return np.maximum((x - x[rows].mean(0)) @ first, 0) @ second  # (n, g) @ (g, hidden) @ (hidden, d)


def add_embeddings(adata: ad.AnnData, rows: np.ndarray, seed: int = 0, **sizes: int) -> Autoencoder:
    """Write X_pca, X_mlp and X_autoencoder into obsm, fitted on these rows; the autoencoder is given back, whose
    decoder is a readout of genes. ``sizes`` are ``fit_autoencoder``'s."""
    x = log_normalized(adata)
    adata.obsm["X_pca"] = pca(adata, rows)
    adata.obsm["X_mlp"] = random_mlp(x, rows, seed=seed)
    network = fit_autoencoder(x, rows, seed=seed, **sizes)
    adata.obsm["X_autoencoder"] = network.encode(x)
    return network
