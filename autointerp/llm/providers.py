"""What goes over the wire, and what comes back? The only file that imports openai and litellm, when first needed.

Both become one Reply or one EndpointError; neither retries, caches or logs by itself.
"""

from __future__ import annotations

import email.utils
import json
import logging
import os
import re
import time
from typing import Any, Protocol

from autointerp.errors import UserError
from autointerp.llm.faults import EndpointError, classify, one_line
from autointerp.llm.measures import packed
from autointerp.llm.request import Reply, Usage
from autointerp.llm.route import OPENAI_KEY, Route

_ERROR_NAMES = re.compile(r"^(?:(?:litellm\.)?\w+(?:Error|Exception)(?:: | - ))+")
_OTHER_SHAPE = (AttributeError, TypeError, IndexError, KeyError, ValueError)


class Transport(Protocol):
    """Sends one request, once."""

    async def send(self, body: dict[str, Any]) -> Reply:
        """Make one attempt; the reply's cost is not filled in. Raises EndpointError."""

    async def close(self) -> None:
        """Close the connections."""


def open_transport(where: Route, timeout_s: float, api_key_env: str = OPENAI_KEY) -> Transport:
    """The transport of a route, for the running event loop. Raises what ``check_route`` raises."""
    check_route(where, api_key_env)
    if where.library == "local":
        from autointerp.llm.local_transport import LocalTransport

        return LocalTransport(where)
    if where.library == "openai":
        return OpenAITransport(where, timeout_s, api_key_env)
    return LiteLLMTransport(where, timeout_s, api_key_env)


def check_route(where: Route, api_key_env: str = OPENAI_KEY) -> None:
    """Refuse what cannot work, without the network.

    Parameters
    ----------
    api_key_env : the environment variable that holds the key, where a base URL is given or openai is used

    Raises
    ------
    UserError : the key is missing, litellm does not know the provider, or a local model lacks its library
    """
    if where.library == "local":
        from autointerp.llm.local import check_libraries

        return check_libraries()
    if where.library == "openai":
        _key(where, api_key_env)
        return
    litellm = _litellm()
    try:
        provider = litellm.get_llm_provider(where.name)[1]
    except litellm.exceptions.BadRequestError:
        raise UserError(
            f"litellm knows no provider of the model {where.name!r}. Give PROVIDER/NAME, such as"
            f" anthropic/{where.name.rsplit('/', 1)[-1]}, or --base-url for a server of your own."
        ) from None
    if where.base_url is not None:
        _key(where, api_key_env)
        return
    missing = litellm.validate_environment(where.name)["missing_keys"]
    if any(name.endswith("_API_KEY") for name in missing):  # others, such as AWS roles, have many sources
        raise UserError(f"no API key for {provider}: set {' or '.join(sorted(missing))}.")


class OpenAITransport:
    """The openai SDK over aiohttp: its default httpx client collapses at 256 requests in flight."""

    def __init__(self, where: Route, timeout_s: float, api_key_env: str = OPENAI_KEY) -> None:
        key = _key(where, api_key_env)
        import openai

        self._client = openai.AsyncOpenAI(
            api_key=key,
            base_url=where.base_url,
            timeout=timeout_s,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(),
        )
        self._completions = self._client.chat.completions  # loads the rest of the library

    async def send(self, body: dict[str, Any]) -> Reply:
        import openai

        _refuse_likelihoods(body)
        started = time.perf_counter()
        try:
            if "input" in body:
                said = {"encoding_format": "float"} | body  # else the library asks for base64 by itself
                embedding = await self._client.embeddings.create(**said)
                return _embedded(embedding, time.perf_counter() - started)
            completion = await self._completions.create(**body)
        except openai.OpenAIError as error:
            raise _fault(error) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise EndpointError("server", f"the body is not JSON: {error}") from None
        return _reply(completion, time.perf_counter() - started)

    async def close(self) -> None:
        await self._client.close()


