"""Are answers about features held against what the edit did to them, and do the numbers come from the trials alone?"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import balanced_accuracy_score

from autointerp.intervene.amplified import Reports
from autointerp.questions import Change
from autointerp.schema import Answer, Failure
from autointerp.score.registry import SCORERS
from tests.tiny_corpus import label

SCORER = SCORERS["direction:genes:0.3"]
GIVEN = label(5, title="B cells")
UP, DOWN, STILL = 0.9, -0.6, 0.1


def reports(n=5, each=(UP, DOWN, STILL) * 3, groups=False):
    """Nine features a report, of which three rise, three fall and three stay."""
    asked = tuple(
        tuple(Change(f"G{i}_{j}", 1.0, 1.5, sd + 0.01 * j) for j, sd in enumerate(each)) for i in range(n)
    )
    names = np.array([f"donor {i}" if groups else "" for i in range(n)])
    sigma = np.linspace(0.2, 0.4, n).astype(np.float32)
    return Reports(np.arange(n) * 10, names, sigma, np.full(n, "genes:0.3"), ((),) * n, asked)


def material(found, withheld=("G0_0",)):
    made = SimpleNamespace(withheld=frozenset(withheld), reports=lambda latent, readout, sigma: found)
    return SimpleNamespace(amplifier=made, seed=0)


def asked(found=None, given=GIVEN, withheld=("G0_0",)):
    what = material(reports() if found is None else found, withheld)
    drawn = SCORER.items(what, 5, "test")
    return drawn if isinstance(drawn, Failure) else SCORER.among(what, drawn, given, 5, [given])


def judged(said, found=None, given=GIVEN, withheld=("G0_0",), failed=0):
    """Trials and scores where feature j of each report is answered by ``said[j]``; the last ``failed`` not at all."""
    features = asked(found, given, withheld)
    questions = SCORER.questions(given, 5, features, 10, 0, ())
    answers = []
    for i, question in enumerate(questions):
        whole = i < len(questions) - failed
        values = tuple(float(said[j % len(said)]) for j in range(len(question.features)))
        answers.append(
            Answer(values, (None,) * len(values)) if whole else Answer.failed(len(values), "parse")
        )
    trials = SCORER.trials(questions, answers, features, None, "rule", "ours", "abc")
    return trials, {one.metric: one for one in SCORER.scores(trials, 0.1, "item", "h")}


def test_a_question_names_features_and_nothing_else():
    features = asked()
    questions = SCORER.questions(GIVEN, 5, features, 10, 0, ())
    assert [question.features for question in questions] == [
        tuple(f"G{i}_{j}" for j in range(9)) for i in range(5)
    ]
    assert not hasattr(questions[0], "changes") and questions[0].label is GIVEN


def test_a_trial_is_a_feature_with_its_change():
    trials, _ = judged((1, -1, 0))
    assert trials.asked.tolist()[:2] == ["G0_0", "G0_1"] and len(trials.asked) == 45
    assert trials.changes[:3] == pytest.approx([0.9, -0.59, 0.12])
    assert trials.rows.tolist() == np.repeat(np.arange(5) * 10, 9).tolist()
    assert set(trials.kinds) == {"held_out"} and trials.activations[-1] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("said", "value"),
    [((1, -1, 0), 2 / 3), ((1, 1, 1), 0), ((0, 0, 0), 0), ((-1, 1, 0), 0), ((1, 0, 0), 1 / 3)],
)
def test_accuracy_is_balanced_over_directions_and_held_against_chance(said, value):
    trials, made = judged(said)
    one = made["above_chance"]
    truth = np.where(np.abs(trials.changes) < 0.2, 0, np.sign(trials.changes))
    assert one.value == pytest.approx(value)
    assert one.value == pytest.approx(balanced_accuracy_score(truth, trials.answers) - 1 / 3)
    assert one.ci_low <= one.value <= one.ci_high and one.negatives == "genes:0.3"
    assert made["sigma_on_test"].value == pytest.approx(0.3) and one.reason == ""


def test_ranks_are_those_of_features_that_moved():
    rng = np.random.default_rng(0)
    said = rng.choice([-1, 0, 1], 9)
    trials, made = judged(said)
    moved = np.abs(trials.changes) >= 0.2
    wanted = spearmanr(trials.answers[moved], trials.changes[moved]).statistic
    assert made["spearman"].value == pytest.approx(wanted) and made["spearman"].n == 30
    assert judged((-1, 1, 0))[1]["spearman"].value < -0.8 and judged((0,))[1]["spearman"].value == 0


def test_a_report_is_a_cluster_and_groups_are_new_donors():
    rng = np.random.default_rng(3)
    said = rng.choice([-1, 0, 1], 9)  # every report is answered alike
    one = judged(said)[1]["above_chance"]
    assert "clustered by report" in one.ci_method and "not an interval for new donors" in one.ci_method
    trials, _ = judged((1, -1, 0), reports(12, groups=True))
    noisy = np.where(rng.random(len(trials.answers)) < 0.5, trials.answers, 0.0)
    (many, *_) = SCORER.scores(replace(trials, answers=noisy), 0.1, "group", "h")
    assert many.ci_method == "logit-t over groups"


def test_only_directions_that_occur_count():
    _, made = judged((1, 0), reports(each=(UP, STILL) * 4))
    assert made["above_chance"].value == pytest.approx(0.5)  # all right, of two
    assert "2 classes" in made["above_chance"].ci_method


def test_what_the_writer_could_see_is_said():
    for given, withheld, kind in (
        (GIVEN, (), "seen"),
        (replace(GIVEN, explainer="file:mine.csv"), ("G1",), "seen"),
    ):
        trials, made = judged((1, -1, 0), given=given, withheld=withheld)
        assert set(trials.kinds) == {kind}
        assert made["above_chance"].reason == "seen by the label writer"
    few = judged((1, -1, 0), reports(2), withheld=())[1]
    assert few["above_chance"].reason == "low_n; seen by the label writer"
    assert few["sigma_on_test"].reason == ""


def test_what_cannot_be_asked_says_why():
    assert asked(given=replace(GIVEN, saw_edits=True)).message == "not scored (seen)"
    assert asked(Failure("items", "not_reachable: x")).message == "not_reachable: x"
    assert "none moves by 0.2 sd" in asked(reports(each=(STILL,) * 4)).message
    assert "all go the same way" in asked(reports(each=(UP,) * 4)).message
    assert "0 features" in asked(reports(each=())).message


def test_failed_answers_are_counted_and_too_many_leave_no_number():
    assert judged((1, -1, 0), failed=1)[1]["above_chance"].n_failed == 9
    assert judged((1, -1, 0), failed=2)[1]["above_chance"].value is None


def test_a_report_without_features_is_no_question():
    found = reports()
    found = replace(found, asked=(*found.asked[:4], ()))
    trials, made = judged((1, -1, 0), found)
    assert len(trials.rows) == 36 and made["above_chance"].reason == "low_n"
