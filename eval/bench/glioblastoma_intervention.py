"""Do latents that go with a drug on some patients move cells of another patient towards the drug, when turned up?

``AUTOINTERP_DATA=FOLDER python -m eval.bench.glioblastoma_intervention`` takes the five patients of
glioblastoma_panobinostat in turn: one is test, the next develop, the others explain. On explain a small dictionary is
fitted to principal components, with two readouts of the drug and one of genes. Every latent that can be explained is
turned up until genes have moved by σ on develop; its shift is the mean change of the log-odds of the drug on the test
patient. Latents most associated with the drug on the explain patients are compared with others that fire as often, in
the direction of their association. The drug is read by the nearest explain cells (shift). A logistic head
(shift_linear) moves every cell alike, whichever patient it is from: no evidence on held-out patients. Cosine: of the
change of genes with the measured one of the test patient. Writes ../results/glioblastoma_intervention.csv.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr, t

from autointerp.corpus.cells import CellCorpus
from autointerp.corpus.class_readouts import class_readout
from autointerp.corpus.readouts import Readout, neighbour_genes
from autointerp.evidence.examples import why_not_explainable
from autointerp.intervene.real_deltas import agreement, rate_matched, real_deltas
from autointerp.intervene.strength import OnData, standardized
from autointerp.intervene.workbench import Items, Workbench
from sae import DictionaryConfig, fit
from sae.metrics.inputs import from_codes

OUT = Path(__file__).parents[1] / "results" / "glioblastoma_intervention.csv"
DRUG, CONTROL = "panobinostat", "ctrl"
LATENTS, K = 128, 8
SIGMAS = (0.02, 0.1)  # at 0.1 most latents leave the data first
ASSOCIATED, MATCHED = 10, 20
EDITED = 100  # items of develop and of test
SEED = 0


def measured(
    corpus: CellCorpus, test_patient: str, develop_patient: str
) -> tuple[pd.DataFrame, dict[str, float]]:
    """A row for every latent that can be explained, and the quality of the readouts."""
    patient = corpus.obs["patient_id"].astype(str).to_numpy(dtype=str)
    condition = corpus.obs["condition"].astype(str).to_numpy(dtype=str)
    test, develop = np.flatnonzero(patient == test_patient), np.flatnonzero(patient == develop_patient)
    explain = np.setdiff1d(np.arange(len(corpus)), np.concatenate([test, develop]))
    corpus.fit_on(explain)
    x = np.asarray(corpus.embeddings, dtype=np.float32)
    dictionary = fit(x, DictionaryConfig(d=x.shape[1], m=LATENTS, k=K, seed=SEED), rows=explain).dictionary
    codes = from_codes(dictionary.encode(x), LATENTS).tocsr()
    columns = np.flatnonzero(corpus.statistics.eligible)
    genes = neighbour_genes(corpus, explain, develop, columns, SEED)
    known = condition.astype(object)
    linear = class_readout(x, known, explain, develop, "condition", "logistic", SEED)
    classes = class_readout(x, known, explain, develop, "condition", "kernel", SEED)
    rng = np.random.default_rng(SEED)
    some = [np.sort(rng.choice(rows, min(EDITED, len(rows)), replace=False)) for rows in (develop, test)]
    own = codes[explain]
    n_active = np.bincount(own.indices, minlength=LATENTS)
    units = np.asarray(own.sum(0)).ravel() / np.maximum(n_active, 1)
    bench = Workbench(
        dictionary, genes, [classes], OnData(x, explain, develop, SEED), units,
        Items(some[0], x[some[0]]), Items(some[1], x[some[1]]),
    )  # fmt: skip
    active = (codes > 0).toarray()
    real = real_deltas(corpus, test, columns, condition, condition == CONTROL, None, "condition")
    rows = []
    for latent in range(LATENTS):
        rate = float(active[:, latent].mean())
        if why_not_explainable(int(n_active[latent]), int(active[test, latent].sum()), rate):
            continue
        differences = [
            active[explain[(patient[explain] == p) & (condition[explain] == DRUG)], latent].mean()
            - active[explain[(patient[explain] == p) & (condition[explain] == CONTROL)], latent].mean()
            for p in np.unique(patient[explain])
        ]
        for sigma in SIGMAS:
            strength = bench.strength(latent, sigma)
            shift = shift_linear = cosine = np.nan
            if strength.reachable:
                edited = bench.edited(bench.test, latent, strength.s)
                shift = float((_log_odds(classes, edited) - _log_odds(classes, bench.test.x)).mean())
                shift_linear = float((_log_odds(linear, edited) - _log_odds(linear, bench.test.x)).mean())
                change = standardized(bench.mean_shift(latent, strength.s, genes), genes.sd)
                cosine = agreement(change, standardized(real.delta[0], genes.sd)).cosine
            rows.append(
                {
                    "sigma": sigma, "latent": latent, "rate": float(active[explain, latent].mean()),
                    "association": float(np.mean(differences)), "agree": len(set(np.sign(differences))) == 1,
                    "reachable": strength.reachable, "shift": shift,
                    "shift_linear": shift_linear, "cosine": cosine,
                }
            )  # fmt: skip
    quality = {
        "quality_kernel": classes.quality.value,
        "quality_linear": linear.quality.value,
        "quality_genes": genes.quality.value,
    }
    return pd.DataFrame(rows), quality


def _log_odds(classes: Readout, x: np.ndarray) -> np.ndarray:
    p = classes.read(x)[:, classes.outputs.tolist().index(DRUG)]
    return np.log(p / (1 - p))


def compared(table: pd.DataFrame) -> dict[str, float]:
    """Associated latents beside others that fire as often, both signed by the association of the former."""
    latents = table["latent"].to_numpy()
    order = table[table["agree"]].assign(size=lambda t: t["association"].abs())
    chosen = order.sort_values("size", ascending=False, kind="stable")["latent"].to_numpy()[:ASSOCIATED]
    rates = np.zeros(latents.max() + 1)
    rates[latents] = table["rate"]
    by_latent = table.set_index("latent")
    turned = by_latent[by_latent["reachable"]].index.to_numpy()
    others = np.setdiff1d(turned, chosen)
    rng = np.random.default_rng(SEED)
    own: dict[str, list[float]] = {"shift": [], "shift_linear": [], "cosine": []}
    random: dict[str, list[float]] = {name: [] for name in own}
    for latent in np.intersect1d(chosen, turned).tolist():
        matched = rate_matched(latent, rates, others, MATCHED, rng)
        if not len(matched):
            continue
        sign = np.sign(by_latent.at[latent, "association"])
        for name in own:
            own[name].append(sign * by_latent.at[latent, name])
            random[name].append(sign * by_latent.loc[matched, name].mean())
    all_turned = table[table["reachable"]]
    found: dict[str, float] = {
        "n_latents": len(table),
        "n_reachable": len(all_turned),
        "n_associated": len(chosen),
        "n_compared": len(own["shift"]),
    }
    for name in own:
        pair = (np.mean(own[name]), np.mean(random[name])) if own[name] else (np.nan, np.nan)
        found[f"{name}_associated"], found[f"{name}_random"] = map(float, pair)
        found[f"{name}_difference"] = found[f"{name}_associated"] - found[f"{name}_random"]
    found["spearman"] = float(spearmanr(all_turned["association"], all_turned["shift"]).statistic)
    return found


def main() -> None:
    data = os.environ.get("AUTOINTERP_DATA")
    if not data:
        print("skipped: set AUTOINTERP_DATA to the folder that holds glioblastoma_panobinostat")
        return
    path = Path(data) / "glioblastoma_panobinostat" / "glioblastoma_lemur.h5ad"
    corpus = CellCorpus(str(path), embedding="pca", pca_components=30)
    patients = sorted(set(corpus.obs["patient_id"].astype(str)))
    rows: list[dict[str, object]] = []
    for i, patient in enumerate(patients[: int(sys.argv[1]) if len(sys.argv) > 1 else None]):
        table, quality = measured(corpus, patient, patients[(i + 1) % len(patients)])
        for sigma, part in table.groupby("sigma"):
            rows.append({"sigma": sigma, "test_patient": patient} | compared(part) | quality)
            print(rows[-1], flush=True)
    frame = pd.DataFrame(rows).sort_values(["sigma", "test_patient"])
    for sigma, part in frame.groupby("sigma"):
        figures = part.drop(columns=["sigma", "test_patient"])
        mean, half = figures.mean(), t.ppf(0.975, figures.count() - 1) * figures.sem()
        for name, values in (("mean", mean), ("low", mean - half), ("high", mean + half)):
            frame = pd.concat(
                [frame, pd.DataFrame([{"sigma": sigma, "test_patient": name} | values.to_dict()])]
            )
    frame.to_csv(OUT, index=False, float_format="%.4g", lineterminator="\n")
    print(OUT.read_text())


if __name__ == "__main__":
    main()
