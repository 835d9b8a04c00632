"""Is the right label chosen for what a planted factor does in the model, and none for what a random direction does?

``python -m eval.planted_interventions --seeds 0`` draws one full planted corpus a seed, fits its autoencoder, and
edits embeddings along the latents of ``eval.planted.directions`` by the scorers of a run: strength found on 120 develop
cells, reports on test cells, genes read by the autoencoder's decoder. ``isotropic free``: random directions, which may
leave the data, since almost none reaches the same σ on it.

A factor is *causal* where one unit of its direction moves half of its genes, or more, into the 20 that move most on
develop cells, each the planted way; the autoencoder has not learned the others, most of them rare. The planted quality
of a label for a change is ``effect``: the cosine of what the factors that it names do to genes with what its factor
does. ``f1``, its quality for telling cells, stands beside it. One tidy CSV:

==========  ========================================================================================================
causal      share of factors
reachable   share of directions that reach σ, and ``stay``: that do so while 80 % of the cells stay on the data; of what
            is reached, ``develop``: greatest |σ/asked − 1|, ``test``: mean, least and greatest σ there
exact       greatest |edit(x, 0) − x| and |edit(edit(x, s), −s) − x| over all that is reached
accuracy    by grade, over factors (t, or Wilson where all are alike); ``causal`` or ``all``; labels whose factor
            does not reach σ, or about which a judge could not answer, are left out (``missing``)
difference  paired over causal factors, better − worse, of protocols §8's pairs; ``holds``: above 0
rank        Spearman with ``effect`` or ``f1``: over labels, slots, within factors; ``best``: of a score that can only
            be right or wrong, at the cut in quality that suits it best, over labels
==========  ========================================================================================================
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from autointerp.amplifying import amplifier_of
from autointerp.intervene.amplified import MOST_CHANGES, Amplifier
from autointerp.intervene.strength import MOST_LEAVING, OnData, standardized
from autointerp.intervene.workbench import Items, Workbench
from autointerp.judge.trivial import RandomJudge
from autointerp.prepare import Prepared
from autointerp.score.intervals import wilson
from eval.planted import FULL, PlantedCells, load_params, planted_cells
from eval.planted.decoder import PATH, SPEC
from eval.planted.directions import write_dictionary
from eval.planted.embeddings import add_embeddings, explain_rows
from eval.planted.labels import GRADES, Meaning
from eval.planted_orderings import ORDERED, SURE
from eval.planted_scorers import Planted
from eval.planted_strengths import mean_row, ranks

OUT = Path(__file__).parent / "results" / "planted_interventions.csv"
SIGMAS = ("0.1", "0.3")
CHANCE = {"match": 1 / 5, "2afc": 1 / 2}
ASKED = tuple(f"{kind}:genes:{sigma}" for kind in CHANCE for sigma in SIGMAS)
JUDGES = (SURE, "oracle:noise=1.5", "oracle:noise=3", "signature", "random")
INFORMED = JUDGES[:4]
SETS = ("oracle", "isotropic free")  # fitted: with --sets
COLUMNS = (
    *("what", "directions", "factors", "judge", "scorer", "grade", "against"),
    *("value", "low", "high", "n", "missing", "holds"),
)
METRIC = "above_chance"
RANDOM = 20  # random directions of each corpus
DEVELOP = 120  # cells on which strengths are found, of the 400 of a run: σ is their mean


def turned(cells: PlantedCells, directions: str, seed: int, folder: Path) -> Planted:
    """The factors of a corpus as latents, along directions of one of SETS.

    ``cells`` has X_autoencoder, and PLANTED_DECODER names the file of its decoder.
    """
    kind, free = directions.partition(" ")[::2]
    path = folder / f"{kind}-{seed}"
    if not path.exists():
        rows = explain_rows(cells.adata, seed)
        x = np.asarray(cells.adata.obsm["X_autoencoder"], dtype=np.float32)
        write_dictionary(x, cells.activity, rows, kind, seed, path)
    amplify = partial(amplifier, free=bool(free))
    most = RANDOM if free else None
    return Planted(cells, None, seed, "X_autoencoder", ASKED, path, SPEC, folder / "cache", amplify, most)


class Anywhere(OnData):
    """Everywhere is on the data; ``real`` says where it is."""

    def __init__(self, real: OnData):
        self.real = real

    def holds(self, x: np.ndarray) -> np.ndarray:
        return np.ones(len(x), dtype=bool)


def amplifier(made: Prepared, free: bool) -> Amplifier:
    """As a run's, on 120 develop cells; where ``free``, edited ones may be anywhere."""
    given = amplifier_of(made)
    assert given is not None

    def bench_of(readout: str) -> Workbench:
        bench = given.bench_of(readout)
        kept = np.sort(np.random.default_rng(made.config.seed).permutation(len(bench.develop.rows))[:DEVELOP])
        bench.develop = Items(bench.develop.rows[kept], bench.develop.x[kept])
        bench.on_data = Anywhere(bench.on_data) if free else bench.on_data
        return bench

    return replace(given, bench_of=bench_of)


