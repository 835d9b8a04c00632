"""Do five items hold one silent one, of one stratum each, and is accuracy held against one in five?"""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest

from autointerp.schema import Answer, Failure
from autointerp.score import intruder
from tests.tiny_corpus import examples, label

HELD_OUT = examples(list(range(100, 150)), random=list(range(200, 250)), neighbour=list(range(300, 315)))


def drawn(held_out=HELD_OUT, seed=0, latent=3):
    material = SimpleNamespace(example_sets={latent: SimpleNamespace(test=held_out)}, seed=seed)
    return intruder.items(material, latent, "test")


def judged(right: int, fives=None, failed: int = 0):
    """The first ``right`` questions answered right, the last ``failed`` not at all, the others wrong."""
    fives = fives or drawn()
    asked = intruder.questions(label(3), 3, fives, 10, 0)
    answers = []
    for i, (question, odd) in enumerate(zip(asked, fives.rows, strict=True)):
        place = int(np.flatnonzero(question.rows == odd)[0])
        said = Answer((float(place if i < right else (place + 1) % 5),), (None,), f"p{i}")
        answers.append(said if i < len(asked) - failed else Answer.failed(1, "parse"))
    return intruder.trials(asked, answers, fives, None, "rule", "ours", "abc")


def score_of(trials):
    (score,) = intruder.scores(trials, 0.1, "group", "h")
    return score


def test_every_question_holds_four_active_items_of_one_stratum_and_a_silent_one():
    fives = drawn()
    assert fives.options.shape == (12, 5)
    strengths = dict(zip(HELD_OUT.rows.tolist(), HELD_OUT.activations.tolist(), strict=True))
    spans = []
    for odd, rows in zip(fives.rows, fives.options, strict=True):
        active = [strengths[int(row)] for row in rows if row != odd]
        assert strengths[int(odd)] == 0 and 200 <= odd < 250 and len(active) == 4 and min(active) > 0
        spans.append((min(active), max(active)))
    assert all(high < low for (_, high), (low, _) in itertools.pairwise(spans))  # strata do not overlap
    assert len(np.unique(fives.options)) == 60  # no item stands in two questions
    places = [
        int(np.flatnonzero(rows == odd)[0]) for odd, rows in zip(fives.rows, fives.options, strict=True)
    ]
    assert len(set(places)) > 2  # the odd one stands anywhere


def test_the_draw_is_by_seed_and_latent():
    assert np.array_equal(drawn().options, drawn().options)
    assert not np.array_equal(drawn().options, drawn(seed=1).options)
    assert not np.array_equal(drawn().options, drawn(latent=4).options)


def test_the_questions_are_the_same_whatever_the_label():
    one, other = (intruder.questions(label(3, title=t), 3, drawn(), 10, 0) for t in "ab")
    assert [q.rows.tolist() for q in one] == [q.rows.tolist() for q in other]
    assert not hasattr(one[0], "label")


@pytest.mark.parametrize("right", [0, 3, 12])
def test_accuracy_is_held_against_one_in_five(right):
    score = score_of(judged(right))
    wilson = binomtest(right, 12).proportion_ci(method="wilson")
    assert (score.metric, score.negatives) == ("above_chance", "random")
    assert score.value == pytest.approx(right / 12 - 0.2)
    assert (score.ci_low, score.ci_high) == pytest.approx((wilson.low - 0.2, wilson.high - 0.2), abs=1e-12)
    assert (score.n, score.n_failed, score.reason) == (12, 0, "")
    assert "Wilson" in score.ci_method and "not an interval for new donors" in score.ci_method


def test_failures_are_neither_right_nor_wrong():
    score = score_of(judged(6, failed=2))
    assert score.value == pytest.approx(6 / 10 - 0.2) and (score.n, score.n_failed) == (10, 2)
    gone = score_of(judged(0, failed=5))
    assert gone.value is None and "5 of 12 answers failed: parse" in gone.reason


def test_few_items_are_few_questions():
    few = drawn(examples(list(range(11)), random=list(range(200, 230))))
    assert len(few.rows) == 2 and score_of(judged(2, few)).reason == "low_n"
    assert isinstance(drawn(examples(list(range(3)), random=[7])), Failure)


def test_trials_tell_which_item_was_chosen():
    trials = judged(5)
    assert trials.rows.tolist() == drawn().rows.tolist()
    assert (trials.answers == trials.rows).sum() == 5
    assert not trials.truth.any() and set(trials.kinds) == {"random"}
