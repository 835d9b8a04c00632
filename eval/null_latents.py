"""Are labels of latents that mean nothing flagged, and do calibrated confidences come true? Runs without a model.

``python -m eval.null_latents --seeds 0,1,2`` takes the full planted corpus (its factors as latents, and a dictionary
fitted to its 50 principal components) and, with AUTOINTERP_DATA, sorted blood cells (a fitted dictionary). Beside each
real set of latents stand two that mean nothing (protocols, section 3): the same activations permuted over cells within
donors, and those of a dictionary fitted to noise in place of the embedding.

Labels are written by ``markers``, which abstains where no gene shifts more than by chance, and by ``unfiltered``, which
names the same number of most shifted genes whatever chance gives, and never abstains: it stands for a writer that
always finds something to say. ``--rule-writer`` lets ``one_shot`` and the ``agent`` label the planted factors instead,
asking ``RuleExplainer`` over a socket (``null_latents_rule_writer.csv``). The judge is the signature.

``null_latents.csv`` says how many are flagged, by the run's own rule (``score.support``) and at the develop AUROC that
flags 5 % of the real labels of the same corpus and writer; ``calibrated_confidence.csv`` what test items make of stated
and calibrated confidences of the real ones.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from threadpoolctl import threadpool_limits

from autointerp.config import RunConfig
from autointerp.evidence.activations import Activations
from autointerp.explain.markers import DOWN, UP
from autointerp.prepare import Prepared
from autointerp.run import Run
from autointerp.schema import Label
from eval.planted import FULL, load_params, planted_cells
from eval.planted.embeddings import explain_rows, pca
from eval.planted.rule_explainer import RuleExplainer
from eval.planted.rule_server import RuleServer

HERE = Path(__file__).parent
UNFILTERED = "unfiltered"
REAL, PERMUTED, NOISE = "real", "permuted", "noise"
SHARE_OF_REAL = 0.05  # that the common threshold flags
LEAST_SHARE = 0.85  # of null labels that it should flag
DIRECTIONS = 50  # of the noise


def permuted(activations: Activations, groups: np.ndarray | None, seed: int) -> sparse.csr_matrix:
    """(n, m) the same rows in another order, drawn within each group (n,), or among all without groups."""
    rng = np.random.default_rng([seed, 11])
    order = np.arange(activations.shape[0])
    for group in [None] if groups is None else np.unique(groups):
        members = order if group is None else np.flatnonzero(groups == group)
        order[members] = rng.permutation(members)
    return activations.csr[order]


def noise(n: int, seed: int) -> np.ndarray:
    """(n, 50) float32, independent standard normal: an embedding that knows nothing of the cells."""
    return np.random.default_rng([seed, 12]).normal(size=(n, DIRECTIONS)).astype(np.float32)


def write_unfiltered(prepared: Prepared, path: Path) -> None:
    """A file of labels: per latent as many genes as ``markers`` names, the most shifted ones, above chance or not."""
    contrasts, names = prepared.contrasts[0], prepared.corpus.feature_names
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["latent", "title", "key_features"])
        for latent in prepared.chosen:
            up, down = contrasts.up[latent][:UP], contrasts.down[latent][:DOWN]
            signed = [f"{names[c]}+" for c in up if c >= 0] + [f"{names[c]}-" for c in down if c >= 0]
            writer.writerow([latent, " ".join(str(names[c]) for c in up[:5]), "; ".join(signed)])


class Corpus(NamedTuple):
    """Cells, and the options of the run that gives their real latents."""

    name: str
    data: ad.AnnData
    config: RunConfig
    seed: int


def corpora(seeds: Sequence[int], n_cells: int | None, latents: int, factors_alone: bool) -> Iterator[Corpus]:
    """Planted ones for each seed; sorted blood cells where their folder is named."""
    for seed in seeds:
        params = load_params(FULL)
        params["cells"]["n_cells"] = n_cells or params["cells"]["n_cells"]
        cells = planted_cells(params, seed)
        data = cells.adata.copy()
        data.obsm["X_pca"] = pca(data, explain_rows(data, seed))
        data.obsm["factors"] = cells.activity
        options: dict[str, Any] = {
            "data": Path("planted"), "embedding": "X_pca", "group": "donor", "seed": seed, "latents": latents, "k": 16,
        }  # fmt: skip
        yield Corpus("planted factors", data, RunConfig(**options, activations="factors"), seed)
        if not factors_alone:
            yield Corpus("planted dictionary", data, RunConfig(**options), seed)
    if factors_alone:
        return
    folder = os.environ.get("AUTOINTERP_DATA")
    if not folder:
        print("sorted blood cells are left out: AUTOINTERP_DATA names no folder", flush=True)
        return
    blood = ad.read_h5ad(Path(folder) / "pbmc_facs_zheng" / "pbmc_facs.h5ad")
    for seed in seeds:
        options = {"data": Path("pbmc_facs"), "embedding": "pca", "seed": seed, "latents": latents, "k": 16}
        yield Corpus("sorted blood cells", blood.copy(), RunConfig(**options), seed)


def measured(corpus: Corpus, work: Path, url: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of a label each (arm, writer, latent, abstained, support, develop AUROC), and of a reliability each.

    url : where a writer answers that takes the place of the ones that ask nobody
    """
    real = Prepared(corpus.config, data=corpus.data)
    real.cache = work / "cache"
    corpus.data.obsm["X_permuted"] = permuted(real.activations, real.corpus.groups, corpus.seed)
    corpus.data.obsm["X_noise"] = noise(corpus.data.n_obs, corpus.seed)
    own = {"activations": None, "max_latents": len(real.chosen)}
    arms = {
        REAL: corpus.config,
        PERMUTED: corpus.config.model_copy(update={"activations": "X_permuted"}),
        NOISE: corpus.config.model_copy(update={"embedding": "X_noise", **own}),
    }
    labels, reliabilities = [], []
    for arm, config in arms.items():
        run = _run(config, corpus.data, work / arm, url)
        confidence = run.confidence.set_index(["explainer", "latent"])
        for (explainer, latent), outcome in run.labels.outcomes.items():
            assert isinstance(outcome, Label), outcome
            place = {"corpus": corpus.name, "seed": corpus.seed, "latents": arm, "writer": _writer(explainer)}
            found = None if outcome.abstained else confidence.loc[(explainer, latent)]
            labels.append(
                {
                    **place,
                    "latent": latent,
                    "abstained": outcome.abstained,
                    "support": "" if found is None else found.support,
                    "develop_auroc": np.nan if found is None else found.develop_auroc,
                }
            )
        if arm == REAL:
            for row in run.reliability:
                where = {"corpus": corpus.name, "seed": corpus.seed, "writer": _writer(row["explainer"])}
                reliabilities.append(where | _reliability(row))
        print(f"{corpus.name}, seed {corpus.seed}, {arm}: {len(run.prepared.chosen)} latents", flush=True)
    return pd.DataFrame(labels), pd.DataFrame(reliabilities)