def scored(planted: Planted, directions: str) -> pd.DataFrame:
    """A row a label, judge and number, as ``Planted.scores`` has them, with ``directions`` and ``effect``."""
    judges = planted.judges() | {"random": RandomJudge(planted.seed)}
    tables = []
    for name in JUDGES if directions in ("oracle", "fitted") else (SURE,):
        grades: Sequence[str] = GRADES if directions == "oracle" and name in INFORMED else ("oracle",)
        tables.append(planted.scores(name, judges[name], grades))
    table = pd.concat(tables, ignore_index=True)
    effect = {
        (factor.name, given.grade, given.title): effect_cosine(planted.cells, factor.name, given.meaning)
        for factor in planted.factors
        for given in factor.labels
    }
    keys = zip(table.factor, table.grade, table.title, strict=True)
    return table.assign(directions=directions, effect=[effect[key] for key in keys])


def effect_cosine(cells: PlantedCells, factor: str, meaning: Meaning | None) -> float:
    """Cosine of a factor's effects on genes with the sum of those that a label's factors have."""
    if meaning is None:
        return float("nan")
    own = cells.effects[cells.factor(factor)]
    said = sum(cells.effects[cells.factor(name)] for name in (*meaning.all_of, *meaning.any_of))
    return float(own @ said / (np.linalg.norm(own) * np.linalg.norm(said)))


def strengths(planted: Planted, directions: str) -> pd.DataFrame:
    """A row a direction and σ: reachable, s, σ on develop and, mean over reports, on test, how exact edits are, and
    whether one unit of the direction moves the factor's genes."""
    amplifier = planted.made.amplifier
    bench = amplifier.bench("genes")
    before = bench.main.read(bench.develop.x)
    real = bench.on_data.real if isinstance(bench.on_data, Anywhere) else bench.on_data
    held = real.holds(bench.develop.x)
    rows = []
    for latent in planted.asked:
        factor = planted.factors[latent].name
        after = bench.main.read(bench.edited(bench.develop, latent, float(bench.units[latent])))
        change = standardized((after - before).mean(0), bench.main.sd)
        effect = planted.cells.effects[planted.cells.factor(factor)]
        causal = causes(change, effect[planted.made.corpus.statistics.eligible])
        for sigma in SIGMAS:
            found = bench.strength(latent, float(sigma))
            row = {
                "seed": planted.seed,
                "directions": directions,
                "factor": factor,
                "sigma": sigma,
                "causal": causal,
            }
            row |= {
                "reachable": found.reachable,
                "develop": np.nan,
                "test": np.nan,
                "zero": np.nan,
                "back": np.nan,
            }
            if found.reachable:
                x, s = bench.test.x, found.s
                edited = bench.edited(bench.test, latent, s)
                row |= {
                    "stays": real.leaving(held, bench.edited(bench.develop, latent, s)) < MOST_LEAVING,
                    "develop": abs(found.reached / found.target - 1),
                    "test": float(amplifier.reports(latent, "genes", float(sigma)).sigma.mean()),
                    "zero": float(np.abs(bench.edited(bench.test, latent, 0.0) - x).max()),
                    "back": float(np.abs(bench.dictionary.edit(edited, latent, -s, like=x) - x).max()),
                }
            rows.append(row)
    return pd.DataFrame(rows)


def causes(change: np.ndarray, effect: np.ndarray) -> bool:
    """Are half of the genes with an effect (g,) among the 20 of greatest |change| (g,), with the sign of the effect?"""
    most = np.argsort(-np.abs(change), kind="stable")[:MOST_CHANGES]
    right = (np.sign(change[most]) == np.sign(effect[most])) & (effect[most] != 0)
    return bool(right.sum() >= (effect != 0).sum() / 2)


