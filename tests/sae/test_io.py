"""Dictionaries on disk: what is saved comes back, what was changed is refused with the file and the key."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch_file

from sae import DictionaryConfig, fit, load, save

RECORD = {"rows": 200, "controls": 0, "components": 10, "shrinkage": 0.0}


@pytest.fixture
def saved(tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
    config = DictionaryConfig(d=10, m=16, k=4, steps=20, scaling="dimension")
    dictionary = fit(x, config).dictionary
    return dictionary, save(dictionary, tmp_path / "dictionary"), x


def change_config(directory, **changed):
    path = directory / "config.json"
    described = json.loads(path.read_text()) | changed
    path.write_text(json.dumps({key: value for key, value in described.items() if value is not None}))


def change_weights(directory, **changed):
    path = directory / "weights.safetensors"
    weights = load_file(path) | changed
    save_file({name: values for name, values in weights.items() if values is not None}, path)


def test_a_loaded_dictionary_is_the_saved_one(saved):
    dictionary, directory, x = saved
    loaded = load(directory)
    assert loaded.fingerprint() == dictionary.fingerprint()
    assert loaded.config == dictionary.config
    np.testing.assert_array_equal(loaded.encode(x).values, dictionary.encode(x).values)
    np.testing.assert_array_equal(loaded.decode(loaded.encode(x)), dictionary.decode(dictionary.encode(x)))


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_a_missing_file_is_named(saved, name):
    _, directory, _ = saved
    (directory / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        load(directory)


@pytest.mark.parametrize("key", ["format", "config", "preprocessing", "fingerprint"])
def test_a_missing_config_key_is_named(saved, key):
    _, directory, _ = saved
    change_config(directory, **{key: None})
    with pytest.raises(ValueError, match=f"config.json: key '{key}' is missing"):
        load(directory)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"encoder": None}, "key 'encoder' is missing"),
        ({"surplus": np.zeros(3, np.float32)}, "unknown key 'surplus'"),
        (
            {"decoder": np.zeros((16, 9), np.float32)},
            "key 'decoder' must be float32 .16, 10., got float32 .16, 9.",
        ),
        ({"bias": np.zeros(10, np.float64)}, "key 'bias' must be float32 .10,., got F64"),
        ({"scale": np.zeros(10, np.float32)}, "keys 'center', 'scale'"),
        ({"bias": np.full(10, 0.5, np.float32)}, "key 'fingerprint' does not fit weights.safetensors"),
    ],
)
def test_unfit_weights_are_refused(saved, changed, message):
    _, directory, _ = saved
    change_weights(directory, **changed)
    with pytest.raises(ValueError, match=message):
        load(directory)


def test_a_changed_config_does_not_fit_the_fingerprint(saved):
    dictionary, directory, _ = saved
    change_config(directory, config=dictionary.config.to_dict() | {"k": 3})
    with pytest.raises(ValueError, match="fingerprint"):
        load(directory)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"config": {"d": 10, "m": 16, "k": 4, "depth": 2}}, "key 'config': unknown field 'depth'"),
        ({"config": {"d": 10, "m": 2, "k": 4}}, "key 'config': k = 4"),
        ({"config": [1]}, "key 'config' must be an object"),
        ({"format": 99}, "key 'format' is 99"),
        ({"preprocessing": [1]}, "key 'preprocessing' must be an object"),
        ({"preprocessing": {"rows": 3}}, "must hold rows, controls, components, shrinkage, got rows"),
        ({"preprocessing": {**RECORD, "rows": "9"}}, "counts must be whole numbers and shrinkage a share"),
        ({"preprocessing": {**RECORD, "shrinkage": 2}}, "counts must be whole numbers and shrinkage a share"),
        ({"preprocessing": {**RECORD, "components": 9}}, "components = 9 does not fit d = 10"),
    ],
)
def test_an_unfit_config_is_refused(saved, changed, message):
    _, directory, _ = saved
    change_config(directory, **changed)
    with pytest.raises(ValueError, match=message):
        load(directory)


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_a_truncated_file_is_refused(saved, name):
    _, directory, _ = saved
    whole = (directory / name).read_bytes()
    (directory / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=name):
        load(directory)


def test_a_pickle_is_never_opened(saved, tmp_path):
    _, directory, _ = saved
    witness = tmp_path / "witness"

    class Exploit:
        def __reduce__(self):
            return (open, (str(witness), "w"))

    (directory / "weights.safetensors").write_bytes(pickle.dumps(Exploit()))
    with pytest.raises(ValueError, match=r"weights\.safetensors cannot be read"):
        load(directory)
    assert not witness.exists()


@pytest.mark.parametrize(("dtype", "said"), [(torch.bfloat16, "BF16"), (torch.float8_e4m3fn, "F8_E4M3")])
def test_a_type_that_numpy_does_not_know_is_named(saved, dtype, said):
    dictionary, directory, _ = saved
    weights = {name: torch.tensor(values) for name, values in dictionary.weights().items()}
    weights["encoder"] = weights["encoder"].to(dtype)
    save_torch_file(weights, directory / "weights.safetensors")
    with pytest.raises(ValueError, match=f"key 'encoder' must be float32 .16, 10., got {said} .16, 10."):
        load(directory)


def test_what_is_there_is_not_overwritten(saved):
    dictionary, directory, _ = saved
    with pytest.raises(ValueError, match="exists already"):
        save(dictionary, directory)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"whitening": None}, "key 'whitening' is missing"),
        ({"scale": np.ones(10, np.float32)}, "unknown key 'scale'"),
        ({"unwhitening": np.ones((8, 10), np.float32)}, "key 'unwhitening' must be float32 .9, 10., got"),
        ({"whitening": np.full((10, 9), np.nan, np.float32)}, "a whitening must be finite"),
        ({"whitening": np.ones((10, 9), np.float32)}, "key 'fingerprint' does not fit"),
    ],
)
def test_an_unfit_whitening_is_refused(tmp_path, changed, message):
    x = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
    x[:, 9] = x[:, 0]
    config = DictionaryConfig(d=10, m=16, k=4, steps=20, scaling="whiten")
    directory = save(fit(x, config).dictionary, tmp_path / "dictionary")
    change_weights(directory, **changed)
    with pytest.raises(ValueError, match=message):
        load(directory)
