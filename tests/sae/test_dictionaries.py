"""Encoding, decoding and editing with a dictionary, against computations written out here."""

import numpy as np
import pytest
import torch

from sae import DictionaryConfig, SparseCodes, fit, untrained


def embedding(n=300, d=12, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * np.linspace(0.5, 3, d) + 2).astype(np.float32)


def some_dictionary(scaling="global", k=6, m=40, seed=0):
    return untrained(embedding(), DictionaryConfig(d=12, m=m, k=k, scaling=scaling, seed=seed))


@pytest.mark.parametrize("scaling", ["global", "dimension", "none"])
def test_encode_equals_topk_of_the_dense_encoder(scaling):
    x, dictionary = embedding(seed=1), some_dictionary(scaling)
    w = dictionary.weights()
    scaled = (x - w["center"]) / w["scale"]
    pre = torch.from_numpy((scaled - w["bias"]) @ w["encoder"].T + w["encoder_bias"])
    expected = pre.topk(6)
    codes = dictionary.encode(x)
    np.testing.assert_array_equal(codes.indices, expected.indices)
    np.testing.assert_allclose(codes.values, expected.values.relu(), atol=1e-5)


def test_codes_are_the_k_largest_positive_values_and_zeros_fill_up():
    dictionary = some_dictionary(m=8, k=6)  # of 8 latents, often fewer than 6 are positive
    codes = dictionary.encode(embedding(seed=1))
    assert codes.indices.shape == codes.values.shape == (300, 6)
    assert codes.indices.dtype == np.int64 and codes.values.dtype == np.float32
    assert (codes.values >= 0).all() and (codes.values == 0).any()
    assert (np.diff(codes.values, axis=1) <= 0).all()
    assert all(len(set(row)) == 6 for row in codes.indices.tolist())


def test_encode_in_parts_equals_encode_at_once(monkeypatch):
    x, dictionary = embedding(), some_dictionary()
    whole = dictionary.encode(x)
    monkeypatch.setattr("sae.select.block_rows", lambda m: 7)  # seven rows a part, the last one short
    parts = dictionary.encode(x)
    np.testing.assert_array_equal(whole.indices, parts.indices)
    np.testing.assert_allclose(whole.values, parts.values, atol=1e-5)


@pytest.mark.parametrize("scaling", ["global", "dimension", "none"])
def test_decode_is_the_sum_of_decoder_rows_in_the_space_of_the_embedding(scaling):
    dictionary = some_dictionary(scaling)
    w = dictionary.weights()
    codes = SparseCodes(np.array([[3, 7, 0, 1, 2, 4]]), np.array([[2.0, 0.5, 0, 0, 0, 0]], np.float32))
    expected = (2 * dictionary.w_dec[3] + 0.5 * dictionary.w_dec[7] + w["bias"]) * w["scale"] + w["center"]
    np.testing.assert_allclose(dictionary.decode(codes)[0], expected, atol=1e-5)


@pytest.mark.parametrize("scaling", ["global", "dimension", "none"])
def test_edit_moves_the_preprocessed_embedding_along_the_decoder_row(scaling):
    x, dictionary = embedding(), some_dictionary(scaling)
    s = np.linspace(-3, 3, len(x))
    edited = torch.from_numpy(dictionary.edit(x, 5, s))
    before = dictionary.preprocessing.forward(torch.from_numpy(x))
    moved = (dictionary.preprocessing.forward(edited) - before).numpy()
    np.testing.assert_allclose(moved, s[:, None] * dictionary.w_dec[5], atol=1e-5)


@pytest.mark.parametrize("scaling", ["global", "dimension", "none"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edit_by_zero_is_exact(scaling, dtype):
    x = embedding().astype(dtype) / 3
    edited = some_dictionary(scaling).edit(x, 5, 0.0)
    assert edited.dtype == dtype
    np.testing.assert_array_equal(edited, x)


def test_edit_takes_a_single_item():
    x, dictionary = embedding(), some_dictionary()
    np.testing.assert_allclose(dictionary.edit(x[4], 3, 1.5), dictionary.edit(x, 3, 1.5)[4])


def test_decoder_rows_have_unit_length():
    np.testing.assert_allclose(np.linalg.norm(some_dictionary().w_dec, axis=1), 1, atol=1e-6)


def test_untrained_is_the_tied_encoder_and_depends_on_the_seed():
    w = some_dictionary().weights()
    np.testing.assert_array_equal(w["encoder"], w["decoder"])
    assert some_dictionary().fingerprint() == some_dictionary().fingerprint()
    assert some_dictionary().fingerprint() != some_dictionary(seed=1).fingerprint()


def test_unfit_input_is_refused():
    dictionary, x = some_dictionary(), embedding()
    with pytest.raises(ValueError, match=r"rows of 12 dimensions, got shape \(300, 11\)"):
        dictionary.encode(x[:, :11])
    with pytest.raises(ValueError, match="latent 40 does not exist; latents are 0 … 39"):
        dictionary.edit(x, 40, 1.0)
    x[17, 3] = np.nan
    with pytest.raises(ValueError, match=r"row 17 .* leave that row out or mend it"):
        dictionary.encode(x)


@pytest.mark.parametrize("kind", ["topk", "jumprelu", "icfl"])
@pytest.mark.parametrize(("dtype", "value"), [(np.float64, 1e39), (np.float64, -1e300), (np.float16, np.inf)])
def test_what_float32_cannot_hold_is_refused_and_never_encoded_as_nan(kind, dtype, value):
    x = embedding().astype(dtype)
    dictionary = fit(x, DictionaryConfig(d=12, m=16, k=4, kind=kind, steps=2)).dictionary
    x[21, 5] = value
    for refused in (lambda: dictionary.encode(x), lambda: untrained(x, DictionaryConfig(d=12, m=16, k=4))):
        with pytest.raises(ValueError, match=r"row 21 .* too large for float32"):
            refused()
