"""How do SAELens, sparsify and dictionary_learning keep their dictionaries? Folders, read and written without them.

Read is safetensors, or torch's own format with ``weights_only``: nothing is unpickled. Where a folder says something
that changes codes and that ours cannot do, it is refused by name.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .batch_topk import SHARES
from .dictionaries import TopK
from .exchange import Affine, from_affine, to_affine
from .io import load, save

FILES = {  # what a folder of each library holds: its settings and its weights
    "autointerp": ("config.json", "weights.safetensors"),
    "saelens": ("cfg.json", "sae_weights.safetensors"),
    "sparsify": ("cfg.json", "sae.safetensors"),
    "dictionary_learning": ("config.json", "ae.pt"),
}


def library_of(folder: str | os.PathLike[str]) -> str:
    """Whose dictionary a folder holds, by its files. ``ValueError`` where it is nobody's."""
    for name, files in FILES.items():
        if all((Path(folder) / file).is_file() for file in files):
            return name
    expected = "; ".join(f"{' and '.join(files)} ({name})" for name, files in FILES.items())
    raise ValueError(f"{folder} holds no dictionary: expected {expected}")


def load_any(folder: str | os.PathLike[str], k: int | None = None) -> TopK:
    """Read a dictionary of any of these libraries.

    k : the mean number of active latents, for those that do not say it

    ``ValueError``, one line, names the file and what is missing, unfit or unknown to ours.
    """
    library = library_of(folder)
    if library == "autointerp":
        return load(folder)
    settings, weights = (Path(folder) / file for file in FILES[library])
    try:
        said = json.loads(settings.read_text(encoding="utf-8"))
        if not isinstance(said, dict):
            raise ValueError("must hold a JSON object")
        affine = READERS[library](said, _tensors(weights), k)
        return from_affine(affine)
    except KeyError as error:
        raise ValueError(f"{folder}: {error} is missing") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{folder}: {error}") from error


def save_as(dictionary: TopK, folder: str | os.PathLike[str], library: str) -> Path:
    """Write a dictionary as ``library`` reads it; its codes of an embedding are those of `encode`.

    ``ValueError`` where the library has no such dictionary, or the folder is not empty.
    """
    target = Path(folder)
    if library not in FILES:
        raise ValueError(f"unknown library {library!r}; known are {', '.join(FILES)}")
    if library == "autointerp":
        return save(dictionary, target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} exists already; remove it or choose another directory")
    said, arrays = WRITERS[library](to_affine(dictionary))
    tensors = {name: torch.tensor(np.asarray(values)) for name, values in arrays.items()}
    tensors = {name: (t.float() if t.is_floating_point() else t).contiguous() for name, t in tensors.items()}
    target.mkdir(parents=True, exist_ok=True)
    settings, weights = (target / file for file in FILES[library])
    if weights.suffix == ".pt":
        torch.save(tensors, weights)
    else:
        from safetensors.torch import save as to_bytes

        weights.write_bytes(to_bytes(tensors))
    settings.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    return target


