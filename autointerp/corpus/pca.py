"""Where do embeddings come from when the user brings none? Principal components of expression, fitted on explain."""

from __future__ import annotations

import numpy as np

from autointerp.corpus.expression import Expression
from autointerp.corpus.gene_statistics import GeneStatistics
from autointerp.errors import UserError

MAX_GENES = 2000
MAX_FIT_CELLS = 200_000


def expression_pca(
    expression: Expression, statistics: GeneStatistics, explain_rows: np.ndarray, n_components: int = 50
) -> np.ndarray:
    """(n, n_components) float32 scores of all cells on the components of explain cells.

    Log-normalized expression of the (at most 2,000) informative genes of highest residual variance, centered on
    explain. One streaming pass accumulates the gene × gene covariance, whose eigenvectors are the components: exact,
    the same bytes each time, and no matrix is densified whole. Signs: the largest loading of each is positive.
    """
    genes = variable_genes(statistics)
    available = min(len(genes), len(explain_rows) - 1)
    if available < 2:
        raise UserError(
            f"Only {len(genes)} informative genes in {len(explain_rows)} explain cells: too few for --embedding pca. "
            "Pass an obsm key with --embedding."
        )
    n_components = min(n_components, available)
    rows = explain_rows
    if len(rows) > MAX_FIT_CELLS:
        rows = np.sort(np.random.default_rng(0).choice(rows, MAX_FIT_CELLS, replace=False))
    gram, total = np.zeros((len(genes), len(genes))), np.zeros(len(genes))
    for _, block in expression.blocks(rows):
        dense = block[:, genes].toarray().astype(np.float64)  # (b, ≤2000)
        gram += dense.T @ dense
        total += dense.sum(0)
    mean = total / len(rows)
    covariance = gram / len(rows) - np.outer(mean, mean)
    _, vectors = np.linalg.eigh(covariance)
    components = vectors[:, ::-1][:, :n_components]  # (genes, components), strongest first
    components = components * np.sign(components[np.abs(components).argmax(0), np.arange(n_components)])
    scores = np.empty((expression.shape[0], n_components), dtype=np.float32)
    for positions, block in expression.blocks(np.arange(expression.shape[0])):
        scores[positions] = block[:, genes].toarray() @ components - mean @ components
    return scores


def variable_genes(
    statistics: GeneStatistics, among: np.ndarray | None = None, most: int = MAX_GENES
) -> np.ndarray:
    """Column numbers of the genes of highest residual variance, at most ``most``, rising.

    among : (g,) bool, by default the informative genes
    """
    genes = np.flatnonzero(statistics.informative if among is None else among)
    order = np.lexsort((genes, -statistics.residual_variance[genes]))
    return np.sort(genes[order[:most]])
