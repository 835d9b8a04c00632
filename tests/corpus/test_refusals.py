"""Is everything that the user can mend refused in one line that names what was seen and what to do?"""

import warnings

import anndata as ad
import h5py
import numpy as np
import pytest
from scipy import sparse

from autointerp.corpus.cells import CellCorpus
from autointerp.errors import UserError
from tests.corpus.small_cells import N, small_cells


def refusal(source, **options) -> str:
    with pytest.raises(UserError) as caught:
        CellCorpus(source, **options)
    message = str(caught.value)
    assert "\n" not in message, "one line"
    return message


def assert_says(message, *parts):
    for part in parts:
        assert part in message, f"{part!r} is not in: {message}"


@pytest.fixture
def adata():
    return small_cells()


def test_a_missing_file(tmp_path):
    assert_says(refusal(tmp_path / "no.h5ad"), "No such file", "no.h5ad", "--data")


def test_a_file_that_is_no_h5ad(tmp_path):
    (tmp_path / "c.h5ad").write_text("gene,cell\n")
    assert_says(refusal(tmp_path / "c.h5ad"), "c.h5ad", "not an .h5ad", "write_h5ad")


def test_a_truncated_h5ad(adata, tmp_path):
    path = tmp_path / "c.h5ad"
    adata.write_h5ad(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert_says(refusal(path), "c.h5ad", "truncated", "copy it again")


def test_an_hdf5_file_that_is_no_anndata(tmp_path):
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["matrix"] = np.zeros(3)
    assert_says(refusal(tmp_path / "c.h5"), "has no obs, var", "not an AnnData")


def test_a_folder_that_is_no_zarr(tmp_path):
    (tmp_path / "folder").mkdir()
    assert_says(refusal(tmp_path / "folder"), "not a zarr group", "write_zarr")


def test_no_x_and_no_layer(adata, tmp_path):
    made = ad.AnnData(obs=adata.obs, var=adata.var, layers={"counts": adata.X})
    made.write_h5ad(tmp_path / "c.h5ad")
    for source in (made, tmp_path / "c.h5ad"):
        assert_says(refusal(source), "has no X", "--layer")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"embedding": "X_EMB"}, ("'X_EMB'", "'X_emb'", "Did you mean X_emb?", "--embedding")),
        ({"layer": "count"}, ("layers has no key 'count'", "found none", "--layer")),
        ({"gene_symbols": "sym"}, ("var has no column 'sym'", "--gene-symbols")),
        ({"group": "doner"}, ("obs has no column 'doner'", "Did you mean donor?", "--group")),
        ({"category": "cell_type"}, ("'cell_type'", "Did you mean celltype?", "--category")),
        ({"control": "drug=DMSO"}, ("obs has no column 'drug'", "'treatment'", "--control")),
        ({"control": "treatment:DMSO"}, ("'treatment:DMSO'", "COLUMN=VALUE", "treatment=DMSO")),
        ({"control": "treatment=dmso"}, ("has no value 'dmso'", "Did you mean DMSO?")),
        ({"control": "treatment=DMSO", "control_group": "plat"}, ("'plat'", "--control-group")),
        ({"control_group": "donor"}, ("--control-group donor", "--control COLUMN=VALUE")),
        ({"matrix": "raw"}, ("no matrix kind 'raw'", "'counts', 'lognorm', 'scaled'")),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_an_unknown_name(adata, options, parts):
    assert_says(refusal(adata, **options), *parts)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_embedding_row_that_is_not_finite(adata, value, tmp_path):
    adata.obsm["X_emb"][41, 2] = value
    adata.obsm["X_emb"][77, 0] = value
    np.save(tmp_path / "e.npy", adata.obsm["X_emb"])
    for key in ("X_emb", str(tmp_path / "e.npy")):
        assert_says(refusal(adata, embedding=key), "row 41", "cell041", "NaN or infinite", "Drop these cells")


@pytest.mark.parametrize("shape", [(N - 1, 4), (N,), (N, 2, 2)])
def test_an_npy_embedding_of_another_shape(adata, tmp_path, shape):
    np.save(tmp_path / "e.npy", np.zeros(shape, np.float32))
    message = refusal(adata, embedding=str(tmp_path / "e.npy"))
    assert_says(message, str(shape), f"{N} cells", "--embedding")


def test_an_npy_that_is_missing(adata):
    assert_says(refusal(adata, embedding="no.npy"), "No such file: no.npy", "obsm key")


@pytest.mark.parametrize("kind", ["text", "objects", "words"])
def test_an_npy_of_no_numbers(adata, tmp_path, kind):
    path = tmp_path / "e.npy"
    if kind == "text":
        path.write_text("0.1 0.2")
    elif kind == "objects":
        np.save(path, np.array([[{}]] * N))
    else:
        np.save(path, np.array([["a"]] * N))
    assert_says(refusal(adata, embedding=str(path)), str(path), "numbers")


@pytest.mark.parametrize("on_disk", [True, False])
def test_ids_that_stand_twice(adata, tmp_path, on_disk):
    adata.obs_names = ["cell0", *adata.obs_names[1:-1], "cell0"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.write_h5ad(tmp_path / "c.h5ad")
    message = refusal(tmp_path / "c.h5ad" if on_disk else adata)
    assert_says(message, "1 cell ids", "'cell0'", "obs_names_make_unique")


@pytest.mark.parametrize("missing", [None, "", "  "])
@pytest.mark.parametrize("option", ["group", "category"])
def test_missing_values_in_a_column(adata, option, missing):
    values = adata.obs["donor"].astype(object)
    values.iloc[[7, 9]] = missing
    adata.obs["donor"] = values
    message = refusal(adata, **{option: "donor"})
    assert_says(message, "'donor'", "missing for 2 cells", "cell007", f"--{option} donor")


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_matrix_that_is_not_finite(adata, form, value):
    counts = adata.X.toarray()
    counts[13, 4] = value
    adata.X = form(counts)
    assert_says(refusal(adata), "NaN or infinite", "row 13", "--layer")


def test_a_value_that_is_not_finite_is_found_between_the_sampled_rows():
    adata = small_cells(3000)
    counts = adata.X.toarray()
    counts[1, 4] = np.nan  # every third row is looked at when the kind is detected
    adata.X = counts
    corpus = CellCorpus(adata)
    with pytest.raises(UserError, match="row 1"):
        corpus.fit_on(np.arange(0, 3000, 2))


def test_a_matrix_of_zeros(adata):
    adata.X = adata.X * 0
    assert_says(refusal(adata), "all zeros", "--layer")


def test_too_few_informative_genes_for_pca():
    adata = small_cells()
    adata.X = sparse.csr_matrix(np.random.default_rng(0).poisson(2.0, adata.shape).astype(np.float32))
    corpus = CellCorpus(adata)
    with pytest.raises(UserError, match=r"Only \d informative genes .*--embedding"):
        corpus.fit_on(np.arange(0, N, 2))


def test_a_name_that_is_not_in_obsm(adata):
    with pytest.raises(UserError, match="obsm has no key 'X_mine'; found 'X_emb'"):
        CellCorpus(adata).obsm("X_mine")
