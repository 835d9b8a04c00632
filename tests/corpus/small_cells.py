"""Which few cells do the corpus tests read? Counts with three programs, six donors, and an embedding."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

N, G = 240, 90
HOUSEKEEPING = ("MALAT1", "RPS3", "RPLP0", "MT-CO1", "B2M")


def small_cells(n: int = N, seed: int = 0) -> ad.AnnData:
    """(n, 90) CSR counts: three cell types with 12 genes each; the first five genes are housekeeping-like."""
    rng = np.random.default_rng(seed)
    names = [*HOUSEKEEPING, *(f"GENE{i}" for i in range(G - len(HOUSEKEEPING)))]
    kind = rng.integers(0, 3, n)
    rate = np.tile(rng.gamma(1.0, 1.0, G), (n, 1))
    for program in range(3):
        rate[np.ix_(kind == program, np.arange(10 + 12 * program, 22 + 12 * program))] *= 8
    rate[:, :5] *= 10
    rate *= rng.lognormal(0, 0.4, (n, 1))
    counts = rng.poisson(rate).astype(np.float32)
    obs = pd.DataFrame(
        {
            "donor": pd.Categorical([f"d{i % 6}" for i in range(n)]),
            "celltype": pd.Categorical([f"type{k}" for k in kind]),
            "treatment": pd.Categorical(["DMSO" if i % 4 == 0 else "drug" for i in range(n)]),
        },
        index=[f"cell{i:03d}" for i in range(n)],
    )
    adata = ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=names))
    adata.obsm["X_emb"] = rng.normal(size=(n, 6)).astype(np.float32)
    return adata


def dense_counts(adata: ad.AnnData) -> np.ndarray:
    """(n, g) float64."""
    return np.asarray(adata.X.toarray(), dtype=np.float64)


def naive_lognorm(counts: np.ndarray) -> np.ndarray:
    """log1p of counts per 10,000, dense."""
    return np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