def _run(config: RunConfig, data: ad.AnnData, work: Path, url: str | None) -> Run:
    work.mkdir(parents=True)
    asked: dict[str, Any] = {"scorers": ("detection",), "controls": (), "out": work / "run"}
    asked |= {"explainer": ("markers", f"file:{work / 'unfiltered.csv'}")}
    if url is not None:
        asked |= {"explainer": ("one_shot", "agent"), "model": "plain", "base_url": url, "judge": "signature"}
    asking = config.model_copy(update=asked)
    prepared = Prepared(asking, data=data)
    prepared.cache = work / "cache"
    if url is None:
        write_unfiltered(prepared, work / "unfiltered.csv")
    return Run(asking, prepared=prepared)


def _writer(explainer: str) -> str:
    return UNFILTERED if explainer.startswith("file:") else explainer


def _reliability(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"n_labels": row["n_labels"], "reason": row["reason"]}
    for name in ("stated", "calibrated"):
        told = row[name] if row["calibrated"] else {}  # both on the same labels, or neither
        found |= {"n": told.get("n", 0), "passed": told.get("passed")}
        found |= {f"{name}_{figure}": told.get(figure) for figure in ("mean", "brier", "ece")}
    return found


def summary(labels: pd.DataFrame) -> pd.DataFrame:
    """Pooled over seeds, a row per corpus, latents and writer.

    ``threshold`` is the develop AUROC below which 5 % of the real labels of that corpus and writer lie; ``below`` the
    share of labels under it; ``unsupported`` the share by the run's rule; ``flagged`` and ``flagged_at_5`` the same
    over all latents, those on which the writer abstained among them.
    """
    rows = []
    for (corpus, writer), both in labels.groupby(["corpus", "writer"], sort=False):
        told = both[~both.abstained]
        threshold = told[told.latents == REAL].develop_auroc.quantile(SHARE_OF_REAL)
        for arm, part in both.groupby("latents", sort=False):
            made = part[~part.abstained & (part.support != "not tested")]
            unsupported, below = made.support == "unsupported", made.develop_auroc < threshold
            n = int(part.abstained.sum()) + len(made)
            rows.append(
                {
                    "corpus": corpus,
                    "latents": arm,
                    "writer": writer,
                    "n_latents": len(part),
                    "n_abstained": int(part.abstained.sum()),
                    "n_tested": len(made),
                    "n_not_tested": int((part.support == "not tested").sum()),
                    "unsupported": unsupported.mean(),
                    "threshold": threshold,
                    "below": below.mean(),
                    "flagged": (part.abstained.sum() + unsupported.sum()) / n,
                    "flagged_at_5": (part.abstained.sum() + below.sum()) / n,
                }
            )
    return pd.DataFrame(rows)


