"""Is simulation's score the correlation of what was predicted with what was measured, on detection's items?"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from autointerp.schema import POSITIVE, Answer
from autointerp.score import detection, simulation
from autointerp.score.correlation import CONSTANT
from tests.tiny_corpus import examples, label

HELD_OUT = examples(list(range(100, 124)), random=list(range(200, 230)), neighbour=list(range(300, 315)))
MATERIAL = SimpleNamespace(example_sets={3: SimpleNamespace(test=HELD_OUT)})


def judged(value_of, items=None, prompts=True):
    items = items or simulation.items(MATERIAL, 3, "test")
    asked = simulation.questions(label(3), 3, items, 10 if prompts else None, 0)
    answers = [
        Answer(tuple(value_of(int(row)) for row in q.rows), (None,) * len(q.rows), f"p{i}" if prompts else "")
        for i, q in enumerate(asked)
    ]
    return simulation.SCORER.trials(asked, answers, items, None, "rule", "ours", "abc")


def scores_of(trials) -> dict:
    return {(s.metric, s.negatives): s for s in simulation.scores(trials, 0.1, "group", "h")}


def test_its_items_are_detections_active_and_random_silent_ones():
    items = simulation.items(MATERIAL, 3, "test")
    assert set(items.kinds) == {POSITIVE, "random"} and len(items) == 54
    asked = simulation.questions(label(3), 3, items, 10, 0, ("CD3E",))
    assert {q.scorer for q in asked} == {"simulation"} and {q.panel for q in asked} == {("CD3E",)}
    rows = [int(r) for q in asked for r in q.rows]
    assert sorted(rows) == sorted(items.rows.tolist()) and rows != items.rows.tolist()
    assert [len(q.rows) for q in asked] == [10] * 5 + [4]


def test_scores_are_the_correlations_of_scipy_with_the_measured_strength():
    rng = np.random.default_rng(0)
    noise = dict(zip(HELD_OUT.rows.tolist(), rng.uniform(0, 4, len(HELD_OUT)), strict=True))
    found = judged(lambda row: float(min(10.0, noise[row] + (row - 100) / 4 * (row < 200))))
    got = scores_of(found)
    assert set(got) == {(m, n) for m in ("pearson", "spearman") for n in ("random", "")}
    for negatives, kept in (("random", np.ones(54, bool)), ("", found.truth)):
        said, strength = found.answers[kept], found.activations[kept]
        for metric, of in (("pearson", pearsonr), ("spearman", spearmanr)):
            score = got[metric, negatives]
            assert score.value == pytest.approx(of(said, strength).statistic)
            assert score.ci_low < score.value < score.ci_high
            assert (score.n, score.n_pos, score.n_failed) == (int(kept.sum()), 24, 0)
            assert "clustered by prompt" in score.ci_method
    shown = np.ceil(10 * found.activations / 24)  # the strength that a reader is shown
    assert got["pearson", "random"].value == pytest.approx(pearsonr(found.answers, shown).statistic, abs=0.02)


def test_a_judge_that_says_one_thing_scores_chance_and_keeps_its_row():
    got = scores_of(judged(lambda row: 5.0))
    assert {s.value for s in got.values()} == {0.0}
    assert {s.ci_method for s in got.values()} == {CONSTANT} and {s.ci_low for s in got.values()} == {None}


def test_failures_are_counted_and_over_a_fifth_leave_no_number():
    trials = judged(lambda row: float(row % 11))
    for share, empty in ((0.1, False), (0.5, True)):
        failed = np.arange(54) < 54 * share
        broken = replace(
            trials, answers=np.where(failed, np.nan, trials.answers), failures=np.where(failed, "parse", "")
        )
        score = scores_of(broken)["pearson", "random"]
        assert score.n_failed == failed.sum() and (score.value is None) == empty
        assert ("answers failed: parse" in score.reason) == empty


def test_few_positives_and_few_negatives_are_told():
    few = examples(list(range(12)), random=list(range(200, 230)))
    assert scores_of(judged(float, few))["pearson", "random"].reason == "low_n"
    none = examples(list(range(30)), random=list(range(200, 210)))
    got = scores_of(judged(lambda row: float(row % 7), none))
    assert "10 negatives, fewer than 15" in got["pearson", "random"].reason
    assert got["pearson", ""].value is not None


def test_it_is_a_scorer_with_a_shuffled_control_and_no_probabilities():
    scorer = simulation.SCORER
    assert (scorer.metric, scorer.headline, scorer.controls) == ("pearson", "random", ("shuffled",))
    assert scorer.panel and not scorer.calibrated and scorer.trials is detection.trials
