"""Where does a fit that was stopped go on? At its last checkpoint, bit for bit, or from the start."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

FORMAT = 1
KEY = "checkpoint"  # of the header's metadata, where the numbers stand as JSON
_log = logging.getLogger(__name__)


class Saved(NamedTuple):
    """What a checkpoint holds.

    tensors : by name, as they were given to `Checkpoint.write`
    numbers : what is not a tensor: JSON, in which floats come back bit for bit, NaN and infinity included
    """

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


class Checkpoint:
    """One safetensors file, replaced as a whole at most every ``every_s`` seconds; nothing is unpickled.

    Parameters
    ----------
    path : file; its folder is made when needed
    identity : what the state belongs to. A file with another one is left unread, with a warning, and replaced
    every_s : seconds between two checkpoints; 0 writes at every call

    That a file cannot be read or written is a warning and stops no fit: a checkpoint only ever saves time.
    """

    def __init__(self, path: str | os.PathLike[str], identity: str, every_s: float = 60.0) -> None:
        self.path, self.identity, self.every_s = Path(path), identity, every_s
        self._partial = self.path.with_name(self.path.name + ".partial")
        self._written = time.monotonic()

    def due(self) -> bool:
        """Whether ``every_s`` seconds have passed since the last checkpoint, or since this object was made."""
        return time.monotonic() - self._written >= self.every_s

    def write(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Replace the file by this state: whole, or not at all."""
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(held.detach().cpu().numpy()) for name, held in tensors.items()}
        digest = _digest(dict(numbers), arrays)
        said = {"format": FORMAT, "identity": self.identity, "numbers": dict(numbers), "sha256": digest}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(arrays, self._partial, metadata={KEY: json.dumps(said)})
            os.replace(self._partial, self.path)
        except (OSError, SafetensorError) as error:
            _log.warning("%s could not be written, the fit goes on without it: %s", self.path, error)
            self._partial.unlink(missing_ok=True)
        self._written = time.monotonic()

    def read(self, expected: Mapping[str, Tensor]) -> Saved | None:
        """The state of a fit of the same identity; None where there is none, with a warning if it is unfit.

        expected : tensors of the names, shapes and types that the state must have
        """
        from safetensors import SafetensorError, safe_open

        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="np") as file:
                said = json.loads((file.metadata() or {})[KEY])
                if said["format"] != FORMAT or said["identity"] != self.identity:
                    why = "another configuration, other data, another machine or number of threads"
                    _log.warning("%s belongs to %s: the fit starts anew", self.path, why)
                    return None
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            if said["sha256"] != _digest(said["numbers"], arrays):
                raise ValueError("its bytes were changed")
            tensors = {name: torch.from_numpy(held) for name, held in arrays.items()}
            if _shapes(tensors) != _shapes(expected):
                raise ValueError("it holds other tensors than this version keeps")
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            why = f"no {error}" if isinstance(error, KeyError) else str(error)
            _log.warning("%s is damaged (%s): the fit starts anew", self.path, why)
            return None
        return Saved(tensors, said["numbers"])

    def remove(self) -> None:
        """Delete the file, at the end of a fit."""
        self.path.unlink(missing_ok=True)
        self._partial.unlink(missing_ok=True)


def identity(
    start: str, shape: tuple[int, ...], rows: np.ndarray, held_x: np.ndarray, loops: bool, device: str = "cpu"
) -> str:
    """sha256 of everything a fit depends on that is cheap to know.

    start : fingerprint of the dictionary before its first step: config, seed, and preprocessing, into which
        every row has gone (to float32 accuracy)
    shape : of the source
    rows : the rows fitted on
    held_x : (h, d), values of the rows held back
    loops : whether compiled loops train it; device : on which

    And torch's version, its number of threads and the processor's vector instructions: with others the last
    bits differ. Values changed in so few rows that neither center, scale nor the rows held back show it go
    unnoticed.
    """
    machine = [torch.__version__, torch.get_num_threads(), torch.backends.cpu.get_cpu_capability(), loops]
    machine += [] if device == "cpu" else [device, torch.cuda.get_device_name(device)]
    said = hashlib.sha256(json.dumps([FORMAT, start, list(shape), held_x.dtype.str, *machine]).encode())
    said.update(np.ascontiguousarray(rows).data)
    said.update(np.ascontiguousarray(held_x).data)
    return said.hexdigest()


def _digest(numbers: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    said = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode())
    for name in sorted(arrays):
        said.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        said.update(arrays[name].data)
    return said.hexdigest()


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    return {name: (tuple(held.shape), held.dtype) for name, held in tensors.items()}
