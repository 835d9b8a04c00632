"""Is only that given up which the endpoint refuses by name, and is it recorded?"""

from __future__ import annotations

import pytest

from autointerp.llm.dialect import Dialect
from autointerp.llm.faults import EndpointError
from autointerp.llm.request import Reply, Request
from tests import scripted_server as scripted
from tests.scripted_server import say

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
pytestmark = pytest.mark.usefixtures("loaded")


def _takes(*formats):
    """A server that takes these response formats only."""

    def reply(body, n):
        asked = body.get("response_format", {}).get("type", "text")
        return say('{"a": "b"}') if asked in formats else scripted.unsupported("response_format")

    return reply


@pytest.mark.parametrize(
    ("formats", "sent"),
    [
        (("json_schema",), ["json_schema"]),
        (("json_object", "text"), ["json_schema", "json_object"]),
        (("text",), ["json_schema", "json_object", "text"]),
    ],
)
def test_a_refused_schema_falls_back_once_and_is_remembered(bench, formats, sent):
    bench.server.reply = _takes(*formats)

    async def work(llm):
        first = await llm.ask(llm.request("one", schema=SCHEMA))
        return first, await llm.ask(llm.request("two", schema=SCHEMA))

    for reply in bench.run(work):
        assert reply.text == '{"a": "b"}'
        assert reply.adapted == (() if len(sent) == 1 else (f"schema as {sent[-1]}",))
    asked = [body.get("response_format", {}).get("type", "text") for body in bench.server.bodies]
    assert asked == [*sent, sent[-1]]
    assert bench.kinds.count("adapted") == len(sent) - 1


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (
            "temperature",
            "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1)",
        ),
        ("seed", "Extra inputs are not permitted: seed"),
        ("reasoning_effort", "Unrecognized request argument supplied: reasoning_effort"),
    ],
)
def test_a_refused_parameter_is_dropped_and_recorded(bench, refused, message):
    bench.server.reply = lambda body, n: scripted.unsupported(refused, message) if refused in body else "ok"
    fields = {"temperature": 0.0, "seed": 3, "params": {"reasoning_effort": "low"}}
    reply = bench.ask(**fields)
    assert reply.adapted == (f"{refused} dropped",)
    assert len(bench.server.requests) == 2
    assert set(bench.server.bodies[0]) - set(bench.server.bodies[1]) == {refused}
    assert ("adapted", f"{refused} refused, dropped") in [event[1:] for event in bench.ledger.events()]


def test_max_tokens_is_renamed_but_never_dropped(openai_bench):
    hint = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    openai_bench.server.reply = lambda body, n: (
        scripted.unsupported("max_tokens", hint) if "max_tokens" in body else "ok"
    )
    assert isinstance(openai_bench.ask(max_tokens=9), Reply)
    assert openai_bench.server.bodies[1]["max_completion_tokens"] == 9

    openai_bench.server.reply = lambda body, n: scripted.unsupported("max_completion_tokens")
    assert openai_bench.ask("another").kind == "bad_request"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("temperature must be at most 2", "temperature"),
        ("messages must alternate", "messages"),
        ("something else is not supported", None),
        ("top_p is not supported", "top_p"),  # was not sent
    ],
)
def test_other_complaints_give_up_nothing(message, param):
    request = Request(({"role": "user", "content": "x"},), "m", "e", temperature=3.0)
    body = Dialect().body(request, "m", 10)
    assert Dialect().after(EndpointError("bad_request", message, param=param), body) is None
