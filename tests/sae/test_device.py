"""Dictionaries on a GPU: what they learn and encode there is what a CPU makes of it. Skipped where there is none."""

import numpy as np
import pytest
import torch

from sae import DictionaryConfig, device, encode_to_disk, encoding, fit, load, save, untrained
from tests.sae.test_checkpoint import stopped
from tests.sae.test_train import planted, quick

TRAINED = ["topk", "batchtopk", "matryoshka", "relu", "relu_tied", "jumprelu", "p_anneal", "icfl"]
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.mark.parametrize(
    ("gpu", "products", "expected"),
    [(True, 1 << 30, "cuda"), (True, 1 << 20, "cpu"), (False, 1 << 40, "cpu")],
)
def test_large_products_are_for_a_gpu_where_there_is_one(monkeypatch, gpu, products, expected):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    assert device.best_device(products) == expected


def test_what_encodes_elsewhere_is_back_on_the_cpu_afterwards(monkeypatch):
    moved = []
    x = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    dictionary, computed = (
        untrained(x, DictionaryConfig(d=8, m=16, k=2)),
        fit(x, DictionaryConfig(d=8, m=16, k=2, kind="pca")).dictionary,
    )
    monkeypatch.setattr(device, "best_device", lambda products: "cuda")
    for made in (dictionary, computed):
        monkeypatch.setattr(made, "to", lambda where: moved.append(where), raising=False)
    with encoding(dictionary) as where:
        assert where == "cuda" and moved == ["cuda"]
    assert moved == ["cuda", "cpu"]
    with encoding(computed) as where:
        assert where == "cpu" and moved == ["cuda", "cpu"]


@on_a_gpu
@pytest.mark.parametrize("kind", TRAINED)
def test_a_dictionary_learns_there_what_it_learns_here(kind):
    x, _ = planted(800)
    there, here = (fit(x, quick(kind=kind), device=where) for where in ("cuda", "cpu"))
    assert there.dictionary.decoder.device.type == "cpu"
    assert there.quality["fvu"] == pytest.approx(here.quality["fvu"], rel=0.15, abs=0.02)
    assert there.quality["l0"] == pytest.approx(here.quality["l0"], rel=0.15)


@on_a_gpu
@pytest.mark.parametrize("kind", TRAINED)
def test_it_encodes_there_what_it_encodes_here(kind):
    x, _ = planted(800)
    dictionary = fit(x, quick(kind=kind, steps=60), device="cpu").dictionary
    here = dictionary.encode(x)
    there = dictionary.to("cuda").encode(x)
    decoded = dictionary.decode(there, like=x)
    dictionary.to("cpu")
    np.testing.assert_allclose(decoded, dictionary.decode(here, like=x), atol=1e-3)
    assert np.mean((here.values > 0).sum(1) == (there.values > 0).sum(1)) > 0.99


@on_a_gpu
@pytest.mark.parametrize("kind", TRAINED)
def test_the_same_fit_gives_the_same_bytes_there_also_when_it_was_stopped(kind, tmp_path):
    x, _ = planted(800)
    once, again = (fit(x, quick(kind=kind, steps=60), device="cuda").dictionary for _ in range(2))
    assert once.fingerprint() == again.fingerprint()
    checkpoint = tmp_path / "checkpoint.safetensors"
    stopped(x, quick(kind=kind, steps=60), checkpoint, 40, device="cuda")
    resumed = fit(x, quick(kind=kind, steps=60), checkpoint=checkpoint, device="cuda").dictionary
    assert resumed.fingerprint() == once.fingerprint()


@on_a_gpu
def test_what_was_fitted_there_is_saved_and_encodes_to_disk(tmp_path):
    x, _ = planted(800)
    save(fit(x, quick(), device="cuda").dictionary, tmp_path / "dictionary")
    dictionary = load(tmp_path / "dictionary")
    folder = encode_to_disk(dictionary.to("cuda"), x, tmp_path / "codes")
    np.testing.assert_array_equal(np.load(folder / "indptr.npy")[-1], (dictionary.encode(x).values > 0).sum())
