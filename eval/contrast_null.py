"""Is a contrast's null right where items come in groups? Latents that mean nothing, above three kinds of null.

``AUTOINTERP_DATA=FOLDER python -m eval.contrast_null`` takes the latents of drug profiles (groups are compounds), of
planted cells and of a glioblastoma (groups are donors), and the same without meaning: permuted freely; with the rates
at which groups fire exchanged among groups; and on whole groups chosen at random. It counts those of them with any
feature above the null: of `contrast_all`, of permutations within groups alone, and of free permutations. Meaningless
latents are drawn five times. Writes results/contrast_null.csv beside this file.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy import sparse

from autointerp.config import RunConfig
from autointerp.evidence import chance
from autointerp.evidence.contrast import contrast_all
from autointerp.prepare import Prepared

ROOT = Path(__file__).resolve().parents[1]
OUT = Path(__file__).parent / "results" / "contrast_null.csv"
DRAWS = 5
TENTH = "a tenth on whole groups: of these"


def data_sets(data: Path, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    profiles = data / "bbbc021_dev" / "bbbc021_dev_feature_selected.csv.gz"
    yield "drug profiles, by compound", {
        "images": str(profiles), "group": "Metadata_Compound", "control": "Metadata_Compound=DMSO",
        "control_group": "Metadata_Plate", "scaling": "whiten", "center": "controls", "latents": 32, "k": 4,
    }  # fmt: skip
    planted = folder / "planted.h5ad"
    subprocess.run([sys.executable, "-m", "eval.planted.cells", "--out", str(planted)], check=True, cwd=ROOT)
    yield "planted cells, by donor", {"data": str(planted), "embedding": "X_pca", "group": "donor"}
    cells = data / "glioblastoma_panobinostat" / "glioblastoma_lemur.h5ad"
    yield "glioblastoma, by patient", {"data": str(cells), "embedding": "pca", "group": "patient_id"}


def meaningless(what: str, active: sparse.csr_matrix, codes: np.ndarray, rng: np.random.Generator) -> Any:
    """(n, m) CSR of ones, of about as many a latent."""
    n, m = active.shape
    if what == "permuted freely":
        return active[rng.permutation(n)]
    sizes = np.bincount(codes)
    is_of = sparse.csr_matrix((np.ones(n), (np.arange(n), codes)))
    counts = (active.T @ is_of).toarray()  # (m, g)
    made = np.zeros((n, m), np.float32)
    for latent in range(m):
        order = rng.permutation(len(sizes))
        if what == "rates of groups exchanged":
            made[:, latent] = rng.random(n) < (counts[latent] / sizes)[order][codes]
        else:
            enough = int(np.searchsorted(np.cumsum(sizes[order]), max(counts[latent].sum(), 1))) + 1
            made[:, latent] = np.isin(codes, order[:enough])
    return sparse.csr_matrix(made)


def told(prepared: Prepared, active: Any, groups: np.ndarray | None, latents: np.ndarray) -> float:
    """Share of the latents with a feature above the null on either side."""
    made = contrast_all(prepared.corpus, prepared.contrast_rows, active, None, "all silent", groups, 0)
    null = made.null[latents, None]
    up = (made.up[latents] >= 0) & (made.up_figures[latents, :, 0] > null)
    down = (made.down[latents] >= 0) & (-made.down_figures[latents, :, 0] > null)
    return float((up.any(1) | down.any(1)).mean())


def measured(name: str, prepared: Prepared) -> Iterator[dict[str, Any]]:
    rows = prepared.contrast_rows
    active, groups = prepared.activations.binary(rows), prepared.corpus.groups[rows]
    latents = np.array([latent for latent, reason in enumerate(prepared.reasons) if not reason])
    codes = np.unique(groups, return_inverse=True)[1]
    for what in ("as they are", "permuted freely", "rates of groups exchanged", "whole groups", TENTH):
        asked = latents[::10] if what == TENTH else latents
        found: dict[str, list[float]] = {"by_groups": [], "within_groups": [], "free": []}
        for seed in range(1 if what == "as they are" else DRAWS):
            rng = np.random.default_rng([seed, len(what)])
            drawn = active if what == "as they are" else meaningless(what, active, codes, rng)
            if what == TENTH:
                drawn = meaningless("permuted freely", active, codes, rng).tolil()
                drawn[:, asked] = meaningless("whole groups", active[:, asked], codes, rng)
                drawn = drawn.tocsr()
            found["by_groups"].append(told(prepared, drawn, groups, asked))
            with patch.object(chance, "LEAST_GROUPS", sys.maxsize):
                found["within_groups"].append(told(prepared, drawn, groups, asked))
            found["free"].append(told(prepared, drawn, None, asked))
        row: dict[str, Any] = {"data": name, "items": len(rows), "groups": len(np.unique(codes))}
        row |= {"latents": len(asked), "activations": what, "draws": len(found["free"])}
        yield row | {f"told_null_{null}": round(float(np.mean(of)), 3) for null, of in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    if not os.environ.get("AUTOINTERP_DATA"):
        sys.exit("set AUTOINTERP_DATA to the folder that holds the data sets")
    data, out = Path(os.environ["AUTOINTERP_DATA"]).resolve(), args.out.resolve()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the cache goes there
        for name, given in data_sets(data, Path(folder)):
            prepared = Prepared(RunConfig(**given, out=Path(folder) / "run", threads=1))
            for row in measured(name, prepared):
                found.append(row)
                print(row, flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    print(out)


if __name__ == "__main__":
    main()
