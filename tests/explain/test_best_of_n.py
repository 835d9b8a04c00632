"""Is the best of several samples chosen on develop, with ties to the first, and is no failure taken for a label?"""

from __future__ import annotations

import asyncio

from autointerp.explain.best_of_n import BestOfN
from autointerp.explain.one_shot import TEMPERATURE, OneShot
from autointerp.schema import Failure
from tests.explain.fake_lab import FakeLab, TalkingModel
from tests.explain.test_one_shot import REPLY, evidence


def explain(lab, *replies):
    model = TalkingModel(*replies)
    return asyncio.run(BestOfN(len(replies)).explain(evidence(), model, lab)), model


def said(title, **fields):
    return REPLY | {"title": title} | fields


def test_the_best_on_develop_is_chosen_and_ties_go_to_the_first():
    found, _model = explain(FakeLab(a=0.7, b=0.9, c=0.9, d=0.8), *map(said, "abcd"))
    assert (found.title, found.explainer, found.stopped) == ("b", "best_of_n", "best of 4")
    assert [(one.title, one.auroc, one.accepted) for one in found.steps] == [
        ("a", 0.7, False), ("b", 0.9, True), ("c", 0.9, False), ("d", 0.8, False)]  # fmt: skip
    assert found.history == ("key1", "key2", "key3", "key4", *(f"judged {t}" for t in "abcd"))


def test_samples_are_drawn_apart_from_one_prompt():
    _, model = explain(FakeLab(a=0.7), *[said("a")] * 3)
    assert [one.replicate for one in model.requests] == [0, 1, 2]
    assert {one.temperature for one in model.requests} == {TEMPERATURE}
    assert {one.messages[0]["content"] for one in model.requests} == {OneShot().prompt(evidence())}


def test_what_is_said_twice_is_one_candidate():
    lab = FakeLab(a=0.7, b=0.6)
    found, _ = explain(lab, said("a"), said("b"), said("a"))
    assert [(one.title, one.accepted) for one in found.steps] == [("a", True), ("b", False)]
    assert lab.tested == ["a", "b"] and found.stopped == "best of 3"


def test_samples_that_fail_or_abstain_are_no_candidates():
    failure, abstains = Failure("parse", "no JSON"), said("", abstained=True)
    lab = FakeLab(a=0.7)
    found, _ = explain(lab, failure, abstains, said("a"))
    assert found.title == "a" and lab.tested == ["a"] and found.history == ("key2", "key3", "judged a")
    assert explain(FakeLab(), failure, abstains)[0].abstained
    assert explain(FakeLab(), failure, failure)[0] is failure


def test_a_label_no_better_than_chance_on_develop_abstains():
    assert explain(FakeLab(a=0.55), said("a"))[0].abstained
    assert not explain(FakeLab(a=None), said("a"))[0].abstained  # untested is not unsupported


def test_a_model_of_short_context_gets_less_evidence():
    model = TalkingModel(*[Failure("context", "too long")] * 2, said("a"), said("a"))
    found = asyncio.run(BestOfN(2).explain(evidence(), model, FakeLab(a=0.9)))
    assert found.title == "a" and len(model.requests) == 4
