"""Whitening and its shrinkage against scikit-learn, few controls, ranks, and noise that hides what is planted."""

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from sae import DictionaryConfig, Preprocessing, fit
from sae.metrics.inputs import from_codes


def embedding(n=2000, d=8, seed=0):
    rng = np.random.default_rng(seed)
    mixing = np.linalg.qr(rng.normal(size=(d, d)))[0] * np.geomspace(0.1, 10, d)[:, None]
    return (rng.normal(size=(n, d)) @ mixing + 5 * rng.normal(size=d)).astype(np.float32)


def transformed(t, x):
    return t.forward(torch.from_numpy(x)).numpy().astype(np.float64)


def test_whitening_equals_that_of_scikit_learn_on_the_controls():
    x, controls = embedding(), np.arange(0, 2000, 5)
    t = Preprocessing.fit(x, None, "whiten", center="controls", controls=controls)
    peer = PCA(whiten=True, svd_solver="full").fit(x[controls].astype(np.float64))
    expected = peer.transform(x) * np.sqrt(400 / 399)  # theirs divides by r − 1
    ours = transformed(t, x)
    np.testing.assert_allclose(ours, expected * np.sign((ours * expected).sum(0)), atol=1e-4)
    assert t.whitening.shrinkage == 0 and t.controls == 400 and t.rows == 2000


def test_whitened_controls_have_the_identity_as_covariance():
    x, controls = embedding(), np.arange(700)
    t = Preprocessing.fit(x, None, "whiten", center="controls", controls=controls)
    ours = transformed(t, x[controls])
    np.testing.assert_allclose(ours.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(ours.T, ddof=0), np.eye(8), atol=1e-4)


def test_without_controls_all_rows_are_whitened_and_centered():
    x, rows = embedding(), np.arange(0, 2000, 2)
    ours = transformed(Preprocessing.fit(x, rows, "whiten"), x[rows])
    np.testing.assert_allclose(ours.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(ours.T, ddof=0), np.eye(8), atol=1e-4)


@pytest.mark.parametrize("n_controls", [5, 30, 79])
def test_few_controls_are_shrunk_towards_all_rows_by_what_scikit_learn_finds(n_controls):
    x = embedding()
    t = Preprocessing.fit(x, None, "whiten", center="controls", controls=np.arange(n_controls))
    y = PCA(whiten=True, svd_solver="full").fit_transform(
        x.astype(np.float64)
    )  # all rows, independent and alike
    peer = LedoitWolf().fit(y[:n_controls])
    assert t.whitening.shrinkage == pytest.approx(peer.shrinkage_, rel=1e-6) and 0 < peer.shrinkage_ <= 1
    expected = peer.mahalanobis(y)  # squared length after whitening with their covariance
    np.testing.assert_allclose((transformed(t, x) ** 2).sum(1), expected * 1999 / 2000, rtol=2e-3)
    assert t.summary == (
        f"Whitening keeps 8 of 8 components, fitted on {n_controls} control rows; so few that their covariance "
        f"is drawn by {peer.shrinkage_:.2g} towards that of all rows."
    )


def test_few_rows_without_controls_are_shrunk_towards_independent_dimensions():
    x = embedding(n=40)
    t = Preprocessing.fit(x, None, "whiten")
    y = StandardScaler().fit_transform(x.astype(np.float64))
    peer = LedoitWolf().fit(y)
    assert t.whitening.shrinkage == pytest.approx(peer.shrinkage_, rel=1e-6) and peer.shrinkage_ > 0
    np.testing.assert_allclose((transformed(t, x) ** 2).sum(1), peer.mahalanobis(y), rtol=2e-3)
    assert t.summary.endswith(f"drawn by {peer.shrinkage_:.2g} towards independent dimensions.")


def test_components_without_variance_are_dropped_and_said():
    x = embedding(n=1000)
    x = np.concatenate(
        [x, x[:, :3] @ np.array([[1, 2], [0, 1], [3, 0]], np.float32), x[:, :1] * 0 + 7], axis=1
    )
    t = Preprocessing.fit(x, None, "whiten")
    assert t.width == 8 and t.whitening.forward.shape == (11, 8)
    assert t.summary == "Whitening keeps 8 of 11 components, fitted on 1,000 rows (no controls)."
    np.testing.assert_allclose(np.cov(transformed(t, x).T, ddof=0), np.eye(8), atol=1e-3)
    back = t.inverse(t.forward(torch.from_numpy(x))).numpy()
    np.testing.assert_allclose(back, x, atol=1e-3)  # nothing was there to lose
    few = Preprocessing.fit(x, None, "whiten", controls=np.arange(20))
    assert few.width == 8 and few.whitening.shrinkage > 0  # shrinkage brings back nothing that no row shows


