"""Does matching show one label among others of other families and titles, and is it held against chance?"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest

from autointerp.intervene.amplified import Reports
from autointerp.questions import Change
from autointerp.schema import Answer, Failure
from autointerp.score.label_choices import candidates, drawn
from autointerp.score.match import NO_DICTIONARY
from autointerp.score.registry import SCORERS
from tests.tiny_corpus import label

M = 12
ANGLES = np.arange(M) * 0.2  # latent j lies at 0.2·j: the nearest of 5 are 4, 6, 3, 7
DECODER = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
LABELS = [replace(label(j), title=f"title {j}") for j in range(M)]
FIVE, TWO = SCORERS["match:genes:0.3"], SCORERS["2afc:genes:0.3"]


def reports(n=6, groups=False):
    changes = tuple((Change(f"G{i}", 0.0, 1.0, 2.0),) for i in range(n))
    names = np.array([f"donor {i}" if groups else "" for i in range(n)])
    sigma = np.full(n, 0.28, dtype=np.float32)
    return Reports(np.arange(n) * 10, names, sigma, np.full(n, "genes:0.3"), changes)


def material(families=None, found=None):
    families = np.arange(M) if families is None else families
    made = SimpleNamespace(
        families=families, decoder=DECODER, reports=lambda latent, readout, sigma: found or reports()
    )
    return SimpleNamespace(amplifier=made, seed=0)


def choices(scorer, shown=LABELS[5], labels=LABELS, families=None, found=None):
    given = material(families, found)
    return scorer.among(given, scorer.items(given, 5, "test"), shown, 5, labels)


def score(scorer, right, found=None, failed=0):
    """The first ``right`` questions answered right, the last ``failed`` not at all, the others wrong."""
    made = choices(scorer, found=found)
    asked = scorer.questions(LABELS[5], 5, made, 10, 0, ())
    answers = []
    for i, (question, place) in enumerate(zip(asked, made.places.tolist(), strict=True)):
        said = place if i < right else (place + 1) % len(question.labels)
        answered = i < len(asked) - failed
        answers.append(Answer((float(said),), (None,)) if answered else Answer.failed(1, "parse"))
    trials = scorer.trials(asked, answers, made, None, "rule", "ours", "abc")
    return trials, {one.metric: one for one in scorer.scores(trials, 0.1, "item", "h")}


def test_five_labels_hold_the_one_that_is_tested_and_two_of_the_nearest():
    made = choices(FIVE)
    asked = FIVE.questions(LABELS[5], 5, made, 10, 0, ())
    assert len(asked) == 6 and len({question.number for question in asked}) == 6
    for question, place in zip(asked, made.places.tolist(), strict=True):
        latents = [one.latent for one in question.labels]
        assert latents[place] == 5 and len(set(latents)) == 5
        assert len({3, 4, 6, 7} & set(latents)) >= 2
        assert question.changes == reports().changes[question.number] and question.readout == "genes"
    assert len(set(made.places.tolist())) > 1
    assert len({frozenset(one.latent for one in q.labels) for q in asked}) > 1
    assert choices(FIVE).labels == made.labels  # the draw is by seed


def test_families_titles_and_labels_that_have_seen_edits_are_no_choices():
    families = np.arange(M)
    families[[4, 6]] = 5
    labels = [replace(one, title=" Title 5 ") if one.latent == 3 else one for one in LABELS]
    labels = [replace(one, saw_edits=True) if one.latent == 7 else one for one in labels]
    found = candidates(labels[5], 5, labels, families, DECODER, 4)
    assert [one.latent for one in found.near] == [2, 8, 1, 9]
    assert {one.latent for one in found.far} == {0, 10, 11}
    twice = [replace(one, title="the same") if one.latent > 7 else one for one in labels]
    assert [one.latent for one in candidates(twice[5], 5, twice, families, DECODER, 4).near] == [2, 8, 1, 0]


def test_in_the_shuffled_control_the_true_label_is_not_among_the_choices():
    made = choices(FIVE, shown=LABELS[9])
    for shown, place in zip(made.labels, made.places.tolist(), strict=True):
        assert shown[place].latent == 9 and 5 not in {one.latent for one in shown}


def test_what_cannot_be_asked_says_why():
    assert choices(FIVE, shown=replace(LABELS[5], saw_edits=True)).message == "not scored (seen)"
    few = choices(FIVE, labels=LABELS[3:7])
    assert few.message == "3 labels of other families and titles, fewer than the 4 to choose from"
    assert isinstance(choices(TWO, labels=LABELS[5:7]).labels, tuple)
    assert FIVE.items(SimpleNamespace(amplifier=None), 5, "test") == Failure("items", NO_DICTIONARY)
    assert (
        "not_reachable" in FIVE.items(material(found=Failure("items", "not_reachable: x")), 5, "test").message
    )


def test_two_labels_stand_in_both_orders_and_the_other_is_near_or_far():
    made = choices(TWO, found=reports(40))
    asked = TWO.questions(LABELS[5], 5, made, 10, 0, ())
    assert len(asked) == 80 and made.places.tolist() == [0, 1] * 40
    others = []
    for first, second in zip(asked[::2], asked[1::2], strict=True):
        assert first.number == second.number and first.labels == second.labels[::-1]
        others.append(first.labels[1].latent in {3, 4, 6, 7})
    assert binomtest(sum(others), 40, 0.5).pvalue > 0.01


def test_one_draw_is_near_or_far_and_far_alone_where_nothing_else_is():
    among = candidates(LABELS[0], 0, LABELS[:3], np.arange(M), DECODER, 1)
    assert drawn(among, 1, np.random.default_rng(0))[0].latent in {1, 2}


@pytest.mark.parametrize(("scorer", "right", "value"), [(FIVE, 6, 0.8), (FIVE, 0, -0.2), (TWO, 9, 0.25)])
def test_accuracy_is_held_against_chance(scorer, right, value):
    trials, made = score(scorer, right)
    one = made["above_chance"]
    assert one.value == pytest.approx(value) and one.ci_low <= one.value <= one.ci_high
    assert one.negatives == "genes:0.3" and "not an interval for new donors" in one.ci_method
    assert made["sigma_on_test"].value == pytest.approx(0.28)
    assert ((trials.answers == 5).sum(), trials.scorer) == (right, scorer.name)


def test_the_interval_of_five_choices_is_wilsons():
    _, made = score(FIVE, 4)
    wanted = binomtest(4, 6).proportion_ci(method="wilson")
    one = made["above_chance"]
    assert (one.ci_low, one.ci_high) == pytest.approx((wanted.low - 0.2, wanted.high - 0.2))


def test_both_orders_of_a_report_are_one_cluster():
    """Right in both orders or in none: as wide as an interval over the reports, and not over twice as many."""
    _, made = score(TWO, 40, found=reports(40))
    one = made["above_chance"]
    wanted = binomtest(20, 40).proportion_ci(method="wilson")
    assert one.ci_high - one.ci_low == pytest.approx(wanted.high - wanted.low, rel=0.06)
    assert "clustered by report" in one.ci_method


def test_groups_give_an_interval_for_new_donors_and_few_reports_are_marked():
    _, made = score(FIVE, 7, found=reports(12, groups=True))
    assert made["above_chance"].ci_method == "logit-t over groups"
    assert made["above_chance"].reason == ""
    _, few = score(FIVE, 2, found=reports(3))
    assert few["above_chance"].reason == "low_n"


def test_failed_answers_are_counted_and_too_many_leave_no_number():
    assert score(FIVE, 3, failed=1)[1]["above_chance"].n_failed == 1
    assert score(FIVE, 3, failed=2)[1]["above_chance"].value is None
