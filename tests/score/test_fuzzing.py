"""Are marks alike in all but their meaning, batches free of repeated cells, and answers put to the right marks?"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from autointerp.corpus.base import Part
from autointerp.evidence.activations import Activations
from autointerp.judge.signature import marked_share
from autointerp.schema import POSITIVE, Answer, Failure, Question
from autointerp.score import fuzzing
from autointerp.score.base import Material
from autointerp.score.marks import CALIPER, LEAST_MARKS, MATCHED, MOST_DRIFT, OTHER_LATENT, paired
from tests.tiny_corpus import TinyCorpus, examples, label

# 60 cells. Latent 0 is active on 0–39 and has genes A0–A5 there, latent 1 on 20–59 with B0–B5, latent 2 nowhere.
NAMES = [f"{letter}{i}" for letter in "ABC" for i in range(6)]


class Told:
    """Contrasts that say which genes are a latent's own."""

    def __init__(self, own):
        self.own = own

    def of(self, latent, names, most=200):
        up = [
            SimpleNamespace(name=name, shift=3.0 - i / 10) for i, name in enumerate(self.own.get(latent, ()))
        ]
        return SimpleNamespace(up=up)


def material(seed=0, n_active=40, cells=60) -> Material:
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 10, (cells, len(NAMES)))
    active = np.zeros((cells, 3))
    active[:n_active, 0] = rng.uniform(0.5, 2, n_active)
    active[20:, 1] = 1.0
    held_out = examples(list(range(n_active)), random=list(range(n_active, cells)))
    held_out.activations[:n_active] = active[:n_active, 0]
    return Material(
        corpus=TinyCorpus(x, NAMES),
        activations=Activations.from_matrix(active, cells, "planted"),
        example_sets={0: SimpleNamespace(test=held_out, develop=held_out)},
        contrasts=(Told({0: NAMES[:6], 1: NAMES[6:12]}), Told({})),
        split=None,
        seed=seed,
    )


def test_thirty_true_marks_and_fifteen_false_ones_of_a_kind():
    found = fuzzing.items(material(), 0, "test")
    counts = {kind: int((found.kinds == kind).sum()) for kind in (POSITIVE, MATCHED, OTHER_LATENT)}
    assert counts[POSITIVE] == 30 and counts[MATCHED] == 15
    assert 5 <= counts[OTHER_LATENT] <= 15  # latent 1 is active on half of the cells
    assert set(found.rows.tolist()) <= set(range(40))  # active cells only
    for row, kind, marks in zip(found.rows, found.kinds, found.marks, strict=True):
        assert len(marks) == len(set(marks)) >= LEAST_MARKS
        if kind == POSITIVE:
            assert all(name.startswith("A") for name in marks)
        else:
            assert not any(name.startswith("A") for name in marks)
        if kind == OTHER_LATENT:
            assert row >= 20 and all(name.startswith("B") for name in marks)


def test_an_item_has_as_many_false_marks_as_true_ones():
    found = fuzzing.items(material(), 0, "test")
    sizes: dict[int, set[int]] = {}
    for row, marks in zip(found.rows.tolist(), found.marks, strict=True):
        sizes.setdefault(row, set()).add(len(marks))
    assert all(len(seen) == 1 for seen in sizes.values())


def test_strength_does_not_tell_true_marks():
    corpus = material().corpus
    told = []
    for seed in range(20):
        found = fuzzing.items(material(seed), 0, "test")
        parts = [{p.name: p for p in shown} for shown in corpus.markable(found.rows)]
        mean = [
            np.mean([p[name].strength for name in marks]) for p, marks in zip(parts, found.marks, strict=True)
        ]
        told.append(roc_auc_score(found.truth, mean))
    assert np.mean(told) == pytest.approx(0.5, abs=0.05)


