"""What does the whole way of a request cost, ledger on disk included, beside a bare openai client?

``python -m eval.bench.llm_stack`` writes results/llm_stack.csv beside this file. All clients meet the same server (a
process of its own on this machine) in interleaved rounds of one run; figures are medians over the rounds, differences
and ratios those of each pair. ``load_average`` is that of the machine when it began: a busy one blurs the rates.
Clients: ``bare`` is AsyncOpenAI over aiohttp behind a semaphore; ``openai`` and ``litellm`` are ``LLM`` with a ledger
through either library. ``tail`` is ``openai`` with 4 latents of 40 questions each: all slots are to be in use.
CPU is that of the client's process alone; latency is that of one attempt, as the client sees it.
Gates: CPU a request at most 2 ms above bare; at 500 ms and 64 at least 90 % of its rate.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import datetime
import importlib.metadata
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autointerp.llm.client import LLM
from autointerp.llm.ledger import Ledger
from autointerp.llm.request import Reply

OUT = Path(__file__).parent / "results" / "llm_stack.csv"
FILLER = "CD3D CD3E IL7R MS4A1 CD79A LYZ S100A8 " * 54  # 2 kB
MODELS = {"openai": "bench", "litellm": "litellm/openai/bench"}
EXTRA_CPU_MS, SHARE_OF_RATE = 2.0, 0.9


class Load(NamedTuple):
    latency_ms: int
    concurrency: int
    requests: int


@dataclass(frozen=True)
class Measured:
    """One client under one load, once."""

    cpu_ms: float
    rate: float
    p50_ms: float
    p99_ms: float
    most_at_once: int


LOADS = (Load(500, 64, 800), Load(50, 256, 2000))
TAIL = Load(500, 64, 160)


def serve() -> None:
    """Answer at /LATENCY/v1/chat/completions after LATENCY ms; print the port; /most tells and resets the peak."""
    from aiohttp import web

    message = {"role": "assistant", "content": json.dumps({"title": "T cell", "description": "word " * 30})}
    completion = {
        "id": "bench",
        "object": "chat.completion",
        "created": 0,
        "model": "bench",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 700, "completion_tokens": 40, "total_tokens": 740},
    }
    body = json.dumps(completion).encode()
    at_once = most = 0

    async def complete(request: web.Request) -> web.Response:
        nonlocal at_once, most
        await request.read()
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(int(request.match_info["ms"]) / 1000)
        at_once -= 1
        return web.Response(body=body, content_type="application/json")

    async def peak(_: web.Request) -> web.Response:
        nonlocal most
        was, most = most, 0
        return web.json_response(was)

    async def forever() -> None:
        app = web.Application()
        app.router.add_post("/{ms}/v1/chat/completions", complete)
        app.router.add_get("/most", peak)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(forever())


Ask = Callable[[int], Awaitable[float]]  # number of the question -> seconds of the attempt


async def timed(ask: Ask, groups: list[range]) -> tuple[float, float, list[float]]:
    """CPU seconds, wall seconds and all latencies, with each group's questions asked by a task of its own."""

    async def group(numbers: range) -> list[float]:
        return list(await asyncio.gather(*map(ask, numbers)))

    cpu, wall = cpu_s(), time.perf_counter()
    latencies = await asyncio.gather(*map(group, groups))
    return cpu_s() - cpu, time.perf_counter() - wall, [s for one in latencies for s in one]


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def prompt(n: int) -> str:
    return f"Question {n}: {FILLER}"


async def bare(url: str, load: Load, groups: list[range]) -> tuple[float, float, list[float]]:
    import openai

    client = openai.AsyncOpenAI(
        api_key="none", base_url=url, max_retries=0, timeout=180.0, http_client=openai.DefaultAioHttpClient()
    )
    slots = asyncio.Semaphore(load.concurrency)

    async def ask(n: int) -> float:
        async with slots:
            started = time.perf_counter()
            said = [{"role": "user", "content": prompt(n)}]
            reply = await client.chat.completions.create(model="bench", messages=said, max_tokens=1024)  # type: ignore
            assert reply.choices[0].message.content
            return time.perf_counter() - started

    try:
        return await timed(ask, groups)
    finally:
        await client.close()