def _tensors(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a file, numbers with a point as float64."""
    held: dict[str, Any]
    if path.suffix == ".pt":
        try:
            held = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{path.name} holds more than weights, or is damaged ({reason})") from error
    else:
        from safetensors import SafetensorError
        from safetensors.torch import load as of_bytes

        try:
            held = of_bytes(path.read_bytes())
        except SafetensorError as error:
            raise ValueError(f"{path.name} cannot be read: {error}") from error
    if not (isinstance(held, dict) and all(isinstance(values, Tensor) for values in held.values())):
        raise ValueError(f"{path.name} must hold tensors by name")
    return {name: (t.double() if t.is_floating_point() else t).numpy() for name, t in held.items()}


def _affine(
    kind: str, k: int | None, w_enc: np.ndarray, b_enc: np.ndarray, w_dec: np.ndarray, b_dec: np.ndarray,
    threshold: np.ndarray | float = 0.0, subtracted: bool = True,
) -> Affine:  # fmt: skip
    """Shapes checked. subtracted : whether b_dec is subtracted from x before the encoder."""
    m, d = w_enc.shape
    for name, values, shape in (
        ("encoder bias", b_enc, (m,)),
        ("decoder", w_dec, (m, d)),
        ("b_dec", b_dec, (d,)),
    ):
        if values.shape != shape:
            raise ValueError(f"the {name} must be {shape}, got {values.shape}")
    if k is None:
        raise ValueError("does not say how many latents are active; pass --k, their mean number per item")
    if not subtracted:
        b_enc = b_enc + w_enc @ b_dec
    return Affine(
        kind, int(k), w_enc, b_enc, w_dec, b_dec, np.broadcast_to(np.asarray(threshold, float), (m,))
    )


def _refuse(said: dict[str, Any], key: str, *fine: Any) -> None:
    if said.get(key, fine[0]) not in fine:
        raise ValueError(f"{key} = {said[key]!r} is nothing that a dictionary of ours can do")


def _from_saelens(said: dict[str, Any], held: dict[str, np.ndarray], k: int | None) -> Affine:
    _refuse(said, "normalize_activations", "none", None, False)
    _refuse(said, "finetuning_scaling_factor", False, None)
    kind = said.get("architecture", "standard")
    if said.get("activation_fn", said.get("activation_fn_str")) == "topk":  # before version 6
        kind, k = "topk", said.get("activation_fn_kwargs", {}).get("k", k)
    kinds = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu"}
    _refuse({"architecture": kind}, "architecture", *kinds)
    if "threshold" not in held and "log_threshold" in held:
        held["threshold"] = np.exp(held["log_threshold"])
    threshold = np.maximum(held["threshold"], 0) if kind == "jumprelu" else 0.0
    encoder, decoder, b_dec = held["W_enc"].T, held["W_dec"], held["b_dec"]
    made = _affine(kinds[kind], said.get("k", k), encoder, held["b_enc"], decoder, b_dec, threshold,
                   bool(said.get("apply_b_dec_to_input", True)))  # fmt: skip
    return made.folded() if said.get("rescale_acts_by_decoder_norm", False) else made


def _from_sparsify(said: dict[str, Any], held: dict[str, np.ndarray], k: int | None) -> Affine:
    _refuse(said, "activation", "topk")
    for key in ("skip_connection", "transcode"):
        _refuse(said, key, False)
    encoder, decoder = held["encoder.weight"], held["W_dec"]
    return _affine("topk", said["k"], encoder, held["encoder.bias"], decoder, held["b_dec"])


def _from_dictionary_learning(said: dict[str, Any], held: dict[str, np.ndarray], k: int | None) -> Affine:
    name = said["trainer"]["dict_class"]
    if "k" in held:
        k = int(held["k"].item())
    threshold = np.maximum(held["threshold"], 0) if "threshold" in held else 0.0
    if name in ("AutoEncoderTopK", "BatchTopKSAE"):
        kind, threshold = ("topk", 0.0) if name == "AutoEncoderTopK" else ("batchtopk", threshold)
        encoder, b_enc = held["encoder.weight"], held["encoder.bias"]
        return _affine(kind, k, encoder, b_enc, held["decoder.weight"].T, held["b_dec"], threshold)
    if name in ("MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder"):
        kind, subtracted = ("jumprelu", False) if name == "JumpReluAutoEncoder" else ("matryoshka", True)
        encoder, decoder = held["W_enc"].T, held["W_dec"]
        return _affine(kind, k, encoder, held["b_enc"], decoder, held["b_dec"], threshold, subtracted)
    if name in ("AutoEncoder", "AutoEncoderNew"):
        b_dec = held["bias"] if name == "AutoEncoder" else held["decoder.bias"]
        decoder, subtracted = held["decoder.weight"].T, name == "AutoEncoder"
        made = _affine(
            "relu", k, held["encoder.weight"], held["encoder.bias"], decoder, b_dec, 0.0, subtracted
        )
        return made.folded() if name == "AutoEncoder" else made  # as the library does when it loads one
    raise ValueError(f"dict_class = {name!r} is nothing that a dictionary of ours can do")


def _to_saelens(affine: Affine) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    kinds = {"relu": "standard", "topk": "topk"}
    m, d = affine.w_enc.shape
    said: dict[str, Any] = {"architecture": kinds.get(affine.kind, "jumprelu"), "d_in": d, "d_sae": m}
    said |= {
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
    }
    said |= {"reshape_activations": "none", "metadata": {"sae_lens_version": "6.0.0"}}  # whose format this is
    if affine.kind == "topk":
        said |= {"k": affine.k, "rescale_acts_by_decoder_norm": False}
    held = {"W_enc": affine.w_enc.T, "b_enc": affine.b_enc, "W_dec": affine.w_dec, "b_dec": affine.b_dec}
    return said, held | ({"threshold": affine.threshold} if said["architecture"] == "jumprelu" else {})


def _to_sparsify(affine: Affine) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if affine.kind != "topk":
        raise ValueError(f"sparsify has no dictionary of kind {affine.kind}, only topk")
    m, d = affine.w_enc.shape
    unit = affine.one_length() and abs(affine.lengths()[0] - 1) < 1e-4
    said = {"activation": "topk", "expansion_factor": max(m // d, 1), "normalize_decoder": bool(unit)}
    said |= {"num_latents": m, "k": affine.k, "multi_topk": False, "skip_connection": False}
    held = {"encoder.weight": affine.w_enc, "encoder.bias": affine.b_enc}
    return said | {"transcode": False, "d_in": d}, held | {"W_dec": affine.w_dec, "b_dec": affine.b_dec}


def _to_dictionary_learning(affine: Affine) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    names = {"topk": "AutoEncoderTopK", "batchtopk": "BatchTopKSAE", "matryoshka": "MatryoshkaBatchTopKSAE",
             "jumprelu": "JumpReluAutoEncoder", "relu": "AutoEncoderNew"}  # fmt: skip
    m, d = affine.w_enc.shape
    said = {"dict_class": names[affine.kind], "activation_dim": d, "dict_size": m, "k": affine.k}
    unshifted = affine.b_enc - affine.w_enc @ affine.b_dec  # for encoders that take x as it is
    by_layers = {"encoder.weight": affine.w_enc, "decoder.weight": affine.w_dec.T}
    by_matrices = {"W_enc": affine.w_enc.T, "W_dec": affine.w_dec, "b_dec": affine.b_dec}
    number = {"k": np.asarray(affine.k, np.int32)}
    if affine.kind == "topk":  # -1: not estimated
        held = by_layers | {
            "encoder.bias": affine.b_enc,
            "b_dec": affine.b_dec,
            "threshold": np.asarray(-1.0),
        }
    elif affine.kind == "batchtopk":
        held = by_layers | {
            "encoder.bias": affine.b_enc,
            "b_dec": affine.b_dec,
            "threshold": affine.threshold[0],
        }
    elif affine.kind == "matryoshka":
        ends = sorted({max(round(share * m), 1) for share in SHARES})
        sizes = np.array([stop - start for start, stop in itertools.pairwise([0, *ends])])
        held = by_matrices | {"b_enc": affine.b_enc, "threshold": affine.threshold[0], "group_sizes": sizes}
    elif affine.kind == "jumprelu":
        held, number = by_matrices | {"b_enc": unshifted, "threshold": affine.threshold}, {}
    else:
        held, number = by_layers | {"encoder.bias": unshifted, "decoder.bias": affine.b_dec}, {}
    return {"trainer": said}, held | number


Reader = Callable[[dict[str, Any], dict[str, np.ndarray], int | None], Affine]
READERS: dict[str, Reader] = {
    "saelens": _from_saelens,
    "sparsify": _from_sparsify,
    "dictionary_learning": _from_dictionary_learning,
}
WRITERS = {
    "saelens": _to_saelens,
    "sparsify": _to_sparsify,
    "dictionary_learning": _to_dictionary_learning,
}
