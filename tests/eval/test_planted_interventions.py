"""Are planted factors edited along their own directions, is the right label chosen, and what do the tables count?"""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import sae
from autointerp.corpus.readouts import load_decoder
from autointerp.score.registry import SCORERS
from eval.planted import FULL, Meaning, load_params, planted_cells
from eval.planted.autoencoder import fit_autoencoder
from eval.planted.decoder import PATH, SPEC
from eval.planted.directions import KINDS, best_latents, discriminants, responses, write_dictionary
from eval.planted.embeddings import log_normalized
from eval.planted.judges import OracleJudge
from eval.planted_interventions import (
    ASKED,
    CHANCE,
    METRIC,
    SURE,
    causes,
    corpora,
    effect_cosine,
    scored,
    strengths,
    summary,
)


@pytest.fixture(scope="module")
def codes():
    """Embeddings that are sums of planted directions, and the activities."""
    rng = np.random.default_rng(0)
    active = rng.gamma(2, 1, (900, 5)) * (rng.random((900, 5)) < [0.3, 0.3, 0.2, 0.1, 0.05])
    truth = rng.normal(size=(5, 12))
    return (active @ truth + 0.1 * rng.normal(size=(900, 12))).astype(np.float32), active, truth


def test_responses_are_those_of_a_linear_regression(codes):
    x, active, truth = codes
    found = responses(x, active)
    np.testing.assert_allclose(found, LinearRegression().fit(active, x).coef_.T, atol=1e-4)
    np.testing.assert_allclose(found, truth, atol=0.1)


def test_discriminants_fire_as_often_as_their_factor_and_for_its_cells(codes):
    x, active, _ = codes
    w, b = discriminants(x, active)
    fired = x @ w.T + b > 0
    np.testing.assert_allclose(fired.mean(0), (active > 0).mean(0), atol=0.01)
    assert all((fired[:, j] & (active[:, j] > 0)).sum() > 0.8 * fired[:, j].sum() for j in range(5))


@pytest.mark.parametrize("kind", KINDS)
def test_latent_j_of_the_dictionary_stands_for_factor_j(codes, tmp_path, kind, monkeypatch):
    x, active, truth = codes
    if kind == "fitted":
        monkeypatch.setattr("eval.planted.directions.best_latents", lambda *given: 3 * truth)
    rows = np.arange(600)
    made = sae.load(write_dictionary(x, active, rows, kind, 0, tmp_path / "made"))
    np.testing.assert_allclose(np.linalg.norm(made.w_dec, axis=1), 1, atol=1e-5)
    cosine = np.sum(made.w_dec * truth / np.linalg.norm(truth, axis=1, keepdims=True), axis=1)
    assert (cosine > 0.99).all() if kind != "isotropic" else np.abs(cosine).max() < 0.9
    moved = made.edit(x[:3], 2, 1.5) - x[:3]
    np.testing.assert_allclose(moved, np.tile(1.5 * made.w_dec[2], (3, 1)), atol=1e-5)
    codes_ = made.encode(x[rows])
    fires = np.bincount(codes_.indices[codes_.values > 0], minlength=5) / len(rows)
    np.testing.assert_allclose(fires, (active[rows] > 0).mean(0), atol=0.02)


