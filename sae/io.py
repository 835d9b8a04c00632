"""How is a dictionary kept? As config.json and weights.safetensors in a directory; nothing is unpickled."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .config import DictionaryConfig
from .dictionaries import TopK
from .kinds import KINDS
from .preprocess import Preprocessing, Record

FORMAT = 2  # 1 had no centering on controls, no whitening and no unit norm


def save(dictionary: TopK, directory: str | os.PathLike[str]) -> Path:
    """Write ``config.json`` (format, config, preprocessing, fingerprint) and ``weights.safetensors``.

    ``preprocessing`` says what it was fitted on, and what whitening keeps. Returns the directory.
    Written to ``<directory>.partial`` and renamed. ``ValueError`` where the directory is not empty.
    """
    from safetensors.numpy import save as to_bytes

    target = Path(directory)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} exists already; remove it or choose another directory")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    weights = {name: np.ascontiguousarray(values) for name, values in dictionary.weights().items()}
    (partial / "weights.safetensors").write_bytes(to_bytes(weights))  # save_file hides an OSError
    config = dictionary.config.to_dict()
    described = {
        "format": FORMAT,
        "config": config,
        "preprocessing": dictionary.preprocessing.record(),
        "fingerprint": dictionary.fingerprint(),
    }
    (partial / "config.json").write_text(json.dumps(described, indent=2) + "\n")
    os.replace(partial, target)
    return target


def load(directory: str | os.PathLike[str]) -> TopK:
    """Read what `save` wrote. ``ValueError`` names the file and the key that is missing, unfit or changed."""
    from safetensors import SafetensorError, safe_open

    config_path, weights_path = Path(directory) / "config.json", Path(directory) / "weights.safetensors"
    for path in (config_path, weights_path):
        if not path.is_file():
            raise ValueError(f"{path} is missing")
    described = _described(config_path)
    try:
        config = DictionaryConfig.from_dict(described["config"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{config_path}: key 'config': {error}") from error
    try:
        record = Record.of(described["preprocessing"], config)
        inside = dataclasses.replace(config, d=record.components)  # what sizes the weights
    except ValueError as error:
        raise ValueError(f"{config_path}: key 'preprocessing': {error}") from error
    shapes = KINDS[config.kind].shapes(inside) | record.shapes(config)
    try:
        with safe_open(weights_path, framework="np") as file:
            _refuse_unfit(weights_path, {name: file.get_slice(name) for name in file.keys()}, shapes)  # noqa: SIM118
            weights = {name: file.get_tensor(name) for name in shapes}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{weights_path} cannot be read: {error}") from error

    held_apart = {name: weights.pop(name) for name in record.shapes(config)}
    try:
        preprocessing = Preprocessing.of_arrays(config, record, held_apart)
    except ValueError as error:
        names = ", ".join(map(repr, held_apart))
        raise ValueError(f"{weights_path}: keys {names}: {error}") from error
    dictionary = KINDS[config.kind](config, preprocessing)
    dictionary.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    dictionary.requires_grad_(False)
    if dictionary.fingerprint() != described["fingerprint"]:
        raise ValueError(
            f"{config_path}: key 'fingerprint' does not fit {weights_path.name}: one was changed"
        )
    return dictionary


def _refuse_unfit(path: Path, held: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    """``ValueError`` for a key too many, too few or of another shape or type; the header says so, nothing is read.

    Types are named as safetensors does (F64, F16, BF16 …): numpy does not know all of them.
    """
    unknown = sorted(set(held) - set(shapes))
    if unknown:
        raise ValueError(f"{path}: unknown key {unknown[0]!r}")
    for name, shape in shapes.items():
        if name not in held:
            raise ValueError(f"{path}: key {name!r} is missing")
        dtype, seen = held[name].get_dtype(), tuple(held[name].get_shape())
        if seen != shape or dtype != "F32":
            said = "float32" if dtype == "F32" else dtype
            raise ValueError(f"{path}: key {name!r} must be float32 {shape}, got {said} {seen}")


def _described(path: Path) -> dict[str, Any]:
    try:
        described = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(described, dict):
        raise ValueError(f"{path} must hold a JSON object")
    for key in ("format", "config", "preprocessing", "fingerprint"):
        if key not in described:
            raise ValueError(f"{path}: key {key!r} is missing")
        if key == "format" and described[key] != FORMAT:
            raise ValueError(f"{path}: key 'format' is {described[key]!r}; this version reads {FORMAT}")
        if key in ("config", "preprocessing") and not isinstance(described[key], dict):
            raise ValueError(f"{path}: key {key!r} must be an object")
    return described
