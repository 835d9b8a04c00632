"""p-annealing: penalty, gradient and schedule by hand, λ that continues, L0 near k, planted atoms."""

import numpy as np
import pytest
import torch

from sae import DictionaryConfig, Preprocessing, fit, load, save
from sae.p_anneal import CHANGES, P_END, RECENT, SMALL, PAnneal
from sae.relu import ReLU
from tests.sae.test_checkpoint import stopped
from tests.sae.test_train import planted, quick
from tests.sae.test_varying import one_step, pre_activations


def started(steps=1000, **changed):
    x, _ = planted(400)
    config = quick(kind="p_anneal", steps=steps, **changed).centered(False).resolved(400)
    return PAnneal(config, Preprocessing.fit(x)), x


def raised(a, p, sigma):
    """Σ of what stands for a^p, over a batch of 64."""
    return ((a / sigma + SMALL) ** p - SMALL**p).sum() / 64


def parts(dictionary, batch):
    """Pre-activations, activations, error and total variance of a batch, in float64."""
    w = {name: values.astype(np.float64) for name, values in dictionary.weights().items()}
    pre = pre_activations(dictionary, batch.astype(np.float64))
    scaled = (batch - w["center"]) / w["scale"]
    a = np.maximum(pre, 0)
    return pre, a, scaled - w["bias"] - a @ w["decoder"], ((scaled - scaled.mean(0)) ** 2).sum(), w


@pytest.mark.parametrize("p", [1.0, 0.5, P_END])
def test_the_loss_is_the_formula(p):
    dictionary, x = started()
    dictionary.power.fill_(p)
    _, a, error, variance, w = parts(dictionary, x[:64])
    expected = (error**2).sum() / variance + w["l1"][0] * raised(a, p, np.sqrt(variance / 64))
    np.testing.assert_allclose(float(one_step(dictionary, x[:64]).total.detach()), expected, rtol=1e-5)


def test_with_p_of_one_it_is_the_l1_dictionary():
    dictionary, x = started()
    plain = ReLU(dictionary.config, dictionary.preprocessing)
    plain.load_state_dict({name: dictionary.state_dict()[name] for name in plain.state_dict()})
    ours, theirs = one_step(dictionary, x[:64]), one_step(plain, x[:64])
    torch.testing.assert_close(ours.total, theirs.total)
    torch.testing.assert_close(dictionary.encoder.grad, plain.encoder.grad)
    assert float(dictionary.l1) == float(plain.l1)


@pytest.mark.parametrize("p", [1.0, P_END])
def test_the_gradient_is_the_formulas(p):
    dictionary, x = started()
    dictionary.power.fill_(p)
    pre, a, error, variance, w = parts(dictionary, x[:64])
    sigma = np.sqrt(variance / 64)
    by_a = -2 * error @ w["decoder"].T / variance
    by_a += w["l1"][0] / 64 * p * (a / sigma + SMALL) ** (p - 1) / sigma
    one_step(dictionary, x[:64])
    np.testing.assert_allclose(dictionary.encoder_bias.grad, (by_a * (pre > 0)).sum(0), rtol=1e-3, atol=1e-5)


def test_p_falls_from_one_to_its_end_in_equal_changes():
    dictionary, _ = started()
    values = []
    for step in range(1, 1001):
        dictionary.before_step(step)
        values.append(float(dictionary.power))
    assert values[0] == 1 and values[-1] == np.float32(P_END)
    changes = np.diff(values)
    np.testing.assert_allclose(changes[changes != 0], (P_END - 1) / CHANGES, rtol=1e-5)
    assert (changes != 0).sum() == CHANGES
    assert values[150] == 1 and values[950] == values[-1]


def test_the_penalty_continues_where_p_changes():
    dictionary, x = started()
    batches = [x[i : i + 64] for i in range(0, 320, 20)]
    by_old, by_new, step = [], [], 0
    while dictionary.power == 1:
        step += 1
        before = float(dictionary.l1)
        dictionary.before_step(step)
        if dictionary.power != 1:
            break
        batch = batches[step % len(batches)]
        _, a, _, variance, _ = parts(dictionary, batch)
        one_step(dictionary, batch)
        by_old.append(raised(a, 1.0, np.sqrt(variance / 64)))
        by_new.append(raised(a, 1 - (1 - P_END) / CHANGES, np.sqrt(variance / 64)))
    assert step > RECENT
    strength = before * sum(by_old[-RECENT:])
    np.testing.assert_allclose(float(dictionary.l1) * sum(by_new[-RECENT:]), strength, rtol=1e-4)


