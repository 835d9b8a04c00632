"""What happens when the endpoint misbehaves? The same through both libraries, counted at the server."""

from __future__ import annotations

import time

import pytest

from autointerp.errors import CannotGoOn
from autointerp.llm.policy import Policy
from autointerp.llm.request import Reply, Usage, image_part, text_part
from autointerp.schema import Failure
from tests import scripted_server as scripted
from tests.llm.conftest import QUICK
from tests.scripted_server import in_turn, say

pytestmark = pytest.mark.usefixtures("loaded")
TRANSIENT = {
    "rate": scripted.rate_limited(0.01),
    "rate, no Retry-After": scripted.rate_limited(),
    "500": scripted.error(500),
    "502": scripted.error(502),
    "503": scripted.error(503, headers={"retry-after": "0.01"}),
    "overloaded": scripted.error(529),
    "dropped": scripted.dropped(),
    "truncated body": scripted.truncated_body(),
    "half JSON": scripted.half_json(),
    "no choices": scripted.ScriptedReply(body=b'{"id": "x", "object": "chat.completion", "choices": []}'),
}
STOPS = {
    "quota": (scripted.out_of_quota(), "quota is spent"),
    "401": (scripted.unauthorized(), "refuses the API key"),
    "403": (scripted.error(403), "refuses the API key"),
    "404": (scripted.no_such_model(), "does not know the model"),
    "402": (scripted.error(402), "quota is spent"),
    "hours": (scripted.rate_limited(7200), "asks to wait 7200 s"),
}
FAILS = {
    "context": (scripted.too_long(), "context"),
    "filtered": (scripted.filtered(), "filtered"),
    "refusal": (scripted.refused(), "filtered"),
    "filter as 400": (scripted.error(400, "The response was filtered", code="content_filter"), "filtered"),
    "empty": (scripted.empty(), "empty"),
    "blank": (say(" \n"), "empty"),
    "bad request": (scripted.error(400, "messages must alternate"), "bad_request"),
    "unprocessable": (scripted.error(422), "bad_request"),
}


def test_an_answer_arrives_whole(bench):
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 15},
    }
    bench.server.reply = lambda body, n: say("a B cell", model="scripted-2026", usage=usage)
    reply = bench.ask()
    assert (reply.text, reply.finish_reason, reply.model) == ("a B cell", "stop", "scripted-2026")
    assert reply.usage == Usage(100, 20, 60, 15)
    assert reply.cost_usd is None  # unknown, not free
    assert 0 < reply.latency_s < 20
    assert bench.ledger.totals().unpriced == 1


def test_an_endpoint_that_counts_no_tokens_is_not_taken_for_a_free_one(openai_bench):
    openai_bench.server.reply = lambda body, n: say("x", usage=None)
    reply = openai_bench.ask()
    assert reply.usage is None
    assert reply.cost_usd is None


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_passing_fault_costs_one_request_an_attempt(bench, fault):
    bench.server.reply = in_turn(TRANSIENT[fault], TRANSIENT[fault], "at last")
    assert bench.ask().text == "at last"
    assert len(bench.server.requests) == 3
    assert len(bench.kinds) == bench.ledger.totals().failures == 2


@pytest.mark.parametrize("fault", ["500", "rate"])
def test_a_lasting_fault_is_a_failure_and_never_an_answer(bench, fault):
    bench.server.reply = lambda body, n: TRANSIENT[fault]
    failure = bench.ask()
    assert isinstance(failure, Failure)
    assert failure.kind == "endpoint"
    assert len(bench.server.requests) == QUICK.attempts
    assert bench.ledger.keys() == set()


def test_a_timeout_costs_one_request_an_attempt(bench):
    bench.server.reply = in_turn(scripted.slow(delay_s=3), scripted.slow(delay_s=3), "at last")
    patience = Policy(attempts=3, first_wait_s=0.001, timeout_s=0.8)
    assert bench.run(lambda llm: llm.ask(llm.request("hi")), policy=patience).text == "at last"
    assert len(bench.server.requests) == 3
    assert bench.kinds == ["timeout", "timeout"]


@pytest.mark.parametrize("stop", STOPS)
def test_what_no_retry_mends_stops_the_run_with_one_line(bench, stop):
    reply, told = STOPS[stop]
    bench.server.reply = lambda body, n: reply

    async def work(llm):
        with pytest.raises(CannotGoOn, match=told) as first:
            await llm.ask(llm.request("one"))
        assert "\n" not in str(first.value)
        with pytest.raises(CannotGoOn, match=told):
            await llm.ask(llm.request("two"))

    bench.run(work)
    assert len(bench.server.requests) == 1
    assert bench.ledger.keys() == set()


