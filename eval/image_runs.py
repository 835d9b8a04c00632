"""What do dictionaries on measured morphology hold? Blood cells in photos, and drug profiles on held-out compounds.

``AUTOINTERP_DATA=FOLDER python -m eval.image_runs`` runs the pipeline offline (labels by ``markers``, judged by
``signature``) and writes results/image_runs.csv and results/image_runs.md. Annotations are read here alone, after the
run: latents are chosen on explain and develop items, figures are from test.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.config import make_config
from autointerp.run import Run
from autointerp.schema import SplitName
from sae.metrics.concepts import best_selectivity
from sae.metrics.probing import sparse_probing
from sae.metrics.quality import quality

RESULTS = Path(__file__).parent / "results"
BLOOD: tuple[str, str, dict[str, Any]] = ("bccd_blood_cells/bccd_crops_48px.npz", "labels", {})
DRUGS: tuple[str, str, dict[str, Any]] = (
    "bbbc021_dev/bbbc021_dev_feature_selected.csv.gz",
    "Metadata_moa",
    {
        "group": "Metadata_Compound",
        "control": "Metadata_Compound=DMSO",
        "control_group": "Metadata_Plate",
    },
)
WHITENED = {"scaling": "whiten", "center": "controls"}
RUNS = {
    "bccd": (*BLOOD, {}),
    "bbbc021, whitened on DMSO": (*DRUGS, WHITENED),
    "bbbc021, one global scale": (*DRUGS, {}),
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--only", default="", help="runs whose name holds this")
    given = asked.parse_args()
    data = os.environ.get("AUTOINTERP_DATA")
    if not data:
        print("skipped: set AUTOINTERP_DATA to the folder with bccd_blood_cells and bbbc021_dev")
        return
    path = RESULTS / "image_runs.csv"
    before = pd.read_csv(path) if path.exists() and given.only else pd.DataFrame()
    parts = [before[~before.run.str.contains(given.only, regex=False)]] if len(before) else []
    for name, (file, column, options, more) in RUNS.items():
        for seed in range(given.seeds) if given.only in name else ():
            parts.append(one_run(name, Path(data) / file, column, {**options, **more, "seed": seed}))
            print(parts[-1].to_string(), flush=True)
    rows = pd.concat(parts, ignore_index=True)
    rows.to_csv(path, index=False, float_format="%.4g")
    (RESULTS / "image_runs.md").write_text(page(rows), encoding="utf-8")


def one_run(name: str, images: Path, column: str, options: dict[str, Any]) -> pd.DataFrame:
    """Long table of one run: run, seed, figure, concept, value, n (test items of the concept), reason."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(make_config({"images": images, "out": Path(folder) / "run", "threads": 1, **options}))
        run.check()
        scores = run.score()
        prepared = run.prepared
        codes, corpus = prepared.activations.csr, prepared.corpus
        rows = {part: prepared.split.rows(part) for part in _PARTS}
        choose = np.concatenate([rows["explain"], rows["develop"]])
        treated = np.ones(len(corpus), bool) if corpus.is_control is None else ~corpus.is_control
        annotated = corpus.obs[column].astype(str).to_numpy()
        concepts = {one: annotated == one for one in np.unique(annotated[treated])}
        dictionary, _ = prepared.fitted
        held = quality(dictionary, np.asarray(corpus.embeddings[rows["test"]], dtype=np.float32))
        found: list[tuple[str, str, float, int, str]] = [
            ("latents", "", dictionary.config.m, 0, ""),
            ("k", "", dictionary.config.k, 0, ""),
            ("explainable latents", "", len(prepared.chosen), 0, ""),
            ("FVU on test (preprocessed space)", "", held["fvu_scaled"], 0, ""),
        ]
        best = best_selectivity(codes, concepts, choose, rows["test"])
        for row in best[best.kind == "average"].itertuples():
            found.append(("average selectivity", row.concept, row.value, int(row.n_test), row.reason))
        for row in sparse_probing(codes, concepts, choose, rows["test"]).itertuples():
            figure = f"probe of {row.size}, balanced accuracy"
            found.append((figure, row.concept, row.balanced_accuracy, int(row.n_test), row.reason))
        for negatives in ("random", "neighbour"):
            mine = run.summary.query(
                "scorer == 'detection' and metric == 'auroc' and negatives == @negatives and explainer == 'markers'"
            )
            for what in ("median", "mean_all", "shuffled", "margin"):
                value = float(mine[what].iloc[0]) if len(mine) else np.nan
                reason = "" if np.isfinite(value) else "too few labels have a score"
                found.append((f"detection AUROC, {negatives}: {what}", "", value, 0, reason))
        assert len(scores)
    made = pd.DataFrame(found, columns=["figure", "concept", "value", "n", "reason"])
    made.insert(0, "run", name)
    made.insert(1, "seed", options["seed"])
    return made


_PARTS: tuple[SplitName, ...] = ("explain", "develop", "test")


def page(rows: pd.DataFrame) -> str:
    """Means over seeds, ranges beside them."""
    said = [
        "# Measured morphology: what its dictionaries hold",
        "",
        "`AUTOINTERP_DATA=… python -m eval.image_runs` makes this page. No model is asked. Splits hold out photos",
        "(BCCD) or compounds (BBBC021, development compounds); latents are chosen on explain and develop, figures",
        "are from test: mean over seeds [least, greatest]. A mechanism of action is measured in seeds that have",
        "compounds of it on both sides.",
        "",
    ]
    for name, part in rows.fillna({"concept": "", "reason": ""}).groupby("run", sort=False):
        whole, concepts = part[part.concept == ""], part[part.concept != ""]
        said += [f"## {name} ({part.seed.nunique()} seeds)", "", "| figure | value |", "|---|---|"]
        said += [f"| {figure} | {_told(same)} |" for figure, same in whole.groupby("figure", sort=False)]
        figures = list(dict.fromkeys(concepts.figure))
        said += [
            "",
            f"| concept | test items | seeds | {' | '.join(figures)} |",
            "|---" * (3 + len(figures)) + "|",
        ]
        for concept, same in concepts.groupby("concept", sort=False):
            first = same[(same.figure == figures[0]) & same.value.notna()]
            values = [_told(same[same.figure == figure]) for figure in figures]
            said.append(f"| {concept} | {first.n.mean():.0f} | {len(first)} | {' | '.join(values)} |")
        means = [f"{concepts[concepts.figure == figure].value.mean():.2f}" for figure in figures]
        said += [f"| mean over concepts and seeds | | | {' | '.join(means)} |", ""]
    return "\n".join(said)


def _told(same: pd.DataFrame) -> str:
    """Mean [least, greatest] of what was measured, else why nothing was."""
    values = same.value.dropna()
    if values.empty:
        return f"– ({same.reason.iloc[0]})"
    spread = f" [{values.min():.2f}, {values.max():.2f}]" if len(values) > 1 else ""
    if (values % 1 == 0).all() and values.nunique() == 1:
        return f"{values.iloc[0]:.0f}"
    return f"{values.mean():.2f}{spread}"


if __name__ == "__main__":
    main()