def write_markdown(nulls: pd.DataFrame, confidences: pd.DataFrame, out: Path) -> None:
    """What the tables say."""
    told = nulls[nulls.latents != REAL]
    least = told.loc[told.flagged_at_5.idxmin()]
    fewest = told.loc[told.below.idxmin()]
    verdict = "met" if least.flagged_at_5 >= LEAST_SHARE else "missed"
    lines = [
        "# Latents that mean nothing, and confidences that come true",
        "",
        "`python -m eval.null_latents` makes these tables again; no language model was asked. *unsupported*: labels",
        "whose develop AUROC is not above 0.5 (one-sided, 5 %); *below*: labels under the develop AUROC that 5 % of",
        "the real ones of that corpus and writer do not reach; *flagged*: the same of all latents, abstentions",
        "counted as flagged.",
        "",
        f"Target: at least {LEAST_SHARE:.0%} of null latents flagged at the threshold that flags {SHARE_OF_REAL:.0%}",
        f"of real labels: {verdict}; the least is {least.flagged_at_5:.1%} ({least.corpus}, {least.latents}, "
        f"{least.writer}).",
        f"Of the labels alone, abstentions left out, the least is {fewest.below:.1%} of {fewest.n_tested} "
        f"({fewest.corpus}, {fewest.latents}, {fewest.writer}).",
        "",
        "| corpus | latents | writer | latents | abstained | labels tested | unsupported | threshold | below | flagged "
        "| flagged at threshold |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in nulls.itertuples():
        lines.append(
            f"| {r.corpus} | {r.latents} | {r.writer} | {r.n_latents:,} | {r.n_abstained:,} | {r.n_tested:,} | "
            f"{_percent(r.unsupported)} | {r.threshold:.3f} | {_percent(r.below)} | {_percent(r.flagged)} | "
            f"{_percent(r.flagged_at_5)} |"
        )
    lines += [
        "",
        "Calibrated confidence of real labels, on test: *passed* is the share with a detection AUROC above 0.75.",
        "",
        "| corpus | seed | writer | labels | passed | stated: mean, ECE, Brier | calibrated: mean, ECE, Brier |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in confidences.to_dict(orient="records"):
        ours = [
            "{:.3f}, {:.3f}, {:.3f}".format(*(r[f"{name}_{f}"] for f in ("mean", "ece", "brier")))
            if r["n"]
            else (r["reason"] if name == "calibrated" else "")
            for name in ("stated", "calibrated")
        ]
        passed = _percent(r["passed"]) if r["n"] else ""
        n = r["n"] or r["n_labels"]
        lines.append(
            f"| {r['corpus']} | {r['seed']} | {r['writer']} | {n} | {passed} | {ours[0]} | {ours[1]} |"
        )
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _percent(share: float) -> str:
    return "–" if pd.isna(share) else f"{share:.1%}"


def stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All rows; a column may be empty in some frames, of which pandas' own concat would guess the type."""
    return pd.DataFrame([row for frame in frames for row in frame.to_dict("records")])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write both tables and what they say."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.null_latents", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seeds", default="0,1,2", help="of corpora, splits and dictionaries")
    parser.add_argument("--n-cells", type=int, help="of a planted corpus, in place of its 12,000")
    parser.add_argument("--latents", type=int, default=512, help="of a dictionary")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument(
        "--rule-writer", action="store_true", help="one_shot and agent, on planted factors alone"
    )
    given = parser.parse_args(arguments)
    seeds = [int(seed) for seed in given.seeds.split(",")]
    labels, confidences = [], []
    with RuleServer(RuleExplainer("plain").reply) as server:
        url = server.url if given.rule_writer else None
        for corpus in corpora(seeds, given.n_cells, given.latents, given.rule_writer):
            with tempfile.TemporaryDirectory() as work, threadpool_limits(1):
                found, reliability = measured(corpus, Path(work), url)
            labels.append(found)
            confidences.append(reliability)
    nulls, told = summary(stacked(labels)), stacked(confidences)
    given.out.mkdir(parents=True, exist_ok=True)
    tables = {"null_latents_rule_writer": nulls}
    if not given.rule_writer:
        tables = {"null_latents": nulls, "calibrated_confidence": told}
        write_markdown(nulls, told, given.out / "null_latents.md")
    for name, frame in tables.items():
        frame.to_csv(given.out / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
    print(nulls.to_string(index=False))


if __name__ == "__main__":
    main()