def test_the_best_latent_of_each_factor_is_found_again(codes, tmp_path, monkeypatch):
    """In place of a fitted dictionary one whose latents are the factors in another order."""
    x, active, truth = codes
    rows, order = np.arange(700), [3, 0, 4, 1, 2]
    known = sae.load(write_dictionary(x, active[:, order], rows, "oracle", 0, tmp_path / "made"))
    monkeypatch.setattr(sae, "fit", lambda *given, rows: SimpleNamespace(dictionary=known))
    found = best_latents(x, active, rows, 0)
    cosine = np.sum(found * truth, axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(truth, axis=1)
    assert (cosine > 0.99).all()


def test_quality_for_a_change_is_the_cosine_of_effects():
    params = load_params(FULL)
    params["cells"]["n_cells"] = 60
    cells = planted_cells(params, 0)
    a, b = (cells.effects[cells.factor(name)].astype(float) for name in ("hypoxia", "g2m"))
    assert effect_cosine(cells, "hypoxia", Meaning(("hypoxia",))) == pytest.approx(1)
    expected = a @ (a + b) / np.linalg.norm(a) / np.linalg.norm(a + b)
    assert effect_cosine(cells, "hypoxia", Meaning(("hypoxia", "g2m"))) == pytest.approx(expected)
    assert abs(effect_cosine(cells, "hypoxia", Meaning(("g2m",)))) < 0.1
    assert np.isnan(effect_cosine(cells, "hypoxia", None))


def test_half_of_the_genes_in_their_planted_direction_make_a_cause():
    effect = np.zeros(100)
    effect[:4], effect[4:6] = 1.0, -1.0
    change = np.random.default_rng(0).normal(0, 0.1, 100)
    change[:3] = 2.0
    assert causes(change, effect)
    assert not causes(-change, effect)
    change[2] = 0.0
    assert not causes(change, effect)
    change[4] = -2.0  # one that falls, as planted
    assert causes(change, effect)


def test_the_table_counts_what_was_measured():
    """Two factors, one of them no cause, and one label that did not reach σ."""
    keys = {"seed": 0, "judge": SURE, "scorer": "match:genes:0.3", "metric": METRIC, "negatives": "genes:0.3"}
    grades = ("oracle", "paraphrase", "too_broad", "too_narrow", "near_miss", "wrong")
    rows = [
        keys | {"factor": f, "grade": g, "title": g, "value": 0.8 - 0.2 * i, "f1": 1 - i / 6, "effect": 1 - i / 7}
        for f in ("a", "b", "weak") for i, g in enumerate(grades)
    ]  # fmt: skip
    rows.append(rows[0] | {"title": "gone", "value": np.nan, "metric": "auroc"})
    rows.append(rows[0] | {"metric": "sigma_on_test", "value": 0.3})
    table = pd.DataFrame(rows).assign(directions="oracle")
    turns = pd.DataFrame(
        {"directions": "oracle", "factor": f, "sigma": s, "causal": f != "weak", "reachable": f != "b",
         "stays": f != "b", "develop": 0.05, "test": 0.29, "zero": 0.0, "back": 1e-6}
        for f in ("a", "b", "weak") for s in ("0.1", "0.3")
    )  # fmt: skip
    made = summary(table, turns).fillna({"factors": "", "grade": "", "against": ""})

    def row(*place: str) -> pd.Series:
        (found,) = (made[["what", "factors", "grade", "against"]] == place).all(1).to_numpy().nonzero()
        return made.iloc[found[0]]

    assert row("causal", "all", "", "").value == pytest.approx(2 / 3)
    right = row("accuracy", "causal", "oracle", "")
    assert right.value == pytest.approx(0.8 + CHANCE["match"]) and (right.n, right.missing) == (2, 1)
    assert row("accuracy", "all", "wrong", "").n == 3
    assert row("difference", "causal", "oracle", "wrong").value == pytest.approx(1.0)
    assert row("rank", "causal", "effect", "labels").value == pytest.approx(1.0)
    assert (
        0.8 < row("rank", "causal", "effect", "best").value < 0.9
    )  # of six ordered labels, cut in the middle
    reached = made[(made.what == "reachable") & (made.against == "")]
    assert reached.value.tolist() == pytest.approx([2 / 3, 2 / 3])


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The full corpus with few cells; programs alone are latents, σ = 0.3."""
    params = load_params(FULL)
    params["cells"]["n_cells"] = 2500
    return params, tmp_path_factory.mktemp("planted")


@pytest.mark.slow
def test_the_right_label_is_chosen_for_what_a_factor_does_and_none_for_a_random_direction(three):
    params, folder = three
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(PATH, raising=False)
        patch.setattr("eval.planted_interventions.JUDGES", (SURE,))
        tables, turns = [], []
        for directions, planted in corpora(params, 0, folder, ("oracle", "isotropic free")):
            tables.append(scored(planted, directions))
            turns.append(strengths(planted, directions))
    made = summary(pd.concat(tables, ignore_index=True), pd.concat(turns, ignore_index=True))
    right = made[(made.what == "accuracy") & (made.factors == "causal") & (made.grade == "oracle")]
    for scorer in ("match:genes:0.3", "2afc:genes:0.3"):
        of = right[right.scorer == scorer].set_index("directions")
        chance = CHANCE[scorer.partition(":")[0]]
        assert of.value["oracle"] >= 0.9
        assert of.low["isotropic free"] <= chance <= of.high["isotropic free"]
    exact = made[made.what == "exact"]
    assert (exact[exact.against == "zero"].value == 0).all()
    assert (exact[exact.against == "back"].value < 1e-5).all()
    assert (made[(made.what == "reachable") & (made.against == "develop")].value <= 0.1).all()


def test_the_decoder_of_a_run_is_the_autoencoders(tmp_path, monkeypatch):
    params = load_params(FULL)
    params["cells"]["n_cells"] = 300
    cells = planted_cells(params, 0)
    logged = log_normalized(cells.adata)
    network = fit_autoencoder(logged, np.arange(200), d=6, h=12, epochs=1)
    network.save_decoder(tmp_path / "d.safetensors")
    monkeypatch.setitem(os.environ, PATH, str(tmp_path / "d.safetensors"))
    x = network.encode(logged[:7])
    np.testing.assert_allclose(load_decoder(SPEC)(x), network.decode(x), atol=1e-6)


def test_what_is_asked_are_scorers_of_a_run():
    assert set(ASKED) <= set(SCORERS) and OracleJudge.name == "oracle"
