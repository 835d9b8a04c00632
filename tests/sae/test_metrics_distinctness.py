"""Distinctness, redundancy and explained variance against eigenvalues, correlation matrices and F tests."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import pearsonr
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LinearRegression

from sae.metrics import distinctness as module
from sae.metrics.covariates import variance_explained
from sae.metrics.distinctness import distinctness, redundancy


def random_codes(n=200, m=15, seed=0):
    """Latent 1 is latent 0 with a little noise, latent 2 is dead, latent 3 is constant."""
    rng = np.random.default_rng(seed)
    codes = rng.exponential(size=(n, m)) * (rng.random((n, m)) < 0.3)
    codes[:, 1] = codes[:, 0] * (1 + 0.05 * rng.random(n))
    codes[:, 2], codes[:, 3] = 0, 0.7
    return codes


def test_distinctness_by_hand():
    same = csr_matrix(np.tile([[1.0], [0.0]], (3, 4)))
    assert distinctness(same)["distinctness"].tolist() == [pytest.approx(1)]
    apart = csr_matrix([[1.0, 1], [1, 0], [0, 1], [0, 0]])
    (row,) = distinctness(apart).to_dict("records")
    assert row == {
        "m": 2,
        "varying": 2,
        "distinctness": pytest.approx(2),
        "share": pytest.approx(1),
        "reason": "",
    }
    row = distinctness(csr_matrix((5, 3))).iloc[0]
    assert np.isnan(row.distinctness) and row.reason == "no latent varies over these items"


@pytest.mark.parametrize("block_bytes", [1 << 27, 8 * 15 * 4])
def test_distinctness_equals_the_eigenvalues(monkeypatch, block_bytes):
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    codes = random_codes()
    varying = np.delete(codes, [2, 3], axis=1) > 0
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(varying.astype(float).T))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    found = distinctness(csr_matrix(codes)).iloc[0]
    assert found.varying == 13
    assert found.distinctness == pytest.approx(expected)


@pytest.mark.parametrize("block_bytes", [1 << 27, 8 * 15 * 4])
def test_redundancy_equals_the_correlation_matrix(monkeypatch, block_bytes):
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    codes = random_codes()
    frame = redundancy(csr_matrix(codes))
    kept = np.delete(np.arange(15), [2, 3])
    expected = np.corrcoef(codes[:, kept].T) - 2 * np.eye(13)
    np.testing.assert_allclose(frame.correlation[kept], expected.max(1))
    assert frame.partner[kept].tolist() == kept[expected.argmax(1)].tolist()
    assert frame.redundant.to_numpy().nonzero()[0].tolist() == [0, 1]
    assert frame.reason[2] == "the latent is dead"
    assert frame.reason[3] == "the latent does not vary over these items"
    assert frame.correlation[[2, 3]].isna().all() and (frame.partner[[2, 3]] == -1).all()


def test_a_latent_alone_has_no_partner():
    found = redundancy(csr_matrix([[1.0, 0], [0, 0]]))
    assert found["partner"].tolist() == [-1, -1]
    assert found["reason"].tolist() == ["no other latent varies", "the latent is dead"]


def test_variance_explained_equals_f_test_and_correlation():
    codes = random_codes(seed=3)
    rng = np.random.default_rng(4)
    batch, depth = rng.choice(["x", "y", "z"], 200), rng.lognormal(size=200)
    codes[:, 5] += 2.0 * (batch == "y")
    codes[:, 6] += depth
    frame = variance_explained(csr_matrix(codes), {"batch": batch, "depth": depth})
    frame = frame.set_index(["covariate", "latent"])
    kept = np.delete(np.arange(15), [2, 3])
    f, _ = f_classif(codes[:, kept], batch)
    np.testing.assert_allclose(frame.loc["batch"].share[kept], 2 * f / (2 * f + 197))
    r = [pearsonr(codes[:, i], depth)[0] for i in kept]
    np.testing.assert_allclose(frame.loc["depth"].share[kept], np.square(r))
    dummies = (batch[:, None] == ["x", "y"]).astype(float)
    r2 = LinearRegression().fit(dummies, codes[:, 5]).score(dummies, codes[:, 5])
    assert frame.loc[("batch", 5), "adjusted"] == pytest.approx(1 - (1 - r2) * 199 / 197)
    assert frame.loc["batch"].share.idxmax() == 5 and frame.loc["depth"].share.idxmax() == 6
    assert frame.loc[("batch", 2), "reason"] == "the latent does not vary over these items"
    assert np.isnan(frame.loc[("depth", 3), "share"])


def test_missing_and_constant_covariates():
    codes = csr_matrix(random_codes())
    depth = np.arange(200.0)
    depth[:20] = np.nan
    donor = np.array(["d", None] * 100, dtype=object)
    few = np.array([None] * 197 + ["a", "b", "c"], dtype=object)
    found = variance_explained(codes, {"depth": depth, "donor": donor, "few": few, "none": depth * np.nan})
    frame = found.set_index(["covariate", "latent"])
    assert frame.loc[("depth", 0), "n"] == 180
    assert frame.loc[("depth", 0), "share"] == pytest.approx(
        pearsonr(codes[20:, [0]].toarray()[:, 0], depth[20:])[0] ** 2
    )
    assert frame.loc["donor"].share.isna().all() and frame.loc["none"].share.isna().all()
    assert set(frame.loc["donor"].reason) == {"the covariate is constant or missing"}
    assert frame.loc["few"].adjusted.isna().all() and (frame.loc["few"].reason != "").all()
    with pytest.raises(ValueError, match="'batch' must be"):
        variance_explained(codes, {"batch": ["x"]})


def test_nothing_is_explained_by_chance_after_adjusting():
    rng = np.random.default_rng(5)
    codes = csr_matrix(rng.exponential(size=(400, 60)) * (rng.random((400, 60)) < 0.3))
    donor = rng.integers(0, 40, 400).astype(str)
    found = variance_explained(codes, {"donor": donor})
    assert found["share"].mean() > 0.08
    assert abs(found["adjusted"].mean()) < 0.02
