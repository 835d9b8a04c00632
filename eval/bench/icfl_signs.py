"""How much of ICFL's codes is negative, and what does making them non-negative cost?

``AUTOINTERP_DATA=FOLDER python -m eval.bench.icfl_signs`` fits ICFL dictionaries to principal components of sorted
blood cells on explain rows and writes results/icfl_signs.csv: on test, the FVU in preprocessed space of the signed
codes that training descends with, of these with negative values left out, and of the codes that `encode` gives; the
share of coefficients, of mass and of items that are negative; and the share of twin latents for negative coefficients
that would fire on no explain row. Two minutes.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from eval.bench.dead_latents import Embedded, blood_cells
from sae import DictionaryConfig, fit
from sae.icfl import ICFL

OUT = Path(__file__).parent / "results" / "icfl_signs.csv"
SIZES = ((128, 8), (256, 8), (512, 16), (512, 25))  # m, k; k is at most d / 2 = 25
SPACES: dict[str, dict[str, Any]] = {
    "whiten, unit norm": {},
    "global": {"scaling": "global", "unit_norm": False},
}
SEEDS = (0, 1, 2)


def measured(embedded: Embedded, m: int, k: int, space: str, seed: int) -> dict[str, Any]:
    x, split = embedded.x, embedded.split
    config = DictionaryConfig(d=x.shape[1], m=m, k=k, kind="icfl", seed=seed, **SPACES[space])
    fitted = fit(x, config, rows=split.rows("explain"))
    dictionary = fitted.dictionary
    assert isinstance(dictionary, ICFL)
    test = x[split.rows("test")]
    signed, on_explain = _signed(dictionary, test), _signed(dictionary, x[split.rows("explain")])
    codes = dictionary.encode(test)
    given = np.zeros_like(signed)
    np.put_along_axis(given, codes.indices, codes.values, 1)
    return {
        "space": space,
        "m": m,
        "k": k,
        "seed": seed,
        "negative_coefficients": (signed < 0).sum() / (signed != 0).sum(),
        "negative_mass": -signed[signed < 0].sum() / np.abs(signed).sum(),
        "items_with_negative": (signed < 0).any(1).mean(),
        "fvu_signed": _fvu(dictionary, test, signed),
        "fvu_left_out": _fvu(dictionary, test, np.maximum(signed, 0)),
        "fvu_given": _fvu(dictionary, test, given),
        "dead": fitted.quality["dead_share"],
        "dead_twins": 1 - (on_explain < 0).any(0).mean(),
    }


def _signed(dictionary: ICFL, x: np.ndarray) -> np.ndarray:
    """Σ z_t of each item, dense (b, m)."""
    picked, values = dictionary.signed(dictionary.preprocessing.forward(torch.from_numpy(x)))
    return values.new_zeros(len(x), dictionary.config.m).scatter_add_(1, picked, values).numpy()


def _fvu(dictionary: ICFL, x: np.ndarray, codes: np.ndarray) -> float:
    scaled = dictionary.preprocessing.forward(torch.from_numpy(x)).numpy()
    missed = scaled - codes @ dictionary.w_dec - dictionary.bias.numpy()
    return float((missed**2).sum() / ((scaled - scaled.mean(0)) ** 2).sum())


def main() -> None:
    folder = os.environ.get("AUTOINTERP_DATA")
    if not folder:
        print("skipped: set AUTOINTERP_DATA to the folder that holds pbmc_facs_zheng")
        return
    rows = []
    for seed in SEEDS:
        embedded = blood_cells(Path(folder), seed)
        for space, (m, k) in itertools.product(SPACES, SIZES):
            rows.append(measured(embedded, m, k, space, seed))
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows).sort_values(["space", "m", "k", "seed"])
    table.to_csv(OUT, index=False, float_format="%.4g", lineterminator="\n")


if __name__ == "__main__":
    main()
