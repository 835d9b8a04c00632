"""Which cells are small enough for an end-to-end test? Six planted programs in 480 cells of eight donors."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

N_CELLS, N_GENES, N_PROGRAMS, GENES_EACH = 480, 300, 6, 10
FITTED = ("--embedding", "X_emb", "--latents", "12", "--k", "3", "--group", "donor")
BROUGHT = ("--embedding", "X_emb", "--activations", "X_act", "--group", "donor")  # nothing to fit: quick
WITHHELD = ("zeta-kind", "secret_patient")  # in obs, and never in a prompt


def small_cells(seed: int = 0) -> ad.AnnData:
    """(480, 300) counts; obs donor, kind, one; obsm X_emb (480, 16), X_act (480, 9). One or two programs a cell.

    Latents of X_act: the six programs, one dead, one too rare, one that fires at random.
    """
    rng = np.random.default_rng(seed)
    program = rng.integers(0, N_PROGRAMS, N_CELLS)
    second = np.where(rng.random(N_CELLS) < 0.3, rng.integers(0, N_PROGRAMS, N_CELLS), program)
    active = np.zeros((N_CELLS, N_PROGRAMS))
    active[np.arange(N_CELLS), program] = rng.gamma(8, 1 / 8, N_CELLS)
    active[np.arange(N_CELLS), second] += rng.gamma(4, 1 / 8, N_CELLS)
    loadings = np.kron(np.eye(N_PROGRAMS), np.ones(GENES_EACH))
    loadings = np.pad(loadings, ((0, 0), (0, N_GENES - loadings.shape[1])))  # (programs, genes)
    rate = np.exp(rng.normal(0.2, 0.6, N_GENES) + 1.6 * active @ loadings)
    counts = rng.poisson(rate).astype(np.float32)
    names = [f"PROG{p}{chr(65 + g)}" for p in range(N_PROGRAMS) for g in range(GENES_EACH)]
    names += [f"BACK{i}" for i in range(N_GENES - len(names))]
    obs = pd.DataFrame(
        {
            "donor": [f"{WITHHELD[1]}_{i}" for i in rng.integers(0, 8, N_CELLS)],
            "kind": [f"{WITHHELD[0]}-{p}" for p in program],
            "one": "the same",
        },
        index=[f"barcode-{i:04d}x" for i in range(N_CELLS)],
    )
    cells = ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=names))
    mixing = rng.normal(0, 1, (N_PROGRAMS, 16))
    cells.obsm["X_emb"] = (active @ mixing + rng.normal(0, 0.15, (N_CELLS, 16))).astype(np.float32)
    own = np.where(active > 0.4, active, 0.0)
    rare = np.where(np.arange(N_CELLS) < 12, 1.0, 0.0)
    chance = np.where(rng.random(N_CELLS) < 0.25, rng.random(N_CELLS) + 0.1, 0.0)
    cells.obsm["X_act"] = np.column_stack([own, np.zeros(N_CELLS), rare, chance]).astype(np.float32)
    return cells


def write_cells(path: Path, seed: int = 0) -> Path:
    small_cells(seed).write_h5ad(path)
    return path
