"""What does an endpoint do to us? Anything: an OpenAI-compatible server over a real socket, with scripted faults.

>>> with ScriptedServer(lambda body, n: rate_limited() if n == 0 else say("hello")) as server:
...     LLM("openai/scripted", base_url=server.url)

``reply(body, n)`` is called in the server's thread with the request body and its number, counted from 0;
it returns a ScriptedReply, a str (said as it stands) or a dict or list (said as JSON).
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


@dataclass(frozen=True)
class ScriptedReply:
    """What the server sends back for one request."""

    text: str | None = "ok"
    status: int = 200
    finish_reason: str = "stop"
    error: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    usage: dict[str, Any] | None = field(default_factory=lambda: dict(USAGE))
    message: dict[str, Any] = field(default_factory=dict)  # further fields of the assistant's message
    choice: dict[str, Any] = field(default_factory=dict)  # further fields of the choice
    model: str | None = None  # the model id to return; by default the one asked for
    body: bytes | None = None  # send these bytes in place of a completion
    content_type: str = "application/json"
    delay_s: float = 0.0
    drop: bool = False  # close the connection without a word
    truncate: bool = False  # promise the whole body, send half of it, hang up


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived."""

    body: dict[str, Any]
    headers: dict[str, str]
    path: str
    arrived_s: float

    @property
    def prompt(self) -> str:
        """The text of all messages, joined by newlines."""
        said = []
        for message in self.body["messages"]:
            content = message.get("content") or ""
            if isinstance(content, str):
                said.append(content)
            else:
                said += [part["text"] for part in content if part.get("type") == "text"]
        return "\n".join(said)


Script = Callable[[dict[str, Any], int], "ScriptedReply | str | dict[str, Any] | list[Any]"]


def say(text: str, **fields: Any) -> ScriptedReply:
    return ScriptedReply(text=text, **fields)


def say_json(value: Any, **fields: Any) -> ScriptedReply:
    return ScriptedReply(text=json.dumps(value), **fields)


def fenced(value: Any) -> ScriptedReply:
    """JSON behind a think block, inside a code fence, with talk around it."""
    return say(
        f"<think>maybe {{this}}?</think>Here it is:\n```json\n{json.dumps(value)}\n```\nAnything else?"
    )


def slow(text: str = "ok", delay_s: float = 5.0) -> ScriptedReply:
    return ScriptedReply(text=text, delay_s=delay_s)


def empty() -> ScriptedReply:
    return ScriptedReply(text="")


def cut_short(text: str = '{"title": "T ce') -> ScriptedReply:
    """The reply reached max_tokens."""
    return ScriptedReply(text=text, finish_reason="length")


def filtered() -> ScriptedReply:
    return ScriptedReply(text=None, finish_reason="content_filter")


def refused(text: str = "I cannot help with that.") -> ScriptedReply:
    return ScriptedReply(text=None, message={"refusal": text})


def dropped() -> ScriptedReply:
    return ScriptedReply(drop=True)


def truncated_body() -> ScriptedReply:
    return ScriptedReply(truncate=True)


def half_json() -> ScriptedReply:
    """A whole HTTP body that holds half a JSON document."""
    return ScriptedReply(body=b'{"id": "x", "object": "chat.completion", "choices": [{"mess')


def web_page() -> ScriptedReply:
    return ScriptedReply(body=b"<html><body>Welcome</body></html>", content_type="text/html")


def error(
    status: int, message: str = "scripted", headers: dict[str, str] | None = None, **fields: Any
) -> ScriptedReply:
    """An error body as OpenAI writes it; ``fields`` are its code, type and param."""
    body = {"message": message, "type": "scripted_error", "param": None, "code": None, **fields}
    return ScriptedReply(status=status, error=body, headers=headers or {})


def rate_limited(retry_after_s: float | None = None) -> ScriptedReply:
    headers = {} if retry_after_s is None else {"retry-after": f"{retry_after_s:g}"}
    return error(429, "Rate limit reached", headers, type="requests", code="rate_limit_exceeded")


def out_of_quota() -> ScriptedReply:
    message = "You exceeded your current quota, please check your plan and billing details."
    return error(429, message, type="insufficient_quota", code="insufficient_quota")


def unauthorized(message: str = "Incorrect API key provided") -> ScriptedReply:
    return error(401, message, type="invalid_request_error", code="invalid_api_key")


def no_such_model() -> ScriptedReply:
    return error(404, "The model does not exist", type="invalid_request_error", code="model_not_found")


def too_long() -> ScriptedReply:
    message = (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    )
    return error(400, message, type="invalid_request_error", code="context_length_exceeded", param="messages")


def unsupported(param: str, message: str = "") -> ScriptedReply:
    """A 400 that names the parameter the model refuses."""
    message = message or f"Unsupported parameter: '{param}' is not supported with this model."
    return error(400, message, type="invalid_request_error", code="unsupported_parameter", param=param)


def embedding(vector: list[float], tokens: int = 7, model: str = "scripted") -> ScriptedReply:
    """The reply of an embeddings endpoint: base64 of float32, as OpenAI's."""
    said = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
    data = [{"object": "embedding", "index": 0, "embedding": said}]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    body = {"object": "list", "data": data, "model": model, "usage": usage}
    return ScriptedReply(body=json.dumps(body).encode())


