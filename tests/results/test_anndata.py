"""Do the latents survive h5ad, and can scanpy color by one?"""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from autointerp.errors import UserError
from autointerp.results.anndata import RECORD, latents_anndata, write_latents


def small(n: int = 40, m: int = 15, **uns: Any) -> anndata.AnnData:
    rng = np.random.default_rng(0)
    codes = sparse.random(n, m, density=0.2, format="csr", random_state=0, dtype=np.float64)
    obs = pd.DataFrame({"cell_type": rng.choice(["B", "T"], n)}, index=[f"cell{i}" for i in range(n)])
    latents = pd.DataFrame(
        {
            "title": ["B cells", "T cells"],
            "auroc": [0.9, 0.8],
            "abstained": [False, True],
            "kind": ["identity"] * 2,
        },
        index=[12, 3],
    )
    return latents_anndata(codes, obs, {"X_umap": rng.normal(size=(n, 2))}, latents, uns)


def read_back(adata: anndata.AnnData, tmp_path: Path) -> anndata.AnnData:
    write_latents(adata, tmp_path / "latents.h5ad")
    return anndata.read_h5ad(tmp_path / "latents.h5ad")


def test_items_times_latents_stay_sparse_and_named() -> None:
    adata = small()
    assert adata.shape == (40, 15)
    assert sparse.issparse(adata.X) and adata.X.dtype == np.float32
    assert list(adata.var_names) == [str(i) for i in range(15)]
    assert adata.var.loc["12", "name"] == "12: B cells" and adata.var.loc["0", "name"] == "0"
    assert adata.var.loc["3", "auroc"] == 0.8 and np.isnan(adata.var.loc["0", "auroc"])


def test_round_trip_keeps_values_columns_and_coordinates(tmp_path: Path) -> None:
    adata = small(seed=3, name="run")
    back = read_back(adata, tmp_path)
    np.testing.assert_array_equal(back.X.toarray(), adata.X.toarray())
    np.testing.assert_array_equal(back.obsm["X_umap"], adata.obsm["X_umap"])
    assert list(back.obs["cell_type"]) == list(adata.obs["cell_type"])
    assert back.var.loc["12", "title"] == "B cells" and pd.isna(back.var.loc["0", "title"])
    assert bool(back.var.loc["3", "abstained"]) is True and pd.isna(back.var.loc["0", "abstained"])
    assert back.uns["seed"] == 3 and back.uns["name"] == "run"
    assert len(back.uns[RECORD]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["latents.h5ad"]


def test_what_h5ad_cannot_hold_is_rewritten_and_recorded(tmp_path: Path) -> None:
    adata = small(
        pair=(1, "a"), rows=[{"a": 1}, {"a": None}], nothing=None, mixed=[1, "a"], empty=[], names=["x", "y"],
        flags=[True, False], nested={1: "one", "a/b": {"c/d": (1, 2)}}, table=pd.DataFrame({"v": [1, "x"]}),
    )  # fmt: skip
    adata.obs["odd"] = [1, "a", None, 2.5] * 10
    adata.obs["gone"] = None
    adata.obs["a/b"] = pd.Categorical([1, 2] * 20)
    adata.obs["when"] = pd.Timestamp("2025-01-02")
    adata.obs["some"] = ["x", None] * 20
    back = read_back(adata, tmp_path)
    assert json.loads(back.uns["pair"]) == [1, "a"]
    assert json.loads(back.uns["rows"]) == [{"a": 1}, {"a": None}]
    assert json.loads(back.uns["nothing"]) is None and json.loads(back.uns["mixed"]) == [1, "a"]
    assert json.loads(back.uns["empty"]) == []
    assert list(back.uns["names"]) == ["x", "y"] and list(back.uns["flags"]) == [True, False]
    assert back.uns["nested"]["1"] == "one" and json.loads(back.uns["nested"]["a∕b"]["c∕d"]) == [1, 2]
    assert list(back.uns["table"]["v"]) == ["1", "x"]
    assert list(back.obs["odd"].astype(object)[:2]) == ["1", "a"] and back.obs["odd"].isna().sum() == 10
    assert back.obs["gone"].isna().all() and list(back.obs["a∕b"][:2]) == [1, 2]
    assert back.obs["when"].iloc[0] == "2025-01-02T00:00:00"
    assert back.obs["some"].isna().sum() == 20
    record = "\n".join(back.uns[RECORD])
    for what in ("pair", "rows", "nothing", "mixed", "'a∕b'", "key 1 as '1'", "'odd'", "'when'"):
        assert what in record, what
    assert adata.uns["pair"] == (1, "a") and "a/b" in adata.obs  # the caller's object is as it was


def test_colliding_keys_stay_apart(tmp_path: Path) -> None:
    back = read_back(small(**{"a/b": 1, "a∕b": 2}), tmp_path)
    assert back.uns["a∕b"] == 1 and back.uns["a∕b_"] == 2


def test_scanpy_colors_a_umap_by_a_latent(tmp_path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import scanpy as sc

    back = read_back(small(), tmp_path)
    axis = sc.pl.umap(back, color="12", show=False)
    np.testing.assert_allclose(
        np.sort(axis.collections[0].get_array()), np.sort(back.X[:, 12].toarray().ravel()), rtol=1e-6
    )
    sc.pl.umap(back, color="12: B cells", gene_symbols="name", show=False)
    plt.close("all")


def test_activations_are_never_made_dense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, *_: object, **__: object) -> None:
        raise AssertionError("made dense")

    for kind in (sparse.csr_matrix, sparse.csr_array):
        monkeypatch.setattr(kind, "toarray", refuse)
        monkeypatch.setattr(kind, "todense", refuse)
    rows, columns = np.arange(0, 20_000, 7), np.arange(0, 20_000, 7) % 16_384
    codes = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(20_000, 16_384))  # 1.3 GB dense
    obs = pd.DataFrame(index=[str(i) for i in range(20_000)])
    back = read_back(
        latents_anndata(codes, obs, {}, pd.DataFrame({"title": ["one"]}, index=[5]), {}), tmp_path
    )
    assert back.X.nnz == codes.nnz


