"""Do questions carry no truth, do answers find their items, and is every metric what scikit-learn says it is?"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score

from autointerp.schema import POSITIVE, Answer, Examples, Question, Trials
from autointerp.score import detection
from tests.tiny_corpus import examples, label

HELD_OUT = examples(list(range(100, 124)), random=list(range(200, 230)), neighbour=list(range(300, 315)))


def ask(batch_size=10, seed=0, latent=3, held_out=HELD_OUT):
    return detection.questions(label(3), latent, held_out, batch_size, seed)


def rows_of(asked) -> list[int]:
    return [int(row) for question in asked for row in question.rows]


# ------------------------------------------------------------------------------------------------ questions


def test_every_item_is_asked_about_once_in_tens():
    asked = ask()
    assert sorted(rows_of(asked)) == sorted(HELD_OUT.rows.tolist())
    assert [len(question.rows) for question in asked] == [10] * 6 + [9]  # the short last batch is not lost
    assert {question.scorer for question in asked} == {"detection"}


def test_a_rule_gets_one_question():
    (only,) = ask(batch_size=None)
    assert len(only.rows) == len(HELD_OUT)


def test_the_order_is_shuffled_by_seed_and_latent_and_nothing_else():
    assert rows_of(ask()) == rows_of(ask())
    assert rows_of(ask()) == rows_of(ask(batch_size=None))
    orders = [rows_of(ask()), rows_of(ask(seed=1)), rows_of(ask(latent=4)), HELD_OUT.rows.tolist()]
    assert len({tuple(order) for order in orders}) == 4
    places = np.flatnonzero(np.isin(orders[0], np.arange(100, 124)))  # positives do not stand together
    assert np.ptp(places) > 40


def test_a_question_has_no_place_for_the_truth():
    assert {f.name for f in fields(Question)} == {"scorer", "latent", "label", "rows", "panel", "marks"}
    order = np.argsort(HELD_OUT.kinds, kind="stable")  # other items are the active ones
    others = Examples(
        HELD_OUT.rows, *(getattr(HELD_OUT, f)[order] for f in ("activations", "kinds", "strata"))
    )
    assert not np.array_equal(others.truth, HELD_OUT.truth)
    assert rows_of(ask(held_out=others)) == rows_of(ask())


# ------------------------------------------------------------------------------------------------ trials


def collect(answer_of, held_out=HELD_OUT, groups=None, batch_size=10):
    asked = detection.questions(label(3), 3, held_out, batch_size, 0)
    answers = [answer_of(number, question) for number, question in enumerate(asked)]
    return detection.trials(asked, answers, held_out, groups, "rule", "ours", "abc", "shuffled", 2)


def by_row(number, question):
    """An answer that names its item: the row number modulo 100."""
    return Answer(
        tuple(float(row % 100) for row in question.rows), (None,) * len(question.rows), f"p{number}"
    )


def test_answers_stay_with_their_items():
    groups = np.array([f"donor {row % 7}" for row in range(400)])
    found = collect(by_row, groups=groups)
    assert np.array_equal(found.answers, found.rows % 100)
    kinds = dict(zip(HELD_OUT.rows.tolist(), HELD_OUT.kinds.tolist(), strict=True))
    strengths = dict(zip(HELD_OUT.rows.tolist(), HELD_OUT.activations.tolist(), strict=True))
    for i, row in enumerate(found.rows.tolist()):
        assert found.kinds[i] == kinds[row]
        assert found.activations[i] == strengths[row]
        assert found.groups[i] == f"donor {row % 7}"
        assert found.truth[i] == (100 <= row < 124)
        assert found.prompts[i] == f"p{i // 10}"
    assert (found.latent, found.judge, found.explainer) == (3, "rule", "ours")
    assert (found.control, found.replicate) == ("shuffled", 2)


def test_a_failed_question_fails_its_items_and_no_other():
    def answer(number, question):
        return Answer.failed(len(question.rows), "filtered", "p") if number == 2 else by_row(number, question)

    found = collect(answer)
    failed = np.arange(len(found.rows)) // 10 == 2
    assert np.array_equal(np.isnan(found.answers), failed)
    assert np.array_equal(found.failures == "filtered", failed)
    assert set(found.failures[~failed]) == {""}


@pytest.mark.parametrize("pair", [(None, None), (5.0, "parse")])
def test_an_answer_is_a_value_or_a_failure(pair):
    with pytest.raises(ValueError, match="exactly one"):
        Answer((pair[0],), (pair[1],))
    with pytest.raises(ValueError, match="differ in length"):
        Answer((1.0,), (None, None))


@pytest.mark.parametrize(("answer", "failure"), [(np.nan, ""), (5.0, "parse")])
def test_a_trial_is_an_answer_or_a_failure(answer, failure):
    with pytest.raises(ValueError, match="exactly one"):
        judged([POSITIVE], [answer], failures=[failure])


# ------------------------------------------------------------------------------------------------ scores


def judged(kinds, answers, activations=None, failures=None, groups=None, prompts=None) -> Trials:
    kinds, answers = np.array(kinds), np.array(answers, dtype=float)
    n = len(kinds)
    return Trials(
        latent=0,
        explainer="ours",
        label_id="abc",
        scorer="detection",
        judge="rule",
        control="",
        replicate=0,
        rows=np.arange(n),
        groups=np.full(n, "") if groups is None else np.array(groups),
        kinds=kinds,
        activations=np.where(kinds == POSITIVE, 1.0, 0.0) if activations is None else np.array(activations),
        answers=answers,
        failures=np.where(np.isnan(answers), "parse", "") if failures is None else np.array(failures),
        prompts=np.full(n, "") if prompts is None else np.array(prompts),
    )


def scored(trials, rate=0.1) -> dict:
    return {(s.metric, s.negatives): s for s in detection.scores(trials, rate, "group", "hash")}


KINDS = [POSITIVE] * 40 + ["random"] * 40 + ["neighbour"] * 15 + ["co_firing"] * 15


def drawn(seed, kinds=KINDS) -> Trials:
    """Answers in tens, so that many tie; positives higher; activations of every positive."""
    rng = np.random.default_rng(seed)
    truth = np.array(kinds) == POSITIVE
    answers = np.clip(np.round(rng.normal(4 + 2 * truth, 2.5)), 0, 10) * 10
    strengths = np.where(truth, rng.gamma(2, 1, len(kinds)) + 0.01, 0)
    order = rng.permutation(len(kinds))
    return judged(np.array(kinds)[order], answers[order], strengths[order])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["random", "neighbour", "co_firing", "all"])
def test_metrics_are_scikit_learns(seed, kind):
    trials = drawn(seed)
    found = scored(trials)
    side = ~trials.truth if kind == "all" else trials.kinds == kind
    kept = trials.truth | side
    truth, answers = trials.truth[kept], trials.answers[kept]
    assert found["auroc", kind].value == pytest.approx(roc_auc_score(truth, answers))
    assert found["balanced_accuracy", kind].value == pytest.approx(
        balanced_accuracy_score(truth, answers >= 50)
    )
    silent_right = trials.answers[side] < 50
    assert found["specificity", kind].value == pytest.approx(silent_right.mean())
    assert found["recall", ""].value == pytest.approx(recall_score(truth, answers >= 50))
    positives = trials.truth
    rho = spearmanr(trials.answers[positives], trials.activations[positives]).statistic
    assert found["spearman", ""].value == pytest.approx(rho)
    assert (found["auroc", kind].n, found["auroc", kind].n_pos) == (kept.sum(), 40)
    assert (found["specificity", kind].n, found["specificity", kind].n_pos) == (side.sum(), 0)
    for score in found.values():
        assert score.n_failed == 0
        assert score.value is not None
        assert (score.split_mode, score.split_hash) == ("group", "hash")
        if score.ci_low is not None:
            assert score.ci_low <= score.value <= score.ci_high
            assert score.ci_method


def test_kinds_do_not_leak_into_each_other():
    """A judge that is right on random and wrong on neighbours is told so, kind by kind."""
    answers = [90] * 40 + [10] * 40 + [95] * 15 + [10] * 15
    found = scored(judged(KINDS, answers))
    assert found["auroc", "random"].value == 1
    assert found["auroc", "neighbour"].value == 0
    assert found["specificity", "neighbour"].value == 0
    assert found["specificity", "co_firing"].value == 1
    assert found["specificity", "all"].value == pytest.approx(55 / 70)


def test_a_threshold_of_fifty_counts_as_active():
    found = scored(judged(KINDS, [50] * 40 + [49.99] * 70))
    assert found["recall", ""].value == 1
    assert found["specificity", "all"].value == 1


@pytest.mark.parametrize("said", [100.0, 0.0, 50.0])
def test_a_judge_that_always_says_the_same_is_at_chance(said):
    found = scored(judged(KINDS, [said] * len(KINDS)))
    for kind in ("random", "neighbour", "co_firing", "all"):
        assert found["auroc", kind].value == 0.5
        assert found["balanced_accuracy", kind].value == 0.5
    assert found["spearman", ""].value is None
    assert "constant" in found["spearman", ""].reason


def test_precision_in_the_population_by_hand():
    """TPR = 30/40, FPR = 10/40 on random negatives, 5 % active: 0.75·0.05 / (0.75·0.05 + 0.25·0.95) = 3/22."""
    answers = [90] * 30 + [10] * 10 + [90] * 10 + [10] * 30 + [90] * 30
    found = scored(judged(KINDS, answers), rate=0.05)["precision_pop", "random"]
    assert found.value == pytest.approx(3 / 22)
    assert (found.n, found.n_pos) == (80, 40)
    assert scored(judged(KINDS, [0] * len(KINDS)))["precision_pop", "random"].value is None


@pytest.mark.parametrize("metric", ["auroc", "balanced_accuracy", "specificity"])
def test_fewer_than_fifteen_negatives_have_no_number(metric):
    kinds = [POSITIVE] * 30 + ["random"] * 30 + ["neighbour"] * 14
    found = scored(drawn(0, kinds))
    assert found[metric, "neighbour"].value is None
    assert found[metric, "neighbour"].ci_low is None
    assert found[metric, "neighbour"].reason == "14 negatives, fewer than 15"
    assert found[metric, "random"].value is not None
    assert found[metric, "all"].value is not None


def test_precision_needs_fifteen_random_negatives_too():
    kinds = [POSITIVE] * 30 + ["random"] * 14 + ["neighbour"] * 15
    assert scored(drawn(0, kinds))["precision_pop", "random"].reason == "14 negatives, fewer than 15"


@pytest.mark.parametrize(("n_failed", "has_value"), [(16, True), (17, False)])
def test_over_a_fifth_of_failed_answers_have_no_number(n_failed, has_value):
    """Of 80 items, 40 of them random negatives; 17 is over 20 %."""
    kinds = [POSITIVE] * 40 + ["random"] * 40
    answers = np.array([80.0] * 40 + [20.0] * 40)
    answers[40 - n_failed // 2 : 40 - n_failed // 2 + n_failed] = np.nan
    found = scored(judged(kinds, answers))["auroc", "random"]
    assert (found.value is not None) == has_value
    assert found.n_failed == n_failed
    assert found.n == 80 - n_failed
    assert found.reason == ("" if has_value else f"{n_failed} of 80 answers failed: parse")


def test_failed_answers_are_left_out_and_are_not_wrong():
    trials = drawn(1)
    answers = trials.answers.copy()
    failed = np.flatnonzero(trials.kinds == "random")[:8]  # 8 of 80
    answers[failed] = np.nan
    found = scored(judged(trials.kinds, answers, trials.activations))
    kept = np.setdiff1d(np.flatnonzero(trials.truth | (trials.kinds == "random")), failed)
    assert found["auroc", "random"].value == pytest.approx(
        roc_auc_score(trials.truth[kept], trials.answers[kept])
    )
    assert found["recall", ""].n_failed == 0


def test_when_all_answers_fail_every_metric_says_so():
    for score in scored(judged(KINDS, [np.nan] * len(KINDS))).values():
        assert score.value is None
        assert score.n == 0
        assert score.n_failed > 0
        assert "answers failed" in score.reason


def test_a_side_without_an_answer_is_no_number():
    kinds = [POSITIVE] * 6 + ["random"] * 50
    found = scored(judged(kinds, [np.nan] * 6 + [10.0] * 50))
    assert found["auroc", "random"].value is None
    assert "one side is empty" in found["auroc", "random"].reason
    assert found["specificity", "random"].value == 1


@pytest.mark.parametrize(("n_pos", "reason"), [(19, "low_n"), (20, "")])
def test_under_twenty_positives_is_marked(n_pos, reason):
    found = scored(drawn(0, [POSITIVE] * n_pos + ["random"] * 30))
    assert found["auroc", "random"].value is not None
    assert found["auroc", "random"].reason == reason
    assert found["specificity", "random"].reason == ""


def test_answers_of_one_prompt_are_a_cluster_and_donors_are_groups():
    trials = drawn(3)
    n = len(trials.rows)
    prompts = [f"p{i // 10}" for i in range(n)]
    clustered = judged(trials.kinds, trials.answers, trials.activations, prompts=prompts)
    assert "clustered by prompt" in scored(clustered)["auroc", "random"].ci_method
    donors = judged(trials.kinds, trials.answers, trials.activations, groups=[f"d{i % 12}" for i in range(n)])
    alone = scored(trials)["auroc", "random"]
    grouped = scored(donors)["auroc", "random"]
    assert grouped.value == alone.value
    assert grouped.ci_method != alone.ci_method
    two = judged(trials.kinds, trials.answers, trials.activations, groups=[f"d{i % 2}" for i in range(n)])
    assert "not an interval for new donors" in scored(two)["auroc", "random"].ci_method