def test_dead_latents_become_what_the_worst_items_are_left_with():
    dictionary, x = started()
    dead = torch.zeros(32, dtype=torch.bool)
    dead[[4, 30]] = True
    before = {name: values.copy() for name, values in dictionary.weights().items()}
    for step in (199, 901, 1000):  # not a hundredth one, or after the last change of p
        dictionary.before_step(step)
        one_step(dictionary, x[:64], dead)
        assert dictionary.after_step(step) is None
    dictionary.before_step(200)
    one_step(dictionary, x[:64])
    assert dictionary.after_step(200) is None  # none is dead
    dictionary.before_step(200)
    _, _, error, _, _ = parts(dictionary, x[:64])
    one_step(dictionary, x[:64], dead)
    assert dictionary.after_step(200).tolist() == [4, 30]
    sizes = np.linalg.norm(error, axis=1)
    worst = np.argsort(-sizes)[:2]
    after = dictionary.weights()
    for name in ("encoder", "decoder"):
        np.testing.assert_allclose(after[name][[4, 30]], error[worst] / sizes[worst, None], atol=1e-5)
        np.testing.assert_allclose(after[name][:4], before[name][:4], atol=1e-6)
    np.testing.assert_allclose(after["encoder_bias"][[4, 30]], -sizes[worst] / 2, rtol=1e-5)


def test_weights_from_before_the_end_of_annealing_rank_behind():
    dictionary, _ = started()
    early = dictionary.off_target(4.0)
    dictionary.power.fill_(P_END)
    assert dictionary.off_target(4.0) == 0 < dictionary.off_target(6.0) < early


def test_planted_atoms_are_recovered_with_less_shrinkage_than_by_l1():
    x, atoms = planted(4000)
    said = {"d": 32, "m": 64, "k": 3, "steps": 1500, "batch_size": 64}
    fitted = fit(x, DictionaryConfig(**said, kind="p_anneal"))
    assert (atoms @ fitted.dictionary.w_dec.T).max(1).mean() >= 0.95
    assert fitted.quality["dead_share"] < 0.05
    assert 3 / 1.1 <= fitted.quality["l0"] <= 3 * 1.1
    assert fitted.quality["fvu"] < 0.75 * fit(x, DictionaryConfig(**said, kind="relu")).quality["fvu"]
    codes = fitted.dictionary.encode(x)
    assert (codes.values >= 0).all()


def test_fits_repeat_and_what_is_saved_comes_back(tmp_path):
    x, _ = planted(400)
    fitted = fit(x, quick(kind="p_anneal", steps=200))
    assert float(fitted.dictionary.power) == np.float32(P_END)
    again = load(save(fitted.dictionary, tmp_path / "saved"))
    assert again.fingerprint() == fitted.dictionary.fingerprint()
    assert fit(x, quick(kind="p_anneal", steps=200)).dictionary.fingerprint() == again.fingerprint()
    np.testing.assert_array_equal(again.encode(x).values, fitted.dictionary.encode(x).values)
    assert torch.isfinite(again.decoder).all()


def test_a_fit_stopped_while_p_changes_and_latents_revive_ends_at_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("sae.p_anneal.REVIVE_EVERY", 3)
    x, config = (
        planted(120)[0],
        quick(m=128, k=1, kind="p_anneal", steps=30, batch_size=32, dead_after=40, lr=0.1),
    )
    revived = []
    after = PAnneal.after_step
    monkeypatch.setattr(PAnneal, "after_step", lambda *given: revived.append(after(*given)) or revived[-1])
    expected = fit(x, config).dictionary.fingerprint()
    assert sum(latents is not None for latents in revived) > 3
    stopped(x, config, tmp_path / "state", 16)
    assert fit(x, config, checkpoint=tmp_path / "state").dictionary.fingerprint() == expected
