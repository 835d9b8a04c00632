"""What is asked, what is answered, and what makes two requests the same? Values only.

``Request.key`` is the sha256 of everything that changes the answer. Left out, and why: ``purpose`` is a note for
people; timeouts, retries and concurrency change when an answer comes, not which; API keys change who pays.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from autointerp.pictures import cut

KEY_VERSION = 1
REPEATED_CHARS = 20_000  # of an unreadable reply, when it is sent back
_HAS_A_FIELD = ("messages", "model", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed")
_HOW_IT_IS_SENT = (
    "timeout",
    "max_retries",
    "num_retries",
    "headers",
    "extra_headers",
    "api_key",
    "api_base",
    "base_url",
)
NOT_SAMPLING = frozenset((*_HAS_A_FIELD, *_HOW_IT_IS_SENT, "response_format", "n", "stream", "user"))


class Deferred(Exception):
    """The ledger holds no answer, and none is asked for now: the request is noted among those that are wanted."""


@dataclass(frozen=True, eq=False)
class Request:
    """One request to one model.

    messages : chat messages; ``content`` is a str or a list of parts (``text_part``, ``image_part``)
    model : as the user names it, with its provider (see ``route``)
    endpoint : name of who answers: the provider, a given name, or the base URL
    max_tokens : cap on the reply; a reply that reaches it is asked for once more with a higher cap
    temperature, top_p, seed : sent only if not None
    schema : JSON schema of the reply, or None for free text; the order of its properties matters
    params : further sampling parameters, sent as they stand: tools, logprobs, reasoning_effort, …
    replicate : tells apart independent answers to the same prompt
    purpose : a note for people, such as 'explain' or 'judge'
    """

    messages: tuple[Mapping[str, Any], ...]
    model: str
    endpoint: str
    max_tokens: int = 1024
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    schema: Mapping[str, Any] | None = None
    schema_name: str = "reply"
    params: Mapping[str, Any] = field(default_factory=dict)
    replicate: int = 0
    purpose: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", tuple(self.messages))
        if not self.messages:
            raise ValueError("a request without messages")
        foreign = sorted(NOT_SAMPLING & set(self.params))
        if foreign:
            raise ValueError(
                f"params holds {foreign}, which are not sampling parameters or have a field of their own"
            )

    @cached_property
    def key(self) -> str:
        """64 hex digits of everything that changes the answer."""
        said = json.dumps(self.canonical(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def kind(self) -> str:
        """'chat', or one of ``measures``."""
        return str(self.params.get("kind", "chat"))

    def after(self, said: str, problem: str) -> Request:
        """The request that follows a reply that cannot be read: it holds the reply, cut off, and what is wrong."""
        turns = (
            {"role": "assistant", "content": said[:REPEATED_CHARS]},
            {"role": "user", "content": problem},
        )
        return replace(self, messages=(*self.messages, *turns))

    def canonical(self) -> dict[str, Any]:
        """Everything that changes the answer, as JSON. An image stands as its sha256."""
        sampling = dict(self.params)
        for name, value in (("temperature", self.temperature), ("top_p", self.top_p)):
            if value is not None:
                sampling[name] = float(value)
        if self.seed is not None:
            sampling["seed"] = int(self.seed)
        return {
            "version": KEY_VERSION,
            "messages": [_hashed_images(message) for message in self.messages],
            # A local model's name is its path; its endpoint is the hash of its files.
            "model": "hf:" if self.model.startswith("hf:") else self.model,
            "endpoint": self.endpoint,
            "max_tokens": self.max_tokens,
            "sampling": sampling,
            # A string, because the order of properties steers what a model writes first.
            "schema": None if self.schema is None else [self.schema_name, json.dumps(self.schema)],
            "replicate": self.replicate,
        }


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. ``cached`` are among the input tokens, ``reasoning`` among the output tokens."""

    tokens_in: int
    tokens_out: int
    tokens_cached: int = 0
    tokens_reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a model.

    usage : None where the endpoint does not tell
    model : the model id as returned
    cost_usd : None where the price is unknown, never 0 for that
    priced_by : where the price comes from
    refusal : what the model says in place of an answer, if it refuses
    adapted : what was sent otherwise than asked for, because the endpoint refused it
    """

    text: str
    finish_reason: str
    usage: Usage | None = None
    model: str = ""
    latency_s: float = 0.0
    cost_usd: float | None = None
    priced_by: str = ""
    refusal: str = ""
    adapted: tuple[str, ...] = ()
    tool_calls: tuple[dict[str, Any], ...] = ()
    logprobs: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Reply:
        fields = dict(said)
        fields["usage"] = Usage(**fields["usage"]) if fields.get("usage") else None
        fields["adapted"] = tuple(fields.get("adapted", ()))
        fields["tool_calls"] = tuple(fields.get("tool_calls", ()))
        return cls(**fields)


def text_part(text: str) -> dict[str, Any]:
    """A part of a message's content."""
    return {"type": "text", "text": text}


def image_part(image: bytes, mime: str = "image/png", detail: str | None = None) -> dict[str, Any]:
    """A part of a message's content: an encoded image (PNG, JPEG, …) as a data URL."""
    url: dict[str, Any] = {"url": f"data:{mime};base64,{base64.b64encode(image).decode('ascii')}"}
    if detail is not None:
        url["detail"] = detail
    return {"type": "image_url", "image_url": url}


def content_of(prompt: str) -> str | list[dict[str, Any]]:
    """A prompt as a message's content: a str, or text and image parts where pictures stand in it."""
    pieces = cut(prompt)
    if len(pieces) == 1 and isinstance(pieces[0], str):
        return pieces[0]
    return [text_part(piece) if isinstance(piece, str) else image_part(piece) for piece in pieces]


def _hashed_images(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _hashed_images(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hashed_images(inner) for inner in value]
    if isinstance(value, str) and value.startswith("data:") and ";base64," in value[:100]:
        head, _, data = value.partition(";base64,")
        try:
            return f"{head};sha256,{hashlib.sha256(base64.b64decode(data, validate=True)).hexdigest()}"
        except binascii.Error:
            return value
    return value