def summary(table: pd.DataFrame, turns: pd.DataFrame) -> pd.DataFrame:
    """One tidy row a figure. A factor's value is the mean over its labels and seeds."""
    along = turns[(turns.directions == "oracle") & (turns.sigma == SIGMAS[0])]
    causal = along.groupby("factor").causal.mean()
    kept = set(causal[causal > 0.5].index)
    rows = [mean_row_of("causal", "oracle", "all", ("", "", "", ""), causal)]
    for (directions, sigma), part in turns.groupby(["directions", "sigma"], sort=False):
        rows += list(_strength_rows(str(directions), str(sigma), part))
    table = table[(table.metric == METRIC) | table.value.isna()]
    table = table.assign(metric=METRIC, negatives="")
    for (directions, judge, scorer), part in table.groupby(["directions", "judge", "scorer"], sort=False):
        chance = CHANCE[str(scorer).partition(":")[0]]
        for which, chosen in (("causal", part[part.factor.isin(kept)]), ("all", part)):
            for grade, own in chosen.groupby("grade", sort=False):
                place = (str(judge), str(scorer), str(grade), "")
                values = own.groupby("factor").value.mean() + chance
                missing = int(own.value.isna().sum())
                row = mean_row_of("accuracy", str(directions), which, place, values) | {"missing": missing}
                if row["n"] and row["low"] == row["high"]:  # all factors alike: t has no spread to go by
                    row |= dict(zip(("low", "high"), wilson(row["value"] * row["n"], row["n"]), strict=True))
                rows.append(row)
        if directions == "oracle" and judge in INFORMED:
            rows += list(_quality_rows(part[part.factor.isin(kept)], str(judge), str(scorer)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _strength_rows(directions: str, sigma: str, part: pd.DataFrame) -> Iterable[dict[str, Any]]:
    told = {"directions": directions, "factors": "all", "scorer": sigma, "n": len(part)}
    yield told | {"what": "reachable", "value": float(part.reachable.mean())}
    yield told | {"what": "reachable", "against": "stay", "value": float(part.stays.mean())}
    found = part[part.reachable]
    if not len(found):
        return
    told["n"] = len(found)
    yield told | {"what": "reachable", "against": "develop", "value": float(found.develop.max())}
    on_test = {"value": found.test.mean(), "low": found.test.min(), "high": found.test.max()}
    yield told | {"what": "reachable", "against": "test"} | on_test
    for name in ("zero", "back"):
        yield told | {"what": "exact", "against": name, "value": float(found[name].max())}


def _quality_rows(part: pd.DataFrame, judge: str, scorer: str) -> Iterable[dict[str, Any]]:
    grades = part.pivot_table(index="factor", columns="grade", values="value")
    for better, worse in (*ORDERED, ("oracle", "wrong")):
        apart = (grades[better] - grades[worse]).dropna().round(12)
        row = mean_row_of("difference", "oracle", "causal", (judge, scorer, better, worse), apart)
        enough = row["high"] >= 0 if (better, worse) == ("oracle", "paraphrase") else row["low"] > 0
        yield row | {"holds": bool(enough)}
    for quality in ("effect", "f1"):
        for row in ranks(part, judge, (scorer, METRIC, ""), quality):
            yield row | {"directions": "oracle", "factors": "causal"}
        labels = (
            part.dropna(subset="value").groupby(["factor", "title"], sort=False)[quality].mean().to_numpy()
        )
        best = max(spearmanr(labels, labels >= cut).statistic for cut in np.unique(labels.round(9))[1:])
        yield {
            "what": "rank", "directions": "oracle", "factors": "causal", "judge": judge, "scorer": scorer,
            "grade": quality, "against": "best", "value": float(best), "n": len(labels),
        }  # fmt: skip


def mean_row_of(
    what: str, directions: str, factors: str, place: tuple[str, str, str, str], values: pd.Series
) -> dict[str, Any]:
    """The mean over factors with its interval; place: judge, scorer, grade, against."""
    judge, scorer, grade, against = place
    row = mean_row(what, (judge, scorer, "", "", grade, against), values)
    return row | {"directions": directions, "factors": factors}


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(prog="python -m eval.planted_interventions")
    parser.add_argument("--seeds", default="0", help="of the corpora")
    parser.add_argument("--n-cells", type=int, help="in place of the 12,000 of the parameters")
    parser.add_argument("--sets", default=",".join(SETS), help="of directions")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    work = given.out.with_name(f".{given.out.name}.work")  # what is measured, set by set; not committed
    work.mkdir(parents=True, exist_ok=True)
    made = []
    for seed in map(int, given.seeds.split(",")):
        files = {
            s: [work / f"{seed} {s} {part}.parquet" for part in ("scores", "strengths")]
            for s in given.sets.split(",")
        }
        missing = [s for s, (_, last) in files.items() if not last.exists()]
        params = load_params(FULL)
        params["cells"]["n_cells"] = given.n_cells or params["cells"]["n_cells"]
        with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
            for directions, planted in corpora(params, seed, Path(name), missing):
                scored(planted, directions).to_parquet(files[directions][0], index=False)
                strengths(planted, directions).to_parquet(files[directions][1], index=False)
                print(f"seed {seed}: {directions} directions are measured", flush=True)
        made += list(files.values())
    scores, turns = (
        pd.concat([pd.read_parquet(f) for f in part], ignore_index=True) for part in zip(*made, strict=True)
    )
    table = summary(scores, turns)
    table.to_csv(given.out, index=False, float_format="%.6g", lineterminator="\n")
    print(table[table.judge.isin(("", SURE)) | table.judge.isna()].to_string(index=False))


def corpora(
    params: dict[str, Any], seed: int, folder: Path, sets: Sequence[str]
) -> Iterable[tuple[str, Planted]]:
    """One corpus turned along each set of directions; fits its autoencoder first."""
    if not sets:
        return
    cells = planted_cells(params, seed)
    network = add_embeddings(cells.adata, explain_rows(cells.adata, seed), seed)
    network.save_decoder(folder / "decoder.safetensors")
    os.environ[PATH] = str(folder / "decoder.safetensors")
    for directions in sets:
        yield directions, turned(cells, directions, seed, folder)


if __name__ == "__main__":
    main()
