"""Is every negative of every latent silent on real blood cells, and are the near ones nearer than random ones?

An untrained dictionary on 700 cells that come with scanpy; the slow test fits one to the 3,774 sorted ones.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from autointerp.config import RunConfig
from autointerp.judge.trivial import RandomJudge
from autointerp.prepare import Prepared
from autointerp.schema import POSITIVE, Label
from autointerp.score import detection

KINDS = {"random", "neighbour", "co_firing", "decoder_similar", "same_category"}


def prepared(folder: Path, category: str, **chosen: object) -> Prepared:
    made = Prepared(RunConfig(embedding="pca", category=category, seed=0, **chosen))  # type: ignore[arg-type]
    made.cache = folder
    assert len(made.chosen) >= 20
    return made


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Prepared:
    scanpy = pytest.importorskip("scanpy")
    cells = Path(scanpy.__file__).parent / "datasets" / "10x_pbmc68k_reduced.h5ad"
    folder = tmp_path_factory.mktemp("few")
    return prepared(folder, "bulk_labels", data=cells, pca=30, dictionary="random", latents=48, k=4)


def assert_silent(made: Prepared) -> None:
    """By the stored activations of the latent itself, in every split, of every kind."""
    codes = made.activations.csr.toarray()  # (n, m)
    assert set(made.example_sets) == set(made.chosen)
    seen = set()
    for latent, sets in made.example_sets.items():
        for split in ("explain", "develop", "test"):
            examples = getattr(sets, split)
            negative = examples.kinds != POSITIVE
            assert (codes[examples.rows[negative], latent] == 0).all()
            assert (codes[examples.rows[~negative], latent] > 0).all()
            assert np.isin(examples.rows, made.split.rows(split)).all()
            seen |= set(examples.kinds[negative].tolist())
    assert seen == KINDS


def assert_nearer(made: Prepared) -> None:
    """Mean distance to the nearest positive, latent by latent, where a test split has both kinds."""
    space = np.asarray(made.corpus.embeddings, dtype=float)
    gained = []
    for sets in made.example_sets.values():
        test = sets.test
        near, chance = (
            cdist(space[test.of_kind(kind)], space[test.of_kind(POSITIVE)]).min(1).mean()
            for kind in ("neighbour", "random")
        )
        gained.append(chance - near)
    assert np.mean(np.array(gained) > 0) >= 0.95
    assert np.mean(gained) > 0


def assert_reported(made: Prepared, latents: list[int]) -> None:
    """Each kind of negative has its own rows, a number or a reason, with its own count."""
    for latent in latents:
        test = made.example_sets[latent].test
        label = Label(latent, "x", "a label", "", "unknown", 1.0, ())
        asked = detection.questions(label, latent, test, None, 0)
        answers = [asyncio.run(RandomJudge(0).answer(question)) for question in asked]
        trials = detection.trials(asked, answers, test, made.corpus.groups, "random", "x", label.label_id)
        told = {(s.metric, s.negatives): s for s in detection.scores(trials, 0.1, "item", "")}
        for kind in set(test.kinds.tolist()) - {POSITIVE}:
            n_silent = int((test.kinds == kind).sum())
            for metric in ("auroc", "balanced_accuracy", "specificity"):
                score = told[metric, kind]
                assert (score.value is None) == (n_silent < 15)
                assert score.value is not None or str(n_silent) in score.reason
            if n_silent >= 15:
                assert told["specificity", kind].n == n_silent


def test_every_negative_is_silent(few):
    assert_silent(few)


def test_neighbours_are_nearer_than_random_negatives(few):
    assert_nearer(few)


def test_each_kind_of_negative_is_reported(few):
    assert_reported(few, few.chosen[:8])


@pytest.mark.slow
def test_all_of_it_on_sorted_cells(data_folder, tmp_path):
    made = prepared(
        tmp_path, "celltype", data=data_folder / "pbmc_facs_zheng" / "pbmc_facs.h5ad", latents=512, k=16
    )
    assert_silent(made)
    assert_nearer(made)
    assert_reported(made, made.chosen)
