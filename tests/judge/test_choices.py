"""Are choices, strengths and directions asked for in fenced words, read without guessing, and answered by rules?"""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest

from autointerp.judge.choices import likeness, mean_change
from autointerp.judge.forms import (
    ChoiceReply,
    DirectionsReply,
    SimulationReply,
    read_directions,
    read_strengths,
)
from autointerp.judge.llm import SCHEMAS, LLMJudge
from autointerp.judge.signature import SignatureJudge
from autointerp.judge.trivial import MalformedJudge, RandomJudge, SameJudge
from autointerp.questions import Change, Directions, Match, OddOneOut
from autointerp.schema import Question
from tests.golden_file import assert_golden
from tests.hostile import HOSTILE
from tests.scripted_model import ScriptedModel
from tests.tiny_corpus import TinyCorpus, examples, label

NAMES = ("CD79A", "LYZ", "MS4A1")
X = np.array([[2.0, 0, 1], [0, 1, 1], [0, 0, 3], [1.25, 0, 0], [2, 0, 1.5]])
B_CELL = label(4, up="CD79A MS4A1", down="LYZ", title="B cells", description="CD79A+ cells.")
MONOCYTE = label(5, up="LYZ", title="Monocytes", description="LYZ+ cells.")
CHANGES = (Change("LYZ", 0.5, 1.25, 1.5), Change("CD79A", 2.0, 1.9, -0.125))
SIMULATED = Question("simulation", 4, B_CELL, np.array([3, 1, 0]), ("CD79A", "MS4A1"))
ODD = OddOneOut("intruder", 4, np.array([0, 3, 1, 4, 2]))
MATCHED = Match("match", 5, (B_CELL, MONOCYTE), CHANGES)
DIRECTED = Directions("direction", 4, B_CELL, ("MS4A1", "LYZ", "PPBP"))
ALL = (SIMULATED, ODD, MATCHED, DIRECTED)


def asked(*replies, names=NAMES):
    model = ScriptedModel(*replies)
    return LLMJudge(model, TinyCorpus(X, list(names)), lambda problem: problem), model


def answer(judge, question):
    return asyncio.run(judge.answer(question))


def strengths(*pairs):
    return {"answers": [{"item": i, "strength": s} for i, s in pairs]}


def directions(*pairs):
    return {"answers": [{"feature": i, "direction": d} for i, d in pairs]}


# ------------------------------------------------------------------------------------------------ a model


@pytest.mark.parametrize("question", ALL, ids=("simulation", "intruder", "match", "directions"))
def test_the_prompt_is_the_golden_one(question, request):
    name = request.node.callspec.id
    assert_golden(f"{name}.txt", asked()[0].prompt(question))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("question", ALL)
def test_hostile_names_and_labels_close_no_fence(text, question):
    plain = asked()[0].prompt(question)
    bad = label(4, title=text, description=text)
    attacked = {
        Question: lambda: Question("simulation", 4, bad, SIMULATED.rows, (text,)),
        OddOneOut: lambda: question,
        Match: lambda: Match("match", 5, (bad, MONOCYTE), (Change(text, 0.5, 1.25, 1.5),), readout=text),
        Directions: lambda: Directions("direction", 4, bad, (text, "LYZ", "PPBP")),
    }[type(question)]()
    prompt = asked(names=(text, "LYZ", "MS4A1"))[0].prompt(attacked)
    for tag in ("title", "description", "cell"):
        assert prompt.count(f"<{tag}>") == plain.count(f"<{tag}>")
        assert prompt.count(f"</{tag}>") == plain.count(f"</{tag}>")
    assert [n for n in prompt.splitlines() if n.startswith("Reply with one JSON")] == [plain.splitlines()[-1]]
    assert not re.search(r"<\|im_start|\[/?INST\]|＜|\u202e|\x1b", prompt)


def test_no_prompt_tells_latents_ids_key_features_or_the_explainer():
    for question in ALL:
        prompt = asked()[0].prompt(question)
        assert not re.search(r"cell_\d|ours|positive|latent \d", prompt)
    assert "LYZ" not in asked()[0].prompt(Directions("d", 4, B_CELL, ("MS4A1",)))


def test_strengths_are_read_by_item_and_bad_ones_asked_again():
    judge, model = asked(strengths((3, 9.5), (1, 0), (2, 11)), strengths((1, 4)))
    found = answer(judge, SIMULATED)
    assert found.values == (0.0, 4.0, 9.5) and found.parse_status == "reasked"
    assert model.prompts[1] == judge.prompt(SIMULATED.at([1]))
    assert read_strengths(SimulationReply(**strengths((0, 1), (1, 2))), 2) == (
        [None] * 2,
        ["items counted from 0"] * 2,
    )


