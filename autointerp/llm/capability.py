"""Does an endpoint do what it is asked, or does it only take the parameter? Servers ignore parameters silently.

What a probe costs, a request, is spent only where something needs to know beforehand: log-probabilities, tools. An
ignored schema needs no probe: every reply is read with tolerance and checked anyway, so it is seen in the first reply
that breaks it, and recorded. ``LLM.can("json_schema")`` probes all the same, for those who want to know. Tools are
probed by the explainer that offers some; where an endpoint does not call them, it asks for calls in its JSON reply.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from autointerp.llm.request import Reply
from autointerp.templates import render

Feature = Literal["json_schema", "logprobs", "tools"]
PROBE_TOKENS = 1000  # room for a model that thinks first

# A shape that no model gives by itself when it is asked for a sentence.
UNUSUAL: dict[str, Any] = {
    "type": "object",
    "properties": {"q7": {"type": "boolean"}, "zebra": {"type": "integer"}},
    "required": ["q7", "zebra"],
    "additionalProperties": False,
}


def probe(feature: Feature) -> dict[str, Any]:
    """The fields of the request that finds out."""
    fields: dict[str, Any] = {
        "messages": render("shared/probe.j2"),
        "max_tokens": PROBE_TOKENS,
        "purpose": "probe",
    }
    if feature == "tools":
        tools = json.loads(render("shared/probe_tools.j2"))
        return fields | {"messages": render("shared/probe_call.j2"), "params": {"tools": tools}}
    if feature == "json_schema":
        return fields | {"schema": UNUSUAL, "schema_name": "probe"}
    return fields | {"params": {"logprobs": True}}


def saw_it_work(feature: Feature, reply: Reply, schema: Mapping[str, Any] = UNUSUAL) -> bool:
    """Whether a reply shows it: JSON with just the schema's names, log-probabilities of its tokens, a called tool."""
    if feature == "tools":
        return bool(reply.tool_calls)
    if feature == "logprobs":
        return bool(reply.logprobs and reply.logprobs.get("content"))
    try:
        said = json.loads(reply.text)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.keys() == schema["properties"].keys()
