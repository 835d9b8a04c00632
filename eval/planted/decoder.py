"""Which genes does a point of X_autoencoder stand for? The planted decoder, as ``--decoder`` takes it.

``PLANTED_DECODER=FILE.safetensors autointerp intervene RUN --decoder eval.planted.decoder:decode …`` reads the
weights that ``python -m eval.planted.cells`` wrote.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

SPEC, PATH = "eval.planted.decoder:decode", "PLANTED_DECODER"


def decode(x: np.ndarray) -> np.ndarray:
    """Embeddings (b, d) → log-normalized expression (b, g), by the weights in the file that PLANTED_DECODER names."""
    return _loaded(os.environ.get(PATH, "planted_decoder.safetensors"))(x)


@lru_cache(maxsize=4)
def _loaded(path: str) -> Callable[[np.ndarray], np.ndarray]:
    from eval.planted.autoencoder import load_decoder

    return load_decoder(Path(path))
