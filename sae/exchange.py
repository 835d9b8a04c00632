"""What do dictionaries of all libraries have in common? An affine encoder, a rule, an affine decoder.

    a = rule((x − b_dec) @ w_encᵀ + b_enc)        x̂ = a @ w_dec + b_dec

Ours become that by folding the preprocessing in, and are made from it without preprocessing, but for one scale.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from .config import DictionaryConfig
from .dictionaries import TopK
from .kinds import KINDS
from .preprocess import Preprocessing

LIKE_RELU = ("relu", "relu_tied", "p_anneal")
RULES = ("topk", "batchtopk", "matryoshka", "jumprelu", *LIKE_RELU)
SAME_LENGTH = 5e-3  # decoder rows that differ by less have one length: bfloat16 rounds unit rows to 1 ± 0.004


@dataclass(frozen=True)
class Affine:
    """A dictionary on embeddings as they are, float64.

    kind : ``topk``, ``batchtopk``, ``matryoshka``, ``jumprelu`` or ``relu``
    k : active latents per item; their mean where it varies
    w_enc, w_dec : (m, d);  b_enc : (m,);  b_dec : (d,), subtracted before and added after
    threshold : (m,), 0 for topk and relu; a latent is active where its pre-activation is above it
    """

    kind: str
    k: int
    w_enc: np.ndarray
    b_enc: np.ndarray
    w_dec: np.ndarray
    b_dec: np.ndarray
    threshold: np.ndarray

    def lengths(self) -> np.ndarray:
        """(m,) of the decoder's rows."""
        return np.linalg.norm(self.w_dec, axis=1)

    def one_length(self) -> bool:
        """Whether all decoder rows are of the same length."""
        lengths = self.lengths()
        return bool(np.ptp(lengths) <= SAME_LENGTH * lengths.mean())

    def folded(self) -> Affine:
        """The same reconstructions from decoder rows of length 1: activations times the length of their row.

        For TopK it picks other latents where lengths differ.
        """
        n = self.lengths()
        return dataclasses.replace(
            self,
            w_enc=self.w_enc * n[:, None],
            b_enc=self.b_enc * n,
            w_dec=self.w_dec / n[:, None],
            threshold=self.threshold * n,
        )


def to_affine(dictionary: TopK) -> Affine:
    """A dictionary with its preprocessing folded in; the codes of x stay what they are.

    ``ValueError`` where that is impossible: unit norm is not affine, ICFL and the baselines have no such encoder.
    """
    config, preprocessing = dictionary.config, dictionary.preprocessing
    kind = "topk" if config.kind == "random" else config.kind
    if kind not in RULES:
        raise ValueError(
            f"a dictionary of kind {config.kind} has no counterpart there; known are {', '.join(RULES)}"
        )
    if config.unit_norm:
        raise ValueError(
            "a dictionary that divides items by their norm cannot be written so: fit it with unit_norm=False"
        )
    held = {name: values.astype(np.float64) for name, values in dictionary.weights().items()}
    encoder, decoder = held.get("encoder", held["decoder"]), held["decoder"]
    if preprocessing.whitening is None:
        w_enc, w_dec, shift = encoder / held["scale"], decoder * held["scale"], held["bias"] * held["scale"]
    else:
        back = held["unwhitening"]  # (p, d)
        w_enc, w_dec, shift = encoder @ held["whitening"].T, decoder @ back, held["bias"] @ back
    threshold = np.zeros(config.m)
    if "threshold" in held:
        threshold += held["threshold"]
    elif "log_threshold" in held:
        threshold = np.exp(held["log_threshold"])
    said = "relu" if kind in LIKE_RELU else kind
    b_dec = held["center"] + shift
    return Affine(said, config.k, w_enc, held["encoder_bias"], w_dec, b_dec, threshold)


def from_affine(affine: Affine) -> TopK:
    """A dictionary of ours with the same codes, where decoder rows have one length; else those of `Affine.folded`.

    ``ValueError`` for a TopK whose rows differ in length, since folding them in would pick other latents, for a row of
    length 0, and for numbers that are not finite.
    """
    arrays = (affine.w_enc, affine.b_enc, affine.w_dec, affine.b_dec, affine.threshold)
    if not all(np.isfinite(values).all() for values in arrays):
        raise ValueError("weights must be finite numbers")
    lengths = affine.lengths()
    if not lengths.all():
        raise ValueError(
            f"the decoder row of latent {int(np.argmin(lengths))} has length 0: it has no direction"
        )
    scale = float(lengths.mean())
    if abs(scale - 1) < SAME_LENGTH / 10:
        scale = 1.0
    if not affine.one_length():
        if affine.kind == "topk":
            raise ValueError(
                f"decoder rows of a TopK must be of one length, got {lengths.min():.3g} to {lengths.max():.3g}: "
                "dividing by them would pick other latents"
            )
        affine, scale = affine.folded(), 1.0
    m, d = affine.w_enc.shape
    kind = (
        "jumprelu" if affine.kind in ("batchtopk", "matryoshka") and np.ptp(affine.threshold) else affine.kind
    )
    method = "none" if scale == 1 else "global"
    config = DictionaryConfig(d=d, m=m, k=affine.k, kind=kind, scaling=method, center="none", unit_norm=False)  # type: ignore[arg-type]
    zeros, ones = torch.zeros(d), torch.ones(d)
    made = KINDS[kind](config, Preprocessing(zeros, ones * scale, config.scaling or "none"))
    unit = affine.w_dec / np.linalg.norm(affine.w_dec, axis=1, keepdims=True)
    held = {
        "encoder": affine.w_enc * scale,
        "encoder_bias": affine.b_enc,
        "decoder": unit,
        "bias": affine.b_dec / scale,
    }
    smallest = np.finfo(np.float32).tiny  # a threshold of 0 or less lets through what is above 0
    if kind == "jumprelu":
        held["log_threshold"] = np.log(np.maximum(affine.threshold, smallest))
    elif kind in ("batchtopk", "matryoshka"):
        held["threshold"] = np.maximum(affine.threshold[:1], 0)
    elif kind == "relu":
        held["l1"] = np.zeros(1)
    made.load_state_dict({name: torch.from_numpy(values.astype(np.float32)) for name, values in held.items()})
    return made.requires_grad_(False)
