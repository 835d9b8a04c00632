"""How does a conversation with tools go on? Reply by reply, each a request of its own that holds all that was said.

Where the endpoint calls tools (asked once, see ``llm.capability``), they are offered in the provider's way; else the
prompt lists them and the JSON reply may call them. Both ways, and in batch files, the same conversation replays.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from autointerp.explain.hypotheses import CallingTurn, Turn
from autointerp.explain.one_shot import reask_message
from autointerp.llm.client import LLM
from autointerp.llm.parse import strict_schema
from autointerp.llm.request import content_of
from autointerp.pictures import cut
from autointerp.schema import Failure, Rendering
from autointerp.templates import render

MAX_TOKENS = 6000
CALLING_REPLIES = 3  # replies in a row that may call tools; then an answer is due
MOST_CALLS = 4  # of one reply that are answered
Call = Callable[[str, Mapping[str, Any]], Awaitable[str]]


class Talk:
    """One conversation.

    Parameters
    ----------
    tools : in OpenAI's words; none: no tool is offered
    native : whether the endpoint calls tools by itself
    call : answers a call of a tool, in words

    ``keys`` are those of the requests so far, in order.
    """

    def __init__(self, llm: LLM, tools: Sequence[Mapping[str, Any]], native: bool, call: Call):
        self._llm, self._tools, self._native, self._call = llm, list(tools), native, call
        self._fields = {
            one["function"]["name"]: list(one["function"]["parameters"]["properties"]) for one in tools
        }
        self._messages: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.status = ""  # how the replies were read: the worst of them

    async def ask(self, text: str) -> Turn | CallingTurn | Failure:
        """Say something, and answer calls until there is a reply that is none."""
        self._say(text)
        form: type[Turn | CallingTurn] = CallingTurn if self._tools and not self._native else Turn
        for calling_left in range(CALLING_REPLIES if self._tools else 0, -1, -1):
            request = self._request(form, calling_left)
            if self._tools and self._native:
                reply = await self._llm.ask(request)
                if isinstance(reply, Failure):
                    return reply
                if reply.tool_calls and calling_left:
                    self.keys.append(request.key)
                    await self._answer_calls(reply.text, reply.tool_calls)
                    continue
                if reply.tool_calls and not reply.text.strip():
                    return Failure("tools", f"still calls tools after {CALLING_REPLIES} replies that did")
            answered = await self._llm.ask_for(request, form, reask_message)
            if isinstance(answered, Failure):
                return answered
            self.keys += answered.keys
            self.status = max(self.status, answered.status, key=("", "ok", "repaired", "reasked").index)
            said = answered.value
            self._messages.append(
                {"role": "assistant", "content": said.model_dump_json(exclude_defaults=True)}
            )
            calls = said.calls if isinstance(said, CallingTurn) else []
            if not calls or not calling_left:
                return said
            results = [
                (one.tool, _seen(await self._call(one.tool, one.arguments(self._fields.get(one.tool, [])))))
                for one in calls[:MOST_CALLS]
            ]
            text = render("agent/results.j2", results=results, n_unanswered=max(0, len(calls) - MOST_CALLS),
                          last=calling_left == 1)  # fmt: skip
            self._say(text)
        raise AssertionError("the last reply is an answer or a failure")

    def _request(self, form: type[Turn | CallingTurn], calling_left: int) -> Any:
        params: dict[str, Any] = {}
        if self._tools and self._native:
            params = {"tools": self._tools} | ({} if calling_left else {"tool_choice": "none"})
        return self._llm.request(
            list(self._messages),
            max_tokens=MAX_TOKENS,
            temperature=0.0,
            schema=strict_schema(form),
            schema_name=form.__name__,
            params=params,
            purpose="agent",
        )

    async def _answer_calls(self, text: str, calls: Sequence[Mapping[str, Any]]) -> None:
        """A provider's tool calls, each with its result; an id that is missing is made up from its place.

        Tools answer in text alone: pictures follow in a message of their own.
        """
        asked = [_plain(call, place) for place, call in enumerate(calls)]
        self._messages.append({"role": "assistant", "content": text or None, "tool_calls": asked})
        pictures: list[bytes] = []
        for place, one in enumerate(asked):
            name = one["function"]["name"]
            if place >= MOST_CALLS:
                said = render(
                    "agent/refused.j2", tool=name, problem=f"{MOST_CALLS} calls a reply are answered"
                )
            else:
                said = await self._said(name, one["function"]["arguments"])
            seen = _seen(said)
            pictures += seen.images
            self._messages.append({"role": "tool", "tool_call_id": one["id"], "content": seen.text})
        if pictures:
            self._say(render("agent/pictures.j2", shown=Rendering("", tuple(pictures))))

    def _say(self, text: str) -> None:
        self._messages.append({"role": "user", "content": content_of(text)})

    async def _said(self, name: str, arguments: str) -> str:
        try:
            given = json.loads(arguments or "{}")
        except ValueError:
            given = None
        if not isinstance(given, dict):
            return render("agent/refused.j2", tool=name, problem="its arguments are no JSON object")
        return await self._call(name, given)


def _seen(said: str) -> Rendering:
    """What a tool says, its pictures apart."""
    pieces = cut(said)
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    return Rendering(text, tuple(piece for piece in pieces if isinstance(piece, bytes)))


def _plain(call: Mapping[str, Any], place: int) -> dict[str, Any]:
    """A call as it is sent back, without fields that only some providers know."""
    function = call.get("function") or {}
    said = {"name": str(function.get("name") or ""), "arguments": str(function.get("arguments") or "{}")}
    return {"id": str(call.get("id") or f"call_{place}"), "type": "function", "function": said}
