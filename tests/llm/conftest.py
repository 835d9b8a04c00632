"""A model behind a scripted server, through both libraries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autointerp.llm.client import LLM
from autointerp.llm.ledger import Ledger
from autointerp.llm.loop import run_async
from autointerp.llm.policy import Policy
from tests.llm.tiny_llama import save_tiny_llama
from tests.scripted_server import ScriptedServer

MODELS = {"openai": "scripted", "litellm": "litellm/openai/scripted"}
QUICK = Policy(attempts=3, first_wait_s=0.001, longest_wait_s=0.002, timeout_s=20.0)


@dataclass
class Bench:
    """One server, one ledger; ``run`` opens an LLM on them, works with it in a loop of its own, and closes it."""

    server: ScriptedServer
    ledger: Ledger
    model: str
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, work: Callable[[LLM], Awaitable[Any]], **options: Any) -> Any:
        async def go() -> Any:
            settings = {"base_url": self.server.url, "policy": QUICK, **options}
            async with LLM(self.model, self.ledger, **settings) as llm:
                self.llm = llm
                return await work(llm)

        return run_async(go())

    def ask(self, text: str = "Which cell is it?", **fields: Any) -> Any:
        return self.run(lambda llm: llm.ask(llm.request(text, **fields)))

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events, in order."""
        return [kind for _, kind, _ in self.ledger.events()]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def loaded(tmp_path_factory) -> None:
    """Both libraries load parts of themselves at the first request, which must not count as the server's time."""
    for name, model in MODELS.items():
        path = tmp_path_factory.mktemp(name) / "ledger.sqlite"
        with ScriptedServer() as server, Ledger(path) as ledger:
            Bench(server, ledger, model).ask()


@pytest.fixture(params=MODELS)
def library(request) -> str:
    return request.param


@pytest.fixture
def bench(library, tmp_path: Path):
    """A Bench, once through each library. Set ``bench.server.reply`` to script it."""
    with ScriptedServer() as server, Ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Bench(server, ledger, MODELS[library])


@pytest.fixture
def openai_bench(tmp_path: Path):
    """A Bench through openai alone, for what does not depend on the library."""
    with ScriptedServer() as server, Ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Bench(server, ledger, MODELS["openai"])


@pytest.fixture(scope="session")
def taught_folder(tmp_path_factory) -> Path:
    """A tiny causal language model on disk that knows ``tiny_llama.ANSWERS``."""
    pytest.importorskip("transformers")
    return save_tiny_llama(tmp_path_factory.mktemp("model") / "taught", learn=200)
