"""Are technical covariates scanpy's?"""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from autointerp.corpus.cells import CellCorpus
from autointerp.corpus.technical import LEAST_GENES, PHASES

S, G2M = (PHASES[f"{phase} phase score"] for phase in ("S", "G2M"))


def cells(n=400, seed=0, phase_genes=None) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    own = [*S, *G2M] if phase_genes is None else phase_genes
    genes = [*own, "MT-CO1", "MT-ND1", "RPL3", "RPS4X", "HBB", "HBA1", "HBEGF"]
    genes += [f"GENE{i}" for i in range(1500 - len(genes))]
    rate = np.tile(rng.lognormal(-0.5, 1.2, len(genes)), (n, 1))
    cycling = np.arange(n) % 4
    rate[np.ix_(cycling == 1, np.isin(genes, S))] *= 4
    rate[np.ix_(cycling == 2, np.isin(genes, G2M))] *= 4
    counts = sparse.csr_matrix(rng.poisson(rate).astype(np.float32))
    return ad.AnnData(
        counts, obs=pd.DataFrame(index=[f"c{i}" for i in range(n)]), var=pd.DataFrame(index=genes)
    )


def technical(data: ad.AnnData, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
    data = data.copy()
    data.obsm["X_e"] = np.random.default_rng(0).normal(size=(data.n_obs, 4)).astype(np.float32)
    corpus = CellCorpus(data, embedding="X_e")
    corpus.fit_on(np.arange(data.n_obs))
    return corpus.technical(np.arange(data.n_obs) if rows is None else rows)


def test_counts_and_shares_are_scanpys():
    scanpy = pytest.importorskip("scanpy")
    data = cells()
    found = technical(data)
    for name, pattern in (("mt", "^MT-"), ("ribo", "^RP[SL]"), ("hb", "^HB(A1|B)$")):
        data.var[name] = data.var_names.str.match(pattern)
    want, _ = scanpy.pp.calculate_qc_metrics(
        data, qc_vars=["mt", "ribo", "hb"], percent_top=None, log1p=False
    )
    for ours, theirs in (
        ("total counts", "total_counts"),
        ("genes detected", "n_genes_by_counts"),
        ("% mitochondrial", "pct_counts_mt"),
        ("% ribosomal", "pct_counts_ribo"),
        ("% hemoglobin", "pct_counts_hb"),
    ):
        np.testing.assert_allclose(found[ours], want[theirs], rtol=1e-5)


def test_cell_cycle_scores_are_scanpys_but_for_the_draw_of_other_genes():
    scanpy = pytest.importorskip("scanpy")
    data = cells()
    found = technical(data)
    scanpy.pp.normalize_total(data, target_sum=1e4)
    scanpy.pp.log1p(data)
    scanpy.tl.score_genes_cell_cycle(data, s_genes=S, g2m_genes=G2M)
    for ours, theirs, phase in (("S phase score", "S_score", 1), ("G2M phase score", "G2M_score", 2)):
        want = data.obs[theirs].to_numpy()
        assert np.corrcoef(found[ours], want)[0, 1] > 0.97
        cycling = np.arange(400) % 4 == phase
        assert found[ours][cycling].mean() > found[ours][~cycling].mean() + 0.3


def test_rows_are_read_alone():
    data, rows = cells(), np.array([3, 50, 399])
    for name, values in technical(data, rows).items():
        np.testing.assert_allclose(values, technical(data)[name][rows])


def test_what_the_matrix_cannot_tell_is_left_out():
    few = cells(phase_genes=[*S[: LEAST_GENES - 1], *G2M])
    assert "S phase score" not in technical(few) and "G2M phase score" in technical(few)
    few = few[:, ~few.var_names.str.startswith(("HBB", "HBA"))].copy()
    assert "% hemoglobin" not in technical(few)
    few.X = sparse.csr_matrix(np.log1p(few.X.toarray() * 0.7))
    assert set(technical(few)) == {"genes detected", "G2M phase score"}


def test_mouse_symbols_have_a_cycle_too():
    data = cells()
    data.var_names = [name.title() for name in data.var_names]
    assert {"S phase score", "G2M phase score", "% mitochondrial"} <= set(technical(data))
