"""Does `dictionary report` measure the dictionary of a run or a folder, beside baselines, on test items?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import balanced_accuracy_score, f1_score

import sae
from autointerp.dictionary.measures import MEASURES, Ground, encode_rows, latent_table, measure
from autointerp.dictionary.report import report_dictionary
from autointerp.evidence.splits import split_items
from tests.run.conftest import command
from tests.run.small_cells import BROUGHT, FITTED, WITHHELD, small_cells


@pytest.fixture(scope="module")
def fitted(cells, tmp_path_factory):
    """A run directory with a dictionary."""
    directory = tmp_path_factory.mktemp("runs") / "fitted"
    ended = command("fit", "--data", cells, *FITTED, "--category", "kind", "--out", directory)
    assert ended.code == 0, ended.err
    return directory


@pytest.fixture(scope="module")
def reported(fitted):
    ended = command("dictionary", "report", fitted, "--covariates", "kind")
    assert ended.code == 0, ended.err
    return ended


def planted(missing=False, seed=0):
    """Codes (600, 5): latents 0 … 2 fire in their type, 3 everywhere, 4 never; types are missing for some items."""
    rng = np.random.default_rng(seed)
    types = rng.choice(["a", "b", "c"], 600).astype(object)
    codes = np.zeros((600, 5))
    for latent, name in enumerate("abc"):
        codes[:, latent] = (types == name) * (rng.random(600) < 0.9) * (0.5 + rng.random(600))
    codes[:, 3] = 1 + rng.random(600)
    if missing:
        types[::7] = None
    return csr_array(codes), types, split_items(600, None, seed)


def test_a_run_is_measured_beside_baselines(fitted, reported):
    tables = {path.stem: pd.read_csv(path) for path in (fitted / "dictionary").glob("*.csv")}
    summary = tables["summary"]
    names = summary.dictionary.unique().tolist()
    assert names == ["topk-12-k3", "untrained-12-k3", "pca-12-k3"]
    assert summary.measure.tolist() == [*MEASURES] * 3
    values = summary.pivot(index="measure", columns="dictionary", values="value")
    assert values.loc["fvu", "topk-12-k3"] < values.loc["fvu", "untrained-12-k3"]
    assert (values.loc["l0"] <= 3).all()
    assert summary.value.notna().all() and (summary.n > 0).all()
    coverage = tables["coverage"]
    assert set(coverage.concept) == {f"{WITHHELD[0]}-{p}" for p in range(6)}
    mean = coverage[coverage.dictionary == "topk-12-k3"].f1.mean()
    assert values.loc["coverage", "topk-12-k3"] == pytest.approx(mean, rel=1e-4)
    assert set(tables["variance_explained"].covariate) == {
        *("donor", "kind", "total counts", "genes detected", "% mitochondrial")
    }
    assert len(tables["latents"]) == 12 and tables["latents"].latent.tolist() == list(range(12))
    page = (fitted / "dictionary" / "index.html").read_text()
    assert "topk-12-k3" in page and f"{WITHHELD[0]}-3" in page
    assert "coverage" in reported.out and str(fitted / "dictionary") in reported.out
    assert reported.lines[-1].startswith("Next: open ")


def test_baselines_have_the_preprocessing_of_the_dictionary(cells, tmp_path, monkeypatch):
    """Else a whitened dictionary would be held against PCA of another space."""
    whitened = ("--scaling", "whiten", "--center", "controls", "--unit-norm", "--control", "kind=zeta-kind-0")
    directory = tmp_path / "run"
    ended = command("fit", "--data", cells, *FITTED, *whitened, "--dictionary", "neurons", "--out", directory)
    assert ended.code == 0, ended.err
    made, fit = {}, sae.fit

    def noted(x, config, **options):
        made[config.kind] = fit(x, config, **options).dictionary.preprocessing
        return fit(x, config, **options)

    monkeypatch.setattr(sae, "fit", noted)
    report_dictionary(directory, {})
    own = sae.load(next(directory.glob("cache/dictionary-*/"))).preprocessing
    assert made.keys() == {"random", "pca"}
    for preprocessing in made.values():
        assert preprocessing.record() == own.record() and preprocessing.unit_norm
        for name, values in own.arrays().items():
            np.testing.assert_array_equal(preprocessing.arrays()[name], values)


def test_the_report_changes_nothing_of_the_run(fitted, reported):
    before = {
        path: path.read_bytes()
        for path in fitted.rglob("*")
        if path.is_file() and path.parent.name != "dictionary"
    }
    again = command("dictionary", "report", fitted)
    assert again.out == reported.out
    assert before == {path: path.read_bytes() for path in before}


def test_a_saved_dictionary_is_measured_on_the_data_given(fitted, reported, cells, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (folder,) = fitted.glob("cache/dictionary-*/")
    where = ("--data", cells, "--embedding", "X_emb", "--group", "donor")
    ended = command("dictionary", "report", folder, *where, "--concepts", "kind")
    assert ended.code == 0, ended.err
    own = pd.read_csv(tmp_path / "runs" / f"dictionary-{folder.name}" / "summary.csv")
    of_run = pd.read_csv(fitted / "dictionary" / "summary.csv")
    pd.testing.assert_frame_equal(own, of_run)
    assert f"--dictionary {folder}" in ended.lines[-1]


def test_activations_without_a_dictionary_and_without_concepts(cells, tmp_path):
    directory = tmp_path / "run"
    assert command("fit", "--data", cells, *BROUGHT, "--out", directory).code == 0
    ended = command("dictionary", "report", directory)
    assert ended.code == 0, ended.err
    summary = pd.read_csv(directory / "dictionary" / "summary.csv").set_index("measure")
    assert np.isnan(summary.value["fvu"]) and summary.reason["fvu"].startswith("no dictionary")
    assert summary.value["dead_share"] == pytest.approx(1 / 9)
    assert summary.reason["coverage"] == "no concepts given"
    assert not (directory / "dictionary" / "coverage.csv").exists()
    assert "--concepts OBS_COLUMN" in ended.lines[-1]
    ended = command("dictionary", "report", directory, "--concepts", "kind")
    summary = pd.read_csv(directory / "dictionary" / "summary.csv").set_index("measure")
    assert summary.value["coverage"] > 0.7
    assert summary.reason["probe_raw"].startswith("no dictionary")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("RUN", "--concepts", "kinds"), "Did you mean kind?"),
        (("RUN", "--concepts", "one"), "1 different values"),
        (("RUN", "--covariates", "bach"), "--covariates"),
        (("RUN", "--data", "x.h5ad"), "Leave --data out"),
        (("FOLDER",), "pass --data"),
        (("NOTHING",), "neither a run"),
        (("RUN", "--out", "FILE"), "is a file"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_bad_input_is_one_line(fitted, tmp_path, options, said):
    (folder,) = fitted.glob("cache/dictionary-*/")
    (tmp_path / "file").write_text("")
    places = {"RUN": fitted, "FOLDER": folder, "NOTHING": tmp_path / "no", "FILE": tmp_path / "file"}
    ended = command("dictionary", "report", *(places.get(word, word) for word in options))
    assert ended.code == 2
    assert len(ended.saying("autointerp: ")) == 1 and said in ended.lines[-1]
    assert "Traceback" not in ended.err


def test_choices_are_made_on_develop_and_figures_come_from_test():
    codes, types, split = planted()
    ground = Ground(split, None, types)
    tables = measure("planted", codes, ground)
    swapped = types.copy()
    test = split.rows("test")
    swapped[test] = np.where(types[test] == "a", "b", np.where(types[test] == "b", "a", types[test]))
    other = measure("planted", codes, Ground(split, None, swapped))
    assert tables["coverage"].latent.tolist() == other["coverage"].latent.tolist() == [0, 1, 2]
    assert (tables["coverage"].f1_choose == other["coverage"].f1_choose).all()
    assert tables["coverage"].f1[0] > 0.9 and other["coverage"].f1[0] == 0
    dense = codes.toarray()[test]
    for latent, name in enumerate("abc"):
        row = tables["coverage"].iloc[latent]
        assert row.f1 == pytest.approx(f1_score(types[test] == name, dense[:, latent] > row.cut))
    summary = tables["summary"].set_index("measure")
    assert summary.value["dead_share"] == 1 / 5 and summary.value["dense_share"] == 1 / 5
    assert summary.value["l0"] == pytest.approx((dense > 0).sum() / len(test))
    probed = np.mean(
        [balanced_accuracy_score(types[test] == c, dense[:, i] > 0) for i, c in enumerate("abc")]
    )
    assert summary.value["probing_1"] == pytest.approx(probed, abs=0.02)


def test_items_without_a_concept_are_left_out():
    codes, types, split = planted(missing=True)
    ground = Ground(split, None, types)
    found = measure("planted", codes, ground)["coverage"]
    test = split.rows("test")
    assert found.n_test.sum() == sum(value is not None for value in types[test]) < len(test)
    assert found.precision.tolist() == [1, 1, 1]


def test_the_latents_table_names_the_concept_of_each_latent():
    codes, types, split = planted()
    depth = np.random.default_rng(1).random(600)
    frame = latent_table("planted", codes, Ground(split, None, types), {"type": types, "depth": depth})
    assert frame.concept.tolist()[:3] == ["a", "b", "c"] and frame.concept[4] == ""
    assert (frame.selectivity[:3] > 0.7).all()
    assert frame.explained_type[0] > 0.5 and abs(frame.explained_depth[0]) < 0.05
    assert np.isnan(frame.explained_type[4]) and frame.dead[4] and frame.dense[3]


def test_codes_of_all_rows_are_those_of_each_row():
    import sae

    x = small_cells().obsm["X_emb"]
    made = sae.untrained(x, sae.DictionaryConfig(d=16, m=12, k=3))
    codes = encode_rows(made, x).toarray()
    row = made.encode(x[7:8])
    assert codes.shape == (480, 12)
    np.testing.assert_allclose(
        np.sort(codes[7][codes[7] > 0]), np.sort(row.values[row.values > 0]), rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["icfl", "batchtopk", "nmf"])
def test_kinds_that_whiten_or_vary_are_measured_in_the_space_of_the_embedding(kind):
    import sae

    cells = small_cells()
    x, types = cells.obsm["X_emb"], cells.obs["kind"].to_numpy(dtype=object)
    config = sae.DictionaryConfig(d=16, m=12, k=3, kind=kind)
    made = sae.fit(x, config).dictionary if kind == "nmf" else sae.untrained(x, config)
    split = split_items(480, None, 0)
    tables = measure(kind, encode_rows(made, x), Ground(split, x, types), made)
    values = tables["summary"].set_index("measure").value
    assert values.notna().all()
    test = split.rows("test")
    copy = made.decode(made.encode(x[test]), like=x[test])
    missed = ((x[test] - copy) ** 2).sum() / ((x[test] - x[test].mean(0)) ** 2).sum()
    assert values["fvu"] == pytest.approx(missed, rel=1e-4)
    assert 0.5 < values["probe_raw"] <= 1 and len(tables["reconstruction_probes"]) == 6
