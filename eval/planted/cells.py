"""How does one run autointerp on the planted cells? This writes them as a user's data, and the truth beside them.

``python -m eval.planted.cells --out planted.h5ad`` writes, with the same stem,

======================  ==========================================================================================
planted.h5ad            raw counts; obs donor, batch; obsm X_pca, X_mlp, X_autoencoder: nothing of the truth
planted_truth.npz       activations (n, f): the oracle latents, for ``--activations``; factors (f,), effects (f, g),
                        genes (g,), cell_type (n,)
planted_oracle.csv      the oracle label of every factor, for ``--explainer file:…``
planted_labels.json     all graded labels, with what they mean (labels.py)
planted_decoder.safetensors  the autoencoder's decoder (autoencoder.load_decoder)
======================  ==========================================================================================
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np

from eval.planted.counts import FULL, SMALL, PlantedCells, load_params, planted_cells
from eval.planted.embeddings import add_embeddings, explain_rows, log_normalized

SIGN = {"up": "+", "down": "-"}


def write(cells: PlantedCells, out: Path) -> list[Path]:
    """Write data, truth and labels; obs holds donor and batch only. Gives the files' paths."""
    data = cells.adata.copy()
    data.obs = data.obs[["donor", "batch"]]
    truth, oracle, graded = (
        out.with_name(out.stem + end) for end in ("_truth.npz", "_oracle.csv", "_labels.json")
    )
    data.write_h5ad(out)
    np.savez_compressed(
        truth,
        activations=cells.activity,
        factors=np.array([factor.name for factor in cells.factors]),
        effects=cells.effects,
        genes=np.array(data.var_names, dtype=str),
        cell_type=cells.adata.obs["cell_type"].to_numpy(dtype=str),
    )
    with oracle.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["latent", "title", "description", "kind", "key_features"])
        for latent, factor in enumerate(cells.factors):
            label = factor.oracle.label
            features = "; ".join(f.name + SIGN[f.direction] for f in label.key_features)
            writer.writerow([latent, label.title, label.description, label.kind, features])
    graded.write_text(json.dumps(labels_as_json(cells), indent=1, ensure_ascii=False), encoding="utf-8")
    return [out, truth, oracle, graded]


def labels_as_json(cells: PlantedCells) -> list[dict[str, object]]:
    """One entry a label: factor, latent, grade, title, description, up, down, meaning ``{all_of, any_of}`` or null."""
    return [
        {
            "factor": given.factor,
            "latent": given.label.latent,
            "grade": given.grade,
            "title": given.title,
            "description": given.description,
            "up": given.up,
            "down": given.down,
            "meaning": given.meaning and {"all_of": given.meaning.all_of, "any_of": given.meaning.any_of},
        }
        for factor in cells.factors
        for given in factor.labels
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out", type=Path, required=True, help="the .h5ad to write; the truth goes beside it"
    )
    parser.add_argument(
        "--params", type=Path, default=FULL, help=f"parameter file; the small corpus is {SMALL.name}"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-cells", type=int, help="in place of the parameters' n_cells")
    given = parser.parse_args()
    params = load_params(given.params if given.params.exists() else FULL.parent / given.params.name)
    if given.n_cells:
        params["cells"]["n_cells"] = given.n_cells
    began = time.perf_counter()
    cells = planted_cells(params, given.seed)
    drawn = time.perf_counter()
    print(
        f"{cells.adata.n_obs} cells, {cells.adata.n_vars} genes, {len(cells.factors)} factors: {drawn - began:.1f} s"
    )
    rows = explain_rows(cells.adata, given.seed)
    network = add_embeddings(cells.adata, rows, given.seed)
    held_out = np.setdiff1d(np.arange(cells.adata.n_obs), rows)
    quality = network.quality(log_normalized(cells.adata), held_out)
    print(
        f"X_pca, X_mlp, X_autoencoder on {len(rows)} explain cells: {time.perf_counter() - drawn:.1f} s; the "
        f"autoencoder ({network.epochs} epochs) explains {quality['explained']:.3f} of the variance of held-out "
        f"cells, median correlation over genes {quality['gene_correlation']:.3f}"
    )
    given.out.parent.mkdir(parents=True, exist_ok=True)
    files = write(cells, given.out)
    decoder = given.out.with_name(given.out.stem + "_decoder.safetensors")
    network.save_decoder(decoder)
    for path in (*files, decoder):
        print(f"wrote {path}")
    print(
        f"next: autointerp run --data {files[0]} --embedding X_autoencoder --group donor --seed {given.seed}\n"
        f"or, with the factors as latents: … --activations {files[1]} --explainer file:{files[2]}"
    )


if __name__ == "__main__":
    main()
