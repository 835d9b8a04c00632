"""Is a contrast's null right where items come in groups? Latents that mean nothing, by two ways of permuting.

``AUTOINTERP_DATA=FOLDER python -m eval.contrast_null`` takes the latents of drug profiles (groups are compounds), of
planted cells and of a glioblastoma (groups are donors) as they are, dealt anew among groups, and permuted freely, and
counts those with any feature above the null: of `contrast_all`, which gives the activations of each group to another,
and of permutations within groups. Writes results/contrast_null.csv beside this file.
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

from autointerp.config import RunConfig
from autointerp.evidence import contrast
from autointerp.prepare import Prepared

ROOT = Path(__file__).resolve().parents[1]
OUT = Path(__file__).parent / "results" / "contrast_null.csv"
MANY = sys.maxsize


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


def measured(name: str, prepared: Prepared) -> Iterator[dict[str, Any]]:
    rows = prepared.contrast_rows
    active, groups = prepared.activations.binary(rows), prepared.corpus.groups[rows]
    latents = np.array([latent for latent, reason in enumerate(prepared.reasons) if not reason])
    rng, parts = np.random.default_rng(5), np.zeros(len(rows), np.int64)
    codes = np.unique(groups, return_inverse=True)[1]
    dealt = {
        "as they are": np.arange(len(rows)),
        "dealt among groups": contrast._dealt(parts, codes, rng),
        "permuted freely": rng.permutation(len(rows)),
    }
    for what, order in dealt.items():
        row: dict[str, Any] = {"data": name, "items": len(rows), "groups": int(codes.max()) + 1}
        row |= {"latents": len(latents), "activations": what}
        for null, least in (("among groups", contrast.LEAST_GROUPS), ("within groups", MANY)):
            with patch.object(contrast, "LEAST_GROUPS", least):
                made = contrast.contrast_all(
                    prepared.corpus, rows, active[order], None, "all silent", groups, 0
                )
            told = (np.abs(made.up_figures[latents, :, 0]) > made.null[latents, None]).any(1)
            row[f"told_null_{null.replace(' ', '_')}"] = round(float(told.mean()), 3)
        yield row


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
