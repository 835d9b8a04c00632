"""Can a user bring a judge, and are its answers held to what an answer is?"""

from __future__ import annotations

import asyncio

import numpy as np
import pandas as pd
import pytest

from autointerp.config import make_config
from autointerp.errors import UserError
from autointerp.judge.registry import rule_judge
from autointerp.schema import Answer, Label, Question
from tests.run.conftest import command
from tests.run.small_cells import BROUGHT

HERE = "rule:tests.run.test_own_judge"
LABEL = Label(0, "ours", "a title", "", "unknown", 0.5, ())


class Even:
    """Says 90 of every item of an even row."""

    name, batch_size = "whatever", None

    async def answer(self, question):
        values = tuple(90.0 if row % 2 == 0 else 10.0 for row in question.rows.tolist())
        return Answer(values, (None,) * len(values))


class Short(Even):
    async def answer(self, question):
        return Answer((1.0,), (None,))


def even(corpus, develop, labels, seed):
    return Even()


def short(corpus, develop, labels, seed):
    return Short()


def nothing(corpus, develop, labels, seed):
    return 3


def _asked(name: str) -> Answer:
    judge = rule_judge(f"{HERE}:{name}", None, {}, [], 0)
    assert judge.name == f"{HERE}:{name}"
    return asyncio.run(judge.answer(Question("detection", 0, LABEL, np.array([2, 3]))))


def test_it_is_asked_under_the_name_that_was_given():
    assert _asked("even").values == (90.0, 10.0)


def test_too_few_answers_are_failures_of_all():
    answer = _asked("short")
    assert answer.values == (None, None) and "1 answers to 2" in str(answer.failures[0])


@pytest.mark.parametrize(
    ("name", "said"), [("nothing", "int"), ("missing", "missing"), ("LABEL", "not a callable")]
)
def test_what_is_no_judge_is_refused_in_one_line(name, said):
    with pytest.raises(UserError, match=said):
        rule_judge(f"{HERE}:{name}", None, {}, [], 0)


def test_it_asks_no_model_and_judges_a_run(cells, tmp_path):
    assert not make_config({"data": cells, "judge": f"{HERE}:even"}).judge_is_model
    ended = command("run", "--data", cells, *BROUGHT, "--judge", f"{HERE}:even", "--out", tmp_path / "run")
    assert ended.code == 0, ended.err
    trials = pd.read_parquet(tmp_path / "run" / "trials.parquet")
    mine = trials[(trials.judge == f"{HERE}:even") & (trials.scorer == "detection")]
    assert len(mine) and set(mine.answer) == {10.0, 90.0}
    assert ((mine.answer == 90.0) == (mine.row % 2 == 0)).all()
