"""Does the agent keep what is proven best, stop when it should, and put all that it did into the label's history?"""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from autointerp.explain.agent import Agent
from autointerp.explain.talk import CALLING_REPLIES, MOST_CALLS
from autointerp.schema import Failure
from tests.explain.fake_lab import FakeLab, TalkingModel, hypotheses
from tests.explain.test_one_shot import evidence
from tests.golden_file import assert_golden
from tests.hostile import HOSTILE


def explain(lab, *replies, native=False, **options):
    model = TalkingModel(*replies, native=native)
    return asyncio.run(Agent(**options).explain(evidence(), model, lab)), model


def steps(label):
    return [(one.round, one.title, one.auroc, one.accepted) for one in label.steps]


def test_the_best_of_the_first_stands_and_only_what_is_proven_better_replaces_it():
    lab = FakeLab(a=0.7, b=0.8, c=0.82, d=0.9, e=0.6)
    found, _model = explain(lab, hypotheses("a", "b"), hypotheses("c"), hypotheses("e", "d"), hypotheses())
    assert found.title == "d" and found.stopped == "nothing to add" and not found.abstained
    assert steps(found) == [
        (0, "a", 0.7, False),
        (0, "b", 0.8, True),
        (1, "c", 0.82, False),  # better, and not by enough
        (2, "e", 0.6, False),
        (2, "d", 0.9, True),
    ]
    assert [(one.difference, one.p) for one in found.steps[:3]] == [
        (None, None), (None, None), (pytest.approx(0.02), 0.4)]  # fmt: skip
    assert found.history == ("key1", "key2", "key3", "key4", *(f"judged {t}" for t in "abced"))
    assert lab.tested == ["a", "b", "c", "e", "d"]
    assert (found.explainer, found.model, found.parse_status) == ("agent", "scripted/model", "ok")


def test_each_request_holds_all_that_was_said():
    _, model = explain(FakeLab(a=0.7, b=0.9), hypotheses("a"), hypotheses("b"), hypotheses(), tools=False)
    first, second, third = (one.messages for one in model.requests)
    assert [m["role"] for m in third] == ["user", "assistant", "user", "assistant", "user"]
    assert third[:3] == second and second[:1] == first
    assert json.loads(third[1]["content"])["hypotheses"][0]["title"] == "a"
    assert_golden("agent_propose.txt", first[0]["content"].partition("## Your answer")[2])
    assert_golden("agent_revise.txt", third[4]["content"])


def test_a_model_that_only_makes_things_worse_ends_with_its_first_label():
    worse = [hypotheses(title) for title in "bcdef"]
    found, model = explain(FakeLab(a=0.8, b=0.7, c=0.6, d=0.5, e=0.4), hypotheses("a"), *worse, rounds=4)
    assert found.title == "a" and found.stopped == "plateau"
    assert len(model.requests) == 3  # two rounds without anything better are enough


def test_what_stands_may_be_proposed_again_and_is_not_tested_twice():
    lab = FakeLab(a=0.8)
    found, _ = explain(lab, hypotheses("a", "a"), hypotheses("a"), hypotheses("a"))
    assert lab.tested == ["a"] and found.stopped == "plateau"


def test_it_stops_after_its_rounds_or_without_mistakes():
    rising = FakeLab(a=0.5, b=0.6, c=0.7, d=0.8)
    found, model = explain(rising, *(hypotheses(t) for t in "abcd"), rounds=2)
    assert (found.title, found.stopped, len(model.requests)) == ("c", "rounds", 3)
    assert explain(rising, hypotheses("a"), rounds=0)[0].stopped == "rounds"
    found, model = explain(FakeLab(n_mistakes=0, a=1.0), hypotheses("a"))
    assert (found.stopped, len(model.requests)) == ("no mistakes left", 1)


def test_it_says_when_there_is_no_concept():
    found, _ = explain(FakeLab(), hypotheses(abstained=True))
    assert found.abstained and found.stopped == "nothing to name" and found.history == ("key1",)
    found, _ = explain(FakeLab(a=0.55), hypotheses("a"), hypotheses(abstained=True))
    assert found.abstained and found.title == "a"  # 0.55 is no better than chance on develop
    found, _ = explain(FakeLab(a=0.8), hypotheses("a"), hypotheses(abstained=True))
    assert not found.abstained and found.stopped == "nothing to add"  # what was proven stays


def test_without_develop_items_the_first_hypothesis_is_the_label():
    found, model = explain(FakeLab(a=None, b=None), hypotheses("a", "b"))
    assert (found.title, found.stopped) == ("a", "untested: no answers")
    assert not found.abstained and len(model.requests) == 1


def test_a_first_reply_that_fails_is_a_failure_and_a_later_one_ends_the_rounds():
    failure = Failure("truncated", "cut off")
    assert explain(FakeLab(), failure)[0] is failure
    found, _ = explain(FakeLab(a=0.8), hypotheses("a"), failure)
    assert (found.title, found.stopped) == ("a", "a reply failed (truncated)")


def test_a_model_of_short_context_gets_less_evidence_once():
    found, _model = explain(FakeLab(n_mistakes=0, a=0.9), Failure("context", "too long"), hypotheses("a"))
    assert found.title == "a"
    assert explain(FakeLab(), *[Failure("context", "too long")] * 2)[0].kind == "context"


def test_more_hypotheses_than_were_asked_for_are_not_tested():
    lab = FakeLab(a=0.7, b=0.8, c=0.9)
    _found, _ = explain(lab, hypotheses("a", "b", "c"), hypotheses(), hypotheses=2)
    assert lab.tested == ["a", "b"]


