"""Which dictionary holds most of what sorted cells are? All kinds on one embedding, over seeds.

``python -m eval.dictionaries --data FOLDER/pbmc_facs_zheng --seeds 0,1,2 --out eval/results/pbmc_dictionaries.csv``
fits every kind at every size, measures it as `autointerp dictionary report` does, matches it over seeds, and labels and
scores it once (marker labels, signature judge, no language model). Beside the table, FILE.md is written for people.

The split and the embedding are the pipeline's own, for seed 0; ``--seeds`` are those of the dictionaries, so that all
of them live in one space. Latents, thresholds and probes are chosen on develop cells, figures come from test cells;
measures that end in ``_develop`` come from develop cells alone: a default is chosen by them.

Running again goes on where it was stopped: a dictionary that has its rows is not fitted again. Remove the file and the
work folder (next to it, ``.FILE.work``) to measure anew after a change of the dictionaries.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import sae
from autointerp.config import make_config
from autointerp.dictionary.compare import directions
from autointerp.dictionary.measures import Ground, encode_rows, measure
from autointerp.prepare import Prepared
from autointerp.run import Run
from eval.dictionary_table import write_markdown
from sae.metrics.coverage import coverage
from sae.metrics.distinctness import distinctness
from sae.metrics.quality import quality
from sae.metrics.stability import Directions, stability

BASELINES = ("pca", "ica", "nmf", "neurons", "random")
COLUMNS = [
    *("kind", "latents", "k", "seed", "measure", "value", "n", "of", "reason"),
    *("m", "fingerprint", "split"),
]  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """One dictionary of the table.

    kind : as ``sae`` names it; ``kind@scaling`` for another scaling than the kind's own
    latents, k : as asked; a baseline may have fewer latents
    """

    kind: str
    latents: int
    k: int

    def config(self, d: int, seed: int) -> sae.DictionaryConfig:
        name, _, scaling = self.kind.partition("@")
        own: dict[str, Any] = {"scaling": scaling, "unit_norm": False} if scaling else {}
        return sae.DictionaryConfig(d=d, m=self.latents, k=self.k, kind=name, seed=seed, **own)

    @property
    def folder(self) -> str:
        return f"{self.kind}-{self.latents}-{self.k}".replace("@", "-")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, measure what is missing, write both tables."""
    options = _options(arguments)
    torch.set_num_threads(1)
    cells = options.data if options.data.is_file() else next(iter(sorted(options.data.glob("*.h5ad"))), None)
    if cells is None:
        raise SystemExit(f"No .h5ad in {options.data}.")
    config = make_config(
        {"data": cells, "embedding": options.embedding, "group": options.group, "threads": 1}
    )
    prepared = Prepared(config)
    labels = prepared.corpus.obs[options.concepts].astype(str).to_numpy(dtype=object)
    _ = prepared.split  # fits the embedding, where that is pca
    ground = Ground(prepared.split, prepared.corpus.embeddings, labels)
    table = Table(options.out, prepared.split.hash)
    work = options.out.with_name(f".{options.out.name}.work")
    for wanted in options.wanted:
        for seed in options.seeds:
            if not table.has(wanted, str(seed)):
                _one(wanted, seed, ground, work, table)
        if options.detection and not table.has(wanted, f"{options.seeds[0]} detection"):
            _detect(wanted, options.seeds[0], prepared, work, table)
        if len(options.seeds) > 1:
            _match(wanted, options.seeds, ground, work, table)
        write_markdown(table.frame, options.out.with_suffix(".md"), cells.stem, ground.split)
    print(options.out.with_suffix(".md").read_text())


