"""Kinds whose number of active latents varies: planted atoms, L0 near k, codes against their formulas."""

import numpy as np
import pytest
import torch

from sae import DictionaryConfig, encode_to_disk, fit, load, save
from sae.jumprelu import BANDWIDTH
from sae.relu import FIRST_L1
from tests.sae.test_train import planted, quick

VARYING = ("batchtopk", "matryoshka", "relu", "relu_tied", "jumprelu", "p_anneal")
DENSE = {  # pre-activations (b, m) and weights → activations, written out
    "batchtopk": lambda pre, w: np.where(pre > w["threshold"], pre, 0),
    "matryoshka": lambda pre, w: np.where(pre > w["threshold"], pre, 0),
    "relu": lambda pre, w: np.maximum(pre, 0),
    "relu_tied": lambda pre, w: np.maximum(pre, 0),
    "p_anneal": lambda pre, w: np.maximum(pre, 0),
    "jumprelu": lambda pre, w: np.where(pre > np.exp(w["log_threshold"]), pre, 0),
}


@pytest.fixture(scope="module", params=VARYING)
def made(request):
    """A short fit of one kind, and rows that it has not seen."""
    x, _ = planted(1200)
    return fit(x[:1000], quick(kind=request.param, steps=600)), x[1000:]


def pre_activations(dictionary, x):
    w = dictionary.weights()
    scaled = (x - w["center"]) / w["scale"]
    return (scaled - w["bias"]) @ w.get("encoder", w["decoder"]).T + w["encoder_bias"]


def dense(codes, m):
    held = np.zeros((len(codes.indices), m), np.float32)
    np.put_along_axis(held, codes.indices, codes.values, 1)
    return held


def one_step(dictionary, x, dead=None):
    """The loss of a batch, with gradients in the parameters."""
    dictionary.requires_grad_(True)
    dictionary.zero_grad()
    dead = torch.zeros(dictionary.config.m, dtype=torch.bool) if dead is None else dead
    loss = dictionary.loss(dictionary.preprocessing.forward(torch.from_numpy(x)), dead)
    loss.total.backward()
    dictionary.requires_grad_(False)
    return loss


@pytest.mark.parametrize(("kind", "least"), [("batchtopk", 0.95), ("matryoshka", 0.9), ("jumprelu", 0.9)])
def test_planted_atoms_are_recovered_at_twice_their_number(kind, least):
    x, directions = planted(2500)
    config = DictionaryConfig(d=32, m=128, k=3, kind=kind, steps=1500, batch_size=128)
    fitted = fit(x, config)
    assert (directions @ fitted.dictionary.w_dec.T).max(1).mean() >= least
    assert 3 / 1.1 <= fitted.quality["l0"] <= 3 * 1.1
    assert fitted.quality["fvu"] < 0.2


@pytest.mark.parametrize(
    ("kind", "n", "d", "atoms", "quicker"),
    [("relu", 4000, 32, 64, {}), ("relu_tied", 2500, 64, 32, {"steps": 1000, "batch_size": 64})],
)
def test_planted_atoms_are_recovered_with_l1(kind, n, d, atoms, quicker):
    x, directions = planted(n, d=d, atoms=atoms)
    fitted = fit(x, DictionaryConfig(d=d, m=64, k=3, kind=kind, **quicker))
    assert (directions @ fitted.dictionary.w_dec.T).max(1).mean() >= 0.9
    assert 3 / 1.1 <= fitted.quality["l0"] <= 3 * 1.1


def test_codes_are_the_formula_padded_to_the_largest_l0(made):
    dictionary, x = made[0].dictionary, made[1]
    expected = DENSE[dictionary.config.kind](pre_activations(dictionary, x), dictionary.weights())
    codes = dictionary.encode(x)
    np.testing.assert_allclose(dense(codes, 32), expected, atol=1e-4)
    assert codes.indices.shape[1] == (expected > 0).sum(1).max() > dictionary.config.k
    assert codes.indices.dtype == np.int64 and codes.values.dtype == np.float32
    assert (codes.values >= 0).all() and (np.diff(codes.values, axis=1) <= 0).all()
    assert all(len(set(row)) == len(row) for row in codes.indices.tolist())


def test_parts_of_different_width_are_filled_up_with_silent_latents(made, monkeypatch):
    dictionary, x = made[0].dictionary, made[1]
    whole = dictionary.encode(x)
    monkeypatch.setattr("sae.select.block_rows", lambda m: 3)  # three rows a part
    parts = dictionary.encode(x)
    assert parts.indices.shape == whole.indices.shape
    assert all(len(set(row)) == len(row) for row in parts.indices.tolist())
    np.testing.assert_allclose(dense(parts, 32), dense(whole, 32), atol=1e-5)


def test_no_rows_and_no_active_latents_have_codes_too(made):
    dictionary, x = made[0].dictionary, made[1]
    assert dictionary.encode(x[:0]).indices.shape == (0, 1)
    center = dictionary.weights()["center"]
    silent = dictionary.encode(np.stack([center, center]))  # at the center next to nothing fires
    assert silent.indices.shape[0] == 2 and silent.indices.shape[1] >= 1
    assert dictionary.decode(silent).shape == (2, 32)


