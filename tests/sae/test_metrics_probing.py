"""Sparse probes and probes on reconstructions against scikit-learn, and what cannot be measured."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sae.metrics.probing import fit_probe, probes_on_reconstructions, sparse_probing


def random_case(n=400, m=20, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.exponential(size=(n, m)) * (rng.random((n, m)) < 0.3)
    wanted = (codes[:, 3] + codes[:, 7] + 0.3 * rng.normal(size=n)) > 0.8
    return codes, wanted, np.arange(0, n, 2), np.arange(1, n, 2)


def test_a_sparse_probe_equals_scikit_learn():
    codes, wanted, train, test = random_case()
    frame = sparse_probing(csr_matrix(codes), {"c": wanted}, train, test).set_index("size")
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
    frame = probes_on_reconstructions(x, copy, concepts, train, test).set_index("concept")
    assert (frame.raw > 0.9).all()
    assert frame.transferred["kept"] > 0.9 and frame.refitted["kept"] > 0.9
    assert abs(frame.transferred["lost"] - 0.5) < 0.15 and abs(frame.refitted["lost"] - 0.5) < 0.15
    assert frame.transferred["moved"] < 0.1 and frame.refitted["moved"] > 0.9
    same = probes_on_reconstructions(x, x, concepts, train, test)
    assert (same.raw == same.transferred).all() and (same.raw == same.refitted).all()
    with pytest.raises(ValueError, match="alike"):
        probes_on_reconstructions(x, x[:, :2], concepts, train, test)


def test_probes_that_cannot_be_fitted_say_why():
    codes, wanted, train, test = random_case()
    concepts = {"c": wanted, "none": np.zeros(400, bool), "test": np.arange(400) == 1}
    frame = sparse_probing(csr_matrix(codes), concepts, train, test).set_index("concept")
    assert frame.loc[["none", "test"], ["balanced_accuracy", "f1", "auroc"]].isna().all(axis=None)
    assert set(frame.loc["test", "reason"]) == {"no training item has the concept"}
    dead = sparse_probing(csr_matrix((400, 3)), {"c": wanted}, train, test)
    assert dead.auroc.isna().all() and dead.reason.str.startswith("no latent differs").all()
    few = sparse_probing(csr_matrix(codes[:, :3]), {"c": wanted}, train, test)
    assert few.used.tolist() == [1, 2, 3, 3]
    frame = probes_on_reconstructions(codes, codes, concepts, train, test).set_index("concept")
    assert frame.loc[["none", "test"], "raw"].isna().all() and frame.loc["c", "raw"] > 0.8