def test_the_draw_depends_on_seed_and_latent_alone():
    first, again, other = (fuzzing.items(material(seed), 0, "test") for seed in (0, 0, 1))
    assert first.marks == again.marks and np.array_equal(first.rows, again.rows)
    assert first.marks != other.marks


def test_too_few_cells_with_marks_are_a_reason_and_no_items():
    found = fuzzing.items(material(n_active=9), 0, "test")
    assert isinstance(found, Failure)
    assert found.message.startswith("9 of 9 active cells show 2 genes")
    nothing = Material(**{**material().__dict__, "contrasts": (Told({}), Told({}))})
    assert fuzzing.items(nothing, 0, "test").message.startswith("0 of 40 active cells")


PARTS = st.lists(st.tuples(st.floats(1, 10), st.floats(0, 5)), max_size=20)


@given(PARTS, PARTS, st.integers(1, 5))
def test_what_every_pairing_keeps(own, foreign, most):
    left = [Part(f"own{i}", s, level) for i, (s, level) in enumerate(own)]
    right = [Part(f"foreign{i}", s, level) for i, (s, level) in enumerate(foreign)]
    pairs = paired(left, right, most)
    assert len(pairs) <= most
    for side, names in ((0, "own"), (1, "foreign")):
        chosen = [pair[side].name for pair in pairs]
        assert len(set(chosen)) == len(chosen) and all(name.startswith(names) for name in chosen)
    assert all(abs(a.strength - b.strength) <= CALIPER for a, b in pairs)
    if pairs:
        assert abs(np.mean([a.strength - b.strength for a, b in pairs])) <= MOST_DRIFT + 1e-9


# ------------------------------------------------------------------------------------------------ questions, trials


def ask(batch_size=10, seed=0):
    found = fuzzing.items(material(seed), 0, "test")
    return found, fuzzing.questions(label(0), 0, found, batch_size, seed)


def test_no_question_holds_a_cell_twice_and_every_mark_is_asked_about_once():
    found, asked = ask()
    for question in asked:
        assert len(set(question.rows.tolist())) == len(question.rows) == len(question.marks) <= 10
        assert question.scorer == "fuzzing"
    said = sorted((int(row), marks) for q in asked for row, marks in zip(q.rows, q.marks, strict=True))
    assert said == sorted(zip(found.rows.tolist(), found.marks, strict=True))
    assert len(asked) <= -(-len(said) // 10) + 1  # hardly more prompts than tens


def test_a_rule_gets_one_question():
    found, asked = ask(batch_size=None)
    assert [len(q.rows) for q in asked] == [len(found.rows)]


def test_answers_stay_with_their_marks():
    found, asked = ask()
    answers = [
        Answer(
            tuple(100.0 * all(n[0] == "A" for n in marks) for marks in q.marks),
            (None,) * len(q.rows),
            f"p{i}",
        )
        for i, q in enumerate(asked)
    ]
    judged = fuzzing.trials(asked, answers, found, None, "rule", "ours", "abc")
    assert np.array_equal(judged.answers == 100, judged.truth)
    strengths = material().activations.csr[:, [0]].toarray().ravel()
    assert judged.activations == pytest.approx(strengths[judged.rows])
    scores = {(s.metric, s.negatives): s for s in fuzzing.scores(judged, 0.1, "group", "h")}
    for metric in ("auroc", "balanced_accuracy", "specificity"):
        assert scores[metric, "all"].value == 1
        assert scores[metric, MATCHED].value == 1
    assert scores["recall", ""].value == 1
    assert set(judged.prompts) == {f"p{i}" for i in range(len(asked))}
    assert {s.scorer for s in scores.values()} == {"fuzzing"}


def test_the_rule_says_how_many_of_the_marks_the_label_names():
    marks = (("A0", "A1"), ("A0", "B1"), ("B0", "B1"))
    asked = Question("fuzzing", 0, label(0, up="A0 A1", down="B0"), np.arange(3), (), marks)
    assert marked_share(asked).values == (100.0, 50.0, 0.0)
