"""Sparse dictionaries on embeddings: fit one, encode with it, edit along a latent, save and load it.

Knows nothing of labels, language models or AnnData: ``x`` is anything with ``.shape`` and row slicing.
Shapes everywhere: ``n`` items, ``d`` embedding, ``m`` latents, ``k`` most active per item, ``b`` batch.
"""

from .config import DictionaryConfig, Size, default_size
from .device import best_device, encoding
from .dictionaries import Dictionary, SparseCodes, TopK
from .encode import encode_to_disk
from .formats import load_any, save_as
from .io import load, save
from .metrics.quality import quality
from .preprocess import Preprocessing
from .train import Fitted, fit, untrained

__all__ = [
    "Dictionary",
    "DictionaryConfig",
    "Fitted",
    "Preprocessing",
    "Size",
    "SparseCodes",
    "TopK",
    "best_device",
    "default_size",
    "encode_to_disk",
    "encoding",
    "fit",
    "load",
    "load_any",
    "quality",
    "save",
    "save_as",
    "untrained",
]
