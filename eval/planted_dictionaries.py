"""Does a fitted dictionary find the planted factors? Coverage against a supervised ceiling, and against PCA.

``python -m eval.planted_dictionaries --seeds 0,1,2 --out eval/results/planted_dictionaries.csv`` draws one corpus a
seed, embeds it three ways (principal components, a random network, a trained autoencoder), fits every kind of
dictionary with that seed on the explain cells, of the size that the default rule gives for their number, and measures
F1 factor by factor.

F1 is that of `sae.metrics.coverage`: latent and threshold t · maximum, t in 0, 0.1 … 0.9, are chosen on develop cells,
F1 is of test cells; a factor is there where its activity is above 0. The ceiling is the same F1 of a logistic
regression that was shown the factor on the explain cells: its probabilities stand in for a latent's activations, and
its penalty is chosen on develop together with t. Nothing else here sees the factors.

Coverage is the mean F1 over factors; the share of the ceiling is Σ F1 / Σ ceiling over factors, each factor the mean of
its seeds, with Fieller's interval on t over factors. Against PCA: Wilcoxon's signed-rank test and a t interval over
factors. What stands in the file is not fitted again: remove it to measure anew after a change of the dictionaries.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression

import sae
from autointerp.dictionary.measures import encode_rows
from autointerp.evidence.splits import Split, split_items
from autointerp.score.compare import Comparison, LatentScores, Share, paired, share_of_margin
from eval.planted import FULL, PlantedCells, load_params, planted_cells
from eval.planted.embeddings import add_embeddings, explain_rows
from sae.metrics.coverage import coverage

KINDS = ("topk", "batchtopk", "matryoshka", "icfl", "pca", "random")
EMBEDDINGS = ("pca", "mlp", "autoencoder")
CEILING = "ceiling"
PENALTIES = (0.003, 0.03, 0.3)  # C of the logistic regression, on standardized embeddings
LEAST_SHARE = 0.8
COLUMNS = ("seed", "embedding", "kind", "m", "k", "factor", "family", "f1", "n_test", "reason", "fit_s")
FINDING, TABLES = "## What it says", "## Coverage"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, fit and measure what is missing, write both tables."""
    options = _options(arguments)
    torch.set_num_threads(1)
    frame = _read(options.out)
    for seed in options.seeds:
        wanted = [(e, kind) for e in options.embeddings for kind in (CEILING, *options.kinds)]
        missing = [(e, kind) for e, kind in wanted if not _has(frame, seed, e, kind)]
        if not missing:
            continue
        cells, split = corpus(seed, options.n_cells)
        for embedding, kind in missing:
            rows = measured(cells, split, embedding, kind, seed)
            frame = pd.concat([frame, rows], ignore_index=True) if len(frame) else rows
            frame.to_csv(options.out, index=False, float_format="%.6g", lineterminator="\n")
            said = f"coverage {rows.f1.mean():.3f}, {rows.fit_s.max():.0f} s"
            print(f"seed {seed} {embedding} {kind}: {said}", flush=True)
    write_markdown(_read(options.out), options.out.with_suffix(".md"))
    print(options.out.with_suffix(".md").read_text(encoding="utf-8"))


def corpus(seed: int, n_cells: int | None = None) -> tuple[PlantedCells, Split]:
    """The full planted corpus with its three embeddings in obsm, split by donor."""
    params = load_params(FULL)
    params["cells"]["n_cells"] = n_cells or params["cells"]["n_cells"]
    cells = planted_cells(params, seed)
    add_embeddings(cells.adata, explain_rows(cells.adata, seed), seed)
    return cells, split_items(cells.adata.n_obs, cells.adata.obs["donor"].astype(str).to_numpy(), seed)


def measured(cells: PlantedCells, split: Split, embedding: str, kind: str, seed: int) -> pd.DataFrame:
    """F1 of every factor on test, one row each, of one dictionary or of the ceiling."""
    x = np.asarray(cells.adata.obsm[f"X_{embedding}"], dtype=np.float32)  # (n, d)
    concepts = {f.name: cells.activity[:, j] > 0 for j, f in enumerate(cells.factors)}
    explain, develop, test = (split.rows(name) for name in ("explain", "develop", "test"))
    began, m, k = time.perf_counter(), 0, 0
    if kind == CEILING:
        found = ceiling(x, concepts, explain, develop, test)
    else:
        size = sae.default_size(len(explain), x.shape[1])
        name, _, scaling = kind.partition("@")
        config = sae.DictionaryConfig(d=x.shape[1], m=size.m, k=size.k, kind=name, seed=seed)
        if scaling:
            config = sae.DictionaryConfig.from_dict(
                config.to_dict() | {"scaling": scaling, "unit_norm": False}
            )
        fitted = sae.fit(x, config, rows=explain).dictionary
        m, k = fitted.config.m, fitted.config.k
        found = coverage(encode_rows(fitted, x), concepts, develop, test)
    rows = found.rename(columns={"concept": "factor"}).assign(
        seed=seed, embedding=embedding, kind=kind, m=m, k=k, fit_s=round(time.perf_counter() - began, 1),
        family=[factor.family for factor in cells.factors],
    )  # fmt: skip
    return rows[list(COLUMNS)]