def test_what_is_saved_comes_back_and_fits_repeat(made, tmp_path):
    dictionary, x = made[0].dictionary, made[1]
    again = load(save(dictionary, tmp_path / "saved"))
    assert again.fingerprint() == dictionary.fingerprint()
    np.testing.assert_array_equal(again.encode(x).values, dictionary.encode(x).values)
    repeated = fit(planted(1200)[0][:1000], quick(kind=dictionary.config.kind, steps=600))
    assert repeated.dictionary.fingerprint() == dictionary.fingerprint()


def test_codes_on_disk_hold_every_active_latent(made, tmp_path):
    dictionary, x = made[0].dictionary, made[1]
    encode_to_disk(dictionary, x, tmp_path / "codes", block_rows=7)
    counts = np.diff(np.load(tmp_path / "codes" / "indptr.npy"))
    np.testing.assert_array_equal(counts, (dictionary.encode(x).values > 0).sum(1))


def test_the_weights_kept_are_the_best_of_those_whose_l0_is_nearest_to_k(made):
    fitted, _ = made
    ranks = [(max(abs(np.log(e["l0"] / 4)) - np.log(1.1), 1e-9), e["fvu"]) for e in fitted.log]
    np.testing.assert_allclose(fitted.quality["fvu_scaled"], min(ranks)[1], rtol=1e-5)


def test_batchtopk_keeps_k_a_row_on_average_and_moves_its_threshold():
    x, _ = planted(400)
    dictionary = fit(x, quick(kind="batchtopk", steps=5)).dictionary
    before = float(dictionary.threshold)
    loss = one_step(dictionary, x[:64])
    pre = pre_activations(dictionary, x[:64])
    kept = np.sort(pre[pre > 0])[-64 * 4 :]
    np.testing.assert_allclose(np.sort(loss.values), kept, rtol=1e-4)
    np.testing.assert_allclose(float(dictionary.threshold), 0.99 * before + 0.01 * kept.min(), rtol=1e-5)


def test_the_matryoshka_loss_is_the_mean_over_nested_dictionaries():
    x, _ = planted(400)
    dictionary = fit(x, quick(kind="matryoshka", steps=5)).dictionary
    w, batch = dictionary.weights(), x[:64]
    pre = np.maximum(pre_activations(dictionary, batch), 0)
    a = np.where(pre >= np.sort(pre, axis=None)[-64 * 4], pre, 0)
    scaled = (batch - w["center"]) / w["scale"]
    errors = [((scaled - w["bias"] - a[:, :n] @ w["decoder"][:n]) ** 2).sum() for n in (1, 3, 7, 15, 32)]
    expected = np.mean(errors) / ((scaled - scaled.mean(0)) ** 2).sum()
    np.testing.assert_allclose(float(one_step(dictionary, batch).total.detach()), expected, rtol=1e-4)


def test_the_l1_loss_is_the_formula_and_its_weight_follows_l0():
    x, _ = planted(400)
    dictionary = fit(x, quick(kind="relu", steps=1)).dictionary
    w, batch = dictionary.weights(), x[:64]
    l1 = float(w["l1"][0])
    a = np.maximum(pre_activations(dictionary, batch), 0)
    scaled = (batch - w["center"]) / w["scale"]
    variance = ((scaled - scaled.mean(0)) ** 2).sum()
    error = ((scaled - w["bias"] - a @ w["decoder"]) ** 2).sum()
    expected = error / variance + l1 * a.sum() / 64 / np.sqrt(variance / 64)
    np.testing.assert_allclose(float(one_step(dictionary, batch).total.detach()), expected, rtol=1e-4)
    assert l1 >= FIRST_L1 and float(dictionary.l1) > l1  # far more than k are active at first


def test_jumprelu_gradients_of_the_threshold_are_the_papers():
    x, _ = planted(400)
    dictionary = fit(x, quick(kind="jumprelu", steps=50)).dictionary
    w, batch = dictionary.weights(), x[:64].astype(np.float64)
    theta = np.exp(w["log_threshold"].astype(np.float64))
    pre = pre_activations(dictionary, batch)
    a = np.where(pre > theta, pre, 0)
    scaled = (batch - w["center"]) / w["scale"]
    error = scaled - w["bias"] - a @ w["decoder"]
    variance = ((scaled - scaled.mean(0)) ** 2).sum()
    by_a = -2 * error @ w["decoder"].T / variance  # (b, m)
    l0 = (a > 0).sum() / 64
    by_step = 2 * (l0 / 4 - 1) / 4 / 64
    near = (np.abs(pre - theta) < BANDWIDTH / 2) / BANDWIDTH
    expected = -(near * (theta * by_a + by_step)).sum(0) * theta  # by ln θ
    loss = one_step(dictionary, x[:64])
    np.testing.assert_allclose(
        float(loss.total.detach()), (error**2).sum() / variance + (l0 / 4 - 1) ** 2, rtol=1e-4
    )
    np.testing.assert_allclose(dictionary.log_threshold.grad, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", VARYING)
def test_auxk_reaches_dead_latents(kind):
    x, _ = planted(400)
    dictionary = fit(x, quick(kind=kind, steps=5)).dictionary
    with torch.no_grad():
        dictionary.encoder_bias[3] = -1.0  # out of reach, not of AuxK once its pre-activation is positive
    dead = torch.zeros(32, dtype=torch.bool)
    dead[3] = True
    with_auxk = one_step(dictionary, x[:64], dead).total.detach()
    assert float(with_auxk) > 0
    assert float(dictionary.encoder_bias.grad.abs()[3]) > 0