async def ours(url: str, load: Load, groups: list[range], library: str) -> tuple[float, float, list[float]]:
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        model = MODELS[library]
        async with LLM(model, ledger, base_url=url, concurrency=load.concurrency) as llm:

            async def ask(n: int) -> float:
                reply = await llm.ask(llm.request(prompt(n)))
                assert isinstance(reply, Reply), reply
                return reply.latency_s

            measured = await timed(ask, groups)
            assert len(ledger) == load.requests
            return measured


def measure(client: str, load: Load, port: int, n_groups: int = 1) -> Measured:
    """One client, a fresh event loop, fresh connections and a fresh ledger."""
    url = f"http://127.0.0.1:{port}/{load.latency_ms}/v1"
    size = load.requests // n_groups
    groups = [range(first, first + size) for first in range(0, load.requests, size)]
    most(port)
    run = bare(url, load, groups) if client == "bare" else ours(url, load, groups, client)
    cpu, wall, latencies = asyncio.run(run)
    p50, p99 = np.quantile(latencies, [0.5, 0.99]) * 1000
    return Measured(cpu * 1000 / load.requests, load.requests / wall, float(p50), float(p99), most(port))


def most(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/most", timeout=10) as said:
        return int(said.read())


def median(rounds: list[Measured]) -> Measured:
    middle = {
        name: float(np.median([getattr(one, name) for one in rounds]))
        for name in Measured.__dataclass_fields__
    }
    return Measured(**{**middle, "most_at_once": int(middle["most_at_once"])})  # type: ignore[arg-type]


def machine() -> dict[str, Any]:
    names = ("openai", "litellm", "aiohttp", "httpx", "tenacity")
    versions = " ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    cores = len([line for line in _lines("/proc/cpuinfo") if line.startswith("processor")])
    python = platform.python_version()
    load = _lines("/proc/loadavg")
    return {
        "load_average": load[0].split()[0] if load else "",
        "date": datetime.date.today().isoformat(),
        "machine": f"{cores} x {cpu}",
        "python": python,
        "versions": versions,
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def rows(port: int, n_rounds: int) -> list[dict[str, Any]]:
    about = machine()
    clients = ("bare", "openai", "litellm")
    for client in clients:
        measure(client, Load(1, 8, 40), port)  # loads the libraries
    found: dict[tuple[str, Load], list[Measured]] = {}
    for n in range(n_rounds):
        for load in LOADS:
            for client in clients[n % 3 :] + clients[: n % 3]:
                fewer = (
                    load._replace(requests=load.requests // 2) if client == "litellm" else load
                )  # for time
                found.setdefault((client, load), []).append(measure(client, fewer, port))
        found.setdefault(("tail", TAIL), []).append(measure("openai", TAIL, port, n_groups=4))
    table = []
    for (client, load), rounds in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        one, beside = median(rounds), found.get(("bare", load))
        asked = load.requests // 2 if client == "litellm" else load.requests
        row = {"client": client, **load._asdict(), "requests": asked, "rounds": n_rounds, "cpu_ms": f"{one.cpu_ms:.2f}",
               "rate_per_s": f"{one.rate:.1f}", "p50_ms": f"{one.p50_ms:.0f}", "p99_ms": f"{one.p99_ms:.0f}",
               "most_at_once": one.most_at_once, "cpu_ms_over_bare": "", "rate_of_bare": "", "gate": ""}  # fmt: skip
        if beside is not None and client != "bare":
            pairs = list(
                zip(rounds, beside, strict=True)
            )  # of one round: other work on the machine meets both
            over = float(np.median([mine.cpu_ms - base.cpu_ms for mine, base in pairs]))
            share = float(np.median([mine.rate / base.rate for mine, base in pairs]))
            row["cpu_ms_over_bare"] = f"{over:.2f}"
            if client == "openai":
                row["rate_of_bare"] = f"{share:.3f}"
                held = over <= EXTRA_CPU_MS and (load.latency_ms != 500 or share >= SHARE_OF_RATE)
                row["gate"] = "held" if held else "missed"
        if client == "tail":
            row["gate"] = "held" if one.most_at_once == load.concurrency else "missed"
        table.append({**row, **about})
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--serve", action="store_true", help="be the server")
    args = parser.parse_args()
    if args.serve:
        return serve()
    command = [sys.executable, "-m", "eval.bench.llm_stack", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            table = rows(int(server.stdout.readline()), args.rounds)
        finally:
            server.kill()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    for row in table:
        print(*(row[name] for name in list(row)[:12]), sep="\t")


if __name__ == "__main__":
    main()
