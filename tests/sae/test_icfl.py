"""ICFL against the algorithm written out: codes in every round, gradient, redraw, training; planted atoms."""

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear

from sae import DictionaryConfig, Preprocessing, fit, load, quality, save
from sae.adam import Adam
from sae.icfl import ICFL, least_squares, pursue, redraw, shares
from tests.sae import literal_icfl as literal
from tests.sae.test_checkpoint import stopped
from tests.sae.test_train import planted, quick


def unit(shape, seed=0):
    rows = np.random.default_rng(seed).normal(size=shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def untouched(d=16, m=40, k=8, seed=0, **changed):
    """An ICFL dictionary at its start, in float64, of data that preprocessing leaves alone."""
    config = DictionaryConfig(
        **({"d": d, "m": m, "k": k, "kind": "icfl", "scaling": "none", "unit_norm": False} | changed),
        seed=seed,
    )
    as_is = Preprocessing(torch.zeros(d), torch.ones(d), "none")
    return ICFL(config, as_is, torch.from_numpy(0.1 * unit((d,), 5))).double()


@pytest.mark.parametrize(
    ("k", "expected"), [(1, (1, 1)), (4, (1, 4)), (5, (1, 5)), (8, (1, 5)), (16, (3, 5)), (100, (20, 5))]
)
def test_rounds_and_picks_share_out_k(k, expected):
    assert shares(k) == expected


@pytest.mark.parametrize(("rounds", "picks"), [(1, 5), (4, 5), (6, 1), (3, 3)])
def test_every_round_is_that_of_the_literal_algorithm(rounds, picks):
    x, w, b = 3 * unit((30, 20), 1), unit((60, 20), 2), 0.2 * unit((20,), 3)
    ours = pursue(torch.from_numpy(x - b), torch.from_numpy(w), rounds, picks)
    for item in range(len(x)):
        for said, (picked, values, left) in zip(
            ours, literal.pursuit(x[item], w.T, b, rounds, picks), strict=True
        ):
            assert said.picked[item].tolist() == picked
            np.testing.assert_allclose(said.values[item], values, atol=1e-9)
            np.testing.assert_allclose(said.left[item], left, atol=1e-9)


@pytest.mark.parametrize("angle", [0, 1e-9, 1e-6, 3e-5, 3e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("twins", [1, 2, 4])
def test_nearly_equal_columns_share_their_coefficient_as_lstsq_says(angle, twins):
    columns, x = unit((40, 5, 12), 4), unit((40, 12), 5)
    columns[:, -twins:] = columns[:, :1] + angle * columns[:, -twins:]
    columns /= np.linalg.norm(columns, axis=2, keepdims=True)
    ours = least_squares(torch.from_numpy(columns), torch.from_numpy(x)).numpy()
    for values, c, item in zip(ours, columns, x, strict=True):
        expected = np.linalg.lstsq(c.T, item, rcond=literal.RCOND)[0]
        np.testing.assert_allclose(values, expected, atol=1e-6 * np.abs(expected).max())


def test_codes_given_out_are_the_sum_of_all_rounds_or_fitted_again_where_that_is_negative():
    dictionary, x = untouched(d=24, m=200, k=12), 2 * unit((60, 24), 6).astype(np.float32)
    w, b = dictionary.w_dec.T, dictionary.bias.detach().numpy()
    codes, kept, again = dictionary.encode(x), 0, 0
    assert codes.indices.shape == codes.values.shape == (60, 12)
    assert (codes.values >= 0).all() and (np.diff(codes.values, axis=1) <= 0).all()
    for item in range(60):
        said = literal.pursuit(x[item].astype(np.float64), w, b, 2, 5)
        expected = literal.code(said, 200)
        if (expected < 0).any():
            again += 1
            rows = sorted({j for picked, _, _ in said for j in picked})
            expected = np.zeros(200)
            expected[rows] = lsq_linear(w[:, rows], x[item] - b, bounds=(0, np.inf), tol=1e-12).x
        else:
            kept += 1
        held = np.zeros(200)
        held[codes.indices[item]] = codes.values[item]
        assert len(set(codes.indices[item].tolist())) == 12
        np.testing.assert_allclose(held, expected, atol=1e-5)
    assert kept >= 5 and again >= 5


def test_a_row_picked_in_two_rounds_has_the_sum_of_its_coefficients():
    dictionary, x = untouched(d=32, m=64, k=15), unit((80, 32), 7).astype(np.float32)
    w, b, seen = dictionary.w_dec.T, dictionary.bias.detach().numpy(), 0
    codes = dictionary.encode(x)
    for item in range(80):
        said = literal.pursuit(x[item].astype(np.float64), w, b, 3, 5)
        (first, values, _), _, (third, more, _) = said  # what is left after a round is orthogonal to its rows
        both = set(first) & set(third)
        if (literal.code(said, 64) < 0).any():
            continue
        for j in both:
            seen += 1
            given = codes.values[item][codes.indices[item] == j]
            np.testing.assert_allclose(given, [values[first.index(j)] + more[third.index(j)]], atol=1e-5)
    assert seen >= 5


def test_the_gradient_is_that_of_the_squared_error_with_codes_held():
    dictionary, x = untouched(), unit((50, 16), 8)
    loss = dictionary.loss(torch.from_numpy(x), torch.zeros(40, dtype=torch.bool))
    loss.total.backward()
    w, b = dictionary.w_dec.T, dictionary.bias.detach().numpy()
    codes = np.array([literal.code(literal.pursuit(item, w, b, 1, 5), 40) for item in x])
    by_w, by_b = literal.gradient(x, codes, w, b)
    np.testing.assert_allclose(dictionary.decoder.grad.numpy(), by_w.T, atol=1e-9)
    np.testing.assert_allclose(dictionary.bias.grad.numpy(), by_b, atol=1e-9)


def test_of_each_pair_of_near_rows_the_later_is_drawn_anew_on_the_sphere(monkeypatch):
    monkeypatch.setattr("sae.select.block_rows", lambda m: 7)  # seven rows at once
    w = unit((40, 16), 9)
    w[[7, 21, 39]] = w[[3, 3, 0]] + 0.02 * w[[5, 6, 8]]
    w[30] = -w[2]  # opposite, not near
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    ours = torch.from_numpy(w.copy())
    assert redraw(ours, np.random.default_rng([0, 3, 100])).tolist() == [7, 21, 39]
    expected, later = literal.redraw(w.T, 0, 100)
    assert later == [7, 21, 39]
    np.testing.assert_allclose(ours.numpy(), expected.T, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1)
    assert redraw(ours, np.random.default_rng(0)) is None


def test_a_row_is_drawn_anew_every_hundred_steps_from_seed_and_step():
    def drawn(seed, step):
        dictionary = untouched(seed=seed)
        with torch.no_grad():
            dictionary.decoder[4] = dictionary.decoder[1]
        return dictionary.after_step(step), dictionary.w_dec[4].copy()

    assert drawn(0, 99)[0] is None and drawn(0, 201)[0] is None
    latents, first = drawn(0, 100)
    assert latents.tolist() == [4]
    np.testing.assert_array_equal(first, drawn(0, 100)[1])
    assert np.abs(first - drawn(0, 200)[1]).max() > 0.1 < np.abs(first - drawn(1, 100)[1]).max()


def test_training_is_the_literal_training_through_a_redraw():
    dictionary, x = untouched(d=8, m=24, k=4, seed=3), unit((200, 8), 10)
    w, b = dictionary.w_dec.T.copy(), dictionary.bias.detach().numpy().copy()
    w[:, 20] = w[:, 4]
    with torch.no_grad():
        dictionary.decoder.copy_(torch.from_numpy(w.T))
    rng = np.random.default_rng(0)
    batches = [rng.choice(200, 12, replace=False) for _ in range(110)]
    expected_w, expected_b, redrawn = literal.train(x, w, b, 1, 4, 0.001, 3, batches)
    adam, ours = Adam(dictionary.parameters(), dictionary.decoder), []
    for step, rows in enumerate(batches, 1):
        loss = dictionary.loss(torch.from_numpy(x[rows]), torch.zeros(24, dtype=torch.bool))
        loss.total.backward()
        dictionary.project_gradient()
        adam.step(step, 0.001, min(1.0, 1 / adam.norm()))
        latents = dictionary.after_step(step)
        adam.forget(latents)
        ours += [] if latents is None else latents.tolist()
    assert ours == redrawn and 20 in ours
    np.testing.assert_allclose(dictionary.w_dec, expected_w.T, atol=1e-5)
    np.testing.assert_allclose(dictionary.bias.detach().numpy(), expected_b, atol=1e-5)


@pytest.mark.parametrize("m", [128, 256])
def test_planted_atoms_are_recovered_at_twice_and_four_times_their_number(m):
    x, atoms = planted(2000, d=32, atoms=64, active=3)
    plain = {"scaling": "global", "unit_norm": False}
    fitted = fit(x, DictionaryConfig(d=32, m=m, k=3, kind="icfl", steps=400, batch_size=64, **plain))
    assert (atoms @ fitted.dictionary.w_dec.T).max(1).mean() >= 0.9
    assert fitted.quality["fvu"] < 0.3
    assert fitted.quality["l0"] <= 3


def test_by_default_rows_are_whitened_and_of_unit_norm():
    x, _ = planted(600)
    fitted = fit(x, quick(kind="icfl", steps=200))
    scaled = fitted.dictionary.preprocessing.forward(torch.from_numpy(x))
    np.testing.assert_allclose(scaled.norm(dim=1), 1, atol=1e-5)
    config = fitted.dictionary.config
    assert (config.scaling, config.unit_norm, config.center) == ("whiten", True, "mean")
    assert fit(x, quick(kind="icfl", steps=2), controls=np.arange(99)).dictionary.config.center == "controls"


def test_the_parts_of_encode_do_not_matter(monkeypatch):
    x, _ = planted(300)
    dictionary = fit(x, quick(kind="icfl", steps=30)).dictionary
    whole = dictionary.encode(x)
    monkeypatch.setattr("sae.select.block_rows", lambda m: 7)
    parts = dictionary.encode(x)
    np.testing.assert_array_equal(parts.indices, whole.indices)
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-6)
    assert dictionary.encode(x[:0]).indices.shape == (0, 4)


def test_what_is_saved_comes_back_and_fits_repeat(tmp_path):
    x, _ = planted(300)
    config = quick(kind="icfl", steps=110, seed=2)
    dictionary = fit(x, config).dictionary
    again = load(save(dictionary, tmp_path / "saved"))
    assert again.fingerprint() == dictionary.fingerprint() == fit(x, config).dictionary.fingerprint()
    np.testing.assert_array_equal(again.encode(x).values, dictionary.encode(x).values)
    assert quality(again, x) == quality(dictionary, x)


def test_more_active_latents_than_half_of_the_dimensions_are_refused():
    with pytest.raises(ValueError, match="k of at most d/2 = 8 active latents, got 9"):
        DictionaryConfig(d=16, m=32, k=9, kind="icfl")
    x = np.random.default_rng(0).normal(size=(200, 3)) @ np.random.default_rng(1).normal(size=(3, 16))
    with pytest.raises(ValueError, match="half of the 3 components that whitening keeps, got 2"):
        fit(x.astype(np.float32), DictionaryConfig(d=16, m=32, k=2, kind="icfl"))


def test_a_fit_stopped_around_a_redraw_ends_at_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("sae.icfl.REDRAW_EVERY", 3)
    monkeypatch.setattr("sae.icfl.NEAR", 0.2)  # some each time
    x, config = planted(200)[0], quick(kind="icfl", steps=20, batch_size=32)
    drawn = []
    monkeypatch.setattr("sae.icfl.redraw", lambda *given: drawn.append(redraw(*given)) or drawn[-1])
    expected = fit(x, config).dictionary.fingerprint()
    assert sum(latents is not None for latents in drawn) > 3
    stopped(x, config, tmp_path / "state", 10)
    assert fit(x, config, checkpoint=tmp_path / "state").dictionary.fingerprint() == expected