@pytest.mark.parametrize(
    ("replies", "value", "failure"),
    [
        (({"choice": 5},), 4.0, None),
        (({"choice": 0}, {"choice": 1}), 0.0, None),
        (({"choice": 6}, {"choice": 6}), None, "choice 6 outside 1–5"),
    ],
)
def test_a_choice_is_a_place_or_a_failure(replies, value, failure):
    judge, model = asked(*replies)
    found = answer(judge, ODD)
    assert (found.values, found.failures) == ((value,), (failure,))
    assert len(model.prompts) == len(replies)


def test_a_match_is_read_as_the_place_of_the_label():
    judge, _ = asked({"choice": 2})
    assert answer(judge, MATCHED).values == (1.0,)


def test_directions_are_signs_and_only_missing_ones_are_asked_again():
    judge, model = asked(directions((1, "up"), (3, "unchanged")), directions((1, "down")))
    assert answer(judge, DIRECTED).values == (1.0, -1.0, 0.0)
    assert model.prompts[1] == judge.prompt(DIRECTED.at([1])) and "PPBP" not in model.prompts[1]
    two = DirectionsReply(**directions((1, "up"), (1, "down")))
    assert read_directions(two, 1) == ([None], ["contradictory answers for this feature"])


def test_schemas_are_strict():
    assert SCHEMAS["judge/match.j2"] == SCHEMAS["judge/intruder.j2"]
    assert SCHEMAS["judge/directions.j2"]["properties"]["answers"]["items"]["properties"]["direction"][
        "enum"
    ] == [
        "up",
        "down",
        "unchanged",
    ]
    assert ChoiceReply.model_fields.keys() == {"choice"}


# ------------------------------------------------------------------------------------------------ rules


def signature():
    develop = {4: examples(list(range(12)), random=list(range(12, 30)))}
    x = np.zeros((40, 3))
    x[:12] = [2, 0, 2]
    x[12:30] = [0, 2, 0]
    x[30:35] = [[2, 0, 1], [1, 0, 2], [0, 2, 0], [2, 0, 2], [2, 0.5, 2]]
    return SignatureJudge(TinyCorpus(x, list(NAMES)), develop, [B_CELL])


def test_a_signature_predicts_strengths_by_its_fit_on_develop():
    rows = np.array([30, 32, 33])
    strong = answer(signature(), Question("simulation", 4, B_CELL, rows)).values
    likely = answer(signature(), Question("detection", 4, B_CELL, rows)).values
    assert strong == pytest.approx([p / 10 for p in likely])
    assert strong[1] < 5 < strong[0] < strong[2] <= 10


def test_a_signature_finds_the_item_that_is_least_like_the_others():
    assert answer(signature(), OddOneOut("intruder", 4, np.array([30, 31, 32, 33, 34]))).values == (2.0,)
    x = np.array([[1.0, 0], [2.0, 0], [0.0, 3]])
    assert likeness(x) == pytest.approx([0.5, 0.5, 0])


def test_a_signature_matches_labels_by_how_much_their_features_moved():
    assert answer(signature(), MATCHED).values == (1.0,)
    assert answer(signature(), Match("match", 4, (MONOCYTE, B_CELL), CHANGES)).values == (0.0,)
    signs = {"CD79A": 1.0, "MS4A1": 1.0, "LYZ": -1.0}
    assert mean_change(signs, CHANGES) == pytest.approx((-0.125 - 1.5) / 3)
    unread = answer(signature(), Match("match", 4, (label(1), label(2)), CHANGES))
    assert unread.values == (None,) and "no label lists a feature" in unread.failures[0]


def test_equally_good_labels_are_drawn_and_not_the_first():
    told = [
        answer(signature(), Match("match", 4, (MONOCYTE,) * 4, CHANGES, number=n)).values[0]
        for n in range(40)
    ]
    assert set(told) == {0.0, 1.0, 2.0, 3.0}


def test_a_signature_says_where_its_features_go():
    assert answer(signature(), DIRECTED).values == (1.0, -1.0, 0.0)


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (SameJudge("constant", 50.0), ((5.0,) * 3, (0.0,), (0.0,), (0.0,) * 3)),
        (SameJudge("always_yes", 100.0), ((10.0,) * 3, (4.0,), (1.0,), (1.0,) * 3)),
    ],
)
def test_judges_that_know_nothing_say_the_same(judge, said):
    assert tuple(answer(judge, question).values for question in ALL) == said


def test_the_random_judge_draws_evenly_and_again_the_same():
    fives = [OddOneOut("intruder", 4, np.arange(5) + i) for i in range(400)]
    told = np.array([answer(RandomJudge(0), q).values[0] for q in fives])
    assert np.bincount(told.astype(int), minlength=5).min() > 50
    assert answer(RandomJudge(0), fives[0]).values == (told[0],)
    many = Directions("d", 4, B_CELL, tuple(f"G{i}" for i in range(300)))
    assert np.unique(answer(RandomJudge(0), many).values).tolist() == [-1, 0, 1]
    assert max(answer(RandomJudge(0), SIMULATED).values) <= 10


def test_a_malformed_judge_fails_every_part():
    for question in ALL:
        found = answer(MalformedJudge(), question)
        assert found.values == (None,) * question.n_answers and all(found.failures)