class LiteLLMTransport:
    """litellm with its own retries, cache, router, logging and telemetry off."""

    def __init__(self, where: Route, timeout_s: float, api_key_env: str = OPENAI_KEY) -> None:
        self._call: dict[str, Any] = {
            "timeout": timeout_s,
            "num_retries": 0,
            "max_retries": 0,
            "no-log": True,
        }
        self._call["_skip_mcp_handler"] = True  # else a request with tools needs the package mcp
        if where.base_url is not None:
            self._call |= {"api_base": where.base_url, "api_key": _key(where, api_key_env)}

    async def send(self, body: dict[str, Any]) -> Reply:
        litellm = _litellm()
        import openai

        _refuse_likelihoods(body)
        started = time.perf_counter()
        try:
            if "input" in body:
                call = {name: value for name, value in self._call.items() if not name.startswith("_")}
                plain = {name: value for name, value in body.items() if name != "encoding_format"}
                embedding = await litellm.aembedding(**plain, **call)
                return _embedded(embedding, time.perf_counter() - started)
            completion = await litellm.acompletion(**body, **self._call)
        except openai.OpenAIError as error:  # litellm's errors are openai's
            raise _fault(error) from None
        return _reply(completion, time.perf_counter() - started)

    async def close(self) -> None:
        """Close litellm's clients: they belong to this event loop and must not meet the next."""
        litellm = _litellm()
        await litellm.close_litellm_async_clients()
        litellm.in_memory_llm_clients_cache.flush_cache()


def _refuse_likelihoods(body: dict[str, Any]) -> None:
    if "kind" in body:
        raise EndpointError(
            "bad_request", "how likely a text is, only a model in this process tells: hf:PATH"
        )


def _litellm() -> Any:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else the import fetches the price map
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")  # else the import reads a .env file
    import litellm

    if not litellm.suppress_debug_info:
        litellm.suppress_debug_info = True  # else it prints on errors
        litellm.telemetry = False
        litellm.cache = None
        litellm.drop_params = False  # we drop what is refused, and say so
        for name in ("LiteLLM", "httpx"):  # the one prints prompts, the other URLs that may hold a key
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


def _key(where: Route, api_key_env: str) -> str:
    key = os.environ.get(api_key_env, "").strip()
    if key:
        return key
    if where.here:
        return "none-needed"
    hint = "" if where.provider == "openai" else " If this server asks for no key, set it to any word."
    raise UserError(f"no API key for {where.endpoint}: set {api_key_env}.{hint}")


def _fault(error: Any) -> EndpointError:
    """An exception of openai or litellm as ours, without credentials."""
    import openai

    body = getattr(error, "body", None)
    message = str(
        (body.get("message") if isinstance(body, dict) else None) or getattr(error, "message", "") or error
    )
    text = f"{error} {json.dumps(body, default=str) if body else ''} {getattr(error, 'code', '')}"
    message = _plain(message)
    status = getattr(error, "status_code", None)
    cause = error.__cause__
    # A dropped connection reaches us as a ConnectTimeout (httpx-aiohttp), and so as openai's timeout.
    if isinstance(error, openai.APITimeoutError) and type(cause).__name__ != "ConnectTimeout":
        kind = "timeout"
    elif isinstance(error, openai.APIConnectionError) or "connection error" in message.lower():
        kind = "connection"
        message = f"{message} {type(cause).__name__}: {cause}" if cause else message
    elif type(error).__name__ == "ContextWindowExceededError":
        kind = "context"
    elif type(error).__name__ == "ContentPolicyViolationError":
        kind = "filtered"
    elif isinstance(error, openai.BadRequestError) and status is None:
        kind = "bad_request"
    else:
        kind = classify(status, text)
    said = f"{message} (status {status})" if status and kind != "timeout" else message
    param, retry_after_s = getattr(error, "param", None), _retry_after_s(error)
    return EndpointError(kind, said, status=status, param=param, retry_after_s=retry_after_s)


def _plain(message: str) -> str:
    """An error's message without the names that litellm puts before it, its traceback, and the JSON around it."""
    message = _ERROR_NAMES.sub("", message).partition("Traceback (most recent call last)")[0]
    if message.startswith("{"):
        try:
            said = json.loads(message)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            return message
        return said if isinstance(said, str) and said else message
    return message


