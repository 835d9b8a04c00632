"""Does the model judge see the label and the items alone, and is every item answered or failed, never both?"""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest

from autointerp.judge.forms import DetectionReply, read
from autointerp.judge.llm import LLMJudge
from autointerp.schema import Failure, Question
from tests.golden_file import assert_golden
from tests.hostile import HOSTILE
from tests.scripted_model import ScriptedModel
from tests.tiny_corpus import TinyCorpus, label

X = np.array([[2.0, 0, 1], [0, 1, 1], [0, 0, 3], [1.25, 0, 0]])
GIVEN = label(4, up="LYZ", title="B cells", description="CD79A+ cells.")


def judge(*replies, names=("CD79A", "LYZ", "MS4A1")):
    model = ScriptedModel(*replies)
    return LLMJudge(model, TinyCorpus(X, list(names)), lambda problem: problem), model


def question(rows, given=GIVEN, panel=("CD79A", "MS4A1")) -> Question:
    return Question("detection", given.latent, given, np.asarray(rows), panel)


def answers(*pairs) -> dict:
    return {"answers": [{"item": i, "probability": p} for i, p in pairs]}


def test_the_prompt_is_the_golden_one():
    assert_golden("detection.txt", judge()[0].prompt(question([3, 1, 0])))


MARKS = (("CD79A",), ("LYZ", "MS4A1"), ("MS4A1",))


def fuzzing(rows=(3, 1, 0)) -> Question:
    return Question("fuzzing", 4, GIVEN, np.asarray(rows), (), MARKS)


def test_the_prompt_about_marks_is_the_golden_one():
    assert_golden("fuzzing.txt", judge()[0].prompt(fuzzing()))


def test_marks_that_were_answered_badly_are_asked_about_once_more_with_their_cards():
    asked, model = judge(answers((1, 90), (2, 101)), answers((1, 5), (2, 50)))
    found = asyncio.run(asked.answer(fuzzing()))
    assert found.values == (90.0, 5.0, 50.0)
    again = Question("fuzzing", 4, GIVEN, np.array([1, 0]), (), MARKS[1:])
    assert model.prompts[1] == asked.prompt(again) and "«LYZ»" in model.prompts[1]


def test_without_a_panel_none_is_announced():
    assert "panel" not in judge()[0].prompt(question([0, 1], panel=()))


def test_answers_go_to_the_items_by_their_number_in_the_prompt():
    asked, model = judge(answers((3, 90), (1, 5), (2, 50.5)))
    found = asyncio.run(asked.answer(question([2, 0, 1])))
    assert found.values == (5.0, 50.5, 90.0)
    assert found.failures == (None, None, None)
    assert found.prompt == "key1"
    cards = re.findall(r"expresses (.*)", model.prompts[0])
    assert cards == ["MS4A1", "CD79A, MS4A1", "LYZ, MS4A1"]  # rows 2, 0, 1


@pytest.mark.parametrize(
    ("pairs", "values", "problems"),
    [
        ([(1, 10)], (10.0, None), (None, "no answer for this item")),
        ([(1, 10), (2, 20), (2, 20)], (10.0, 20.0), (None, None)),
        ([(1, 10), (2, 20), (2, 30)], (10.0, None), (None, "contradictory answers for this item")),
        ([(1, 101), (2, -1)], (None, None), ("probability 101 outside 0–100", "probability -1 outside 0–100")),
        ([(1, float("nan")), (2, 100)], (None, 100.0), ("probability nan outside 0–100", None)),
        ([(0, 10), (3, 10)], (None, None), ("items counted from 0",) * 2),
    ],
)  # fmt: skip
def test_what_is_missing_or_out_of_range_fails_by_item(pairs, values, problems):
    assert read(DetectionReply(**answers(*pairs)), 2) == (list(values), list(problems))


def test_only_the_items_that_were_answered_badly_are_asked_once_more():
    asked, model = judge(answers((1, 90), (2, 101)), answers((1, 5), (2, 50)))
    found = asyncio.run(asked.answer(question([2, 0, 1])))
    assert found.values == (90.0, 5.0, 50.0)
    assert found.failures == (None,) * 3
    assert (found.prompt, found.parse_status) == ("key1", "reasked")
    assert model.prompts[1] == asked.prompt(question([0, 1]))


def test_what_stays_bad_fails():
    asked, model = judge(answers((1, 90)), answers((1, 5)))
    found = asyncio.run(asked.answer(question([2, 0, 1])))
    assert found.values == (90.0, 5.0, None)
    assert found.failures == (None, None, "no answer for this item")
    assert len(model.prompts) == 2


def test_a_question_too_long_for_the_model_is_asked_in_two_halves():
    asked, model = judge(Failure("context", "too long"), answers((1, 10)), answers((1, 20), (2, 30)))
    found = asyncio.run(asked.answer(question([2, 0, 1])))
    assert found.values == (10.0, 20.0, 30.0)
    assert model.prompts[1:] == [asked.prompt(question([2])), asked.prompt(question([0, 1]))]
    assert found.prompt == "key2"


def test_a_failed_request_fails_every_item():
    asked, _ = judge(Failure("filtered", "refused"))
    found = asyncio.run(asked.answer(question([0, 1, 2])))
    assert found.values == (None,) * 3
    assert found.failures == ("filtered",) * 3
    assert found.prompt == "key1"


def test_neither_truth_nor_ids_nor_key_features_nor_the_explainer_reach_the_prompt():
    hidden = label(4, up="LYZ", title="B cells", description="CD79A+ cells.", explainer="oracle")
    said = judge()[0].prompt(question([2, 3], hidden))
    assert "CD79A" in said
    assert not re.search(r"cell_\d|LYZ|oracle|positive|strength \d+ of", said)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_title_description_or_gene_closes_no_fence(text):
    plain = judge()[0].prompt(question([0, 1, 2]))
    hostile = label(4, title=text, description=text)
    names = (text, "LYZ", "MS4A1")
    attacked = judge(names=names)[0].prompt(question([0, 1, 2], hostile, panel=names))
    for tag in ("title", "description", "cell"):
        assert attacked.count(f"<{tag}>") == plain.count(f"<{tag}>")
        assert attacked.count(f"</{tag}>") == plain.count(f"</{tag}>")
    assert [n for n in attacked.splitlines() if n.startswith("Reply with one JSON")] == [
        plain.splitlines()[-1]
    ]
    assert not re.search(r"<\|im_start|\[/?INST\]|＜|\u202e|\x1b", attacked)