def call(name, place=0, **arguments):
    return {
        "id": f"id{place}",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }


def test_tools_that_the_endpoint_calls_are_answered_in_its_words():
    lab = FakeLab(n_mistakes=0, a=0.9, t=0.6)
    tried = call("test", 1, title="t", description="t.", key_features=[])
    found, model = explain(lab, (call("genes", names=["CD3D"]), tried), hypotheses("a"), native=True)
    assert found.title == "a" and lab.called == [("genes", {"names": ["CD3D"]})]
    first, second = model.requests
    assert [one["function"]["name"] for one in first.params["tools"]][:2] == ["genes", "contrast"]
    assert [m["role"] for m in second.messages] == ["user", "assistant", "tool", "tool"]
    assert [m["tool_call_id"] for m in second.messages[2:]] == ["id0", "id1"]
    assert second.messages[2]["content"] == "genes says something"
    assert "t: 0.600" in second.messages[3]["content"] and "a card" not in second.messages[3]["content"]
    assert found.history == ("key1", "key2", "judged t", "judged a")
    assert [s.title for s in found.steps] == ["a"]  # what a tool tried is no hypothesis


def test_tools_in_a_json_reply_are_answered_where_the_endpoint_calls_none():
    lab = FakeLab(n_mistakes=0, a=0.9)
    asked = {"calls": [{"tool": "genes", "names": ["CD3D"]}, {"tool": "covariates"}]}
    found, model = explain(lab, asked, hypotheses("a"))
    assert lab.called == [("genes", {"names": ["CD3D"]}), ("covariates", {})]
    first, second = model.requests
    assert "tools" not in first.params and '"calls"' in first.messages[0]["content"]
    assert "<result>\ngenes says something\n</result>" in second.messages[2]["content"]
    assert found.history == ("key1", "key2", "judged a")


def test_calls_are_limited():
    many = tuple(call("genes", i, names=["A"]) for i in range(MOST_CALLS + 2))
    lab = FakeLab(n_mistakes=0, a=0.9)
    found, model = explain(lab, *[many] * CALLING_REPLIES, hypotheses("a"), native=True)
    assert found.title == "a" and len(lab.called) == MOST_CALLS * CALLING_REPLIES
    assert [one.params.get("tool_choice") for one in model.requests] == [None] * CALLING_REPLIES + ["none"]
    stubborn = [many] * (CALLING_REPLIES + 1)
    assert explain(lab, *stubborn, native=True)[0].kind == "tools"


@pytest.mark.parametrize("arguments", ["no json", "[1]", '{"title": 5}'])
def test_a_call_that_cannot_be_read_is_told_so(arguments):
    bad = {"id": "x", "function": {"name": "test", "arguments": arguments}}
    found, model = explain(FakeLab(n_mistakes=0, a=0.9), (bad,), hypotheses("a"), native=True)
    assert "cannot be answered" in model.requests[1].messages[2]["content"]
    assert found.title == "a"


def test_without_tools_none_is_offered_and_nothing_is_probed():
    model = TalkingModel(hypotheses("a"))
    model.can = None
    found = asyncio.run(Agent(tools=False).explain(evidence(), model, FakeLab(n_mistakes=0, a=0.9)))
    assert found.title == "a"
    assert model.requests[0].params == {} and "call tools" not in model.requests[0].messages[0]["content"]


def test_a_look_at_an_edit_is_remembered():
    lab = FakeLab(n_mistakes=0, a=0.9)
    lab.perturbs = True
    found, _ = explain(lab, {"calls": [{"tool": "perturb", "strength": 2.0}]}, hypotheses("a"))
    assert found.saw_edits and lab.called == [("perturb", {"strength": 2.0})]
    assert not explain(FakeLab(n_mistakes=0, a=0.9), hypotheses("a"))[0].saw_edits


@pytest.mark.parametrize("native", [True, False])
def test_pictures_reach_the_model_as_pictures(native):
    """In what it is told, and in what tools say; a provider's tool message is text, so they follow it."""
    lab = FakeLab(n_mistakes=1, a=0.9, b=0.95)
    lab.pictures = (b"a picture",)
    asked = (
        (call("examples", stratum="strong"),)
        if native
        else {"calls": [{"tool": "examples", "stratum": "strong"}]}
    )
    _, model = explain(lab, asked, hypotheses("a"), hypotheses(), native=native)
    kinds = [
        [part["type"] for part in m["content"]] if isinstance(m["content"], list) else m["role"]
        for m in model.requests[-1].messages
    ]
    seen = ["text", "image_url"] if native else ["text", "image_url", "text"]
    assert kinds[1:] == [
        "assistant",
        *(["tool"] if native else []),
        seen,
        "assistant",
        ["text", "image_url", "text"],
    ]


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_title_changes_nothing_but_itself_when_it_is_told_again(attack):
    """What a model says is untrusted too: its own words come back to it as data."""
    said = []
    for title in ("a", attack):
        label = hypotheses(title)
        name = " ".join(title.split()[:10])
        _, model = explain(FakeLab(**{name: 0.9, "b": 0.5}), label, hypotheses("b"), hypotheses())
        said.append([str(m["content"]) for m in model.requests[1].messages if m["role"] == "user"][-1])
    plain, attacked = (re.sub(r"<cell>\n.*?\n</cell>", "", one, flags=re.DOTALL) for one in said)
    assert len(plain.splitlines()) == len(attacked.splitlines())
    assert sum(a != b for a, b in zip(plain.splitlines(), attacked.splitlines(), strict=True)) <= 3
    assert not re.search(r"<\|im_start|\[/?INST\]|＜|\u202e|\x1b", attacked)
