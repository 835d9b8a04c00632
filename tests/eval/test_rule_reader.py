"""Does the rule-driven reader answer every prompt of peers and judges in the form that it asks for?"""

from __future__ import annotations

import json

import numpy as np
import pytest

from autointerp.judge.llm import LLMJudge
from autointerp.schema import Question, Rendering, ShownItem
from autointerp.templates import render
from eval.planted.rule_reader import RuleReader
from tests.scripted_model import ScriptedModel
from tests.tiny_corpus import TinyCorpus, label

X = np.array([[2.0, 0, 1], [0, 3, 1], [4.0, 0, 0]])
GIVEN = label(4, title="CD79A high", description="Cells with more CD79A and less LYZ.")


def asked(prompt: str) -> dict:
    message = RuleReader().reply({"messages": [{"role": "user", "content": prompt}], "model": "rule"})
    return json.loads(message["content"])


def judged(form: str, marks=()) -> dict:
    judge = LLMJudge(ScriptedModel(), TinyCorpus(X, ["CD79A", "LYZ", "MS4A1"]), None, form=form)
    question = Question(
        "fuzzing" if marks else "detection", 4, GIVEN, np.arange(3), () if marks else ("CD79A", "LYZ"), marks
    )
    return asked(judge.prompt(question))


def test_probabilities_are_the_mean_of_what_the_label_names():
    told = {one["item"]: one["probability"] for one in judged("probability")["answers"]}
    assert told == {
        1: pytest.approx(100 * (2 / 3 + 1) / 2, abs=0.05),
        2: pytest.approx(100 * (0 + 1 / 4) / 2, abs=0.05),
        3: pytest.approx(100 * (4 / 5 + 1) / 2, abs=0.05),
    }


def test_the_other_forms_cut_the_same_probabilities_at_half():
    assert judged("binary") == {"answers": [1, 0, 1]}
    assert judged("indices") == {"items": [1, 3]}


def test_marks_that_the_label_names_are_true():
    marks = (("CD79A",), ("LYZ",), ("CD79A",))
    assert judged("binary", marks) == {"answers": [1, 1, 1]}
    assert judged("probability", (("CD79A",), ("MS4A1",), ("CD79A",)))["answers"][1]["probability"] == 0


def test_cards_of_active_cells_are_summed_over_strengths():
    items = [
        ShownItem("", 9, "", Rendering(f"total counts 5\n{genes}"))
        for genes in ("CD79A:10 LYZ:2", "MS4A1:9 CD79A:3")
    ]
    for template in ("peers/delphi.j2", "peers/saebench.j2"):
        said = asked(render(template, noun="cell", feature_noun="gene", items=items))["explanation"]
        assert said == "CD79A MS4A1 LYZ high: cells with more CD79A, MS4A1, LYZ than others."


def test_markers_are_named():
    prompt = render(
        "peers/gptcelltype.j2", noun="cell", feature_noun="gene", markers=["A1", "B2", "C3", "D4"]
    )
    assert asked(prompt) == {"cell_type": "A1 B2 C3"}
