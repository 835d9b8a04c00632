"""Do scores follow the quality of labels? Graded labels of planted factors, judged by rules, scored as in a run.

``python -m eval.planted_scorers --seeds 0,1,2 --out eval/results/planted_scorers.csv`` draws one full planted corpus a
seed, takes the factors as latents (oracle latents), and has every judge answer about every graded label through the
scorers of ``autointerp.score.registry``. ``eval.planted_orderings`` says which of protocols §8's orderings hold.

Judges: the oracle, who understands every label, at several levels of noise and bias (in logits); ``signature``; and the
four who know nothing. ``shuffled`` labels are the oracle labels of other families, as a run deals them. Negatives are
drawn near cells in the space of 50 principal components, splits are by donor.

The planted quality of a label compares where it is true with where the factor is active, over all test cells:
``f1`` = 2 TPR / (TPR + FPR + 1), the F1 of a corpus where active and silent cells are equally many, since scorers ask
about equally many and never see how rare a factor is; ``f1_population``, the same at the corpus's own rate, and
``youden`` = TPR − FPR stand beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from autointerp.config import RunConfig
from autointerp.controls import shuffled_labels
from autointerp.intervene.amplified import Amplifier
from autointerp.judge.base import Judge
from autointerp.judge.signature import SignatureJudge
from autointerp.judge.trivial import MalformedJudge, RandomJudge, SameJudge
from autointerp.judging import material_of
from autointerp.prepare import Prepared
from autointerp.schema import Failure, Label
from autointerp.score.base import Reader, Scorer
from autointerp.score.registry import SCORERS
from eval.planted import FULL, GradedLabel, PlantedCells, load_params, planted_cells
from eval.planted.images import PlantedImages
from eval.planted.judges import OracleJudge
from eval.planted.labels import GRADES, Meaning
from eval.planted_orderings import KNOW_NOTHING, summary, write_markdown

LEVELS = ((0.0, 0.0), (1.5, 0.0), (3.0, 0.0), (1.5, 1.5))  # (noise, bias) of the oracle, in logits
JUDGED, READ = (
    ("detection", "fuzzing"),
    ("signature",),
)  # scorers that ask a judge, and one that reads for itself
RANDOM_DRAWS = 10  # of the random judge, whose mean over a corpus is else off by 0.01 by chance
SHUFFLED = "shuffled"
NOTHING_GRADES = ("oracle", "wrong")  # the labels that judges who know nothing are asked about
COLUMNS = (
    *("seed", "judge", "scorer", "factor", "family", "grade", "title", "metric", "negatives", "value"),
    *("reason", "f1", "f1_population", "youden"),
)


class Planted:
    """The factors of a planted corpus as latents, ready to be asked about.

    made : of images, with the activity of all factors brought; None: planted cells are prepared here, as below
    factors : names of those that become latents, in this order; None: all
    judged : scorers that ask a judge
    dictionary : folder of one whose latents stand for these factors, in place of the activities themselves
    decoder : MODULE:CALLABLE, how its edits are read
    cache : where a dictionary's activations are kept
    amplify : what amplifies its latents, in place of what a run has
    most : so many latents, drawn with the seed, are asked about; the labels of all stand beside theirs
    """

    def __init__(
        self,
        cells: PlantedCells | PlantedImages,
        factors: Sequence[str] | None = None,
        seed: int = 0,
        embedding: str = "pca",
        judged: Sequence[str] = JUDGED,
        dictionary: Path | None = None,
        decoder: str | None = None,
        cache: Path = Path("cache"),
        amplify: Callable[[Prepared], Amplifier] | None = None,
        most: int | None = None,
        made: Prepared | None = None,
    ):
        self.cells: Any = cells  # the caller knows of which kind
        self.seed, self._judged = seed, tuple(judged)
        names = [f.name for f in cells.factors] if factors is None else list(factors)
        columns = [cells.factor(name) for name in names]
        self.factors = [cells.factors[column] for column in columns]
        if made is None:
            assert isinstance(cells, PlantedCells)
            made = _prepared(cells, columns, seed, embedding, dictionary, decoder)
            made.cache = cache
        self.made = made
        self.made.amplifier = amplify(self.made) if amplify else None
        self.material = material_of(self.made)
        self.latents = self.made.chosen  # a factor that is too rare is no latent, as in any run
        drawn = np.random.default_rng([seed, 13]).permutation(self.latents)[:most]
        self.asked = self.latents if most is None else sorted(drawn.tolist())
        test = self.made.split.rows("test")
        self._active = cells.activity[test]  # (t, f of the corpus)
        self._column = dict(zip(names, columns, strict=True))
        self.items = {
            (name, latent): SCORERS[name].items(self.material, latent, "test")
            for name in (*self._judged, *READ)
            for latent in self.asked
        }
        self._qualities: dict[tuple[int, Meaning | None], dict[str, float]] = {}

    def rates(self, latent: int) -> float:
        """Share of test cells where the factor is active."""
        return float((self._active[:, self._column[self.factors[latent].name]] > 0).mean())

    def quality(self, latent: int, label: GradedLabel) -> dict[str, float]:
        """``f1``, ``f1_population`` and ``youden`` of a label for a factor, over all test cells."""
        if (latent, label.meaning) not in self._qualities:
            active = self._active[:, self._column[self.factors[latent].name]] > 0
            said = label.truth(self._active)
            tpr, fpr = float(said[active].mean()), float(said[~active].mean())
            both = 2 * (said & active).sum() / (said.sum() + active.sum())
            found = {"f1": 2 * tpr / (tpr + fpr + 1), "f1_population": float(both), "youden": tpr - fpr}
            self._qualities[latent, label.meaning] = found
        return self._qualities[latent, label.meaning]

    def judges(self) -> dict[str, Judge]:
        """By the names of the tables."""
        oracles = [label for f in self.factors for label in f.graded("oracle")]
        ours = [given.label for latent, given in self._graded(oracles)]
        develop = {latent: sets.develop for latent, sets in self.made.example_sets.items()}
        judges: dict[str, Judge] = {
            _level(noise, bias): OracleJudge(self.cells, noise, bias, self.seed) for noise, bias in LEVELS
        }
        judges["signature"] = SignatureJudge(self.made.corpus, develop, ours)
        judges["constant"], judges["always_yes"] = SameJudge("constant", 50.0), SameJudge("always_yes", 100.0)
        judges["malformed"] = MalformedJudge()
        return judges

    def random(self, n_draws: int = RANDOM_DRAWS) -> pd.DataFrame:
        """`scores` of the random judge, each label's several times."""
        draws = range(n_draws * self.seed, n_draws * (self.seed + 1))
        tables = [self.scores("random", RandomJudge(draw), NOTHING_GRADES) for draw in draws]
        return pd.concat(tables, ignore_index=True)

    def scores(self, name: str, judge: Judge, grades: Iterable[str], shuffle: bool = False) -> pd.DataFrame:
        """One row a (scorer, label, metric, negatives) of the scorers that ask a judge."""
        readers = [(SCORERS[scorer], name, judge) for scorer in self._judged]
        return asyncio.run(self._scored(readers, self._labels(grades, shuffle)))

    def read(self, grades: Iterable[str], shuffle: bool = False) -> pd.DataFrame:
        """The same of the scorer ``signature``, which has no judge."""
        readers = [(s, s.name, s.reader(self.material)) for s in map(SCORERS.get, READ) if s and s.reader]
        return asyncio.run(self._scored(readers, self._labels(grades, shuffle)))

    def _graded(self, labels: Iterable[GradedLabel]) -> list[tuple[int, GradedLabel]]:
        """With the latent of each label's factor, for factors that are latents."""
        latent_of = {self.factors[latent].name: latent for latent in self.asked}
        return [(latent_of[g.factor], g) for g in labels if g.factor in latent_of]

    def _labels(self, grades: Iterable[str], shuffle: bool) -> list[tuple[int, str, GradedLabel, Label]]:
        """(latent, grade, what is said, the label with our own latent number)."""
        graded = self._graded(g for f in self.factors for grade in grades for g in f.graded(grade))
        asked = [(latent, given.grade, given, self._own(latent, given)) for latent, given in graded]
        if shuffle:
            oracles = {latent: self.factors[latent].oracle for latent in self.asked}
            ours = [self._own(latent, given) for latent, given in oracles.items()]
            drawn = shuffled_labels(self.made, self.seed, ours, free=True)
            asked += [(latent, SHUFFLED, oracles[label.latent], label) for _, latent, label in drawn]
        return asked

    def _own(self, latent: int, given: GradedLabel) -> Label:
        label = given.label
        features = label.key_features
        return Label(latent, label.explainer, label.title, label.description, label.kind, 1.0, features)

    async def _scored(
        self,
        readers: Sequence[tuple[Scorer, str, Reader]],
        asked: Sequence[tuple[int, str, GradedLabel, Label]],
    ) -> pd.DataFrame:
        rows = []
        oracles = [self._own(latent, self.factors[latent].oracle) for latent in self.latents]
        for scorer, name, judge in readers:
            for latent, grade, given, label in asked:
                factor, items = self.factors[latent], self.items[scorer.name, latent]
                place = (self.seed, name, scorer.name, factor.name, factor.family, grade, given.title)
                quality = tuple(self.quality(latent, given).values())
                if scorer.among is not None and not isinstance(items, Failure):
                    items = scorer.among(self.material, items, label, latent, oracles)
                if isinstance(items, Failure):
                    rows.append((*place, scorer.metric, scorer.headline, None, items.message, *quality))
                    continue
                questions = scorer.questions(label, latent, items, judge.batch_size, self.seed, ())
                answers = [await judge.answer(question) for question in questions]
                groups, said = self.made.corpus.groups, (judge.name, label.explainer, label.label_id)
                trials = scorer.trials(questions, answers, items, groups, *said)
                made = scorer.scores(trials, self.rates(latent), self.made.split.mode, self.made.split.hash)
                rows += [(*place, s.metric, s.negatives, s.value, s.reason, *quality) for s in made]
        return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": float})


