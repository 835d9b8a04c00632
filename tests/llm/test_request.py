"""Does a request's key change exactly when the answer may change?"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from autointerp.llm.request import Reply, Request, Usage, image_part, text_part

BASE = Request(
    messages=({"role": "user", "content": "Which cell?"},),
    model="openai/m",
    endpoint="openai",
    temperature=0.0,
    seed=1,
    schema={"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
    params={"reasoning_effort": "low"},
    purpose="explain",
)
REVERSED = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}}


@pytest.mark.parametrize(
    "change",
    [
        {"messages": ({"role": "user", "content": "Which cell ?"},)},
        {"messages": ({"role": "system", "content": "Which cell?"},)},
        {"messages": (*BASE.messages, {"role": "user", "content": "Hm?"})},
        {"model": "openai/n"},
        {"endpoint": "azure"},
        {"temperature": 0.5},
        {"temperature": None},
        {"top_p": 0.9},
        {"seed": 2},
        {"seed": None},
        {"max_tokens": 5},
        {"schema": None},
        {"schema": REVERSED},
        {"schema_name": "other"},
        {"params": {"reasoning_effort": "high"}},
        {"params": {}},
        {"replicate": 1},
    ],
    ids=str,
)
def test_what_changes_the_answer_changes_the_key(change):
    assert replace(BASE, **change).key != BASE.key


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "judge"},
        {"temperature": 0},
        {"messages": [{"content": "Which cell?", "role": "user"}]},
        {"schema": json.loads(json.dumps(BASE.schema))},
    ],
    ids=str,
)
def test_what_does_not_change_the_answer_keeps_the_key(change):
    assert replace(BASE, **change).key == BASE.key


def test_the_key_is_the_same_in_another_process():
    code = (
        "from autointerp.llm.request import Request;"
        "print(Request(({'role': 'user', 'content': 'µ\\u2009?'},), 'm', 'e', temperature=0.1).key)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        other.stdout.strip()
        == Request(({"role": "user", "content": "µ\u2009?"},), "m", "e", temperature=0.1).key
    )


def test_an_image_counts_by_its_content_and_is_not_kept_in_the_canonical_form():
    def shown(image: bytes) -> Request:
        return replace(BASE, messages=({"role": "user", "content": [text_part("What?"), image_part(image)]},))

    assert shown(b"one" * 400).key == shown(b"one" * 400).key != shown(b"two" * 400).key
    assert len(json.dumps(shown(b"one" * 400_000).canonical())) < 2000


@pytest.mark.parametrize("name", ["api_key", "timeout", "temperature", "base_url", "extra_headers"])
def test_params_take_sampling_parameters_only(name):
    with pytest.raises(ValueError, match=name):
        replace(BASE, params={name: "x"})


def test_a_request_says_something():
    with pytest.raises(ValueError, match="messages"):
        Request((), "m", "e")


def test_a_reply_survives_json():
    reply = Reply(
        "hé\ud800", "stop", Usage(1, 2, 3, 4), "m-1", 0.5, None, adapted=("seed dropped",), tool_calls=({},)
    )
    assert Reply.from_json(json.loads(json.dumps(reply.to_json()))) == reply
    assert Reply.from_json(Reply("x", "stop").to_json()).usage is None