@pytest.mark.parametrize("index", [[3, 3], [99, 1], [-1, 0]])
def test_wrong_latents_are_refused(index: list[int]) -> None:
    codes = sparse.csr_matrix((4, 10))
    with pytest.raises(ValueError, match="distinct numbers within 0 … 9"):
        latents_anndata(
            codes, pd.DataFrame(index=list("abcd")), {}, pd.DataFrame({"title": ["", ""]}, index=index), {}
        )


def test_obs_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="4 items, obs has 3"):
        latents_anndata(sparse.csr_matrix((4, 10)), pd.DataFrame(index=list("abc")), {}, pd.DataFrame(), {})


def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "latents.h5ad"
    write_latents(small(), path)
    before = path.read_bytes()

    def full(self: Path, *_: object) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="no space left") as caught:
        write_latents(small(), path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["latents.h5ad"]


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "latents.h5ad").mkdir()
    with pytest.raises(IsADirectoryError):
        write_latents(small(), tmp_path / "latents.h5ad")


def test_obsm_may_be_sparse_or_a_frame(tmp_path: Path) -> None:
    codes = sparse.csr_matrix(np.eye(4, dtype=np.float32))
    obs = pd.DataFrame(index=list("abcd"))
    values = np.arange(8.0).reshape(4, 2)
    obsm = {
        "sparse": sparse.csr_matrix(values),
        "frame": pd.DataFrame({"x": values[:, 0], "odd": [1, "a", None, 2.5]}, index=obs.index),
        "a/b": values,
        "a∕b": values + 1,
    }
    latents = pd.DataFrame({"title": ["B cells"]}, index=[0])
    back = read_back(latents_anndata(codes, obs, obsm, latents, {}), tmp_path)
    np.testing.assert_array_equal(back.obsm["sparse"].toarray(), values)
    assert list(back.obsm["frame"]["x"]) == list(values[:, 0])
    assert back.obsm["frame"]["odd"].iloc[1] == "a" and pd.isna(back.obsm["frame"]["odd"].iloc[2])
    np.testing.assert_array_equal(back.obsm["a∕b"], values)
    np.testing.assert_array_equal(back.obsm["a∕b_"], values + 1)