def test_quota_is_seen_in_litellms_other_providers_too(openai_bench):
    openai_bench.model = "litellm/hosted_vllm/scripted"
    openai_bench.server.reply = lambda body, n: scripted.out_of_quota()
    with pytest.raises(CannotGoOn, match=r"quota is spent: You exceeded your current quota"):
        openai_bench.ask()
    assert len(openai_bench.server.requests) == 1


@pytest.mark.parametrize("fault", FAILS)
def test_a_fault_of_one_item_is_its_failure(bench, fault):
    reply, kind = FAILS[fault]
    bench.server.reply = lambda body, n: reply
    failure = bench.ask()
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert len(bench.server.requests) == 1
    assert bench.ledger.keys() == set()
    assert bench.kinds == [kind]


def test_a_reply_that_was_cut_off_is_asked_for_once_more_with_a_higher_cap(bench):
    bench.server.reply = in_turn(scripted.cut_short(), "whole")
    assert bench.ask(max_tokens=50).text == "whole"
    assert [body["max_tokens"] for body in bench.server.bodies] == [50, 200]
    assert bench.ask(max_tokens=50).text == "whole"
    assert len(bench.server.requests) == 2


def test_a_reply_that_is_always_cut_off_is_a_failure(bench):
    bench.server.reply = lambda body, n: scripted.cut_short()
    failure = bench.ask()
    assert failure.kind == "truncated"
    assert len(bench.server.requests) == 2
    totals = bench.ledger.totals()
    assert (totals.answers, totals.failures, totals.tokens_out) == (0, 2, 40)  # paid all the same


def test_retry_after_is_waited_for_and_pauses_the_whole_endpoint(bench):
    bench.server.reply = in_turn(scripted.rate_limited(0.5), "ok")

    async def work(llm):
        first = await llm.ask(llm.request("one"))
        return first

    started = time.monotonic()
    assert isinstance(bench.run(work), Reply)
    assert time.monotonic() - started >= 0.5
    first, second = bench.server.requests
    assert second.arrived_s - first.arrived_s >= 0.5


def test_nobody_there_is_told(bench):
    url = "http://127.0.0.1:9/v1"
    with pytest.raises(CannotGoOn, match=r"cannot reach http://127.0.0.1:9/v1.*Is it running"):
        bench.run(lambda llm: llm.ask(llm.request("hi")), base_url=url)


def test_a_web_page_is_no_endpoint(openai_bench):
    openai_bench.server.reply = lambda body, n: scripted.web_page()
    with pytest.raises(CannotGoOn, match="Does --base-url end in /v1"):
        openai_bench.ask()


def test_an_endpoint_that_fails_everything_is_given_up(openai_bench):
    openai_bench.server.reply = lambda body, n: scripted.error(500)
    patience = Policy(attempts=2, first_wait_s=0.001, give_up_after=3)

    async def work(llm):
        for n in range(2):
            assert (await llm.ask(llm.request(f"question {n}"))).kind == "endpoint"
        with pytest.raises(CannotGoOn, match="failed 3 requests in a row"):
            await llm.ask(llm.request("question 3"))

    openai_bench.run(work, policy=patience)


def test_images_schema_and_sampling_parameters_pass_through(bench):
    image = image_part(b"\x89PNG not really", detail="low")
    message = {"role": "user", "content": [text_part("What is this?"), image]}
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    schema["additionalProperties"] = False
    fields = {"temperature": 0.25, "top_p": 0.5, "seed": 7, "max_tokens": 33}
    extra = {
        "logprobs": True,
        "top_logprobs": 3,
        "tools": [{"type": "function", "function": {"name": "look"}}],
    }
    bench.run(
        lambda llm: llm.ask(llm.request([message], schema=schema, schema_name="look", params=extra, **fields))
    )
    (body,) = bench.server.bodies
    assert body["messages"] == [message]
    assert body["response_format"]["json_schema"] == {"name": "look", "schema": schema, "strict": True}
    assert {name: body[name] for name in fields} == fields
    assert {name: body[name] for name in extra} == extra


def test_tool_calls_and_log_probabilities_come_back(bench):
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    token = {"token": "B", "logprob": -0.5, "bytes": [66], "top_logprobs": []}
    bench.server.reply = lambda body, n: scripted.ScriptedReply(
        text=None,
        message={"tool_calls": [call]},
        finish_reason="tool_calls",
        choice={"logprobs": {"content": [token], "refusal": None}},
    )
    reply = bench.ask()
    assert isinstance(reply, Reply)
    assert reply.tool_calls[0]["function"]["name"] == "look"
    assert reply.logprobs["content"][0]["logprob"] == -0.5
    assert bench.ask() == reply  # as the ledger has it
