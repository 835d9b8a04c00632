"""What do dictionaries hold of planted images, with and without whitening on controls, and where do they point?

``nice python -m eval.planted_image_dictionaries --seeds 0,1,2`` fits ICFL and TopK to measured morphology and to the
means of fixed random convolutions' patch tokens, at equal L0: TopK's k is the L0 that ICFL reaches on explain. Either
kind's learning rate is the one of two whose latents are more selective on develop. Whitened: PCA on control wells,
centered on them, unit norm; plain: one global scale, centered on the mean. Latents are chosen on explain and develop,
figures are of test plates.

Heatmaps are of test crops where a factor is active. The oracle's patches are activity × the share of a patch that the
mask covers; ``probe`` is a ridge regression from tokens to these, fitted on explain; dictionaries of token means
encode each token, and the factor's most selective latent points. Factors that fill the whole crop are left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from threadpoolctl import threadpool_limits

import sae
from autointerp.evidence.splits import Split
from eval.heatmaps import heatmaps, located
from eval.planted.images import PATCH, WHOLE, PlantedImages, load_image_params, planted_images
from eval.planted.patches import oracle_parts, parts_of, random_conv_tokens
from eval.planted_images import RESULTS as SCORED
from eval.planted_images import prepared_images
from sae.metrics.concepts import best_selectivity
from sae.metrics.coverage import coverage
from sae.metrics.inputs import from_codes

RESULTS = Path(__file__).parent / "results" / "planted_image_dictionaries.csv"
M, ICFL_K, STEPS = 128, 10, 1500
RATES = (1e-3, 4e-3)
PREPROCESSING: dict[str, dict[str, Any]] = {
    "whitened": {"scaling": "whiten", "center": "controls", "unit_norm": True},
    "plain": {"scaling": "global", "center": "mean", "unit_norm": False},
}
PLACE = ("seed", "embedding", "latents", "preprocessing", "figure", "factor")
COLUMNS = (*PLACE, "value", "n")
Row = tuple[Any, ...]


class Rows(NamedTuple):
    """Row numbers of explain, of its controls, of develop, of both together, and of test."""

    explain: np.ndarray
    controls: np.ndarray
    develop: np.ndarray
    choose: np.ndarray
    test: np.ndarray


class Tuned(NamedTuple):
    """A dictionary at the learning rate that develop chose, its codes (n, m) of all crops, and the rate."""

    dictionary: sae.TopK
    codes: sparse.csr_array
    rate: float


def rows_of(split: Split, is_control: np.ndarray) -> Rows:
    """Of a corpus with control wells."""
    explain, develop, test = split.rows("explain"), split.rows("develop"), split.rows("test")
    return Rows(explain, explain[is_control[explain]], develop, np.concatenate([explain, develop]), test)


def tuned(
    x: np.ndarray,
    kind: str,
    k: int,
    how: dict[str, Any],
    rows: Rows,
    concepts: dict[str, np.ndarray],
    seed: int,
) -> Tuned:
    """Of x (n, d), by mean average selectivity on develop of the latents that explain chooses."""
    best, least = None, -np.inf
    for rate in RATES:
        config = sae.DictionaryConfig(
            d=x.shape[1], m=M, k=k, kind=kind, lr=rate, steps=STEPS, seed=seed, **how
        )
        dictionary = sae.fit(x, config, rows=rows.explain, controls=rows.controls).dictionary
        codes = from_codes(dictionary.encode(x), M)
        found = best_selectivity(codes, concepts, rows.explain, rows.develop)
        value = float(found[found.kind == "average"].value.mean())
        if best is None or value > least:
            best, least = Tuned(dictionary, codes, rate), value
    assert best is not None
    return best


def compared(
    x: np.ndarray, rows: Rows, concepts: dict[str, np.ndarray], seed: int
) -> Iterator[tuple[str, str, Tuned]]:
    """(kind, preprocessing, dictionary): ICFL, and TopK with as many active latents."""
    for name, how in PREPROCESSING.items():
        icfl = tuned(x, "icfl", ICFL_K, how, rows, concepts, seed)
        yield "icfl", name, icfl
        k = max(1, round(icfl.codes[rows.explain].count_nonzero() / len(rows.explain)))
        yield "topk", name, tuned(x, "topk", k, how, rows, concepts, seed)


def held(
    place: tuple[Any, ...], made: Tuned, x: np.ndarray, rows: Rows, concepts: dict[str, np.ndarray]
) -> list[Row]:
    """What a dictionary holds, on test: FVU, L0, and of each factor selectivity and coverage."""
    found = sae.quality(made.dictionary, x[rows.test])
    told: list[Row] = [(*place, "learning rate", "", made.rate, 0)]
    told += [(*place, name, "", found[name], len(rows.test)) for name in ("l0", "fvu_scaled", "dead_share")]
    best = best_selectivity(made.codes, concepts, rows.choose, rows.test)
    for row in best[best.kind == "average"].itertuples():
        told.append((*place, "selectivity", row.concept, row.value, int(row.n_test)))
    for row in coverage(made.codes, concepts, rows.choose, rows.test).itertuples():
        told.append((*place, "coverage", row.concept, row.f1, int(row.n_test)))
    return told


def pointed(
    place: tuple[Any, ...],
    values: np.ndarray | None,
    latents: dict[str, int],
    crops: PlantedImages,
    test: np.ndarray,
) -> list[Row]:
    """Pointing game and IoU of one latent a factor, on test crops where the factor is active and shows.

    values : (t, p, m) activations of the patches of the test crops; None: the oracle's
    """
    side = crops.masks.shape[2] // PATCH
    parts = oracle_parts(crops) if values is None else parts_of(values)
    told: list[Row] = []
    for factor, latent in latents.items():
        j = crops.factor(factor)
        among = np.flatnonzero(crops.masks[test, j].any((1, 2)))
        if factor in WHOLE or latent < 0 or not len(among):
            continue
        items = test[among] if values is None else among
        found = located(heatmaps(parts, latent, items, (side, side)), crops.masks[test[among], j])
        for name, each in found._asdict().items():
            told.append((*place, name, factor, float(each.mean()), len(among)))
    return told


def one_corpus(seed: int, crops: PlantedImages, folder: Path) -> pd.DataFrame:
    """All figures of one corpus, as a tidy table; ``folder`` keeps its crops and measurements."""
    made = prepared_images(crops, folder, seed)
    split = made.split
    rows = rows_of(split, np.asarray(made.corpus.is_control))
    concepts = {f.name: crops.activity[:, j] > 0 for j, f in enumerate(crops.factors)}
    tokens = random_conv_tokens(crops.images)  # (n, p, t)
    spaces = {"morphology": np.asarray(made.corpus.embeddings), "random convolutions": tokens.mean(1)}
    own = {name: j for j, name in enumerate(concepts)}
    told = pointed((seed, "", "oracle", ""), None, own, crops, rows.test)
    probed = _probe(tokens, crops, rows)
    told += pointed((seed, "random convolutions", "probe", ""), probed, own, crops, rows.test)
    for space, x in spaces.items():
        for kind, how, fitted in compared(np.ascontiguousarray(x, np.float32), rows, concepts, seed):
            place = (seed, space, kind, how)
            told += held(place, fitted, x, rows, concepts)
            if space != "morphology":
                best = best_selectivity(fitted.codes, concepts, rows.choose, rows.test)
                chosen = best[best.kind == "average"].set_index("concept").latent
                flat = tokens[rows.test].reshape(-1, tokens.shape[2])
                codes = from_codes(fitted.dictionary.encode(flat), M).toarray()
                latents = {name: int(latent) for name, latent in chosen.items()}
                values = codes.reshape(len(rows.test), -1, M)
                told += pointed(place, values, latents, crops, rows.test)
    return pd.DataFrame(told, columns=list(COLUMNS))


def _probe(tokens: np.ndarray, crops: PlantedImages, rows: Rows) -> np.ndarray:
    """(t, p, f) of test crops: ridge regression from tokens to the oracle's patch activations, below 0 set to 0."""
    from sklearn.linear_model import Ridge

    p, f = tokens.shape[1], crops.activity.shape[1]
    truth = oracle_parts(crops).values.toarray().reshape(len(tokens), p, f)
    flat = tokens[rows.explain].reshape(-1, tokens.shape[2])
    scale = flat.std(0) + 1e-9
    ridge = Ridge(alpha=10.0).fit(flat / scale, truth[rows.explain].reshape(-1, f))
    said = ridge.predict(tokens[rows.test].reshape(-1, tokens.shape[2]) / scale)
    return np.asarray(said.clip(0).reshape(len(rows.test), p, f))


