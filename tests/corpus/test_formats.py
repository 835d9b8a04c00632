"""Do all forms of the same cells give the same corpus? h5ad, zarr, memory; dense, CSR, CSC; whole and backed."""

import warnings

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from autointerp.corpus.cells import CellCorpus
from autointerp.corpus.expression import BLOCK_ROWS, Expression, read_rows
from autointerp.corpus.gene_statistics import gene_statistics
from autointerp.corpus.pca import expression_pca
from tests.corpus.small_cells import G, N, dense_counts, naive_lognorm, small_cells

EXPLAIN = np.arange(0, N, 2)
ROWS = np.array([17, 3, 3, 200, 0, N - 1])  # out of order, one twice


@pytest.fixture(scope="module")
def adata():
    return small_cells()


@pytest.fixture(scope="module")
def reference(adata):
    corpus = CellCorpus(adata)
    corpus.fit_on(EXPLAIN)
    return corpus


def in_form(adata, form):
    made = adata.copy()
    made.X = dense_counts(adata).astype(np.float32) if form == "dense" else adata.X.asformat(form)
    return made


def assert_same_corpus(corpus, reference):
    corpus.fit_on(EXPLAIN)
    lognorm = naive_lognorm(dense_counts(small_cells()))
    np.testing.assert_allclose(corpus.features(ROWS).toarray(), lognorm[ROWS], rtol=1e-5)
    streamed = sparse.vstack([block for _, block in corpus.blocks(np.arange(N))]).toarray()
    np.testing.assert_allclose(streamed, lognorm, rtol=1e-5)
    np.testing.assert_allclose(corpus.embeddings, reference.embeddings, atol=1e-3)
    assert corpus.render(ROWS) == reference.render(ROWS)
    assert corpus.panel(ROWS, ["GENE7", "MT-CO1"]) == reference.panel(ROWS, ["GENE7", "MT-CO1"])
    assert corpus.ids.tolist() == reference.ids.tolist()


@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
@pytest.mark.parametrize("store", ["h5ad", "zarr"])
def test_a_file_of_any_form_is_the_same_corpus(adata, reference, tmp_path, store, form, backed):
    path = tmp_path / f"cells.{store}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata on zarr versions
        getattr(in_form(adata, form), f"write_{store}")(path)
    assert_same_corpus(CellCorpus(path, backed=backed), reference)


@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
def test_an_anndata_in_memory_is_the_same_corpus(adata, reference, form):
    assert_same_corpus(CellCorpus(in_form(adata, form)), reference)