class ScriptedServer:
    """The server, in a thread of its own. ``url`` ends in /v1; ``requests`` holds all that arrived, in order."""

    def __init__(self, reply: Script | str | ScriptedReply = "ok") -> None:
        self.reply: Script = reply if callable(reply) else lambda body, n: reply
        self.requests: list[Recorded] = []
        self.replied: list[int] = []  # numbers of the requests whose reply was handed over
        self.at_once = 0  # requests under way
        self.most_at_once = 0
        self.failure: BaseException | None = None  # what the script raised, if it did
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = ""

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the scripted server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [recorded.body for recorded in self.requests]

    def wait_until_idle(self) -> None:
        """Return once nothing has been at work for a while: what a dead client has sent has been read by then."""
        seen = -1
        while seen != len(self.requests) or self.at_once:
            seen = len(self.requests)
            time.sleep(0.02)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/v1/embeddings", self._complete)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.0)

        async def start() -> None:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            self.url = f"http://127.0.0.1:{port}/v1"
            self._ready.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        with self._lock:
            n = len(self.requests)
            self.requests.append(Recorded(body, dict(request.headers), request.path, time.monotonic()))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            response = await self._answer(request, body, n)
            self.replied.append(n)
            return response
        finally:
            with self._lock:
                self.at_once -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any], n: int) -> web.StreamResponse:
        try:
            said = self.reply(body, n)
        except BaseException as raised:
            self.failure = raised
            raise
        if not isinstance(said, ScriptedReply):
            said = say(said) if isinstance(said, str) else say_json(said)
        if said.delay_s:
            await asyncio.sleep(said.delay_s)
        if said.drop:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        data = said.body if said.body is not None else json.dumps(_completion(said, body, n)).encode()
        headers = {**said.headers, "content-type": said.content_type}
        if said.truncate:
            response = web.StreamResponse(
                status=said.status, headers={**headers, "content-length": str(len(data))}
            )
            await response.prepare(request)
            await response.write(data[: len(data) // 2])
            assert request.transport is not None
            request.transport.close()
            return response
        return web.Response(status=said.status, body=data, headers=headers)


def _completion(said: ScriptedReply, body: dict[str, Any], n: int) -> dict[str, Any]:
    if said.error is not None:
        return {"error": said.error}
    message = {"role": "assistant", "content": said.text, **said.message}
    choice = {"index": 0, "message": message, "finish_reason": said.finish_reason, **said.choice}
    done: dict[str, Any] = {
        "id": f"scripted-{n}",
        "object": "chat.completion",
        "created": 0,
        "choices": [choice],
    }
    done["model"] = said.model or body.get("model", "")
    if said.usage is not None:
        done["usage"] = said.usage
    return done


def in_turn(*replies: ScriptedReply | str | dict[str, Any] | list[Any]) -> Script:
    """One after the other; the last one for ever."""
    return lambda body, n: replies[min(n, len(replies) - 1)]


def with_usage(reply: ScriptedReply, **usage: Any) -> ScriptedReply:
    return replace(reply, usage=usage)


def cached(text: str = "ok", tokens: int = 60) -> ScriptedReply:
    """Of the 100 tokens of the prompt, so many were read from the provider's cache."""
    return with_usage(say(text), **USAGE, prompt_tokens_details={"cached_tokens": tokens})


def slow_start(seconds: float, then: Script) -> Script:
    """A server that loads its model first: 503 until so long after the first request."""
    began: list[float] = []

    def reply(body: dict[str, Any], n: int) -> ScriptedReply | str | dict[str, Any] | list[Any]:
        began.append(time.monotonic())
        loading = began[-1] - began[0] < seconds
        return error(503, "the model is being loaded") if loading else then(body, n)

    return reply


def deaf(body: dict[str, Any], n: int) -> ScriptedReply:
    """A server that takes a schema and logprobs, and ignores both."""
    return say("Blue is a color.")


def capable(body: dict[str, Any], n: int) -> ScriptedReply:
    """A server that keeps to a schema of flat types, and gives logprobs."""
    text = "Blue is a color."
    form = body.get("response_format", {})
    if form.get("type") == "json_schema":
        values = {"boolean": True, "integer": 7, "number": 0.5, "string": "T cell"}
        properties = form["json_schema"]["schema"]["properties"]
        text = json.dumps({name: values[one["type"]] for name, one in properties.items()})
    token = {"token": "B", "logprob": -0.5, "bytes": [66], "top_logprobs": []}
    return say(text, choice={"logprobs": {"content": [token]}} if body.get("logprobs") else {})


def honest(text: str = "ok") -> Script:
    """Counts tokens as a byte each, and keeps to the cap: what a budget is held against."""

    def reply(body: dict[str, Any], n: int) -> ScriptedReply:
        cap = body.get("max_tokens") or body["max_completion_tokens"]
        tokens_in = sum(len(str(message["content"]).encode()) for message in body["messages"])
        return with_usage(
            say(text), prompt_tokens=tokens_in, completion_tokens=min(cap, len(text)), total_tokens=0
        )

    return reply
