"""The baselines, against scikit-learn and against their definitions written out here."""

import numpy as np
import pytest
from sklearn import decomposition
from sklearn.preprocessing import StandardScaler

from sae import DictionaryConfig, encode_to_disk, fit, load, save, untrained

KINDS = ("pca", "ica", "nmf", "neurons", "random")


def embedding(n=400, d=8, seed=0):
    """Skewed independent sources, mixed: PCA, ICA and the dimensions differ."""
    rng = np.random.default_rng(seed)
    sources = rng.exponential(size=(n, d)) * np.linspace(1, 3, d)
    return (sources @ np.linalg.qr(rng.normal(size=(d, d)))[0] + 2).astype(np.float32)


def fitted(kind, x=None, **changed):
    x = embedding() if x is None else x
    config = {"d": x.shape[1], "m": 2 * x.shape[1], "k": 4, "kind": kind, "held_back": 0.0} | changed
    return fit(x, DictionaryConfig(**config)).dictionary


def dense(codes, m):
    held = np.zeros((len(codes.indices), m))
    np.put_along_axis(held, codes.indices, codes.values, 1)
    return held


def twins(s, k):
    """(n, p) signed components → (n, 2p), the k largest positive values kept."""
    both = np.maximum(np.concatenate([s, -s], axis=1), 0)
    both[both < np.sort(both, axis=1)[:, [-k]]] = 0
    return both


def test_pca_codes_are_the_standardized_scores_of_scikit_learn():
    x = embedding()
    dictionary = fitted("pca", x)
    peer = decomposition.PCA(whiten=True, svd_solver="full").fit(x.astype(np.float64))
    signs = np.sign((peer.components_ * dictionary.w_dec[:8]).sum(1))
    scores = StandardScaler().fit_transform(peer.transform(x)) * signs
    np.testing.assert_allclose(dense(dictionary.encode(x), 16), twins(scores, 4), atol=1e-3)
    np.testing.assert_allclose(dictionary.w_dec[:8], peer.components_ * signs[:, None], atol=1e-4)
    np.testing.assert_array_equal(dictionary.w_dec[8:], -dictionary.w_dec[:8])


def test_ica_codes_are_the_standardized_sources_of_scikit_learn():
    x = embedding()
    dictionary = fitted("ica", x)
    center, scale = (dictionary.weights()[name] for name in ("center", "scale"))
    t = ((x - center) / scale).astype(np.float64)
    peer = decomposition.FastICA(8, whiten="unit-variance", random_state=0, max_iter=1000, tol=1e-3)
    scores = StandardScaler().fit_transform(peer.fit_transform(t))
    ours = dense(dictionary.encode(x), 16)
    assert np.abs(ours - twins(scores, 4)).max() < 1e-2


def test_neurons_are_the_standardized_dimensions():
    x = embedding()
    expected = twins(StandardScaler().fit_transform(x), 4)
    np.testing.assert_allclose(dense(fitted("neurons", x).encode(x), 16), expected, atol=1e-4)


def test_nmf_codes_are_the_fit_of_scikit_learn_to_the_halves():
    from scipy.optimize import nnls

    x = embedding()
    dictionary = fitted("nmf", x, m=6, k=6)
    w = dictionary.weights()
    z = ((x - w["center"]) / w["scale"] - w["bias"]).astype(np.float64)
    halves = np.maximum(np.concatenate([z, -z], axis=1), 0)
    peer = decomposition.NMF(6, init="nndsvda", random_state=0, max_iter=200, tol=0)
    codes = peer.fit_transform(halves)
    ours = dense(dictionary.encode(x), 6)
    for i in range(0, 400, 40):
        expected = nnls(peer.components_.T, halves[i])[0] / codes.std(0)
        np.testing.assert_allclose(ours[i], expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["pca", "ica", "neurons"])
def test_decode_is_exact_where_every_component_is_kept(kind):
    x = embedding()
    dictionary = fitted(kind, x, k=8)
    np.testing.assert_allclose(dictionary.decode(dictionary.encode(x)), x, atol=1e-3)


def test_pca_decodes_to_the_reconstruction_of_scikit_learn():
    x = embedding()
    dictionary = fitted("pca", x, m=8, k=4)
    peer = decomposition.PCA(4, svd_solver="full").fit(x)
    expected = peer.inverse_transform(peer.transform(x))
    np.testing.assert_allclose(dictionary.decode(dictionary.encode(x)), expected, atol=1e-3)


def test_nmf_decodes_to_the_difference_of_the_halves():
    x = embedding()
    dictionary = fitted("nmf", x, m=6, k=6)
    w = dictionary.weights()
    halves = dense(dictionary.encode(x), 6) @ w["encoder"]  # (n, 2d)
    expected = (halves[:, :8] - halves[:, 8:] + w["bias"]) * w["scale"] + w["center"]
    np.testing.assert_allclose(dictionary.decode(dictionary.encode(x)), expected, atol=1e-4)


def test_random_is_the_untrained_dictionary():
    x = embedding()
    made, control = fitted("random", x), untrained(x, DictionaryConfig(d=8, m=16, k=4))
    np.testing.assert_array_equal(made.encode(x).values, control.encode(x).values)


@pytest.mark.parametrize("kind", KINDS)
def test_every_baseline_keeps_what_a_dictionary_promises(kind, tmp_path):
    x = embedding()
    dictionary = fitted(kind, x)
    codes = dictionary.encode(x)
    assert codes.indices.shape == codes.values.shape == (400, 4)
    assert (codes.values >= 0).all() and (codes.values > 0).any()
    np.testing.assert_allclose(np.linalg.norm(dictionary.w_dec, axis=1), 1, atol=1e-5)
    assert dictionary.w_dec.shape == (dictionary.config.m, 8)
    moved = dictionary.edit(x, 3, 2.0) - x
    expected = 2 * dictionary.w_dec[3] * dictionary.preprocessing.scale.numpy()
    np.testing.assert_allclose(moved, np.broadcast_to(expected, x.shape), atol=1e-4)
    again = load(save(dictionary, tmp_path / "saved"))
    assert again.fingerprint() == dictionary.fingerprint() == fitted(kind, x).fingerprint()
    np.testing.assert_array_equal(again.encode(x).values, codes.values)
    np.testing.assert_allclose(dictionary.encode(x[:7]).values, codes.values[:7], atol=1e-4)
    encode_to_disk(dictionary, x, tmp_path / "codes", block_rows=50)
    assert np.load(tmp_path / "codes" / "indptr.npy")[-1] == (codes.values > 0).sum()


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_fitting_rows_have_an_influence(kind):
    x, rows = embedding(), np.arange(0, 400, 2)
    changed = x.copy()
    changed[1::2] = np.nan
    config = DictionaryConfig(d=8, m=16, k=4, kind=kind)
    first, second = fit(x, config, rows), fit(changed, config, rows)
    assert first.dictionary.fingerprint() == second.dictionary.fingerprint()
    assert first.log == [] and 0 < first.quality["fvu"] < 3


@pytest.mark.parametrize("kind", ["pca", "ica", "nmf", "neurons"])
def test_a_dimension_without_variance_does_no_harm(kind):
    x = embedding()
    x[:, 5] = 3
    dictionary = fitted(kind, x)
    codes = dictionary.encode(x)
    assert np.isfinite(codes.values).all()
    np.testing.assert_allclose(dictionary.decode(codes)[:, 5], 3, atol=1e-3)


def test_more_active_latents_than_components_are_refused():
    with pytest.raises(ValueError, match=r"k = 5 .* exceeds the 4 components"):
        fitted("pca", m=8, k=5)
