"""Can a judging model answer in the other forms, 0 or 1 and the numbers of those that fit, and when has it failed?"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from autointerp.judge.forms import BinaryReply, IndicesReply, read_binary, read_indices
from autointerp.judge.llm import LLMJudge
from autointerp.names import judge_named
from autointerp.schema import Question
from autointerp.score import detection
from tests.golden_file import assert_golden
from tests.scripted_model import ScriptedModel
from tests.tiny_corpus import TinyCorpus, examples, label

X = np.array([[2.0, 0, 1], [0, 1, 1], [0, 0, 3], [1.25, 0, 0]])
GIVEN = label(4, title="B cells", description="CD79A+ cells.")


def judge(form, *replies):
    model = ScriptedModel(*replies)
    return LLMJudge(model, TinyCorpus(X, ["CD79A", "LYZ", "MS4A1"]), lambda said: said, form=form), model


def question(rows=(3, 1, 0), scorer="detection", marks=()) -> Question:
    return Question(scorer, 4, GIVEN, np.asarray(rows), () if marks else ("CD79A",), marks)


MARKS = (("CD79A",), ("LYZ",), ("MS4A1",))


@pytest.mark.parametrize(
    ("form", "asked", "golden"),
    [
        ("binary", question(), "detection_binary.txt"),
        ("binary", question(scorer="fuzzing", marks=MARKS), "fuzzing_binary.txt"),
        ("indices", question(), "detection_indices.txt"),
    ],
)
def test_the_prompt_is_the_golden_one(form, asked, golden):
    assert_golden(golden, judge(form)[0].prompt(asked))


def test_what_has_no_such_form_is_asked_as_always():
    asked = question(scorer="fuzzing", marks=MARKS)
    assert judge("indices")[0].prompt(asked) == judge("probability")[0].prompt(asked)


def test_the_form_is_part_of_the_name_and_sets_how_many_items_a_prompt_holds():
    named = [
        (judge(form)[0].name, judge(form)[0].batch_size) for form in ("probability", "binary", "indices")
    ]
    assert named == [("scripted/model", 10), ("scripted/model [binary]", 5), ("scripted/model [indices]", 14)]
    assert judge("binary")[0].again().name == "scripted/model [binary]"
    assert judge_named("signature", "binary") == "signature"  # a rule has one way


def test_zeros_and_ones_go_to_the_items_in_their_order():
    found = asyncio.run(judge("binary", {"answers": [1, 0, 1]})[0].answer(question()))
    assert found.values == (100.0, 0.0, 100.0) and found.failures == (None,) * 3


def test_named_items_are_100_and_the_others_0():
    found = asyncio.run(judge("indices", {"items": [3, 1, 3]})[0].answer(question()))
    assert found.values == (100.0, 0.0, 100.0)
    assert asyncio.run(judge("indices", {"items": []})[0].answer(question())).values == (0.0,) * 3


@pytest.mark.parametrize(
    ("told", "values", "problems"),
    [
        ([1], (None, None), ("1 answers for 2 items",) * 2),
        ([1, 0, 0], (None, None), ("3 answers for 2 items",) * 2),
        ([1, 2], (100.0, None), (None, "answer 2 is neither 0 nor 1")),
    ],
)
def test_other_than_one_0_or_1_an_item_fails(told, values, problems):
    assert read_binary(BinaryReply(answers=told), 2) == (list(values), list(problems))


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_number_that_no_item_has_fails_them_all(number):
    values, problems = read_indices(IndicesReply(items=[1, number]), 2)
    assert values == [None, None] and problems == [f"item {number} outside 1–2"] * 2


def test_a_bad_reply_is_asked_for_once_more_and_then_fails():
    asked, model = judge("binary", {"answers": [1]}, {"answers": [0, 0, 1]})
    found = asyncio.run(asked.answer(question()))
    assert found.values == (0.0, 0.0, 100.0) and found.parse_status == "reasked" and len(model.prompts) == 2
    asked, _ = judge("indices", {"items": [9]}, {"items": [0]})
    assert asyncio.run(asked.answer(question())).values == (None,) * 3


def test_auroc_of_answers_0_and_1_is_balanced_accuracy():
    """With two answers the ROC has one corner: AUROC = (recall + specificity) / 2."""
    rows = examples([0, 3, *range(10, 28)], random=[1, 2, *range(30, 58)])
    asked = detection.questions(GIVEN, 4, rows, 5, 0)
    rng = np.random.default_rng(0)
    said = []
    for one in asked:
        told = read_binary(BinaryReply(answers=rng.integers(0, 2, len(one.rows)).tolist()), len(one.rows))[0]
        said.append(detection.Answer(tuple(told), (None,) * len(told)))
    trials = detection.trials(asked, said, rows, None, "j", "e", "l")
    found = {(s.metric, s.negatives): s.value for s in detection.scores(trials, 0.1, "item", "h")}
    assert found["auroc", "random"] == pytest.approx(found["balanced_accuracy", "random"])