def ceiling(
    x: np.ndarray, concepts: dict[str, np.ndarray], explain: np.ndarray, develop: np.ndarray, test: np.ndarray
) -> pd.DataFrame:
    """As `coverage`, for a logistic regression a concept: fitted on explain, its penalty and t chosen on develop.

    x (n, d); its dimensions are divided by their standard deviation on explain. A concept that every or no explain row
    has is left to `coverage` to refuse.
    """
    z = (x - x[explain].mean(0)) / np.maximum(x[explain].std(0), 1e-6)
    frames = []
    for name, truth in concepts.items():
        said = np.zeros((len(x), len(PENALTIES)))
        if 0 < truth[explain].sum() < len(explain):
            for column, penalty in enumerate(PENALTIES):
                model = LogisticRegression(C=penalty, max_iter=1000).fit(z[explain], truth[explain])
                said[:, column] = model.predict_proba(z)[:, 1]
        frames.append(coverage(said, {name: truth}, develop, test))
    return pd.concat(frames, ignore_index=True)


# ---------------------------------------------------------------------------------------- over factors


def over_factors(frame: pd.DataFrame, embedding: str, kind: str) -> LatentScores:
    """F1 of each factor, the mean of its seeds; a factor without one, on any seed, has the reason in its place."""
    mine = frame[(frame.embedding == embedding) & (frame.kind == kind)]
    names = sorted(frame.factor.unique())
    values = mine.groupby("factor").f1.mean().reindex(names).to_numpy(dtype=float)
    reasons = np.where(np.isnan(values), "not measured", "").astype("U64")
    return LatentScores(np.arange(len(names)), values, reasons, np.zeros(len(names), dtype=bool))


def share(frame: pd.DataFrame, embedding: str, kind: str) -> Share:
    """Σ F1 / Σ ceiling over factors, with Fieller's interval."""
    return share_of_margin(
        over_factors(frame, embedding, kind), over_factors(frame, embedding, CEILING), chance=0.0
    )


def against_pca(frame: pd.DataFrame, embedding: str, kind: str) -> Comparison:
    """F1 minus PCA's, factor by factor."""
    return paired(over_factors(frame, embedding, kind), over_factors(frame, embedding, "pca"))


# ---------------------------------------------------------------------------------------- for people


def write_markdown(frame: pd.DataFrame, path: Path) -> None:
    """Write the tables; what stands under ``## What it says`` in the file is kept."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    kept = text.partition(FINDING)[2].partition(TABLES)[0].strip() or "Not written yet."
    n = frame[frame.kind == CEILING].groupby("factor").f1.count()
    parts = [
        "# Dictionaries on planted cells",
        "Made by `python -m eval.planted_dictionaries`, whose first lines say what is measured; every factor and seed "
        f"is in the CSV of the same name. {len(n)} factors, {frame.seed.nunique()} corpora of 12,000 cells.",
        FINDING,
        kept,
        TABLES,
        "Mean F1 over factors on test cells (lowest–highest seed); share of the ceiling and difference to PCA over "
        "factors with 95 % intervals, p of Wilcoxon's signed-rank test.",
        *(_by_kind(frame, embedding) for embedding in EMBEDDINGS if embedding in set(frame.embedding)),
        "## By family of factors",
        "Mean F1 on test, TopK / PCA / ceiling.",
        _by_family(frame),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _by_kind(frame: pd.DataFrame, embedding: str) -> str:
    mine = frame[frame.embedding == embedding]
    lines = [f"| {embedding} | m/k | coverage | share of the ceiling | minus PCA | p |", "|---" * 6 + "|"]
    for kind in dict.fromkeys(mine.kind):
        rows = mine[mine.kind == kind]
        seeds = rows.groupby("seed").f1.mean()
        told = f"{seeds.mean():.3f} ({seeds.min():.3f}–{seeds.max():.3f})"
        cells = [kind, f"{rows.m.max()}/{rows.k.max()}" if kind != CEILING else "", told, "", "", ""]
        if kind != CEILING:
            part, c = share(frame, embedding, kind), against_pca(frame, embedding, kind)
            cells[3] = f"{part.value:.2f} ({part.low:.2f}–{part.high:.2f})"
            if kind != "pca":
                cells[4:] = [f"{c.difference:+.3f} ({c.ci_low:+.3f} to {c.ci_high:+.3f})", f"{c.p:.1g}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _by_family(frame: pd.DataFrame) -> str:
    embeddings = [e for e in EMBEDDINGS if e in set(frame.embedding)]
    lines = ["| family | factors | " + " | ".join(embeddings) + " |", "|---" * (2 + len(embeddings)) + "|"]
    for family, rows in frame.groupby("family", sort=False):
        means = rows.groupby(["embedding", "kind"]).f1.mean()
        cells = [
            " / ".join(f"{means.get((e, kind), np.nan):.2f}" for kind in ("topk", "pca", CEILING))
            for e in embeddings
        ]
        lines.append(f"| {family} | {rows.factor.nunique()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _read(path: Path) -> pd.DataFrame:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.read_csv(path, dtype={"reason": str}, keep_default_na=False, na_values={"f1": [""]})


def _has(frame: pd.DataFrame, seed: int, embedding: str, kind: str) -> bool:
    return bool(((frame.seed == seed) & (frame.embedding == embedding) & (frame.kind == kind)).any())


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m eval.planted_dictionaries")
    parser.add_argument("--seeds", default="0,1,2", help="of the corpora and of the dictionaries")
    parser.add_argument("--kinds", default=",".join(KINDS), help="comma-separated; kind@scaling")
    parser.add_argument("--embeddings", default=",".join(EMBEDDINGS))
    parser.add_argument("--n-cells", type=int, help="in place of the 12,000 of the parameters")
    here = Path(__file__).parent / "results" / "planted_dictionaries.csv"
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args(arguments)
    options.seeds = [int(seed) for seed in options.seeds.split(",")]
    options.kinds, options.embeddings = options.kinds.split(","), options.embeddings.split(",")
    return options


if __name__ == "__main__":
    main()
