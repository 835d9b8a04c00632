"""Sizes and configurations: what is allowed, what is chosen, what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from sae import DictionaryConfig, default_size


@pytest.mark.parametrize(
    ("n", "d", "m", "k"),
    [
        (1887, 50, 64, 8),  # 50/6 = 8.3 -> 8; 1887·8/160 = 94 -> 64
        (350, 50, 32, 8),  # 17.5, kept at 32
        (100_000, 512, 16384, 32),  # 20,000, kept at 16,384
        (10_000, 10, 128, 4),  # 10/6 = 1.7, kept at 4; 250 -> 128
        (50, 3, 32, 2),  # k never exceeds d
    ],
)
def test_default_size_follows_the_rule(n, d, m, k):
    size = default_size(n, d)
    assert (size.m, size.k) == (m, k)
    assert f"m = {m} " in size.reason and f"k = {k} " in size.reason and "\n" not in size.reason


def test_default_size_keeps_what_the_user_chose():
    assert default_size(1887, 50, latents=500)[:2] == (500, 8)
    assert default_size(1887, 50, k=16)[:2] == (128, 16)
    assert default_size(1887, 50, latents=3)[:2] == (3, 3)
    assert "as asked" in default_size(1887, 50, latents=500, k=7).reason


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"m": 0}, "m must be at least 1"),
        ({"k": 0}, "k must be at least 1"),
        ({"k": 9}, "k = 9 .* exceeds m = 8"),
        ({"m": 64, "k": 17}, "k = 17 .* exceeds d = 16"),
        ({"k": 2.0}, "k must be a whole number"),
        ({"kind": "topp"}, "unknown kind .*'topp'"),
        ({"scaling": "unit"}, "unknown scaling 'unit'"),
        ({"center": "median"}, "unknown center 'median'; known are mean, controls, none"),
        ({"unit_norm": 1}, "unit_norm must be true or false, got 1"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"lr": "0.1"}, "lr must be a number, got '0.1'"),
        ({"held_back": None}, "held_back must be a number, got None"),
        ({"k": np.float32(2)}, "k must be a whole number"),
        ({"lr": float("nan")}, "lr must be positive and finite"),
        ({"held_back": 1.0}, "held_back must be a share"),
        ({"warmup": 0.6, "decay": 0.6}, "warmup [+] decay"),
    ],
)
def test_impossible_values_are_refused_in_one_line(changed, message):
    with pytest.raises(ValueError, match=message) as error:
        DictionaryConfig(**({"d": 16, "m": 8, "k": 4} | changed))
    assert "\n" not in str(error.value)


def test_numpy_numbers_are_kept_as_plain_ones():
    config = DictionaryConfig(d=np.int64(16), m=np.int32(8), k=4, lr=np.float32(0.5))
    assert config == DictionaryConfig(d=16, m=8, k=4, lr=0.5)
    assert type(config.d) is type(config.m) is int and type(config.lr) is float
    assert json.loads(json.dumps(config.to_dict()))["d"] == 16


def test_an_impossible_size_is_refused():
    with pytest.raises(ValueError, match=r"k = 9 .* exceeds m = 8"):
        default_size(100, 50, latents=8, k=9)
    with pytest.raises(ValueError, match="m must be at least 1"):
        default_size(100, 50, latents=0)
    with pytest.raises(ValueError, match="0 items"):
        default_size(0, 50)


def test_config_survives_json():
    config = DictionaryConfig(d=16, m=8, k=4, seed=3, lr=1e-3, scaling="dimension").resolved(100)
    assert DictionaryConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_unknown_and_missing_fields_are_named():
    with pytest.raises(ValueError, match="unknown field 'aux_coeff'; did you mean 'aux_coef'"):
        DictionaryConfig.from_dict({"d": 16, "m": 8, "k": 4, "aux_coeff": 0.1})
    with pytest.raises(ValueError, match="missing field 'k'"):
        DictionaryConfig.from_dict({"d": 16, "m": 8})


def test_resolved_fills_every_gap_and_keeps_what_is_given():
    resolved = DictionaryConfig(d=50, m=512, k=16, steps=7).resolved(10_000_000)
    assert None not in resolved.to_dict().values()
    assert resolved.steps == 7 and resolved.batch_size == 4096
    assert DictionaryConfig(d=50, m=512, k=16).resolved(10_000_000).steps * 4096 >= 30_000_000
    assert resolved.resolved(10) == resolved


def test_the_center_is_the_mean_unless_nothing_is_scaled_or_somebody_chose():
    config = DictionaryConfig(d=16, m=8, k=4)
    assert config.centered(has_controls=True).center == "mean"
    assert dataclasses.replace(config, scaling="none").centered(has_controls=True).center == "none"
    assert dataclasses.replace(config, center="controls").centered(has_controls=False).center == "controls"
