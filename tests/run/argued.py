"""A model for runs with an agent: rules write the labels, the biologist judges, over one socket."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from eval.planted.rule_explainer import RuleExplainer
from tests.run.biologist import biologist, is_judging
from tests.scripted_server import ScriptedReply


def model(**options: Any) -> Callable[..., ScriptedReply]:
    """``options`` are those of ``RuleExplainer``."""
    rule = RuleExplainer(**options)

    def reply(body: dict[str, Any], n: int = 0) -> ScriptedReply:
        if is_judging(body):
            return biologist(body)
        message = rule.reply(body)
        called = {"tool_calls": message["tool_calls"]} if "tool_calls" in message else {}
        return ScriptedReply(
            text=message["content"], message=called, finish_reason="tool_calls" if called else "stop"
        )

    return reply


def asked(bodies: list[dict[str, Any]]) -> Counter[str]:
    """Every request by what it says, and how often it came."""
    return Counter(json.dumps(body, sort_keys=True) for body in bodies)


def conversations(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The agent's requests."""
    return [body for body in bodies if '"hypotheses"' in str(body["messages"][0]["content"])]