class Table:
    """The rows so far, in a file that grows by whole dictionaries."""

    def __init__(self, path: Path, split: str) -> None:
        self.path, self.split = path, split
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            pd.DataFrame(columns=COLUMNS).to_csv(path, index=False, lineterminator="\n")
        others = set(self.frame["split"]) - {split}
        if others:
            raise SystemExit(
                f"{path} was measured on split {others.pop()}, this is {split}. Remove it first."
            )

    @property
    def frame(self) -> pd.DataFrame:
        text = dict.fromkeys(("kind", "seed", "measure", "of", "reason", "fingerprint", "split"), str)
        return pd.read_csv(self.path, dtype=text, keep_default_na=False, na_values={"value": [""]})

    def has(self, wanted: Wanted, seed: str) -> bool:
        """Are there rows of this dictionary and seed?"""
        frame = self.frame
        mine = (
            (frame["kind"] == wanted.kind) & (frame["latents"] == wanted.latents) & (frame["k"] == wanted.k)
        )
        return bool((mine & (frame["seed"] == seed)).any())

    def add(self, wanted: Wanted, seed: str, rows: pd.DataFrame, m: int, fingerprint: str) -> None:
        """Append rows with the columns measure, value, n, of, reason; all at once."""
        rows = rows.assign(
            kind=wanted.kind, latents=wanted.latents, k=wanted.k, seed=seed, m=m, fingerprint=fingerprint,
            split=self.split,
        )  # fmt: skip
        text = rows[COLUMNS].to_csv(index=False, header=False, float_format="%.6g", lineterminator="\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)


def _one(wanted: Wanted, seed: int, ground: Ground, work: Path, table: Table) -> None:
    """Fit, save and measure one dictionary."""
    d = ground.x.shape[1]
    folder = work / wanted.folder / str(seed)
    started = time.perf_counter()
    try:
        made = sae.fit(ground.x, wanted.config(d, seed), rows=ground.split.rows("explain")).dictionary
    except ValueError as error:  # a size that the kind does not take: said in the table
        rows = [("fvu", np.nan, 0, "items", str(error))]
        table.add(wanted, str(seed), _frame(rows), 0, "")
        print(f"{wanted.folder} seed {seed}: {error}", flush=True)
        return
    took_s = time.perf_counter() - started
    if not folder.exists():
        sae.save(made, folder)
    codes = encode_rows(made, ground.x)
    found = measure(wanted.folder, codes, ground, made)
    summary = found["summary"][["measure", "value", "n", "of", "reason"]]
    best = found["best_selectivity"]
    average = best.loc[best["kind"] == "average", "value_choose"]
    develop = ground.split.rows("develop")
    apart = distinctness(codes[develop]).iloc[0]
    on_develop = [
        ("fvu_develop", quality(made, ground.x, develop)["fvu"], len(develop), "items", ""),
        ("coverage_develop", _coverage_on_develop(codes, ground), average.count(), "concepts", ""),
        ("selectivity_average_develop", average.mean(), average.count(), "concepts", ""),
        ("distinctness_develop", apart.distinctness, apart.varying, "latents", apart.reason),
        ("fit_s", took_s, 1, "fits", ""),
    ]
    rows = pd.concat([summary, _frame(on_develop)], ignore_index=True)
    table.add(wanted, str(seed), rows, made.config.m, made.fingerprint()[:12])
    f1 = summary.set_index("measure").at["coverage", "value"]
    print(f"{wanted.folder} seed {seed}: coverage {f1:.3f}, {took_s:.0f} s", flush=True)


def _coverage_on_develop(codes: Any, ground: Ground) -> float:
    """Mean F1 where each half of develop chooses latent and threshold for the other: no choice is scored on itself."""
    from sae.metrics.inputs import one_hot

    assert ground.concepts is not None
    rows = np.random.default_rng([0, 7]).permutation(ground.labeled("develop"))
    halves = np.sort(rows[::2]), np.sort(rows[1::2])
    concepts = one_hot(ground.concepts)
    both = [coverage(codes, concepts, *pair)["f1"].mean() for pair in (halves, halves[::-1])]
    return float(np.mean(both))


def _detect(wanted: Wanted, seed: int, prepared: Prepared, work: Path, table: Table) -> None:
    """Label and score the latents of one dictionary as the pipeline does without a model."""
    folder = work / wanted.folder / str(seed)
    if not folder.exists():
        return
    made = sae.load(folder)
    with tempfile.TemporaryDirectory() as out:
        chosen = {
            "explainer": ("markers",),
            "judge": "signature",
            "scorers": "detection",
            "controls": "shuffled",
        }
        run = Run(make_config({**chosen, "out": Path(out) / "run"}, stored=prepared.config.to_json()))
        run.prepared.corpus, run.prepared.split, run.prepared.fitted = (
            prepared.corpus,
            prepared.split,
            (made, {}),
        )
        run.score()
        summary = run.summary
    row = summary[(summary["scorer"] == "detection") & (summary["metric"] == "auroc")].set_index("negatives")
    rows = []
    for negatives in ("random", "neighbour"):
        here = row.loc[negatives]
        n = int(here["n_scored"])
        rows += [
            (f"detection_{negatives}", here["median"], n, "labels", ""),
            (f"detection_{negatives}_mean_all", here["mean_all"], int(here["n_latents"]), "latents", ""),
            (f"detection_{negatives}_shuffled", here["shuffled"], n, "labels", ""),
        ]
    table.add(wanted, f"{seed} detection", _frame(rows), made.config.m, made.fingerprint()[:12])
    print(f"{wanted.folder}: detection {row.at['random', 'median']:.3f}", flush=True)


def _match(wanted: Wanted, seeds: Sequence[int], ground: Ground, work: Path, table: Table) -> None:
    """Every pair of seeds: shared latents and MMCS, dead latents left out."""
    folders = {seed: work / wanted.folder / str(seed) for seed in seeds}
    missing = [pair for pair in combinations(seeds, 2) if not table.has(wanted, f"{pair[0]} and {pair[1]}")]
    if not missing or not all(folder.exists() for folder in folders.values()):
        return
    opened = {seed: sae.load(folder) for seed, folder in folders.items()}
    weights: Mapping[int, Directions] = {seed: _alive(made, ground) for seed, made in opened.items()}
    for first, second in missing:
        row = stability([weights[first], weights[second]]).iloc[0]
        smaller = int(min(row.m_first, row.m_second))
        rows = [
            ("stability_shared", row["shared"], smaller, "latents", ""),
            ("stability_mmcs", row["mmcs"], smaller, "latents", ""),
        ]
        table.add(wanted, f"{first} and {second}", _frame(rows), opened[first].config.m, "")


def _alive(made: Any, ground: Ground) -> Directions:
    codes = encode_rows(made, ground.x)[ground.split.rows("explain")]
    alive = np.bincount(codes.indices, minlength=made.config.m) > 0
    encoder, decoder = directions(made, scaled=True)  # one set of rows fits the preprocessing of all seeds
    return Directions(encoder[alive], decoder[alive])


def _frame(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["measure", "value", "n", "of", "reason"])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    trained = [*sae.config.TRAINED, *(["icfl@global"] if "icfl" in sae.config.TRAINED else [])]
    parser = argparse.ArgumentParser(prog="python -m eval.dictionaries")
    parser.add_argument("--data", type=Path, required=True, help="an .h5ad, or the folder that holds it")
    parser.add_argument("--embedding", default="pca")
    parser.add_argument("--group", help="obs column that cuts the splits")
    parser.add_argument("--concepts", default="celltype", help="obs column of known concepts")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--sizes", default="128/8,512/16", help="LATENTS/K, comma-separated")
    parser.add_argument(
        "--kinds", default=",".join([*trained, *BASELINES]), help="comma-separated; kind@scaling"
    )
    parser.add_argument("--no-detection", dest="detection", action="store_false")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "pbmc_dictionaries.csv"
    )
    options = parser.parse_args(arguments)
    options.seeds = [int(seed) for seed in options.seeds.split(",")]
    sizes = [tuple(map(int, size.split("/"))) for size in options.sizes.split(",")]
    options.wanted = [Wanted(kind, m, k) for kind in options.kinds.split(",") for m, k in sizes]
    return options


if __name__ == "__main__":
    main()
