"""The step with one dense product: autograd's gradients, the same training, the same bytes."""

import numpy as np
import pytest
import torch

from sae import fit, untrained
from sae.adam import Adam
from sae.step_varying import STEPS
from sae.train import _Training
from tests.sae.test_checkpoint import stopped
from tests.sae.test_train import planted, quick

WIDE = {"m": 256, "k": 4, "batch_size": 64, "aux_k": 8}


@pytest.fixture
def _loops(monkeypatch):
    monkeypatch.setattr("sae.train.FEW_PRODUCTS", 0)


def pair(**changed):
    """The same dictionary twice, moved away from its start so that encoder and decoder differ."""
    x, _ = planted(640)
    made = []
    for _ in range(2):
        dictionary = untrained(x, quick(**(WIDE | changed))).requires_grad_(True)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            if changed.get("kind") == "jumprelu":
                dictionary.log_threshold += torch.linspace(-1.5, 0.3, len(dictionary.log_threshold))
            dictionary.encoder += 0.1 * torch.randn(dictionary.encoder.shape, generator=generator)
            dictionary.encoder_bias += 0.1 * torch.randn(len(dictionary.encoder_bias), generator=generator)
            dictionary.bias += 0.3
        made.append(dictionary)
    return *made, torch.from_numpy(x)


def dead_latents(count, m=256):
    dead = torch.zeros(m, dtype=torch.bool)
    dead[torch.randperm(m, generator=torch.Generator().manual_seed(1))[:count]] = True
    return dead


@pytest.mark.parametrize(
    ("kind", "threads"), [("topk", 1), ("topk", 3), ("batchtopk", 3), ("matryoshka", 3), ("jumprelu", 3)]
)
@pytest.mark.parametrize(
    "dead", [0, 5, 20, 120], ids=["none", "all of few", "8 of 20, dense", "8 of 120, sparse"]
)
def test_loss_and_gradients_are_those_of_autograd(dead, threads, kind):
    ours, theirs, x = pair(kind=kind)
    batch = ours.preprocessing.forward(x[:64])
    expected = theirs.loss(batch, dead_latents(dead))
    expected.total.backward()
    theirs.project_gradient()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made, norm = STEPS[type(ours)](ours)(batch, dead_latents(dead))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(float(made.total), float(expected.total.detach()), rtol=1e-6, atol=0)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-8, msg=name)
    assert norm == pytest.approx(Adam(theirs.parameters(), theirs.decoder).norm(), rel=1e-5)
    fired = expected.fired[expected.values > 0].unique()
    assert torch.equal(made.fired[made.values > 0].unique(), fired)
    for (name, p), q in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(p, q, msg=name)  # the threshold moved


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "matryoshka", "jumprelu"])
@pytest.mark.parametrize("dead_after", [10**6, 100], ids=["without AuxK", "with AuxK"])
def test_fifty_steps_lose_what_the_plain_path_loses(dead_after, kind):
    ours, theirs, x = pair(kind=kind, steps=50, dead_after=dead_after, lr=0.01, grad_clip=0.05)
    fast, plain = _Training(ours, loops=True), _Training(theirs, loops=False)
    assert fast.sparse is not None and plain.sparse is None
    deads = 0
    for step in range(50):
        batch = x[step % 10 * 64 : step % 10 * 64 + 64]
        losses = []
        for training in (fast, plain):
            before = training.losses if step else 0.0
            training.losses = 0.0
            entry = training.advance(batch, x[:50].numpy())
            losses.append(entry["loss"] if entry else training.losses)
            deads += int((training.silent > dead_after).sum())
        assert losses[0] == pytest.approx(losses[1], rel=1e-4), before
    assert (deads > 0) == (dead_after == 100)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(ours.w_dec, axis=1), 1, atol=1e-6)


@pytest.mark.usefixtures("_loops")
@pytest.mark.parametrize("kind", ["topk", "batchtopk", "matryoshka", "jumprelu", "p_anneal"])
def test_one_seed_gives_the_same_bytes_and_a_resumed_fit_too(tmp_path, kind):
    hard = {"kind": kind, "m": 128, "k": 2, "lr": 0.05, "batch_size": 32, "dead_after": 40, "steps": 30}
    x, config = planted(120)[0], quick(**hard)
    expected = fit(x, config)
    assert fit(x, config).dictionary.fingerprint() == expected.dictionary.fingerprint()
    stopped(x, config, tmp_path / "state", 14)
    resumed = []
    fitted = fit(x, config, checkpoint=tmp_path / "state", checkpoint_every_s=0, resumed=resumed.append)
    assert resumed == [13]
    assert fitted.dictionary.fingerprint() == expected.dictionary.fingerprint()
    assert fitted.log == expected.log


def test_a_checkpoint_of_the_plain_path_is_not_gone_on_with(tmp_path, monkeypatch, caplog):
    x, config = planted(300)[0], quick(steps=30)
    stopped(x, config, tmp_path / "state", 9)
    monkeypatch.setattr("sae.train.FEW_PRODUCTS", 0)
    fit(x, config, checkpoint=tmp_path / "state", resumed=lambda step: pytest.fail("resumed"))
    assert "starts anew" in caplog.text


@pytest.mark.usefixtures("_loops")
def test_divergence_is_an_error_and_not_a_dictionary():
    with pytest.raises(ValueError, match="diverged"):
        fit(planted(600)[0], quick(lr=1e30))


@pytest.mark.usefixtures("_loops")
@pytest.mark.parametrize("kind", ["topk", "batchtopk", "jumprelu", "icfl", "relu_tied"])
def test_every_kind_learns_by_the_compiled_adam(kind):
    log = fit(planted(600)[0], quick(kind=kind, steps=120, lr=2e-3)).log
    assert log[-1]["fvu"] < 0.9 * log[0]["fvu"]


def test_one_pass_of_adam_is_several_passes():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.nn.functional.normalize(torch.ones(7, 5))) for _ in range(2))
    one, several = Adam([ours], ours, one_pass=True), Adam([theirs], theirs)
    for step in range(1, 30):
        ours.grad = torch.randn(7, 5, generator=generator) * (step < 10)
        theirs.grad = ours.grad.clone()
        one.step(step, 0.1, 0.5)
        several.step(step, 0.1, 0.5)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.norm(dim=1), torch.ones(7))
    torch.testing.assert_close(one.second[0], several.second[0], rtol=1e-5, atol=1e-12)


def test_moments_of_a_latent_that_is_silent_for_long_end_at_0():
    w = torch.nn.Parameter(torch.nn.functional.normalize(torch.ones(2, 5)))
    adam = Adam([w], w, one_pass=True)
    for step in range(1, 2000):
        w.grad = torch.zeros(2, 5) if step > 1 else torch.ones(2, 5)
        adam.step(step, 1e-3, 1.0)
    assert (adam.first[0] == 0).all() and (adam.second[0] > 0).all()
