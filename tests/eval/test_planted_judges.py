"""Do detection and fuzzing order labels by their quality when the judge understands them, and none when it does not?

The full planted corpus with its grammar of labels (protocols, section 8): a few factors on fewer cells here, all of
them in the slow test.
"""

from __future__ import annotations

import asyncio

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr, ttest_1samp

from autointerp.judge.trivial import MalformedJudge, RandomJudge, SameJudge
from autointerp.schema import Failure, Label, Question
from eval.planted.graded import QUALITY, Graded, by_factor, full_corpus
from eval.planted.judges import OracleJudge

FEW = ("cd4_t", "cd8_t", "treg", "b_naive", "mono_classical", "mono_nonclassical", "g2m", "hypoxia", "upr")
BETTER_THAN = [
    ("paraphrase", "too_broad"),
    ("paraphrase", "too_narrow"),
    ("too_broad", "near_miss"),
    ("too_broad", "wrong"),
    ("too_narrow", "near_miss"),
    ("too_narrow", "wrong"),
]


def assert_above(difference: pd.Series) -> None:
    """The mean over factors is above 0, and its 95 % interval excludes 0."""
    assert difference.mean() > 0
    if difference.std() > 0:
        assert ttest_1samp(difference, 0).confidence_interval(0.95).low > 0, difference.round(3).to_dict()


def assert_ordered(table: pd.DataFrame, firm: bool = True) -> None:
    """``firm``: every difference excludes 0; else those of fuzzing are above 0 in the mean (few factors)."""
    for scorer, negatives in (("detection", "random"), ("detection", "all"), ("fuzzing", "all")):
        grades = by_factor(table, scorer, "auroc", negatives)
        assert (grades["oracle"] >= grades["paraphrase"] - 1e-9).all()
        assert grades["oracle"].mean() >= 0.95
        for better, worse in BETTER_THAN:
            difference = grades[better] - grades[worse]
            if firm or scorer == "detection":
                assert_above(difference)
            assert difference.mean() > 0
        balanced = by_factor(table, scorer, "balanced_accuracy", negatives)
        assert balanced[["wrong"]].mean().max() <= 0.55


@pytest.fixture(scope="module")
def few() -> Graded:
    return Graded(full_corpus(1800), FEW)


@pytest.fixture(scope="module")
def graded(few) -> pd.DataFrame:
    return few.scores(OracleJudge(few.cells))


def test_better_labels_score_higher_on_both_scorers(graded):
    assert graded[graded.scorer == "fuzzing"].factor.nunique() >= 6
    assert_ordered(graded, firm=False)


def test_too_broad_loses_specificity_and_too_narrow_recall(graded):
    recall, specificity = (
        by_factor(graded, "detection", m, n) for m, n in (("recall", ""), ("specificity", "all"))
    )
    assert_above(specificity["oracle"] - specificity["too_broad"])
    assert_above(recall["oracle"] - recall["too_narrow"])
    assert (recall["too_broad"] == 1).all() and (specificity["too_narrow"] == 1).all()
    marks = by_factor(graded, "fuzzing", "recall", "")
    assert_above(marks["oracle"] - marks["too_narrow"])


def test_noise_and_bias_cost_what_they_should(few, graded):
    sure = by_factor(graded, "detection", "auroc", "random")["oracle"].mean()
    noisy = few.scores(OracleJudge(few.cells, noise=3), grades=("oracle",))
    assert 0.7 < by_factor(noisy, "detection", "auroc", "random")["oracle"].mean() < sure
    biased = few.scores(OracleJudge(few.cells, bias=4), grades=("oracle",))
    assert by_factor(biased, "detection", "auroc", "random")["oracle"].mean() == sure
    assert (by_factor(biased, "detection", "specificity", "all")["oracle"] == 0).all()


@pytest.mark.parametrize(
    "judge", [SameJudge("constant", 50.0), SameJudge("always_yes", 100.0), RandomJudge(0)]
)
def test_judges_that_know_nothing_score_chance(few, judge):
    table = few.scores(judge)
    for scorer in ("detection", "fuzzing"):
        for metric in ("auroc", "balanced_accuracy"):
            values = by_factor(table, scorer, metric, "all").to_numpy()
            assert np.nanmean(values) == pytest.approx(0.5, abs=0.02 if judge.name == "random" else 1e-9)


def test_a_malformed_judge_has_reasons_and_no_numbers(few):
    table = few.scores(MalformedJudge(), grades=("oracle",))
    assert table.value.isna().all()
    assert table.reason.str.contains("malformed|fewer than").all()


def test_the_oracle_fails_on_what_was_not_planted(few):
    asked = Question("detection", 0, Label(0, "x", "Something else", "", "unknown", 1.0, ()), np.arange(3))
    assert asyncio.run(OracleJudge(few.cells).answer(asked)).values == (None,) * 3


def test_every_negative_is_silent_and_neighbours_are_nearer_than_random_ones(few):
    space = few.made.corpus.embeddings
    nearer = []
    for latent in few.made.chosen:
        silent = few.material.activations.csr[:, [latent]].toarray().ravel() == 0
        for split in ("explain", "develop", "test"):
            drawn = getattr(few.material.example_sets[latent], split)
            assert silent[drawn.rows[~drawn.truth]].all() and not silent[drawn.rows[drawn.truth]].any()
        test = few.material.example_sets[latent].test
        positives = space[test.rows[test.truth]]
        distance = {
            kind: np.linalg.norm(space[test.of_kind(kind)][:, None] - positives, axis=2).min(1).mean()
            for kind in ("random", "neighbour")
        }
        nearer.append(distance["neighbour"] < distance["random"])
    assert np.mean(nearer) >= 0.9


def test_marked_cells_are_active_test_cells_that_no_explainer_sees(few):
    for (name, latent), items in few.items.items():
        if name == "fuzzing" and not isinstance(items, Failure):
            sets = few.material.example_sets[latent]
            assert set(items.rows.tolist()) <= set(sets.test.rows[sets.test.truth].tolist())
            assert not set(items.rows.tolist()) & set(sets.explain.rows.tolist())


def test_the_strength_of_marks_tells_little(few):
    """A judge that reads nothing but the printed strengths of the marked genes."""
    from sklearn.metrics import roc_auc_score

    told = []
    for (name, _), items in few.items.items():
        if name == "fuzzing" and not isinstance(items, Failure):
            shown = [{p.name: p.strength for p in parts} for parts in few.made.corpus.markable(items.rows)]
            mean = [np.mean([s[m] for m in marks]) for s, marks in zip(shown, items.marks, strict=True)]
            told.append(roc_auc_score(items.truth, mean))
    assert abs(np.mean(told) - 0.5) < 0.1


@pytest.mark.slow
def test_all_factors_are_ordered_and_scores_follow_quality():
    """Rank correlation of planted quality and mean score over the graded set at least 0.9 (4,000 cells)."""
    every = Graded(full_corpus(4000))
    table = every.scores(OracleJudge(every.cells))
    assert_ordered(table)
    for scorer in ("detection", "fuzzing"):
        means = by_factor(table, scorer, "auroc", "all").mean()
        assert spearmanr([QUALITY[g] for g in means.index], means).statistic >= 0.9