def page(table: pd.DataFrame) -> str:
    """Means over factors, then over seeds [least, greatest]."""
    means = table.groupby(
        ["embedding", "latents", "preprocessing", "figure", "seed"], sort=False
    ).value.mean()
    lines = [
        "# Dictionaries on planted images",
        "",
        "`python -m eval.planted_image_dictionaries` makes this page; every factor's figure is in the CSV of the same",
        f"name. {M} latents; mean over factors, then over {table.seed.nunique()} corpora [least, greatest], on test",
        "plates. L0 is that of ICFL with k = 10; TopK's k is set to it.",
        "",
        "## Selectivity at equal L0",
        "",
        *_lines(means, ("selectivity", "coverage", "l0", "fvu_scaled", "dead_share", "learning rate")),
        "",
        "## Where they point",
        "",
        "Factors that fill the crop are left out. Chance: a patch drawn at random; best IoU: of any set of patches.",
        "",
        *_lines(means, ("pointing", "chance", "iou", "best_iou")),
    ]
    return "\n".join(lines) + "\n"


def _lines(means: pd.Series, figures: Sequence[str]) -> list[str]:
    shown = means[means.index.get_level_values("figure").isin(figures)]
    lines = [
        "| embedding | latents | preprocessing | " + " | ".join(figures) + " |",
        "|---" * (3 + len(figures)) + "|",
    ]
    for place, part in shown.groupby(level=[0, 1, 2], sort=False):
        by_figure = part.droplevel([0, 1, 2])
        cells = []
        for figure in figures:
            values = by_figure[figure] if figure in by_figure.index.get_level_values(0) else None
            cells.append(
                "" if values is None else f"{values.mean():.3g} [{values.min():.3g}, {values.max():.3g}]"
            )
        lines.append("| " + " | ".join([*place, *cells]) + " |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, seed by seed, and write both tables."""
    asked = argparse.ArgumentParser(prog="python -m eval.planted_image_dictionaries")
    asked.add_argument("--seeds", default="0,1,2", help="of the corpora")
    asked.add_argument("--out", type=Path, default=RESULTS)
    given = asked.parse_args(arguments)
    work = given.out.with_name(f".{given.out.name}.work")  # not committed
    scored = SCORED.with_name(f".{SCORED.name}.work")  # where the same crops may be measured already
    work.mkdir(parents=True, exist_ok=True)
    tables = []
    for seed in map(int, given.seeds.split(",")):
        file = work / f"{seed}.parquet"
        if not file.exists():
            began = time.perf_counter()
            with threadpool_limits(1):
                crops = planted_images(load_image_params(), seed)
                one_corpus(seed, crops, scored / f"seed{seed}").to_parquet(file, index=False)
            print(f"seed {seed}: {time.perf_counter() - began:.0f} s", flush=True)
        tables.append(pd.read_parquet(file))
    table = pd.concat(tables, ignore_index=True)
    table.to_csv(given.out, index=False, float_format="%.5g", lineterminator="\n")
    given.out.with_suffix(".md").write_text(page(table), encoding="utf-8")
    print(page(table))


if __name__ == "__main__":
    main()