def _retry_after_s(error: Any) -> float | None:
    for headers in (
        getattr(error, "litellm_response_headers", None),
        getattr(getattr(error, "response", None), "headers", None),
    ):
        for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
            try:
                return max(0.0, float(headers[name]) * scale)  # type: ignore[index]
            except (TypeError, KeyError):  # no headers, or not in them
                continue
            except ValueError:
                return _until_s(headers[name])  # type: ignore[index]
    return None


def _until_s(date: str) -> float | None:
    try:
        then = email.utils.parsedate_to_datetime(date)
    except ValueError:
        return None
    return max(0.0, then.timestamp() - time.time())


def read_completion(body: dict[str, Any]) -> Reply:
    """A completion that came as JSON by another way, read as openai reads one. Raises EndpointError."""
    from openai.types.chat import ChatCompletion

    try:
        completion = ChatCompletion.construct(**body)
    except _OTHER_SHAPE as error:
        raise _no_completion(error) from None
    return _reply(completion, 0.0)


def read_embedding(body: dict[str, Any]) -> Reply:
    """The same of an embedding."""
    from openai.types import CreateEmbeddingResponse

    try:
        response = CreateEmbeddingResponse.construct(**body)
    except _OTHER_SHAPE as error:
        raise EndpointError("server", f"the body is no embedding: {error}") from None
    return _embedded(response, 0.0)


def _embedded(response: Any, latency_s: float) -> Reply:
    """An embedding of openai or litellm as a Reply."""
    try:
        (one,) = response.data
        text = packed(one["embedding"] if isinstance(one, dict) else one.embedding)
        usage, model = getattr(response, "usage", None), str(getattr(response, "model", None) or "")
    except _OTHER_SHAPE as error:
        raise EndpointError("server", f"the body is no embedding: {error}") from None
    tokens = getattr(usage, "prompt_tokens", None)
    counted = Usage(max(0, int(tokens)), 0) if isinstance(tokens, int | float) else None
    return Reply(text, "stop", counted, model, latency_s)


def _reply(completion: Any, latency_s: float) -> Reply:
    """A completion of openai or litellm as a Reply; nobody has checked its shape before."""
    try:
        return _read(completion, latency_s)
    except _OTHER_SHAPE as error:
        raise _no_completion(error) from None


def _no_completion(error: Exception) -> EndpointError:
    return EndpointError("server", f"the body is no chat completion: {error}")


def _read(completion: Any, latency_s: float) -> Reply:
    if not getattr(completion, "choices", None):
        if isinstance(completion, str):
            said = one_line(completion, 80)
            raise EndpointError("not_an_api", f"it answered with a page that is no chat completion: {said!r}")
        raise EndpointError("server", "the completion has no choices")
    choice = completion.choices[0]
    message = choice.message
    if message is None:
        raise EndpointError("server", "the completion has no message")
    content = message.content
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    if not isinstance(content, str | None):
        raise TypeError(f"the content is of type {type(content).__name__}")
    fields = getattr(message, "provider_specific_fields", None) or {}
    calls = getattr(message, "tool_calls", None) or ()
    logprobs = getattr(choice, "logprobs", None)
    return Reply(
        text=content or "",
        finish_reason=str(choice.finish_reason or ""),
        usage=_usage(getattr(completion, "usage", None)),
        model=str(completion.model or ""),
        latency_s=latency_s,
        refusal=one_line(getattr(message, "refusal", None) or fields.get("refusal") or ""),
        tool_calls=tuple(call.model_dump(mode="json") for call in calls),
        logprobs=None if logprobs is None else logprobs.model_dump(mode="json"),
    )


def _usage(usage: Any) -> Usage | None:
    tokens_in, tokens_out = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    if not isinstance(tokens_in, int | float) or not isinstance(tokens_out, int | float):
        return None
    inside, outside = (
        getattr(usage, "prompt_tokens_details", None),
        getattr(usage, "completion_tokens_details", None),
    )
    cached, reasoning = getattr(inside, "cached_tokens", None), getattr(outside, "reasoning_tokens", None)
    return Usage(*(max(0, int(n or 0)) for n in (tokens_in, tokens_out, cached, reasoning)))
