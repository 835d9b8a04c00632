"""Folders of other libraries: their formulas, written out here, give the codes that ours give, and back."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from autointerp.cli import app
from autointerp.config import RunConfig
from autointerp.dictionary.choice import brought_dictionary
from autointerp.errors import UserError
from sae import DictionaryConfig, fit, load_any, save, save_as, untrained
from sae.exchange import from_affine, to_affine
from sae.formats import library_of
from tests.sae.test_train import planted, quick

D, M, K = 6, 10, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, D)).astype(np.float32) + 0.3
LIBRARIES = ("saelens", "sparsify", "dictionary_learning")


def weights(unit=True, seed=0):
    """Encoder (m, d), its bias, decoder (m, d), b_dec, thresholds."""
    rng = np.random.default_rng(seed)
    decoder = rng.normal(size=(M, D))
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    encoder = decoder + 0.1 * rng.normal(size=(M, D))
    if not unit:
        decoder *= rng.uniform(0.5, 2, (M, 1))
    small = 0.2 * rng.normal(size=(3, M))
    made = encoder, small[0], decoder, rng.normal(size=D), np.abs(small[1])
    return [values.astype(np.float32) for values in made]


def top(pre, k=K):
    pre = np.maximum(pre, 0)
    return pre * (pre >= np.sort(pre, axis=1)[:, -k][:, None])


def dense(dictionary, x=X):
    codes = dictionary.encode(x)
    held = np.zeros((len(x), dictionary.config.m), np.float32)
    np.put_along_axis(held, codes.indices, codes.values, 1)
    return held


def write_saelens(folder, held, **said):
    folder.mkdir()
    said = {"d_in": D, "d_sae": M, "dtype": "float32", "metadata": {"sae_lens_version": "6.1.0"}} | said
    (folder / "cfg.json").write_text(json.dumps(said))
    save_file(
        {name: np.ascontiguousarray(values) for name, values in held.items()},
        folder / "sae_weights.safetensors",
    )
    return folder


def write_learned(folder, held, dict_class, **said):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": dict_class, **said}}))
    torch.save({name: torch.tensor(v.copy()) for name, v in held.items()}, folder / "ae.pt")
    return folder


def in_saelens(unit=True, **more):
    encoder, b_enc, decoder, b_dec, threshold = weights(unit)
    return {"W_enc": encoder.T, "b_enc": b_enc, "W_dec": decoder, "b_dec": b_dec} | (
        {"threshold": threshold} if more.get("threshold") else {}
    )


@pytest.mark.parametrize("subtract", [True, False])
def test_saelens_topk(tmp_path, subtract):
    encoder, b_enc, decoder, b_dec, _ = weights()
    said = {"architecture": "topk", "k": K, "apply_b_dec_to_input": subtract}
    made = load_any(write_saelens(tmp_path / "in", in_saelens(), **said))
    expected = top((X - b_dec * subtract) @ encoder.T + b_enc)
    np.testing.assert_allclose(dense(made), expected, atol=1e-5)
    np.testing.assert_allclose(made.decode(made.encode(X)), expected @ decoder + b_dec, atol=1e-5)
    assert (made.config.kind, made.config.k) == ("topk", K)


def test_saelens_topk_that_selects_by_decoder_norm(tmp_path):
    encoder, b_enc, decoder, b_dec, _ = weights(unit=False)
    said = {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": True}
    made = load_any(write_saelens(tmp_path / "in", in_saelens(unit=False), **said))
    norms = np.linalg.norm(decoder, axis=1)
    expected = top(((X - b_dec) @ encoder.T + b_enc) * norms)
    np.testing.assert_allclose(dense(made), expected, atol=1e-5)
    np.testing.assert_allclose(made.decode(made.encode(X)), expected / norms @ decoder + b_dec, atol=1e-5)


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("kind", ["standard", "jumprelu"])
def test_saelens_with_thresholds_folds_decoder_norms(tmp_path, kind, unit, subtract):
    encoder, b_enc, decoder, b_dec, threshold = weights(unit)
    held = in_saelens(unit, threshold=kind == "jumprelu")
    said = {"architecture": kind, "apply_b_dec_to_input": subtract}
    made = load_any(write_saelens(tmp_path / "in", held, **said), k=2)
    pre = (X - b_dec * subtract) @ encoder.T + b_enc
    codes = np.maximum(pre, 0) * (pre > (threshold if kind == "jumprelu" else 0))
    np.testing.assert_allclose(dense(made), codes * np.linalg.norm(decoder, axis=1), atol=1e-5)
    np.testing.assert_allclose(made.decode(made.encode(X)), codes @ decoder + b_dec, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(made.w_dec, axis=1), 1, atol=1e-6)


def test_a_threshold_of_0_or_less_lets_through_what_is_above_0(tmp_path):
    encoder, b_enc, _, b_dec, _ = weights()
    held = in_saelens() | {"threshold": np.linspace(-1, 0, M).astype(np.float32)}
    made = load_any(write_saelens(tmp_path / "in", held, architecture="jumprelu"), k=2)
    np.testing.assert_allclose(dense(made), np.maximum((X - b_dec) @ encoder.T + b_enc, 0), atol=1e-5)


def test_saelens_before_version_6_and_half_precision(tmp_path):
    held = {name: values.astype(np.float16) for name, values in in_saelens().items()}
    old = {
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": K},
        "architecture": "standard",
        "metadata": {},
    }
    made = load_any(write_saelens(tmp_path / "in", held, **old))
    w = {name: values.astype(np.float32) for name, values in held.items()}
    assert made.config.kind == "topk"
    np.testing.assert_allclose(dense(made), top((X - w["b_dec"]) @ w["W_enc"] + w["b_enc"]), atol=1e-5)


def test_sparsify(tmp_path):
    encoder, b_enc, decoder, b_dec, _ = weights()
    folder = tmp_path / "in"
    folder.mkdir()
    said = {
        "activation": "topk",
        "k": K,
        "num_latents": 0,
        "expansion_factor": 32,
        "d_in": D,
        "transcode": False,
    }
    (folder / "cfg.json").write_text(json.dumps(said))
    held = {"encoder.weight": encoder, "encoder.bias": b_enc, "W_dec": decoder, "b_dec": b_dec}
    save_file(held, folder / "sae.safetensors")
    np.testing.assert_allclose(dense(load_any(folder)), top((X - b_dec) @ encoder.T + b_enc), atol=1e-5)


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "AutoEncoderTopK",
        "BatchTopKSAE",
        "MatryoshkaBatchTopKSAE",
        "JumpReluAutoEncoder",
        "AutoEncoder",
        "AutoEncoderNew",
    ],
)
def test_dictionary_learning(tmp_path, name, unit):
    encoder, b_enc, decoder, b_dec, threshold = weights(unit or name == "AutoEncoderTopK")
    layers = {"encoder.weight": encoder, "encoder.bias": b_enc, "decoder.weight": decoder.T}
    matrices = {"W_enc": encoder.T, "b_enc": b_enc, "W_dec": decoder, "b_dec": b_dec}
    k, one = np.asarray(K, np.int32), np.asarray(0.1, np.float32)
    held = {
        "AutoEncoderTopK": layers | {"b_dec": b_dec, "k": k, "threshold": -one},
        "BatchTopKSAE": layers | {"b_dec": b_dec, "k": k, "threshold": one},
        "MatryoshkaBatchTopKSAE": matrices | {"k": k, "threshold": one, "group_sizes": np.array([4, 6])},
        "JumpReluAutoEncoder": matrices | {"threshold": threshold},
        "AutoEncoder": layers | {"bias": b_dec},
        "AutoEncoderNew": layers | {"decoder.bias": b_dec},
    }[name]
    made = load_any(write_learned(tmp_path / "in", held, name), k=2)
    pre = (X - b_dec * (name not in ("JumpReluAutoEncoder", "AutoEncoderNew"))) @ encoder.T + b_enc
    least = {"BatchTopKSAE": 0.1, "MatryoshkaBatchTopKSAE": 0.1, "JumpReluAutoEncoder": threshold}.get(
        name, 0
    )
    codes = top(pre) if name == "AutoEncoderTopK" else np.maximum(pre, 0) * (pre > least)
    np.testing.assert_allclose(dense(made), codes * np.linalg.norm(decoder, axis=1), atol=1e-5)
    np.testing.assert_allclose(made.decode(made.encode(X)), codes @ decoder + b_dec, atol=1e-5)


def of_ours(kind, scaling="global", seed=0):
    x, _ = planted(300)
    x = x * np.linspace(0.5, 3, 32, dtype=np.float32) + 1
    return fit(x, quick(kind=kind, steps=40, scaling=scaling, unit_norm=False, seed=seed)).dictionary, x[:50]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "kind", ["topk", "batchtopk", "matryoshka", "jumprelu", "relu", "relu_tied", "p_anneal"]
)
def test_ours_go_out_and_come_back(tmp_path, library, kind):
    dictionary, x = of_ours(kind)
    if library == "sparsify" and kind != "topk":
        with pytest.raises(ValueError, match="sparsify has no dictionary of kind"):
            save_as(dictionary, tmp_path / "out", library)
        return
    folder = save_as(dictionary, tmp_path / "out", library)
    assert library_of(folder) == library
    back = load_any(folder, k=4)
    np.testing.assert_allclose(dense(back, x), dense(dictionary, x), atol=1e-5 * dense(dictionary, x).max())
    np.testing.assert_allclose(
        back.decode(back.encode(x)), dictionary.decode(dictionary.encode(x)), atol=1e-4
    )
    save(back, tmp_path / "ours")
    assert load_any(tmp_path / "ours").fingerprint() == back.fingerprint()


@pytest.mark.parametrize("scaling", ["global", "dimension", "whiten", "none"])
def test_preprocessing_is_folded_in(scaling):
    dictionary, x = of_ours("topk", scaling)
    affine = to_affine(dictionary)
    codes = top((x - affine.b_dec) @ affine.w_enc.T + affine.b_enc, 4)
    np.testing.assert_allclose(codes, dense(dictionary, x), atol=1e-4)
    np.testing.assert_allclose(
        codes @ affine.w_dec + affine.b_dec, dictionary.decode(dictionary.encode(x)), atol=1e-3
    )


@pytest.mark.parametrize("kind", ["icfl", "pca"])
def test_what_has_no_counterpart_is_refused(kind):
    x, _ = planted(300)
    with pytest.raises(ValueError, match=f"kind {kind} has no counterpart"):
        to_affine(fit(x, quick(kind=kind, steps=5)).dictionary)
    with pytest.raises(ValueError, match="unit_norm"):
        to_affine(untrained(x, quick(unit_norm=True)))


@pytest.mark.parametrize(
    ("changed", "said", "match"),
    [
        ({}, {"architecture": "gated"}, "architecture = 'gated'"),
        (
            {},
            {"architecture": "topk", "k": K, "normalize_activations": "layer_norm"},
            "normalize_activations",
        ),
        (
            {},
            {"architecture": "topk", "k": K, "normalize_activations": "expected_average_only_in"},
            "normalize",
        ),
        ({}, {"architecture": "standard"}, "pass --k"),
        ({"W_dec": np.ones((M, D + 1), np.float32)}, {"architecture": "topk", "k": K}, "decoder must be"),
        ({"b_enc": np.full(M, np.nan, np.float32)}, {"architecture": "topk", "k": K}, "finite"),
        ({"W_dec": np.zeros((M, D), np.float32)}, {"architecture": "topk", "k": K}, "has length 0"),
        ({"W_dec": weights(unit=False)[2]}, {"architecture": "topk", "k": K}, "of one length"),
        ({}, {"architecture": "topk", "k": D + 1}, "exceeds d"),
    ],
)
def test_what_ours_cannot_do_is_refused_in_one_line(tmp_path, changed, said, match):
    folder = write_saelens(tmp_path / "in", in_saelens() | changed, **said)
    with pytest.raises(ValueError, match=match) as caught:
        load_any(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_key_is_named(tmp_path):
    held = in_saelens()
    del held["b_enc"]
    with pytest.raises(ValueError, match="'b_enc' is missing"):
        load_any(write_saelens(tmp_path / "in", held, architecture="topk", k=K))


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("library", ["pt", "safetensors"])
def test_nothing_is_unpickled(tmp_path, library):
    if library == "pt":
        folder = write_learned(tmp_path / "in", {}, "AutoEncoder")
        torch.save({"bias": Harmful()}, folder / "ae.pt")
    else:
        folder = write_saelens(tmp_path / "in", in_saelens(), architecture="topk", k=K)
        (folder / "sae_weights.safetensors").write_bytes(b"\x80\x04\x95" + bytes(99))
    with pytest.raises(ValueError, match=r"holds more than weights|cannot be read"):
        load_any(folder)


def test_the_command_converts_and_says_what_is_wrong(tmp_path):
    folder = write_saelens(tmp_path / "in", in_saelens(), architecture="topk", k=K)
    done = CliRunner().invoke(app, ["dictionary", "convert", str(folder), str(tmp_path / "out")])
    assert done.exit_code == 0 and f"topk, {M} latents of {D} dimensions, k = {K}" in done.output
    np.testing.assert_allclose(dense(load_any(tmp_path / "out")), dense(load_any(folder)))
    for arguments, match in (
        ([str(tmp_path / "none"), str(tmp_path / "a")], "holds no dictionary"),
        ([str(folder), str(tmp_path / "out")], "exists already"),
        ([str(folder), str(tmp_path / "b"), "--to", "nobody"], "unknown library"),
    ):
        done = CliRunner().invoke(app, ["dictionary", "convert", *arguments])
        assert done.exit_code != 0 and match in str(done.exception)
    there_and = tmp_path / "learned"
    CliRunner().invoke(
        app, ["dictionary", "convert", str(folder), str(there_and), "--to", "dictionary_learning"]
    )
    assert library_of(there_and) == "dictionary_learning"
    assert set(load_file(folder / "sae_weights.safetensors")) == {"W_enc", "b_enc", "W_dec", "b_dec"}


def test_a_run_takes_the_folder_of_a_peer(tmp_path):
    folder = write_saelens(tmp_path / "in", in_saelens(threshold=True), architecture="jumprelu")
    taken = RunConfig(data="x.h5ad", embedding="X", dictionary=str(folder), k=2)
    assert brought_dictionary(taken, D).fingerprint() == load_any(folder, 2).fingerprint()
    with pytest.raises(UserError, match=f"made for d = {D}"):
        brought_dictionary(taken, D + 1)
    with pytest.raises(UserError, match="pass --k"):
        brought_dictionary(RunConfig(data="x.h5ad", embedding="X", dictionary=str(folder)), D)


def test_the_same_dictionary_comes_back_from_its_affine_form():
    made = untrained(X, DictionaryConfig(d=D, m=M, k=K, scaling="none"))
    np.testing.assert_allclose(dense(from_affine(to_affine(made))), dense(made), atol=1e-6)
