"""How many latents never fire on real cells and crops at the default size, and how good is what the others say?

``AUTOINTERP_DATA=FOLDER python -m eval.bench.dead_latents [KIND …]`` fits dictionaries of the default size and training
to principal components of sorted blood cells and to measured features of blood smear crops, on explain rows alone, and
writes results/dead_latents.csv. Dead: fires on none of the rows it was fitted on (protocols, section 7). Coverage and
selectivity are chosen on develop, all quality reported on test.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from autointerp.corpus.cells import CellCorpus
from autointerp.evidence.splits import Split, split_items
from eval.crop_features import crop_features
from sae import DictionaryConfig, default_size, fit, quality
from sae.metrics.concepts import best_selectivity
from sae.metrics.coverage import coverage
from sae.metrics.distinctness import distinctness
from sae.metrics.inputs import from_codes, one_hot

OUT = Path(__file__).parent / "results" / "dead_latents.csv"
SEEDS = (0, 1, 2)  # of split and dictionary
KINDS = ("topk", "icfl")  # eval.dictionaries has them all
KEY = ["data", "kind", "seed"]


class Embedded(NamedTuple):
    """x (n, d) float32, its split, and the concept of each item (n,) str."""

    x: np.ndarray
    split: Split
    concept: np.ndarray


def blood_cells(data: Path, seed: int) -> Embedded:
    """50 principal components of 3,774 cells of ten sorted types, computed on explain as a run does."""
    corpus = CellCorpus(
        str(data / "pbmc_facs_zheng" / "pbmc_facs.h5ad"), embedding="pca", category="celltype"
    )
    split = split_items(len(corpus), corpus.groups, seed)
    corpus.fit_on(split.rows("explain"))
    return Embedded(np.asarray(corpus.embeddings), split, corpus.obs["celltype"].astype(str).to_numpy())


def smear_crops(data: Path, seed: int) -> Embedded:
    """90 measured features of 1,433 crops, standardized on explain; whole source images are held out."""
    held = np.load(data / "bccd_blood_cells" / "bccd_crops_48px.npz")
    features = crop_features(held["images"]).astype(np.float64)
    split = split_items(len(features), held["source_image"].astype(str), seed)
    explain = features[split.rows("explain")]
    spread = explain.std(0)
    x = (features - explain.mean(0)) / np.where(spread > 0, spread, 1.0)
    return Embedded(x.astype(np.float32), split, held["labels"].astype(str))


def measured(embedded: Embedded, kind: str, seed: int, **training: Any) -> dict[str, Any]:
    """One row of the table."""
    x, (explain, develop, test) = (
        embedded.x,
        [embedded.split.rows(name) for name in ("explain", "develop", "test")],
    )
    size = default_size(*x.shape)
    config = DictionaryConfig(d=x.shape[1], m=size.m, k=size.k, kind=kind, seed=seed, **training)
    started = time.perf_counter()
    fitted = fit(x, config, rows=explain)
    seconds = time.perf_counter() - started
    codes = from_codes(fitted.dictionary.encode(x), size.m)
    concepts = one_hot(embedded.concept)
    selective = best_selectivity(codes, concepts, develop, test)
    tested = quality(fitted.dictionary, x, test)
    return {
        "kind": kind,
        "seed": seed,
        "m": size.m,
        "k": size.k,
        "n_explain": len(explain),
        "dead_share": fitted.quality["dead_share"],
        "fvu": tested["fvu"],
        "l0": tested["l0"],
        "coverage": coverage(codes, concepts, develop, test)["f1"].mean(),
        "selectivity": selective.loc[selective["kind"] == "average", "value"].mean(),
        "distinctness": float(distinctness(codes[test])["distinctness"].iloc[0]),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    folder = os.environ.get("AUTOINTERP_DATA")
    if not folder:
        print("skipped: set AUTOINTERP_DATA to the folder that holds pbmc_facs_zheng and bccd_blood_cells")
        return
    kinds = sys.argv[1:] or list(KINDS)
    for seed in SEEDS:
        for name, read in (("pbmc_facs PCA", blood_cells), ("bccd features", smear_crops)):
            embedded = read(Path(folder), seed)
            for kind in kinds:
                row = {"data": name} | measured(embedded, kind, seed)
                print(row, flush=True)
                _keep(row)


def _keep(row: dict[str, Any]) -> None:
    """Write one row into the table, in place of the one with its key."""
    added = pd.DataFrame([row])
    if OUT.exists():
        held = pd.read_csv(OUT)
        same = (held[KEY].astype(str) == added[KEY].astype(str).iloc[0]).all(axis=1)
        added = pd.concat([held[~same], added])
    added.sort_values(KEY).to_csv(OUT, index=False, float_format="%.4g", lineterminator="\n")


if __name__ == "__main__":
    main()
