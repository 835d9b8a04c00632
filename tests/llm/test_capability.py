"""Is it found out what an endpoint only pretends to do, at the price of one request at most?"""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from autointerp.llm.ledger import Ledger
from autointerp.llm.request import Deferred
from autointerp.schema import Failure
from tests import scripted_server as scripted
from tests.scripted_server import capable, deaf, in_turn

pytestmark = pytest.mark.usefixtures("loaded")


class Verdict(BaseModel):
    title: str
    score: int


def _can(bench, feature, **options):
    return bench.run(lambda llm: llm.can(feature), **options)


def _verdict(bench, **options):
    return bench.run(lambda llm: llm.ask_for(llm.request("hi"), Verdict), **options)


@pytest.mark.parametrize("feature", ["json_schema", "logprobs"])
@pytest.mark.parametrize(("server", "does"), [(capable, True), (deaf, False)])
def test_a_probe_tells_who_does_it_from_who_ignores_it_and_is_sent_once(bench, feature, server, does):
    bench.server.reply = server
    assert _can(bench, feature) is does
    assert _can(bench, feature) is does
    assert len(bench.server.requests) == 1
    assert bench.server.bodies[0]["max_tokens"] >= 500  # a model may think first


def test_a_schema_that_is_ignored_is_not_sent_after_the_probe(openai_bench):
    openai_bench.server.reply = deaf
    _can(openai_bench, "json_schema")
    openai_bench.ask("another", schema={"type": "object", "properties": {}})
    assert openai_bench.server.bodies[1]["response_format"] == {"type": "json_object"}


def test_what_the_endpoint_refuses_is_known_without_another_request(bench):
    bench.server.reply = lambda body, n: (
        scripted.unsupported("logprobs") if "logprobs" in body else "Blue is a color."
    )
    assert _can(bench, "logprobs") is False
    assert len(bench.server.requests) == 2  # refused, and then sent without


def test_a_probe_that_brings_no_reply_tells_nothing_and_is_tried_again(openai_bench):
    openai_bench.server.reply = in_turn(scripted.error(400), capable({}, 0))
    assert _can(openai_bench, "logprobs") is None
    assert _can(openai_bench, "logprobs") is False


def test_what_the_user_says_counts_and_costs_nothing(openai_bench):
    assert _can(openai_bench, "logprobs", works={"logprobs": True}) is True
    _verdict(openai_bench, works={"json_schema": False, "json_object": False, "temperature": False})
    assert "response_format" not in openai_bench.server.bodies[0]
    openai_bench.run(
        lambda llm: llm.ask(llm.request("x", temperature=0.0, max_tokens=5)),
        works={"temperature": False, "max_tokens": False},
    )
    assert openai_bench.server.bodies[-1].keys() == {"model", "messages", "max_completion_tokens"}


def test_nothing_is_probed_unasked_and_an_ignored_schema_is_seen_in_the_replies(openai_bench):
    openai_bench.server.reply = lambda body, n: scripted.fenced({"title": "T cell", "score": 3})
    assert _verdict(openai_bench).status == "repaired"
    assert len(openai_bench.server.requests) == 1
    found = openai_bench.ledger.learned(openai_bench.server.url, "scripted")
    assert found["json_schema"][:2] == (False, "seen")
    assert _can(openai_bench, "json_schema") is False
    assert len(openai_bench.server.requests) == 1


def test_a_reply_that_keeps_to_its_schema_and_not_to_our_bounds_is_no_evidence(openai_bench):
    openai_bench.server.reply = lambda body, n: {"title": "T cell", "score": "many"}
    assert isinstance(_verdict(openai_bench), Failure)
    assert openai_bench.ledger.learned(openai_bench.server.url, "scripted") == {}


def test_ignored_log_probabilities_are_seen_in_the_first_reply(openai_bench):
    openai_bench.server.reply = deaf
    openai_bench.ask(params={"logprobs": True})
    assert _can(openai_bench, "logprobs") is False
    assert len(openai_bench.server.requests) == 1


def test_a_new_run_does_not_repeat_a_refused_request(bench, tmp_path):
    def reply(body, n):
        refused = next((name for name in ("seed", "response_format") if name in body), None)
        return scripted.unsupported(refused) if refused else '{"a": 1}'

    bench.server.reply = reply
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    bench.ask("one", schema=schema, seed=1)
    sent = len(bench.server.requests)
    assert sent == 4  # json_schema, json_object and seed are refused
    bench.ledger.close()
    with Ledger(tmp_path / "ledger.sqlite") as bench.ledger:
        assert bench.ask("two", schema=schema, seed=1).adapted == ("seed dropped", "schema as text")
        assert len(bench.server.requests) == sent + 1
        bench.run(lambda llm: llm.ask(llm.request("three", seed=1)), works={"seed": True})
        assert len(bench.server.requests) == sent + 3  # the user insists; it is refused again


def test_learned_names_of_the_cap_outlive_the_run(openai_bench):
    hint = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    openai_bench.server.reply = lambda body, n: (
        scripted.unsupported("max_tokens", hint) if "max_tokens" in body else "ok"
    )
    openai_bench.ask("one")
    openai_bench.ask("two")
    assert ["max_tokens" in body for body in openai_bench.server.bodies] == [True, False, False]


def test_another_model_at_the_endpoint_is_asked_for_itself(openai_bench):
    openai_bench.server.reply = deaf
    assert _can(openai_bench, "logprobs") is False
    openai_bench.model, openai_bench.server.reply = "other", capable
    assert _can(openai_bench, "logprobs") is True


def test_in_deferred_mode_the_probe_waits_like_any_request(openai_bench):
    with pytest.raises(Deferred):
        _can(openai_bench, "logprobs", deferred=True)
    assert [request.purpose for request in openai_bench.llm.wanted.values()] == ["probe"]
    assert openai_bench.server.requests == []


def test_tools_are_probed_once_and_are_there_only_if_one_is_called(openai_bench):
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "look_up_color", "arguments": '{"number": 7}'},
    }
    openai_bench.server.reply = lambda body, n: scripted.say(
        "", message={"content": None, "tool_calls": [call]}
    )
    assert _can(openai_bench, "tools") is True and _can(openai_bench, "tools") is True
    assert len(openai_bench.server.requests) == 1
    assert [one["function"]["name"] for one in openai_bench.server.bodies[0]["tools"]] == ["look_up_color"]


def test_an_endpoint_that_refuses_or_ignores_tools_has_none(openai_bench):
    openai_bench.server.reply = lambda body, n: (
        scripted.unsupported("tools") if "tools" in body else "It is blue."
    )
    assert _can(openai_bench, "tools") is False
    assert _can(openai_bench, "tools", works={"tools": True}) is True
