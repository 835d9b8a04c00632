"""Planted codes: the draw is as asked for, dictionaries find it, Matryoshka absorbs less, whitening helps."""

import numpy as np
import pytest

from eval.bench.planted_codes import STEPS, absorbed, embedding_directions, recovery, whitened
from eval.crop_features import crop_features
from eval.planted.codes import DESIGNS, mean_max_cosine, parameters, planted_codes
from sae import DictionaryConfig, untrained

LEAST = {"topk": 0.95, "batchtopk": 0.95, "matryoshka": 0.9, "jumprelu": 0.9, "icfl": 0.9}
SMALL = {"d": 32, "atoms": 48, "n": 3000, "mean_active": 3.0}


@pytest.mark.parametrize("design", DESIGNS)
def test_one_seed_is_one_draw_with_the_shares_that_were_asked_for(design):
    first, again, other = (planted_codes(design, seed, n=4000) for seed in (0, 0, 1))
    held = parameters(design)
    for name in ("x", "codes", "atoms"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))
    assert first.x.shape == (4000 + held["n_controls"], held["d"])
    assert first.controls.sum() == held["n_controls"]
    assert first.codes.min() == 0 and not first.codes[first.controls].any()
    np.testing.assert_allclose(np.linalg.norm(first.atoms, axis=1), 1, rtol=1e-5)
    signal = (first.codes @ first.atoms)[~first.controls]
    noise = first.x - first.codes @ first.atoms
    share = noise.var(0).sum() / signal.var(0).sum()
    np.testing.assert_allclose(share, held["noise_share"], rtol=0.05)
    values = np.linalg.eigvalsh(np.cov(noise.T))
    np.testing.assert_allclose(values[-1] / values[0], held["noise_spread"], rtol=0.6)


def test_the_mean_number_of_active_factors_is_the_one_asked_for():
    np.testing.assert_allclose(planted_codes("sparse").l0, parameters("sparse")["mean_active"], rtol=0.02)
    held = parameters("nested")
    expected = held["parents"] * held["parent_rate"] * (1 + held["child_given_parent"])
    np.testing.assert_allclose(planted_codes("nested").l0, expected, rtol=0.02)


def test_children_are_active_only_with_their_parent_and_one_at_a_time():
    planted = planted_codes("nested", n=2000)
    on = planted.codes > 0
    children = np.flatnonzero(planted.parent >= 0)
    assert planted.parent.tolist() == [-1] * 10 + [i // 4 for i in range(40)]
    assert not (on[:, children] & ~on[:, planted.parent[children]]).any()
    assert on[:, children].reshape(2000, 10, 4).sum(2).max() == 1


def test_a_parameter_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="sparse has no parameter 'parents'"):
        planted_codes("sparse", parents=3)


def test_mean_max_cosine_by_hand():
    atoms = np.array([[1.0, 0.0], [0.0, 1.0]])
    learned = np.array([[2.0, 0.0], [3.0, 4.0], [-1.0, 0.0]])  # lengths do not matter, signs do
    assert mean_max_cosine(atoms, learned) == pytest.approx((1 + 0.8) / 2)
    assert mean_max_cosine(atoms, learned[2:]) == pytest.approx((-1 + 0) / 2)


def test_directions_of_edits_are_the_decoder_rows_where_geometry_is_kept():
    planted = planted_codes("sparse", **SMALL)
    dictionary = untrained(planted.x, DictionaryConfig(d=32, m=64, k=4))
    np.testing.assert_allclose(embedding_directions(dictionary), dictionary.w_dec, atol=1e-5)


@pytest.mark.parametrize("kind", ["topk", "icfl"])  # the others: test_varying
def test_a_small_planted_dictionary_is_found_at_twice_its_size(kind):
    found = recovery(kind, 2, 0, planted_codes("sparse", **SMALL), steps=400)
    assert found["mean_max_cosine"] >= LEAST[kind]
    assert found["found_share"] >= 0.8


def test_topk_absorbs_parents_and_matryoshka_less():
    planted = planted_codes("nested", n=2000)
    rates = {kind: absorbed(kind, 0, planted, steps=400) for kind in ("topk", "matryoshka", "truth")}
    assert rates["truth"]["absorption"] == 0
    assert rates["topk"]["absorption"] > 0.1
    assert rates["matryoshka"]["absorption"] < 0.5 * rates["topk"]["absorption"]


def test_whitening_by_controls_finds_what_strong_noise_hides():
    planted = planted_codes("anisotropic", n=3000, n_controls=1500, d=32, atoms=48, mean_active=3.0)
    plain, white = (whitened(scaling, 0, planted, steps=400) for scaling in ("global", "whiten"))
    assert white["mean_max_cosine"] > plain["mean_max_cosine"] + 0.02


def test_crop_features_of_a_crop_that_is_easily_worked_out():
    image = np.zeros((1, 12, 12, 3), np.uint8)
    image[..., 0] = 255  # red is full, green empty
    image[0, :, 6:, 2] = 255  # right half of blue
    red, green, blue = np.split(crop_features(image)[0], 3)
    assert red[:8].tolist() == [0] * 7 + [1] and green[:8].tolist() == [1] + [0] * 7
    assert red[8:15].tolist() == [1] * 6 + [0] and not green[8:].any()
    np.testing.assert_allclose(blue[[0, 7, 13, 14]], 0.5)
    assert red[15:18].tolist() == [0, 0, 0]
    np.testing.assert_allclose(blue[15], 2 * 0.5 / 12)  # two of twelve columns have a slope of 1/2
    np.testing.assert_allclose(blue[18:], 0.5)  # half of each ring is full: mean and deviation
    with pytest.raises(ValueError, match="crops must be"):
        crop_features(image[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", LEAST)
def test_planted_directions_are_found_at_the_committed_size(kind):
    assert recovery(kind, 2, 0, planted_codes("sparse"), steps=STEPS)["mean_max_cosine"] >= LEAST[kind]


@pytest.mark.slow
def test_absorption_and_whitening_at_the_committed_size():
    nested = planted_codes("nested", seed=1)
    topk, matryoshka = (absorbed(kind, 1, nested)["absorption"] for kind in ("topk", "matryoshka"))
    assert matryoshka < 0.3 * topk
    anisotropic = planted_codes("anisotropic")
    plain, white = (whitened(scaling, 0, anisotropic, steps=STEPS) for scaling in ("global", "whiten"))
    assert white["found_share"] > plain["found_share"]
