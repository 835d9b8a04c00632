"""How far can latents of sorted blood cells be turned before cells leave the data? Which σ each readout reaches.

``AUTOINTERP_DATA=FOLDER python -m eval.bench.intervention_reach`` fits the default dictionary to pbmc_facs_zheng and
turns a seeded sample of 24 explainable latents up on 120 develop cells, as ``autointerp intervene`` does: genes read
from nearest cells, classes by the kernel and by a logistic head. Writes ../results/pbmc_intervention_reach.csv, a row a
readout and σ: the share of latents that reach it with 80 % of the cells on the data, and for scale the σ between the
readings of two develop cells drawn at random, of one type and of two (medians). ``quality``: of the readout on develop.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from autointerp.config import RunConfig
from autointerp.intervene.report import Asked, workbench
from autointerp.intervene.strength import divergence
from autointerp.intervene.workbench import Items, Workbench
from autointerp.prepare import Prepared

OUT = Path(__file__).parents[1] / "results" / "pbmc_intervention_reach.csv"
SIGMAS = (0.01, 0.03, 0.1, 0.3)
LATENTS, PAIRS, EDITED = 24, 400, 120
READOUTS: tuple[tuple[Literal["genes", "classes"], Literal["logistic", "kernel"]], ...] = (
    ("genes", "kernel"),
    ("classes", "kernel"),
    ("classes", "logistic"),
)


def between_cells(bench: Workbench, kinds: np.ndarray, same: bool) -> float:
    """Median KL between the readings of two develop cells of one type, or of two."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(len(kinds), size=(2, 20 * PAIRS))
    kept = np.flatnonzero((a != b) & ((kinds[a] == kinds[b]) == same))[:PAIRS]
    assert bench.main.proportions is not None
    shares = bench.main.proportions(bench.main.read(bench.develop.x))
    return float(np.median(divergence(shares[a[kept]], shares[b[kept]])))


def measured(prepared: Prepared) -> pd.DataFrame:
    """A row a readout and σ."""
    kinds = prepared.corpus.obs["celltype"].astype(str).to_numpy(dtype=str)
    rows: list[dict[str, Any]] = []
    for readout, head in READOUTS:
        bench, _ = workbench(prepared, Asked(-1, readout=readout, class_head=head, alone=True))
        some = np.sort(np.random.default_rng(0).permutation(len(bench.develop.rows))[:EDITED])
        bench.develop = Items(bench.develop.rows[some], bench.develop.x[some])
        own = kinds[bench.develop.rows]
        told = {
            "readout": readout, "read_by": head, "quality": bench.main.quality.value,
            "one_type": between_cells(bench, own, True), "two_types": between_cells(bench, own, False),
        }  # fmt: skip
        found = {s: [bench.strength(latent, s) for latent in prepared.chosen] for s in SIGMAS}
        for sigma, strengths in found.items():
            share = np.mean([one.reachable for one in strengths])
            rows.append(told | {"sigma": sigma, "n_latents": len(strengths), "reached": float(share)})
            print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    folder = os.environ.get("AUTOINTERP_DATA")
    if not folder:
        print("skipped: set AUTOINTERP_DATA to the folder that holds pbmc_facs_zheng/pbmc_facs.h5ad")
        return
    data = Path(folder) / "pbmc_facs_zheng" / "pbmc_facs.h5ad"
    config = RunConfig(data=data, embedding="pca", category="celltype", max_latents=LATENTS)
    with threadpool_limits(1):
        table = measured(Prepared(config))
    table.to_csv(OUT, index=False, float_format="%.4g", lineterminator="\n")


if __name__ == "__main__":
    main()