@pytest.mark.parametrize("form", ["dense", "csr", "csc"])
def test_an_anndata_opened_backed_is_the_same_corpus(adata, reference, tmp_path, form):
    in_form(adata, form).write_h5ad(tmp_path / "cells.h5ad")
    assert_same_corpus(CellCorpus(ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")), reference)


def test_sparse_arrays_and_whole_numbers_are_the_same_corpus(adata, reference):
    made = adata.copy()
    made.X = sparse.csr_array(adata.X.astype(np.int64))
    assert_same_corpus(CellCorpus(made), reference)


def test_a_layer_is_read_in_place_of_x(adata, reference, tmp_path):
    made = adata.copy()
    made.layers["counts"], made.X = adata.X, adata.X * 0.37
    made.write_h5ad(tmp_path / "cells.h5ad")
    assert_same_corpus(CellCorpus(tmp_path / "cells.h5ad", layer="counts"), reference)


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_layer_is_read_where_there_is_no_x(adata, reference, tmp_path, on_disk):
    made = ad.AnnData(obs=adata.obs, var=adata.var, layers={"counts": adata.X})
    if on_disk:
        made.write_h5ad(tmp_path / "cells.h5ad")
    corpus = CellCorpus(tmp_path / "cells.h5ad" if on_disk else made, layer="counts")
    assert len(corpus.fingerprint()) == 64
    assert_same_corpus(corpus, reference)


def test_a_file_from_before_anndata_0_7_is_the_same_corpus(adata, reference, tmp_path):
    path = tmp_path / "old.h5ad"
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", adata.shape
        for part in ("data", "indices", "indptr"):
            group[part] = getattr(adata.X, part)
        for name, frame in (("obs", adata.obs[[]]), ("var", adata.var)):
            file[name] = np.array([(i.encode(),) for i in frame.index], dtype=[("index", "S20")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        corpus = CellCorpus(path)
    assert_same_corpus(corpus, reference)


@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_rows_come_back_in_the_order_asked(tmp_path, form, backed):
    made = in_form(small_cells(), form)
    made.write_h5ad(tmp_path / "c.h5ad")
    matrix = ad.read_h5ad(tmp_path / "c.h5ad", backed="r" if backed else None).X
    for rows in (ROWS, np.arange(5, 9), np.empty(0, dtype=np.int64)):
        np.testing.assert_array_equal(read_rows(matrix, rows).toarray(), dense_counts(small_cells())[rows])


class GuardedStore:
    """A matrix on disk that refuses to give more rows at once than a block holds."""

    def __init__(self, values):
        self._values, self.shape, self.served = values, values.shape, 0

    def __getitem__(self, index):
        block = self._values[index]
        assert block.shape[0] <= BLOCK_ROWS, f"{block.shape[0]} rows asked at once"
        self.served += block.shape[0]
        return block


def test_a_dense_store_is_only_read_by_blocks():
    values = np.random.default_rng(0).poisson(0.7, (3 * BLOCK_ROWS, 30)).astype(np.float32)
    values[: 2 * BLOCK_ROWS, :10] *= 9
    store = GuardedStore(values)
    expression = Expression(store, "counts")
    names = np.array([f"G{i}" for i in range(30)])
    statistics = gene_statistics(expression, names, np.arange(len(values)))
    expression_pca(expression, statistics, np.arange(len(values)), 3)
    assert store.served >= 3 * len(values)


def test_a_sparse_matrix_is_never_densified_whole(adata, monkeypatch):
    n, largest = 6000, 0
    dense = sparse.csr_matrix.toarray

    def watched(self, *args, **kwargs):
        nonlocal largest
        largest = max(largest, self.shape[0])
        return dense(self, *args, **kwargs)

    monkeypatch.setattr(sparse.csr_matrix, "toarray", watched)
    monkeypatch.setattr(sparse.csr_matrix, "todense", watched)
    corpus = CellCorpus(small_cells(n))
    corpus.fit_on(np.arange(0, n, 2))
    corpus.covariates()
    corpus.render(np.arange(50))
    corpus.panel(np.arange(50), ["GENE1"])
    assert 0 < largest <= BLOCK_ROWS


def test_a_whole_sparse_matrix_needs_far_less_memory_than_a_dense_one(tmp_path):
    import tracemalloc

    n, g = 4000, 3000
    matrix = sparse.random(n, g, density=0.01, format="csr", random_state=0, dtype=np.float32)
    matrix.data = np.ceil(matrix.data * 9)
    made = ad.AnnData(matrix, obsm={"X_emb": np.ones((n, 2), np.float32)})
    made.obs_names, made.var_names = [f"c{i}" for i in range(n)], [f"g{i}" for i in range(g)]
    made.write_h5ad(tmp_path / "c.h5ad")
    tracemalloc.start()
    corpus = CellCorpus(tmp_path / "c.h5ad", embedding="X_emb", backed=True)
    corpus.fit_on(np.arange(0, n, 2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * g * 4


def test_the_fingerprint_follows_what_is_read(adata):
    prints = {CellCorpus(adata).fingerprint()}
    for change in ("x", "layer", "obs", "var", "obsm", "raw"):
        other = adata.copy()
        if change == "x":
            other.X[0, 0] += 1
        elif change == "layer":
            other.layers["more"] = adata.X
        elif change == "obs":
            other.obs["batch"] = "b"
        elif change == "var":
            other.var["symbol"] = "S"
        elif change == "obsm":
            other.obsm["X_emb"] = adata.obsm["X_emb"] + 1
        else:
            other.raw = adata
        prints.add(CellCorpus(other).fingerprint())
    assert len(prints) == 7
    assert CellCorpus(adata.copy()).fingerprint() in prints


def test_the_fingerprint_follows_an_npy_embedding(adata, tmp_path):
    prints = set()
    for value in (0.0, 1.0):
        np.save(tmp_path / "e.npy", np.full((N, 2), value, np.float32))
        prints.add(CellCorpus(adata, embedding=str(tmp_path / "e.npy")).fingerprint())
    assert len(prints) == 2


def test_ids_groups_and_covariates_are_those_of_the_file(adata):
    corpus = CellCorpus(adata, group="donor", category="celltype")
    counts = dense_counts(adata)
    assert corpus.groups.tolist() == adata.obs["donor"].tolist()
    assert corpus.categories.tolist() == adata.obs["celltype"].tolist()
    found = corpus.covariates()
    np.testing.assert_allclose(found["total counts"], counts.sum(1))
    np.testing.assert_allclose(found["genes detected"], (counts > 0).sum(1))
    mito = counts[:, list(adata.var_names).index("MT-CO1")]
    np.testing.assert_allclose(found["% mitochondrial"], 100 * mito / counts.sum(1), rtol=1e-6)
    assert corpus.expression.shape == (N, G)


def test_a_map_for_people_prefers_umap():
    made = small_cells()
    assert CellCorpus(made).planar_embedding() is None
    made.obsm["X_tsne"], made.obsm["X_umap"] = np.zeros((N, 2)), np.ones((N, 3))
    key, values = CellCorpus(made).planar_embedding()
    assert (key, values.shape, values.max()) == ("X_umap", (N, 2), 1)


def test_an_npy_embedding_is_that_array(adata, tmp_path):
    values = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    np.save(tmp_path / "e.npy", values)
    np.testing.assert_array_equal(CellCorpus(adata, embedding=str(tmp_path / "e.npy")).embeddings, values)


def test_an_obsm_frame_or_sparse_matrix_is_an_embedding(adata):
    made = adata.copy()
    values = adata.obsm["X_emb"]
    made.obsm["frame"] = pd.DataFrame(values, index=made.obs_names, columns=list("abcdef"))
    made.obsm["sparse"] = sparse.csr_matrix(values)
    for key in ("frame", "sparse"):
        np.testing.assert_array_equal(CellCorpus(made, embedding=key).embeddings, values)


def test_what_is_fitted_on_explain_is_refused_before_it_is_fitted(adata):
    corpus = CellCorpus(adata)
    for attribute in ("embeddings", "statistics", "eligible"):
        with pytest.raises(RuntimeError, match="fit_on"):
            getattr(corpus, attribute)