def _prepared(
    cells: PlantedCells,
    columns: Sequence[int],
    seed: int,
    embedding: str,
    dictionary: Path | None,
    decoder: str | None,
) -> Prepared:
    """As a run prepares what a user brings: cells, and the activities of these factors or a dictionary."""
    adata = cells.adata.copy()
    adata.obsm["activations"] = cells.activity[:, columns]
    latents = {"activations": "activations"} if dictionary is None else {"dictionary": str(dictionary)}
    config = RunConfig(
        data=Path("planted.h5ad"), embedding=embedding, group="donor", seed=seed, decoder=decoder, **latents
    )
    return Prepared(config, data=adata)


def _level(noise: float, bias: float) -> str:
    return f"oracle:noise={noise:g}" + (f",bias={bias:g}" if bias else "")


def measured(planted: Planted) -> pd.DataFrame:
    """All judges and scorers on one corpus."""
    tables = [planted.read(GRADES, shuffle=True), planted.random()]
    for name, judge in planted.judges().items():
        nothing = name in KNOW_NOTHING
        began = time.perf_counter()
        tables.append(planted.scores(name, judge, NOTHING_GRADES if nothing else GRADES, not nothing))
        print(f"seed {planted.seed} {name}: {time.perf_counter() - began:.0f} s", flush=True)
    return pd.concat(tables, ignore_index=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Score what is missing, seed by seed, and write both tables."""
    options = _options(arguments)
    work = options.out.with_name(
        f".{options.out.name}.work"
    )  # every label's scores, seed by seed; not committed
    work.mkdir(parents=True, exist_ok=True)
    tables = []
    for seed in options.seeds:
        file = work / f"{seed}.parquet"
        if not file.exists():
            params = load_params(FULL)
            params["cells"]["n_cells"] = options.n_cells or params["cells"]["n_cells"]
            with threadpool_limits(1):
                measured(Planted(planted_cells(params, seed), seed=seed)).to_parquet(file, index=False)
        tables.append(pd.read_parquet(file))
    frame = summary(pd.concat(tables, ignore_index=True))
    frame.to_csv(options.out, index=False, float_format="%.6g", lineterminator="\n")
    write_markdown(frame, options.out.with_suffix(".md"))
    print(options.out.with_suffix(".md").read_text(encoding="utf-8"))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m eval.planted_scorers")
    parser.add_argument("--seeds", default="0,1,2", help="of the corpora")
    parser.add_argument("--n-cells", type=int, help="in place of the 12,000 of the parameters")
    here = Path(__file__).parent / "results" / "planted_scorers.csv"
    parser.add_argument("--out", type=Path, default=here)
    options = parser.parse_args(arguments)
    options.seeds = [int(seed) for seed in options.seeds.split(",")]
    return options


if __name__ == "__main__":
    main()
