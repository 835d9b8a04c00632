"""In which words does this endpoint take a request? Starts with what most take, and gives up what one refuses.

A parameter is given up only on a 400 that names it, for one model at one endpoint, and each time it is recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from autointerp.llm.faults import EndpointError
from autointerp.llm.measures import EMBEDDING
from autointerp.llm.request import Request

FORMATS = ("json_schema", "json_object", "text")
_ABOUT_FORMAT = re.compile(
    r"response_?format|json_?schema|json_?object|json mode|structured outputs?|guided_|response_?schema|text\.format",
    re.IGNORECASE,
)
_REFUSING = re.compile(
    r"unsupport|not support|n't support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|not available"
    r"|extra (inputs|fields)|extra_forbidden|only the default|deprecated|use 'max_",
    re.IGNORECASE,
)
_SAMPLING = ("temperature", "top_p", "seed")
_TOKENS = ("max_tokens", "max_completion_tokens")


class Learned(NamedTuple):
    """What a 400 teaches: the dialect from now on, the name of what is given up, and one line that says so."""

    dialect: Dialect
    name: str
    said: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one model at one endpoint takes.

    reply_format : the strongest of FORMATS that is not refused yet
    tokens_name : how the cap on the reply is called
    dropped : parameters that are not sent
    """

    reply_format: str = FORMATS[0]
    tokens_name: str = "max_tokens"
    dropped: frozenset[str] = frozenset()

    def body(self, request: Request, name: str, max_tokens: int) -> dict[str, Any]:
        """The request in OpenAI's words, for the model called ``name`` at the endpoint."""
        if request.kind == EMBEDDING:
            said = {"input": _sendable(request.messages[0]["content"]), "encoding_format": "base64"}
            return {p: v for p, v in {"model": name, **said}.items() if p not in self.dropped}
        body: dict[str, Any] = {
            "model": name,
            "messages": [_sendable(message) for message in request.messages],
        }
        body[self.tokens_name] = max_tokens
        for param in _SAMPLING:
            if getattr(request, param) is not None:
                body[param] = getattr(request, param)
        body.update(request.params)
        if request.schema is not None and self.reply_format == "json_schema":
            schema = {"name": request.schema_name, "schema": dict(request.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.schema is not None and self.reply_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        return {param: value for param, value in body.items() if param not in self.dropped}

    def adapted(self, request: Request) -> tuple[str, ...]:
        """What is sent otherwise than the request says."""
        changes = [f"{param} dropped" for param in sorted(self.dropped) if _has(request, param)]
        if request.schema is not None and self.reply_format != FORMATS[0]:
            changes.append(f"schema as {self.reply_format}")
        return tuple(changes)

    def without(self, names: Iterable[str]) -> Dialect:
        """The dialect that gives up these formats and parameters."""
        gone = frozenset(names)
        formats = FORMATS[FORMATS.index(self.reply_format) :]
        reply_format = next((form for form in formats[:-1] if form not in gone), FORMATS[-1])
        caps = [name for name in (self.tokens_name, *_TOKENS) if name not in gone | self.dropped]
        tokens_name = caps[0] if caps else self.tokens_name  # a reply needs a cap
        dropped = (self.dropped | gone) - {tokens_name, *FORMATS}
        return Dialect(reply_format, tokens_name, dropped)

    def after(self, error: EndpointError, body: dict[str, Any]) -> Learned | None:
        """What this 400 teaches; None if it names nothing that can be given up."""
        text = str(error)
        named = error.param or ""
        if "response_format" in body and (named.startswith("response_format") or _ABOUT_FORMAT.search(text)):
            weaker = FORMATS[FORMATS.index(self.reply_format) + 1]
            said = f"response_format {self.reply_format} refused, now {weaker}"
            return Learned(replace(self, reply_format=weaker), self.reply_format, said)
        if not _REFUSING.search(f"{text} {named}"):
            return None
        for param in body:
            if param in ("model", "messages", "response_format", "input", "kind"):
                continue
            if param != named and not re.search(rf"(?<!\w){re.escape(param)}(?!\w)", text):
                continue
            if param in _TOKENS:
                other = _TOKENS[1 - _TOKENS.index(param)]
                if other in self.dropped:
                    continue  # both are refused: the reply needs a cap, so this is a failure
                renamed = replace(self, tokens_name=other, dropped=self.dropped | {param})
                return Learned(renamed, param, f"{param} refused, now {other}")
            return Learned(replace(self, dropped=self.dropped | {param}), param, f"{param} refused, dropped")
        return None


def _has(request: Request, param: str) -> bool:
    return param in request.params or (param in _SAMPLING and getattr(request, param) is not None)


def _sendable(value: Any) -> Any:
    """Without lone surrogates, which UTF-8 cannot say: they are sent as a question mark."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {name: _sendable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_sendable(inner) for inner in value]
    return value
