"""What did the endpoint do wrong, and what follows: wait and ask again, give up on this item, or stop the run?"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence

TRANSIENT = frozenset({"rate", "server", "timeout", "connection"})
STOPS_THE_RUN = frozenset({"quota", "auth", "model", "not_an_api"})
THIS_ITEM = frozenset({"context", "filtered", "bad_request"})

NOTHING_LOST = "Nothing answered is lost: run the same command again to go on."

_QUOTA = ("insufficient_quota", "insufficient balance", "credit balance is too low", "billing_hard_limit")
_CONTEXT = (
    "context_length_exceeded",
    "maximum context length",
    "context window",
    "prompt is too long",
    "input is too long",
    "too many input tokens",
    "exceeds the maximum number of tokens",
    "max_model_len",
)
_FILTERED = ("content_filter", "content_policy", "content management policy", "moderation", "responsibleai")
_NEVER_SENT = re.compile(
    r"cannot connect to|connection refused|name resolution|nodename nor|getaddrinfo", re.IGNORECASE
)
_SECRET_NAME = re.compile(
    r"(API_?KEY|ACCESS_KEY|_KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE
)
_SECRET_SHAPE = re.compile(
    r"(?<![\w-])(sk-[\w*-]{4,}|AIza[\w-]{10,}|hf_\w{10,})|(?<=Bearer )\S+|(?<=[?&]key=)[^&\s'\"]+"
)


class EndpointError(Exception):
    """A failed attempt. ``kind`` is one of TRANSIENT, STOPS_THE_RUN or THIS_ITEM; the message holds no credentials."""

    def __init__(self, kind: str, message: str, *, status: int | None = None, param: str | None = None,
                 retry_after_s: float | None = None) -> None:  # fmt: skip
        super().__init__(one_line(message))
        self.kind = kind
        self.status = status
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def transient(self) -> bool:
        return self.kind in TRANSIENT

    @property
    def may_be_charged(self) -> bool:
        """The request may have reached a model: no status says that it was refused."""
        if self.kind == "timeout":
            return True
        if self.kind in ("connection", "server"):
            return not _NEVER_SENT.search(str(self)) and (self.status is None or self.status < 300)
        return False


def classify(status: int | None, text: str) -> str:
    """The kind of an HTTP error.

    Parameters
    ----------
    status : HTTP status, or None where no answer came
    text : message, code and type of the error, in any order

    Notes
    -----
    A spent quota arrives as a 429 and must not be retried; Gemini says "exceeded your current quota" of a rate limit
    per minute, so that phrase alone is not taken for a spent quota.
    """
    text = text.lower()
    if status is None:
        return "connection"
    if status == 402 or any(phrase in text for phrase in _QUOTA):
        return "quota"
    if status == 429:
        return "rate"
    if status in (400, 403, 413, 422):
        if any(phrase in text for phrase in _FILTERED):
            return "filtered"
        if status == 413 or (status != 403 and any(phrase in text for phrase in _CONTEXT)):
            return "context"
    if status in (401, 403):
        return "auth"
    if status == 404:
        return "model"
    if status == 408:
        return "timeout"
    if status in (409, 425) or status >= 500 or status < 300:  # 2xx: the body was no completion
        return "server"
    return "bad_request"


def why_stopped(error: EndpointError, endpoint: str, model: str) -> str:
    """One line that tells the user why the run stops, and what to do."""
    if error.kind == "quota":
        return f"{endpoint} says that the quota is spent: {error}. {NOTHING_LOST}"
    if error.kind == "auth":
        return f"{endpoint} refuses the API key or its rights: {error}. Give another key. {NOTHING_LOST}"
    if error.kind == "model":
        return f"{endpoint} does not know the model {model!r}, or the path: {error}. Check --model and --base-url."
    return f"{endpoint} is no OpenAI-compatible endpoint: {error}. Does --base-url end in /v1?"


def scrub(text: str) -> str:
    """The text without credentials: values of the environment's secrets, and what looks like a key."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAME.search(name):
            text = text.replace(value, f"${name}")
    return _SECRET_SHAPE.sub("[key]", text)


def api_keys() -> list[str]:
    """The API keys of the environment, those that are long enough to be no word."""
    found = [os.environ[name] for name in os.environ if name.upper().endswith("API_KEY")]
    return [value for value in found if len(value) >= 16]


def without_keys(text: str, keys: Sequence[str]) -> str:
    """The text without these keys: for what a model says, of which nothing else may be changed."""
    for key in keys:
        text = text.replace(key, "[key]")
    return text


def printable(text: str) -> str:
    """The text without control characters, and with lone surrogates replaced: what a file or a terminal can take."""
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


def one_line(text: str, longest: int = 400) -> str:
    """Scrubbed, printable, on one line, of bounded length."""
    text = " ".join(printable(scrub(text)).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
