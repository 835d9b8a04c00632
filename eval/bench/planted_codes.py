"""Do the kinds of dictionary find planted directions, do they absorb, and what does whitening gain?

``python -m eval.bench.planted_codes [recovery|absorption|whitening] [KIND …]`` fits dictionaries to the designs of
`eval.planted.codes` with default training settings, save fewer steps, and writes results/planted_codes.csv,
planted_absorption.csv and planted_whitening.csv. Rows that are measured again replace those of the same name. Several
minutes a kind.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from eval.planted.codes import PlantedCodes, mean_max_cosine, planted_codes
from sae import DictionaryConfig, fit
from sae.metrics.absorption import absorption, main_latents
from sae.metrics.inputs import from_codes
from sae.metrics.probing import probe_directions

HERE = Path(__file__).parent / "results"
PARTS = ("recovery", "absorption", "whitening")
KINDS = ("topk", "batchtopk", "matryoshka", "jumprelu", "icfl", "relu", "relu_tied")
SEEDS = (0, 1, 2)
RATIOS = (2, 4)  # latents over true directions
STEPS = 1500  # half of the default, to be done in minutes; recovery is a little below that of all steps
NESTED_KINDS = ("topk", "batchtopk", "matryoshka")


def recovery(kind: str, ratio: int, seed: int, planted: PlantedCodes, **training: Any) -> dict[str, Any]:
    """Fit one dictionary at the true mean L0: mean max cosine of true directions to learned ones, and quality.

    Learned directions are those in the space of the embedding, whatever preprocessing a kind has by default.
    """
    t, d = planted.atoms.shape
    config = DictionaryConfig(d=d, m=ratio * t, k=round(planted.l0), kind=kind, seed=seed, **training)
    started = time.perf_counter()
    fitted = fit(planted.x, config)
    directions = embedding_directions(fitted.dictionary)
    return {
        "kind": kind,
        "ratio": ratio,
        "seed": seed,
        "m": config.m,
        "k": config.k,
        "mean_max_cosine": mean_max_cosine(planted.atoms, directions),
        "found_share": float(((planted.atoms @ directions.T).max(1) > 0.9).mean()),
        **{name: fitted.quality[name] for name in ("dead_share", "fvu", "l0")},
        "steps": fitted.dictionary.config.steps,
        "seconds": round(time.perf_counter() - started),
    }


def absorbed(kind: str, seed: int, planted: PlantedCodes, **training: Any) -> dict[str, Any]:
    """Mean absorption rate of the parents in the nested design, their main latent the best one alone.

    As many latents as true directions. Fitted on the first half of the items; main latents chosen on the next
    quarter, rates on the last. Of kind ``truth``, the true codes and directions take the dictionary's place.
    """
    n, d = planted.x.shape
    t = len(planted.atoms)
    train, choose, test = np.arange(n // 2), np.arange(n // 2, 3 * n // 4), np.arange(3 * n // 4, n)
    parents = np.unique(planted.parent[planted.parent >= 0])
    concepts = {f"parent {i}": planted.codes[:, i] > 0 for i in parents}
    made: dict[str, Any] = {"kind": kind, "seed": seed}
    if kind == "truth":
        codes: Any = planted.codes
        space, decoder, found = planted.x, planted.atoms, {"l0": planted.l0, "fvu": np.nan}
    else:
        config = DictionaryConfig(d=d, m=t, k=round(planted.l0), kind=kind, seed=seed, **training)
        fitted = fit(planted.x, config, rows=train)
        dictionary, found = fitted.dictionary, fitted.quality
        codes = from_codes(dictionary.encode(planted.x), config.m)
        scaled = dictionary.preprocessing.forward(torch.from_numpy(planted.x)) - dictionary.bias
        space, decoder = scaled.numpy(), dictionary.w_dec
    main = main_latents(codes, concepts, train, choose, most=1)
    probes = probe_directions(space, concepts, train)
    rates = absorption(codes, space, decoder, concepts, main, probes, test)
    return {
        **made,
        "absorption": float(rates["rate"].mean()),
        "silent": float((rates["n_silent"] / rates["n"]).mean()),
        "measured": int(rates["rate"].count()),
        "mean_max_cosine": mean_max_cosine(planted.atoms, decoder),
        **{name: found[name] for name in ("fvu", "l0")},
    }


def whitened(scaling: str, seed: int, planted: PlantedCodes, **training: Any) -> dict[str, Any]:
    """TopK at twice the truth under anisotropic noise; directions are compared in the embedding's space.

    All rows are trained on, controls too; only whitening is told which these are.
    """
    t, d = planted.atoms.shape
    config = DictionaryConfig(d=d, m=2 * t, k=round(planted.l0), scaling=scaling, seed=seed, **training)  # type: ignore[arg-type]
    controls = np.flatnonzero(planted.controls) if scaling == "whiten" else None
    fitted = fit(planted.x, config, controls=controls)
    directions = embedding_directions(fitted.dictionary)
    return {
        "scaling": scaling,
        "seed": seed,
        "m": config.m,
        "k": config.k,
        "mean_max_cosine": mean_max_cosine(planted.atoms, directions),
        "found_share": float(((planted.atoms @ directions.T).max(1) > 0.9).mean()),
        **{name: fitted.quality[name] for name in ("dead_share", "fvu", "fvu_scaled")},
    }


def embedding_directions(dictionary: Any) -> np.ndarray:
    """(m, d), unit rows: where an edit along each latent moves an embedding."""
    origin = np.zeros((1, dictionary.config.d))
    moves = np.concatenate(
        [dictionary.edit(origin, latent, 1.0) - origin for latent in range(dictionary.config.m)]
    )
    return np.asarray(moves / np.linalg.norm(moves, axis=1, keepdims=True))


def main() -> None:
    asked = sys.argv[1:]
    parts = [part for part in asked if part in PARTS] or list(PARTS)
    kinds = [kind for kind in asked if kind not in PARTS]
    if "recovery" in parts:
        for ratio, seed, kind in itertools.product(RATIOS, SEEDS, kinds or KINDS):
            row = recovery(kind, ratio, seed, planted_codes("sparse", seed), steps=STEPS)
            _keep("planted_codes", ["kind", "ratio", "seed"], row)
    if "absorption" in parts:
        for seed, kind in itertools.product(SEEDS, ("truth", *(kinds or NESTED_KINDS))):
            _keep("planted_absorption", ["kind", "seed"], absorbed(kind, seed, planted_codes("nested", seed)))
    if "whitening" in parts:
        for seed, scaling in itertools.product(SEEDS, ("global", "whiten")):
            row = whitened(scaling, seed, planted_codes("anisotropic", seed), steps=STEPS)
            _keep("planted_whitening", ["scaling", "seed"], row)


def _keep(name: str, key: list[str], row: dict[str, Any]) -> None:
    """Write one row into a table, in place of one with the same key, the table sorted by key."""
    path = HERE / f"{name}.csv"
    print(row, flush=True)
    added = pd.DataFrame([row])
    if path.exists():
        held = pd.read_csv(path)
        same = (held[key].astype(str) == added[key].astype(str).iloc[0]).all(axis=1)
        added = pd.concat([held[~same], added])
    added.sort_values(key).to_csv(path, index=False, float_format="%.4g", lineterminator="\n")


if __name__ == "__main__":
    main()
