"""Absorption: planted by hand, by training on parents and children, against a loop, at its borders, not measurable."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from sae import DictionaryConfig, fit
from sae.metrics.absorption import absorption, main_latents
from sae.metrics.inputs import from_codes, one_hot
from sae.metrics.probing import probe_directions


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
    frame = absorption(codes, x, decoder, concepts, main, probes, thirds[2]).set_index("concept")
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
    frame = found.set_index("concept")
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


def test_a_trained_dictionary_absorbs_where_the_true_one_does_not():
    """Three parents with four children each: a child never comes without its parent, as a subtype of a cell."""
    rng = np.random.default_rng(0)
    n = 6000
    atoms = np.linalg.qr(rng.normal(size=(24, 24)))[0][:15]  # 3 parents, then 12 children
    parents = rng.random((n, 3)) < 0.4
    which = rng.integers(0, 8, (n, 3, 1))  # half of the parents have no child
    children = parents[:, :, None] & (which == np.arange(4))
    true = np.concatenate([parents, children.reshape(n, 12)], 1) * rng.uniform(0.8, 1.2, (n, 15))
    x = (true @ atoms + 0.02 * rng.normal(size=(n, 24))).astype(np.float32)
    concepts = {f"parent {i}": parents[:, i] for i in range(3)}
    train, choose, test = np.arange(3000), np.arange(3000, 4500), np.arange(4500, n)

    def rates(codes, space, decoder):
        main = main_latents(codes, concepts, train, choose, most=1)
        probes = probe_directions(space, concepts, train)
        return absorption(codes, space, decoder, concepts, main, probes, test)["rate"]

    dictionary = fit(x, DictionaryConfig(d=24, m=16, k=2, steps=1000), rows=train).dictionary
    scaled = dictionary.preprocessing.forward(torch.from_numpy(x)) - dictionary.bias.detach()
    assert rates(from_codes(dictionary.encode(x), 16), scaled.numpy(), dictionary.w_dec).min() > 0.2
    np.testing.assert_array_equal(rates(csr_matrix(true), x, atoms), 0)
