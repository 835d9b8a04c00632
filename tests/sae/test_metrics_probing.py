"""Probes against scikit-learn, absorption on planted parents and children, and what cannot be measured."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sae.metrics.absorption import absorption, main_latents
from sae.metrics.inputs import one_hot
from sae.metrics.probing import fit_probe, probe_directions, probes_on_reconstructions, sparse_probing


def random_case(n=400, m=20, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.exponential(size=(n, m)) * (rng.random((n, m)) < 0.3)
    wanted = (codes[:, 3] + codes[:, 7] + 0.3 * rng.normal(size=n)) > 0.8
    return codes, wanted, np.arange(0, n, 2), np.arange(1, n, 2)


def test_a_sparse_probe_equals_scikit_learn():
    codes, wanted, train, test = random_case()
    frame = pd.DataFrame(sparse_probing(csr_matrix(codes), {"c": wanted}, train, test)).set_index("size")
    gap = np.abs(codes[train][wanted[train]].mean(0) - codes[train][~wanted[train]].mean(0))
    for size in (1, 2, 4, 8):
        latents = np.argsort(-gap)[:size]
        assert frame.loc[size, "latents"] == " ".join(map(str, latents))
        z = codes[:, latents]
        scale = np.sqrt(z[train].var(0).mean())
        model = make_pipeline(
            FunctionTransformer(lambda values, scale=scale: values / scale),
            LogisticRegression(class_weight="balanced", tol=1e-8),
        ).fit(z[train], wanted[train])
        expected = balanced_accuracy_score(wanted[test], model.predict(z[test]))
        assert frame.loc[size, "balanced_accuracy"] == pytest.approx(expected, abs=0.006)
        expected = roc_auc_score(wanted[test], model.decision_function(z[test]))
        assert frame.loc[size, "auroc"] == pytest.approx(expected, abs=2e-3)
    assert set(frame.loc[2, "latents"].split()) == {"3", "7"}
    assert frame.loc[2, "auroc"] > frame.loc[1, "auroc"] + 0.05


def test_the_border_of_a_probe_does_not_depend_on_units():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 4)) + 5
    truth = x[:, 0] > 5
    small, large = fit_probe(x, truth), fit_probe(1000 * x + 7, truth)
    np.testing.assert_allclose(small.scores(x), large.scores(1000 * x + 7), rtol=1e-6, atol=1e-8)


def test_reconstructions_that_lose_or_move_a_concept():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 4))
    concepts = {"kept": x[:, 0] > 0, "lost": x[:, 1] > 0, "moved": x[:, 2] > 0}
    copy = x.copy()
    copy[:, 1] = 0
    copy[:, 2] *= -1
    train, test = np.arange(0, 300, 2), np.arange(1, 300, 2)
    frame = pd.DataFrame(probes_on_reconstructions(x, copy, concepts, train, test)).set_index("concept")
    assert (frame.raw > 0.9).all()
    assert frame.transferred["kept"] > 0.9 and frame.refitted["kept"] > 0.9
    assert abs(frame.transferred["lost"] - 0.5) < 0.15 and abs(frame.refitted["lost"] - 0.5) < 0.15
    assert frame.transferred["moved"] < 0.1 and frame.refitted["moved"] > 0.9
    same = pd.DataFrame(probes_on_reconstructions(x, x, concepts, train, test))
    assert (same.raw == same.transferred).all() and (same.raw == same.refitted).all()
    with pytest.raises(ValueError, match="alike"):
        probes_on_reconstructions(x, x[:, :2], concepts, train, test)


def test_probes_that_cannot_be_fitted_say_why():
    codes, wanted, train, test = random_case()
    concepts = {"c": wanted, "none": np.zeros(400, bool), "test": np.arange(400) == 1}
    frame = pd.DataFrame(sparse_probing(csr_matrix(codes), concepts, train, test)).set_index("concept")
    assert frame.loc[["none", "test"], ["balanced_accuracy", "f1", "auroc"]].isna().all(axis=None)
    assert set(frame.loc["test", "reason"]) == {"no training item has the concept"}
    dead = pd.DataFrame(sparse_probing(csr_matrix((400, 3)), {"c": wanted}, train, test))
    assert dead.auroc.isna().all() and dead.reason.str.startswith("no latent differs").all()
    few = pd.DataFrame(sparse_probing(csr_matrix(codes[:, :3]), {"c": wanted}, train, test))
    assert few.used.tolist() == [1, 2, 3, 3]
    frame = pd.DataFrame(probes_on_reconstructions(codes, codes, concepts, train, test)).set_index("concept")
    assert frame.loc[["none", "test"], "raw"].isna().all() and frame.loc["c", "raw"] > 0.8


def family(absorbed, n=600, seed=3):
    """Items of a parent (direction e0), a third of them of its child (e1 besides), and others (e2).

    absorbed : the child's latent points along e0 + e1 and the parent's falls silent; else each says its own
    """
    rng = np.random.default_rng(seed)
    parent = rng.random(n) < 0.5
    child = parent & (rng.random(n) < 1 / 3)
    x = np.zeros((n, 8))
    x[:, 0], x[:, 1], x[:, 2] = parent, child, ~parent
    decoder = np.eye(8)[:3]
    codes = np.stack([parent, child, ~parent], 1).astype(float)
    if absorbed:
        decoder = np.array([np.eye(8)[0], (np.eye(8)[0] + np.eye(8)[1]) / np.sqrt(2), np.eye(8)[2]])
        codes[:, 0] = parent & ~child
        codes[:, 1] = np.sqrt(2) * child
    np.testing.assert_allclose(codes @ decoder, x, atol=1e-12)  # both reconstruct every item
    return csr_matrix(codes), x, decoder, {"parent": parent, "child": child}


@pytest.mark.parametrize("absorbed", [True, False])
def test_a_planted_child_absorbs_its_parent(absorbed):
    codes, x, decoder, concepts = family(absorbed)
    thirds = [np.arange(start, 600, 3) for start in range(3)]
    probes = {"parent": np.eye(8)[0], "child": np.eye(8)[1]}
    main = {"parent": np.array([0]), "child": np.array([1])}
    frame = pd.DataFrame(absorption(codes, x, decoder, concepts, main, probes, thirds[2])).set_index(
        "concept"
    )
    test_parents, test_children = (int(concepts[name][thirds[2]].sum()) for name in ("parent", "child"))
    assert frame.loc["parent", "n"] == test_parents
    assert frame.loc["parent", "n_absorbed"] == (test_children if absorbed else 0)
    assert frame.loc["parent", "rate"] == pytest.approx(test_children / test_parents if absorbed else 0)
    assert frame.loc["parent", "absorber"] == (1 if absorbed else -1)
    assert frame.loc["child", "rate"] == 0


def test_absorption_from_fitted_probes_and_chosen_main_latents():
    codes, x, decoder, concepts = family(absorbed=False)
    x = x + 0.05 * np.random.default_rng(4).normal(size=x.shape)
    train, choose, test = (np.arange(start, 600, 3) for start in range(3))
    main = main_latents(codes, concepts, train, choose)
    assert main["parent"].tolist() == [0] and main["child"].tolist() == [1]
    split = main_latents(family(absorbed=True)[0], concepts, train, choose)
    assert split["parent"].tolist() == [
        0,
        1,
    ]  # two latents together: a split, which absorption does not count
    codes, _, decoder, _ = family(absorbed=True)
    probes = probe_directions(x, concepts, train)
    assert probes["parent"][0] > 0.6
    found = absorption(codes, x, decoder, concepts, {"parent": np.array([0])}, probes, test)
    frame = pd.DataFrame(found).set_index("concept")
    assert frame.loc["parent", "rate"] == pytest.approx(
        concepts["child"][test].sum() / frame.loc["parent", "n"]
    )
    assert frame.loc["child", "reason"] == "the concept has no main latent"


def test_absorption_equals_a_loop_over_items():
    rng = np.random.default_rng(6)
    codes = rng.exponential(size=(200, 30)) * (rng.random((200, 30)) < 0.15)
    decoder = rng.normal(size=(30, 5))
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    x, mask, probe = codes @ decoder, rng.random(200) < 0.5, rng.normal(size=5)
    probe /= np.linalg.norm(probe)
    absorbers = []
    for z, row in zip(codes[100:][mask[100:]], x[100:][mask[100:]], strict=True):
        given = [z[i] * (decoder[i] @ probe) for i in range(30) if decoder[i] @ probe >= 0.025]
        if row @ probe > 0:
            silent = z[2] == z[5] == 0
            absorbers.append(silent and max(given) > 0 and max(given) >= 0.4 * (row @ probe))
    found = absorption(
        csr_matrix(codes), x, decoder, {"c": mask}, {"c": [2, 5]}, {"c": probe}, np.arange(100, 200)
    )
    assert found["n"][0] == len(absorbers)
    assert 0 < found["n_absorbed"][0] == sum(absorbers) < found["n_silent"][0]


def test_the_borders_of_absorption():
    # one item, projection 1; latent 1 gives z (w·p); latent 0 is the main one
    def rate(z, cos, main=0.0, x0=1.0):
        decoder = np.array([[1.0, 0], [cos, np.sqrt(1 - cos**2)]])
        codes = csr_matrix([[main, z]])
        one = {"c": np.array([True])}
        found = absorption(
            codes, np.array([[x0, 0]]), decoder, one, {"c": [0]}, {"c": np.array([2.0, 0])}, np.array([0])
        )
        return found["rate"][0], found["reason"][0]

    assert rate(1, 0.41) == (1, "")
    assert rate(1, 0.39) == (0, "")
    assert rate(100, 0.02) == (0, "")  # carries twice the projection, and points elsewhere
    assert rate(1, 0.9, main=0.01) == (0, "")
    assert rate(0, 0.9) == (0, "")
    assert np.isnan(rate(1, 0.9, x0=-1.0)[0])


def test_absorption_that_cannot_be_measured_says_why():
    codes, x, decoder, _ = family(absorbed=True)
    everyone = one_hot(["a"] * 600) | {"none": np.zeros(600, bool)}
    main = {"a": np.array([0]), "none": np.array([0])}
    found = absorption(codes, x, decoder, everyone, main, {"none": np.eye(8)[0]}, np.arange(600))
    assert np.isnan(found["rate"]).all()
    assert found["reason"].tolist() == ["the concept has no probe", "no test item has the concept"]
    assert probe_directions(x, everyone, np.arange(300)) == {}
    assert main_latents(codes, everyone, np.arange(300), np.arange(300, 600))["a"].size == 0
    with pytest.raises(ValueError, match="do not fit"):
        absorption(codes, x[:, :3], decoder, everyone, main, {}, np.arange(600))
