"""Is a latent of batch, depth or damage called one by the covariates that its label writer is told?

``python -m eval.planted_covariates --seeds 1,2,3,4,5`` draws one full planted corpus a seed, splits it by donor, and
asks for the covariate evidence of two kinds of activations, from explain cells alone:

- ``planted``: the activity of the 43 factors themselves;
- ``topk``: of a dictionary of the default size, fitted on principal components of the explain cells, for each factor
  the latent whose firing has the highest F1 with it there; a factor that none has with 0.5 is ``not found``.

A covariate is named by ``autointerp.evidence.technical.named_covariate``: the one of the largest share of variance, if
that is 0.05 or more. RIGHT says which is right for the factors that are confounded with batch, technical, or phases of
the cell cycle; for all others it is right to name none. The rule's bins and threshold were set on the planted activity
of seed 0, which is not among the seeds here.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from autointerp.config import RunConfig
from autointerp.evidence.technical import named_covariate
from autointerp.prepare import Prepared
from autointerp.score.intervals import wilson
from eval.planted import FULL, PlantedCells, load_params, planted_cells

OUT = Path(__file__).parent / "results" / "planted_covariates.csv"
RIGHT = {
    "immediate_early": ("batch",), "heat_shock": ("batch",),
    "metallothionein": ("batch",), "glucocorticoid": ("batch",),
    "low_depth": ("total counts", "genes detected"), "mito": ("% mitochondrial",), "ambient": ("% hemoglobin",),
    "doublet": ("total counts", "genes detected"),
    "s_phase": ("S phase score",), "g2m": ("G2M phase score",),
}  # fmt: skip
GATED = ("batch", "technical")  # families
TARGET = 0.9
LEAST_F1 = 0.5
COLUMNS = ("seed", "activations", "factor", "family", "f1", "named", "share", "second", "right", "is_right")
FINDING, TABLES = "## What it says", "## How often the right covariate is named"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, measure, write both tables."""
    parser = argparse.ArgumentParser(prog="python -m eval.planted_covariates")
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--n-cells", type=int, help="in place of the 12,000 of the parameters")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    found = []
    for seed in map(int, options.seeds.split(",")):
        params = load_params(FULL)
        params["cells"]["n_cells"] = options.n_cells or params["cells"]["n_cells"]
        cells = planted_cells(params, seed)
        with tempfile.TemporaryDirectory() as folder:
            found += [measured(cells, kind, seed, Path(folder)) for kind in ("planted", "topk")]
        part = found[-2:]
        print(f"seed {seed}: " + "; ".join(f"{p.activations[0]} {_gate(p)}" for p in part), flush=True)
    frame = pd.concat(found, ignore_index=True)
    frame.to_csv(options.out, index=False, float_format="%.4g", lineterminator="\n")
    write_markdown(frame, options.out.with_suffix(".md"))


def measured(cells: PlantedCells, kind: str, seed: int, folder: Path) -> pd.DataFrame:
    """A row a factor: the covariate that is named for it, its share, and the share of the next of another kind."""
    prepared = prepare(cells, kind, seed, folder)
    latents, f1 = matched(prepared, cells) if kind == "topk" else (np.arange(len(cells.factors)), None)
    rows = []
    for j, factor in enumerate(cells.factors):
        right = RIGHT.get(factor.name, ())
        row = {"seed": seed, "activations": kind, "factor": factor.name, "family": factor.family}
        row |= {"f1": 1.0 if f1 is None else f1[j], "right": " or ".join(right)}
        latent = int(latents[j])
        if f1 is not None and f1[j] < LEAST_F1:
            rows.append(row | {"named": "not found", "share": 0.0, "second": 0.0, "is_right": ""})
            continue
        if latent not in prepared.wider.place:
            named = f"not explainable: {prepared.reasons[latent]}"
            rows.append(row | {"named": named, "share": 0.0, "second": 0.0, "is_right": ""})
            continue
        told = prepared.evidence(latent, shown=0, wide=True).technical
        named = named_covariate(told) or ""
        share = {one.name: one.share or 0.0 for one in told}
        others = [s for name, s in share.items() if name not in (named, *right, "donor")]
        is_right = named in right if right else named == ""
        rows.append(row | {"named": named, "share": share.get(named, max(share.values())), "second": max(others),
                           "is_right": "yes" if is_right else "no"})  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def prepare(cells: PlantedCells, kind: str, seed: int, folder: Path) -> Prepared:
    """As a run with --group donor --covariates batch."""
    data = cells.adata.copy()
    if kind == "planted":
        data.obsm["planted"] = sparse.csr_matrix(cells.activity)
    config = RunConfig(
        data=folder / "planted.h5ad",
        embedding="pca",
        activations="planted" if kind == "planted" else None,
        group="donor",
        covariates=("batch",),
        seed=seed,
        threads=1,
    )
    prepared = Prepared(config, data=data)
    prepared.cache = folder / kind
    return prepared


def matched(prepared: Prepared, cells: PlantedCells) -> tuple[np.ndarray, np.ndarray]:
    """The latent (f,) of the highest F1 with each factor on explain, active against silent, and that F1 (f,)."""
    rows = prepared.split.rows("explain")
    fires = prepared.activations.binary(rows)  # (n, m)
    truth = (cells.activity[rows] > 0).astype(np.float32)  # (n, f)
    both = np.asarray(fires.T @ truth)  # (m, f)
    f1 = 2 * both / np.maximum(np.asarray(fires.sum(0)).reshape(-1, 1) + truth.sum(0), 1)
    return f1.argmax(0), f1.max(0)


def write_markdown(frame: pd.DataFrame, path: Path) -> None:
    """Write the tables; what stands under ``## What it says`` in the file is kept."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    kept = text.partition(FINDING)[2].partition(TABLES)[0].strip() or "Not written yet."
    lines = ["| activations | family | factors × seeds | found | named right | 95 % |", "|---" * 6 + "|"]
    for kind, part in frame.groupby("activations", sort=False):
        families = [(name, part[part.family == name]) for name in part.family.unique()]
        whole = [("batch and technical (the gate)", part[part.family.isin(GATED)])]
        whole += [("cell cycle", part[part.factor.isin(["s_phase", "g2m"])])]
        whole += [("all others: none is named", part[part.right == ""])]
        for name, rows in [*((n, r) for n, r in families if n in GATED), *whole]:
            asked = rows[rows.is_right != ""]
            n, k = len(asked), int((asked.is_right == "yes").sum())
            low, high = wilson(k, n) if n else (np.nan, np.nan)
            lines.append(
                f"| {kind} | {name} | {len(rows)} | {n} | {k / max(n, 1):.0%} | {low:.0%}–{high:.0%} |"
            )
    wrong = frame[frame.is_right == "no"]
    listed = [
        f"- {r.activations}, {r.factor}, seed {r.seed}: {r.named or 'none'} named ({r.share:.2f})"
        + (f" in place of {r.right}" if r.right else "")
        for r in wrong.itertuples()
    ]
    parts = [
        "# Covariates of planted batch and technical factors",
        "Made by `python -m eval.planted_covariates`, whose first lines say what is measured; every factor and seed is "
        f"in the CSV of the same name. {frame.seed.nunique()} corpora.",
        FINDING, kept, TABLES, "\n".join(lines),
        "## What is named wrong", "\n".join(listed) or "Nothing.",
    ]  # fmt: skip
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _gate(part: pd.DataFrame) -> str:
    asked = part[part.family.isin(GATED) & (part.is_right != "")]
    return f"{int((asked.is_right == 'yes').sum())} of {len(asked)}"


if __name__ == "__main__":
    main()