def test_streaming_equals_in_memory():
    x, controls = embedding() + 100, np.arange(3, 2000, 40)  # few enough for shrinkage, too
    whole = Preprocessing.fit(x, None, "whiten", 5000, controls=controls).whitening
    parts = Preprocessing.fit(x, None, "whiten", 17, controls=controls).whitening
    assert whole.shrinkage == pytest.approx(parts.shrinkage, rel=1e-9) and whole.shrinkage > 0
    torch.testing.assert_close(whole.forward, parts.forward, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(whole.back, parts.back, atol=1e-5, rtol=1e-4)


def test_back_undoes_forward():
    t = Preprocessing.fit(embedding(), None, "whiten").whitening
    torch.testing.assert_close(t.back @ t.forward, torch.eye(8), atol=1e-5, rtol=0)


def test_controls_that_show_no_covariance_are_refused():
    x = embedding()
    x[:9] = x[0]
    with pytest.raises(ValueError, match="the 9 rows that whitening is fitted on are all the same"):
        Preprocessing.fit(x, None, "whiten", controls=np.arange(9))
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        Preprocessing.fit(x, None, "whiten", controls=np.arange(1))


def test_more_active_latents_than_components_are_refused():
    x = np.repeat(embedding(d=2), 3, axis=1)
    with pytest.raises(ValueError, match=r"k = 3 active .* exceeds the 2 components that whitening keeps"):
        fit(x, DictionaryConfig(d=6, m=8, k=3, steps=2, scaling="whiten"))


def under_anisotropic_noise(n=2400, d=24, factors=16, seed=0):
    """16 sparse factors of 3 noise deviations and more, under noise whose deviations span a factor 120.

    Controls, the first third, are noise alone. Returns x (n, d), the factors' strengths (n, factors), and the
    covariance (d, d) of the noise.
    """
    rng = np.random.default_rng(seed)
    deviations = np.geomspace(6, 0.05, d)[:, None] * np.linalg.qr(rng.normal(size=(d, d)))[0]
    directions = rng.normal(size=(factors, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    z = (rng.random((n, factors)) < 0.08) * (3 + 1.5 * rng.exponential(size=(n, factors)))
    z[: n // 3] = 0
    x = ((rng.normal(size=(n, d)) + z @ directions) @ deviations + 3).astype(np.float32)
    return x, z, deviations.T @ deviations


@pytest.mark.parametrize("n_controls", [26, 60, 120])
def test_drawn_towards_all_rows_few_controls_whiten_noise_better_than_otherwise(n_controls):
    x, _, truth = under_anisotropic_noise()

    def unevenness(covariance):
        """Standard deviation of ln variance over the directions of noise that was whitened by ``covariance``."""
        return np.log(np.linalg.eigvals(np.linalg.solve(covariance, truth)).real).std()

    back = (
        Preprocessing.fit(x, None, "whiten", controls=np.arange(n_controls)).whitening.back.double().numpy()
    )
    controls = x[:n_controls].astype(np.float64)
    ours = unevenness(back.T @ back)
    assert ours < 0.5
    assert ours < unevenness(np.cov(x.T.astype(np.float64)))  # all rows, treated ones too
    assert ours < unevenness(np.cov(controls.T))  # no shrinkage
    assert 3 * ours < unevenness(LedoitWolf().fit(controls).covariance_)  # towards the identity


def found(x, z, scaling, controls):
    """Best correlation of a latent with each factor, over the items that are no controls; mean over factors."""
    config = DictionaryConfig(d=24, m=32, k=2, steps=300, scaling=scaling)
    codes = from_codes(fit(x, config, controls=controls).dictionary.encode(x[800:]), 32).toarray()
    both = np.corrcoef(codes[:, codes.any(0)].T, z[800:].T)
    return both[: -z.shape[1], -z.shape[1] :].max(0).mean()


def test_whitening_on_controls_finds_what_anisotropic_noise_hides_from_global_scaling():
    x, z, _ = under_anisotropic_noise()
    assert found(x, z, "whiten", np.arange(800)) > 0.7
    assert found(x, z, "whiten", np.arange(40)) > 0.6
    assert found(x, z, "global", None) < 0.5
