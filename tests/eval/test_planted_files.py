"""Do the planted cells reach a user as data without the truth, and their embeddings without the held-out cells?"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from sklearn.decomposition import PCA

from autointerp.config import RunConfig
from autointerp.evidence.activations import read_activations
from autointerp.explain.from_file import FromFile
from autointerp.prepare import Prepared
from autointerp.schema import Evidence
from eval.planted import FULL, Meaning, load_params, planted_cells
from eval.planted import cells as command
from eval.planted.autoencoder import fit_autoencoder, load_decoder
from eval.planted.embeddings import add_embeddings, explain_rows, log_normalized, pca, random_mlp

FAST = {"d": 12, "h": 48, "epochs": 2}


@pytest.fixture(scope="module")
def full():
    params = load_params(FULL)
    params["cells"]["n_cells"] = 900
    return planted_cells(params, 3)


@pytest.fixture(scope="module")
def few():
    """700 cells of the small corpus, whose 1,000 genes make its components quick."""
    params = load_params()
    params["cells"]["n_cells"] = 700
    return planted_cells(params, 3).adata


@pytest.fixture(scope="module")
def expression():
    """The small corpus, log-normalized, and its explain rows."""
    adata = planted_cells(seed=0).adata
    return log_normalized(adata), explain_rows(adata)


@pytest.fixture(scope="module")
def network(expression):
    x, rows = expression
    return fit_autoencoder(x, rows, d=24, h=128)


# -------------------------------------------------------------------------------------------------------- files


def test_the_data_file_holds_nothing_of_the_truth(full, tmp_path):
    out = tmp_path / "p.h5ad"
    command.write(full, out)
    data = ad.read_h5ad(out)
    assert list(data.obs) == ["donor", "batch"]
    assert list(data.var) == []
    assert not any((data.uns, data.obsm, data.varm, data.layers, data.obsp))
    assert (data.X != full.adata.X).nnz == 0
    assert "cell_type" in full.adata.obs  # what was asked for stays as it was


def test_the_truth_is_read_as_activations_and_labels(full, tmp_path):
    out = tmp_path / "p.h5ad"
    _, truth, oracle, graded = command.write(full, out)
    activations = read_activations(str(truth), 900)
    assert np.array_equal(activations.csr.toarray(), full.activity)
    with np.load(truth, allow_pickle=False) as stored:
        assert stored["factors"].tolist() == [f.name for f in full.factors]
        assert np.array_equal(stored["effects"], full.effects)
        assert stored["genes"].tolist() == list(full.adata.var_names)
        assert len(stored["cell_type"]) == 900
        names = tuple(stored["factors"].tolist())
    brought = FromFile(oracle)
    assert brought.latents == frozenset(range(43))
    for latent, factor in enumerate(full.factors):
        label = _explained(brought, latent)
        assert (label.title, label.description) == (factor.oracle.title, factor.oracle.description)
        assert label.key_features == factor.oracle.label.key_features
    entries = json.loads(graded.read_text(encoding="utf-8"))
    assert len(entries) == 43 * 12
    for entry in entries[:: 43 * 12 // 50]:
        meaning = Meaning(tuple(entry["meaning"]["all_of"]), tuple(entry["meaning"]["any_of"]))
        factor = full.factors[entry["latent"]]
        (given,) = [label for label in factor.labels if label.title == entry["title"]]
        assert (factor.name, given.grade) == (entry["factor"], entry["grade"])
        assert np.array_equal(meaning.truth(full.activity, names), given.truth(full.activity))


def _explained(brought: FromFile, latent: int):
    evidence = Evidence(latent, 0.1, 30, 300, (), (), (), (), ())
    return asyncio.run(brought.explain(evidence))


def test_the_command_writes_cells_that_a_run_can_read(tmp_path, monkeypatch, capsys):
    out = tmp_path / "small.h5ad"
    monkeypatch.setattr(
        "sys.argv", ["cells", "--out", str(out), "--params", "params.toml", "--n-cells", "600", "--seed", "1"]
    )
    command.main()
    said = capsys.readouterr().out
    assert "of the variance of held-out" in said
    data = ad.read_h5ad(out)
    assert data.n_obs == 600
    assert {"X_pca", "X_mlp", "X_autoencoder"} <= set(data.obsm)
    decode = load_decoder(tmp_path / "small_decoder.safetensors")
    assert decode(data.obsm["X_autoencoder"]).shape == data.shape


# --------------------------------------------------------------------------------------------------- embeddings


def test_embeddings_depend_on_explain_cells_only(few):
    """Other counts in held-out cells change held-out cells' embeddings, and no explain cell's."""
    rows = explain_rows(few)
    held_out = np.setdiff1d(np.arange(700), rows)
    changed = few.copy()
    order = np.arange(700)
    order[held_out] = held_out[::-1]
    changed.X = few.X[order]
    first, second = few.copy(), changed
    add_embeddings(first, rows, **FAST)
    add_embeddings(second, rows, **FAST)
    for key, d in (("X_pca", 50), ("X_mlp", 256), ("X_autoencoder", 12)):
        assert first.obsm[key].shape == (700, d)
        assert first.obsm[key].dtype == np.float32
        assert np.allclose(first.obsm[key][rows], second.obsm[key][rows], atol=1e-5), key
        assert not np.allclose(first.obsm[key][held_out], second.obsm[key][held_out], atol=1e-2), key


def test_components_and_explain_cells_are_those_of_a_run(few):
    config = RunConfig(data=Path("p.h5ad"), embedding="pca", group="donor", seed=2)
    made = Prepared(config, data=few)
    rows = explain_rows(few, 2)
    assert np.array_equal(made.split.rows("explain"), rows)
    assert np.array_equal(made.corpus.embeddings, pca(few, rows))


def test_a_random_network_by_hand():
    x = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]], dtype=np.float32)
    rng = np.random.default_rng(7)
    first = rng.normal(0, 2**-0.5, (2, 4)).astype(np.float32)
    second = rng.normal(0, 4**-0.5, (4, 3)).astype(np.float32)
    centered = x - np.array([0.5, 1.0])
    wanted = [
        [sum(max(row @ first[:, h], 0) * second[h, d] for h in range(4)) for d in range(3)]
        for row in centered
    ]
    assert random_mlp(x, np.array([0, 1]), d=3, hidden=4, seed=7) == pytest.approx(np.array(wanted), abs=1e-5)


def test_the_autoencoder_learns_what_components_of_its_size_do(expression, network):
    x, rows = expression
    held_out = np.setdiff1d(np.arange(len(x)), rows)
    quality = network.quality(x, held_out)
    components = PCA(24, random_state=0).fit(x[rows])
    back = components.inverse_transform(components.transform(x[held_out]))
    reached = 1 - ((x[held_out] - back) ** 2).sum() / ((x[held_out] - x[rows].mean(0)) ** 2).sum()
    assert quality["explained"] > 0.6 * reached > 0.03
    decoded = network.decode(network.encode(x[held_out]))
    ours = 1 - ((x[held_out] - decoded) ** 2).sum() / ((x[held_out] - network.mean.numpy()) ** 2).sum()
    assert quality["explained"] == pytest.approx(ours, abs=1e-4)
    by_gene = [
        np.corrcoef(a, b)[0, 1]
        for a, b in zip(x[held_out].T, decoded.T, strict=True)
        if a.std() * b.std() > 0
    ]
    assert quality["gene_correlation"] == pytest.approx(np.median(by_gene), abs=1e-3)


def test_one_seed_is_one_autoencoder(expression):
    x, rows = expression
    first, again, other = (fit_autoencoder(x, rows, seed=seed, **FAST).encode(x[:50]) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other, atol=1e-2)


def test_a_saved_decoder_decodes_the_same(expression, network, tmp_path):
    x, _ = expression
    network.save_decoder(tmp_path / "d.safetensors")
    embeddings = network.encode(x[:100])
    decoded = load_decoder(tmp_path / "d.safetensors")(embeddings)
    assert decoded == pytest.approx(network.decode(embeddings), abs=1e-6)
    assert decoded.min() >= 0
