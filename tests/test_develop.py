"""Is a label tested on develop items alone, are its mistakes shown, and is all that is asked wanted at once?"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from autointerp.develop import Develop, judge_of
from autointerp.errors import UserError
from autointerp.judge.signature import Signatures
from autointerp.llm.request import Deferred
from autointerp.schema import Answer
from autointerp.score import detection
from autointerp.together import together
from tests.tiny_corpus import TinyCorpus, examples, label

N = 60
ACTIVE = list(range(20))
SILENT = {"random": list(range(20, 40)), "neighbour": list(range(40, 60))}


def prepared(develop=None):
    """One latent, whose active items express A more; its look-alikes express B, which half of the active do too."""
    rng = np.random.default_rng(0)
    x = rng.gamma(2, 0.2, (N, 3))
    x[:20, 0] += 1
    x[40:, 1] += 2
    x[10:20, 1] += 2
    corpus = TinyCorpus(x, ["A", "B", "C"])
    sets = {0: SimpleNamespace(develop=develop or examples(ACTIVE, **SILENT))}
    return SimpleNamespace(
        corpus=corpus,
        example_sets=sets,
        config=SimpleNamespace(seed=0),
        split=SimpleNamespace(mode="item", hash="x"),
    )


def bench(judge=None, **kwargs) -> Develop:
    made = prepared(**kwargs)
    return Develop(made, judge or judge_of(made, SimpleNamespace(models={}), "signature"))


class Scripted:
    """A model-like judge: batches of ten; ``say`` gets the question and its number."""

    name, batch_size = "scripted", 10

    def __init__(self, say):
        self.say, self.asked = say, []

    async def answer(self, question):
        self.asked.append(question)
        return self.say(question, len(self.asked))


def test_the_value_is_the_auroc_over_all_develop_items():
    score = asyncio.run(bench().test(label(0, "A")))
    made = prepared()
    z = Signatures(
        made.corpus,
    ).scores(label(0, "A").key_features, score.rows)
    assert score.value == pytest.approx(roc_auc_score(score.truth, z))
    random = score.truth | (score.kinds == "random")
    assert score.by_kind["random"] == pytest.approx(roc_auc_score(score.truth[random], z[random]))
    assert sorted(score.by_kind) == ["neighbour", "random"]
    assert sorted(score.rows.tolist()) == list(range(N))
    assert score.low < score.value < score.high and score.reason == "" and score.keys == ()


def test_the_questions_are_those_of_detections_calibration():
    judge = Scripted(lambda q, n: Answer((50.0,) * q.n_answers, (None,) * q.n_answers, f"key{n}"))
    score = asyncio.run(bench(judge).test(label(0, "A", title="A high", description="B too.")))
    wanted = detection.questions(
        judge.asked[0].label, 0, prepared().example_sets[0].develop, 10, 0, ("A", "B")
    )
    assert [q.rows.tolist() for q in judge.asked] == [q.rows.tolist() for q in wanted]
    assert {q.panel for q in judge.asked} == {("A", "B")}
    assert score.keys == tuple(f"key{n}" for n in range(1, 7))


def test_mistakes_are_the_worst_ones_with_the_labels_features_beside_them():
    made = bench()
    score = asyncio.run(made.test(label(0, "B")))
    found = made.mistakes(score, 3, panel=("A",))
    assert {m.item.kind for m in found.false_positives} == {"neighbour"}
    said = [m.said for m in found.false_positives]
    assert said == sorted(said, reverse=True) and min(said) >= 50
    missed = [m.said for m in found.false_negatives]
    assert missed == sorted(missed) and max(missed) < 50
    assert found.n_false_positives == int(((score.answers >= 50) & ~score.truth).sum()) > 3
    assert found.n_false_negatives == int(((score.answers < 50) & score.truth).sum())
    shown = found.false_negatives[0].item
    assert [name for name, _ in shown.panel] == ["B", "A"]
    assert 1 <= shown.strength <= 10 and found.false_positives[0].item.strength == 0
    assert shown.item_id == ""  # no cell id reaches a prompt


def test_better_is_paired_and_needs_both_sides():
    made = bench()
    good, bad = (asyncio.run(made.test(label(0, up))) for up in ("A", "C"))
    found = made.better(good, bad)
    assert found.difference == pytest.approx(good.value - bad.value) and found.p < 0.01
    assert made.better(bad, good).p > 0.99
    nothing = asyncio.run(bench(develop=examples([], random=[1, 2])).test(label(0, "A")))
    assert nothing.value is None and nothing.reason == "no develop items of both kinds"
    assert made.better(good, nothing) == (0.0, 1.0) == made.better(nothing, good)


def test_failed_answers_are_failures_and_leave_no_value():
    judge = Scripted(lambda q, n: Answer.failed(q.n_answers, "parse", "key"))
    made = bench(judge)
    failed = asyncio.run(made.test(label(0, "A")))
    assert failed.value is None and "failed" in failed.reason and failed.rank == -np.inf
    assert np.isnan(failed.answers).all() and set(failed.failures.tolist()) == {"parse"}
    assert made.mistakes(failed, 3) == ((), 0, (), 0)
    assert made.better(failed, asyncio.run(bench().test(label(0, "A")))) == (0.0, 1.0)


def test_all_that_is_asked_is_wanted_before_anything_is_raised():
    def wait(question, n):
        raise Deferred("waits")

    judge = Scripted(wait)
    with pytest.raises(Deferred):
        asyncio.run(bench(judge).test(label(0, "A")))
    assert len(judge.asked) == 6


def test_what_stops_the_run_is_raised_before_what_waits():
    async def job(raised):
        if raised:
            raise raised
        return 1

    with pytest.raises(UserError):
        asyncio.run(together(job(r) for r in (Deferred("waits"), None, UserError("stop"))))
    assert asyncio.run(together(job(None) for _ in range(3))) == [1, 1, 1]
