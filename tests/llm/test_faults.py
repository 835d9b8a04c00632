"""Is every error taken for what it is, and does none carry a key?"""

from __future__ import annotations

import pytest

from autointerp.llm.faults import EndpointError, classify, one_line, scrub


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (429, "Rate limit reached", "rate"),
        (429, "You exceeded your current quota, please retry in 12 s. RESOURCE_EXHAUSTED", "rate"),
        (429, "You exceeded your current quota insufficient_quota", "quota"),
        (402, "Payment required", "quota"),
        (400, "Your credit balance is too low to access the Anthropic API", "quota"),
        (401, "bad key", "auth"),
        (403, "not allowed", "auth"),
        (403, "requires moderation and your input was flagged", "filtered"),
        (404, "no such model", "model"),
        (400, "maximum context length is 8192 tokens", "context"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "context"),
        (413, "too large", "context"),
        (400, "content_filter", "filtered"),
        (400, "what?", "bad_request"),
        (422, "what?", "bad_request"),
        (408, "", "timeout"),
        (409, "", "server"),
        (500, "", "server"),
        (503, "content_filter", "server"),
        (529, "overloaded", "server"),
        (200, "not JSON", "server"),
        (None, "refused", "connection"),
    ],
)
def test_an_error_is_classified(status, text, kind):
    assert classify(status, text) == kind


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcdefg",
        "url=https://x/y?alt=1&key=abcdefgh123",
        "Authorization: Bearer abcdefgh123",
        "hunter2hunter2 is wrong",
    ],
)
def test_credentials_are_scrubbed(text, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "hunter2hunter2")
    for secret in ("abcdefg", "hunter2"):
        assert secret not in scrub(text)
        assert secret not in str(EndpointError("auth", text))


def test_a_message_is_one_short_line():
    assert one_line("a\n  b") == "a b"
    assert len(one_line("x" * 10_000)) == 400
