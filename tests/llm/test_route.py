"""Does a model go where the user means it to, at a known price or none?"""

from __future__ import annotations

import subprocess
import sys

import pytest

from autointerp.errors import UserError
from autointerp.llm.prices import Price, price_of
from autointerp.llm.providers import check_route
from autointerp.llm.request import Usage
from autointerp.llm.route import route

LOCAL = "http://localhost:8000/v1"


@pytest.mark.parametrize(
    ("model", "base_url", "library", "name", "endpoint"),
    [
        ("openai/gpt-4o-mini", None, "openai", "gpt-4o-mini", "openai"),
        ("openai/gpt-oss-20b", LOCAL, "openai", "openai/gpt-oss-20b", LOCAL),
        ("Qwen/Qwen3-8B", LOCAL + "/", "openai", "Qwen/Qwen3-8B", LOCAL),
        ("anthropic/claude-sonnet-4-5", None, "litellm", "anthropic/claude-sonnet-4-5", "anthropic"),
        ("litellm/openai/gpt-4o-mini", None, "litellm", "openai/gpt-4o-mini", "openai"),
        ("litellm/hosted_vllm/Qwen/Qwen3-8B", LOCAL, "litellm", "hosted_vllm/Qwen/Qwen3-8B", LOCAL),
        ("m", "https://me:secret@host.org/v1?key=secret", "openai", "m", "https://host.org/v1"),
        ("gpt-4o-mini", "https://api.openai.com/v1", "openai", "gpt-4o-mini", "openai"),
    ],
)
def test_a_model_is_routed(model, base_url, library, name, endpoint):
    where = route(model, base_url)
    assert (where.library, where.name, where.endpoint) == (library, name, endpoint)
    assert route(model, base_url, "mine").endpoint == "mine"


def test_the_environment_may_move_openai(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.org/v1")
    where = route("openai/gpt-4o-mini")
    assert (where.name, where.base_url, where.endpoint) == (
        "gpt-4o-mini",
        "https://proxy.org/v1",
        "https://proxy.org/v1",
    )
    assert where.price is None


@pytest.mark.parametrize(
    ("model", "base_url", "told"),
    [
        ("gpt-4o-mini", None, "names no provider. Give PROVIDER/NAME, such as openai/gpt-4o-mini"),
        ("", None, "has no name"),
        ("openai/", None, "has no name"),
        ("m", "localhost:8000", "is no URL. Give one like http://localhost:8000/v1"),
    ],
)
def test_what_cannot_be_meant_is_told(model, base_url, told):
    with pytest.raises(UserError, match=told):
        route(model, base_url)


@pytest.mark.parametrize(
    ("model", "base_url", "variable"),
    [
        ("openai/gpt-4o-mini", None, "OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-4-5", None, "ANTHROPIC_API_KEY"),
        ("litellm/openai/gpt-4o-mini", None, "OPENAI_API_KEY"),
        ("m", "https://host.org/v1", "OPENAI_API_KEY"),
        ("litellm/openai/m", "https://host.org/v1", "OPENAI_API_KEY"),
    ],
)
def test_a_missing_key_is_told_by_the_name_of_its_variable(model, base_url, variable, monkeypatch):
    with pytest.raises(UserError, match=f"set {variable}"):
        check_route(route(model, base_url))
    monkeypatch.setenv(variable, "sk-anything")
    check_route(route(model, base_url))


def test_another_variable_may_hold_the_key(monkeypatch):
    with pytest.raises(UserError, match="set MY_KEY"):
        check_route(route("m", "https://host.org/v1"), "MY_KEY")
    monkeypatch.setenv("MY_KEY", "anything")
    check_route(route("m", "https://host.org/v1"), "MY_KEY")


@pytest.mark.parametrize("url", [LOCAL, "http://127.0.0.1:1/v1", "http://[::1]:1/v1"])
@pytest.mark.parametrize("model", ["m", "litellm/openai/m"])
def test_a_local_server_needs_no_key(url, model):
    check_route(route(model, url))


def test_an_unknown_provider_is_told():
    with pytest.raises(UserError, match="litellm knows no provider of the model 'nonsense/x'"):
        check_route(route("nonsense/x"))


def test_prices_are_those_of_litellm():
    import litellm

    for model, provider in (("gpt-4o-mini", "openai"), ("claude-sonnet-4-5", "anthropic")):
        ours = price_of(model, provider).cost_usd(Usage(1000, 10))
        theirs = sum(litellm.cost_per_token(model=model, prompt_tokens=1000, completion_tokens=10))
        assert ours == pytest.approx(theirs)


def test_cached_tokens_are_cheaper_and_an_unknown_price_is_none():
    price = Price(2.0, 10.0, 0.5)
    assert price.cost_usd(Usage(10, 1, tokens_cached=4)) == 6 * 2 + 4 * 0.5 + 10
    assert price.cost_usd(None) is None
    assert price_of("no-such-model", "openai") is None
    assert price_of("gpt-4o-mini", "anthropic") is None
    assert route("hosted_vllm/x", LOCAL).price is None
    assert route("gpt-4o-mini", LOCAL).price is None  # somebody's server, whatever it calls its model
    assert route("openai/gpt-4o-mini").price.source.startswith("litellm 1.")
    assert route("litellm/openai/gpt-4o-mini").price == route("openai/gpt-4o-mini").price


def test_importing_the_layer_loads_no_library():
    code = (
        "import sys, autointerp.llm.client, autointerp.llm.loop; from autointerp.llm.route import route;"
        "assert route('openai/gpt-4o-mini').price;"
        "print([m for m in ('openai', 'litellm', 'aiohttp', 'httpx', 'torch', 'jinja2') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
