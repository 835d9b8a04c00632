"""Do rules that know nothing answer every item alike, or by a draw that depends on nothing they could know?"""

from __future__ import annotations

import asyncio
from typing import get_args

import numpy as np
import pytest

from autointerp.cli_options import Judge
from autointerp.judge.registry import rule_judge
from autointerp.judge.trivial import RandomJudge
from autointerp.names import RULE_JUDGES
from autointerp.schema import Question
from tests.tiny_corpus import TinyCorpus, label

CORPUS = TinyCorpus(np.eye(4), list("ABCD"))


def ask(judge, scorer="detection", latent=1, given=None, n=50):
    question = Question(scorer, latent, given or label(1, up="A"), np.arange(n))
    return asyncio.run(judge.answer(question))


@pytest.mark.parametrize(("name", "said"), [("constant", 50.0), ("always_yes", 100.0)])
def test_one_answer_for_all(name, said):
    assert ask(rule_judge(name, CORPUS, {}, [], 0)).values == (said,) * 50


def test_random_answers_are_uniform_and_repeatable():
    judge = RandomJudge(0)
    values = np.array(ask(judge, n=5000).values)
    assert ((values >= 0) & (values <= 100)).all() and values.mean() == pytest.approx(50, abs=2)
    assert ask(judge).values == ask(judge).values
    others = [ask(RandomJudge(1)), ask(judge, "fuzzing"), ask(judge, latent=2), ask(judge, given=label(2))]
    assert len({ask(judge).values, *(other.values for other in others)}) == 5


def test_malformed_is_a_failure_of_every_item():
    answer = ask(rule_judge("malformed", CORPUS, {}, [], 0))
    assert answer.values == (None,) * 50 and all("malformed" in str(failure) for failure in answer.failures)


def test_every_rule_that_can_be_asked_for_is_there_and_bears_its_name():
    assert [rule_judge(name, CORPUS, {}, [], 0).name for name in RULE_JUDGES] == list(RULE_JUDGES)
    with pytest.raises(ValueError, match="no rule"):
        rule_judge("gpt", CORPUS, {}, [], 0)


def test_help_names_every_rule():
    assert get_args(Judge)[1].help.endswith(f"or a rule: {', '.join(RULE_JUDGES)}")
