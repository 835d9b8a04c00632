"""What is left of a run whose process is killed? A run of ``llm/`` alone, started, killed and started again.

As a program, ``python -m tests.llm.kill_driver URL LEDGER REQUESTS OUT`` asks all questions and writes the answers;
``kill_and_resume`` starts it against a server of its own, kills it at random moments, and counts what was lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.llm.client import LLM
from autointerp.llm.ledger import Ledger
from autointerp.llm.loop import run_async
from autointerp.llm.policy import Policy
from autointerp.schema import Failure
from tests.scripted_server import ScriptedReply, ScriptedServer, rate_limited, say

REPOSITORY = Path(__file__).resolve().parents[2]
CONCURRENCY = 32
PATIENT = Policy(attempts=20, first_wait_s=0.001, longest_wait_s=0.01)


@dataclass(frozen=True)
class Kill:
    """One kill: what the server saw of the process that died, and what the ledger kept of it."""

    run: int
    kill: int
    requests: int
    known_before: int
    arrived: int
    replied: int  # whole replies that the server had handed over
    kept: int
    lost: int  # replied and not kept
    in_flight: int  # arrived and not kept
    asked_again: int  # arrived although the ledger held the answer when the process started


@dataclass(frozen=True)
class Trial:
    """One run with its kills, and the answers it ended with."""

    kills: tuple[Kill, ...]
    answers: dict[str, str]
    asked_again_at_last: int
    in_ledger: int


def question(n: int) -> str:
    return f"Question {n}: which cell type is it?"


def answer(prompt: str) -> str:
    return f"answer {zlib.crc32(prompt.encode()):08x}"


async def ask_all(url: str, ledger_path: Path, n_requests: int) -> dict[str, str]:
    """All answers, by question."""
    with Ledger(ledger_path) as ledger:
        async with LLM("kill", ledger, base_url=url, endpoint_name="kill", concurrency=CONCURRENCY,
                       policy=PATIENT) as llm:  # fmt: skip
            texts = [question(n) for n in range(n_requests)]
            replies = await asyncio.gather(*(llm.ask(llm.request(text)) for text in texts))
    return {
        text: repr(reply) if isinstance(reply, Failure) else reply.text
        for text, reply in zip(texts, replies, strict=True)
    }


def kill_and_resume(folder: Path, *, run: int = 0, n_kills: int = 5, n_requests: int = 2000) -> Trial:
    """A run that is killed ``n_kills`` times and then left to end.

    The moments are random: after a random number of requests of that process, and a random part of 10 ms.
    """
    rng = random.Random(run)
    ledger_path, out = folder / f"{run}.sqlite", folder / f"{run}.json"

    def reply(body: dict[str, Any], n: int) -> ScriptedReply:
        prompt = body["messages"][-1]["content"]
        if n % 97 == 96:  # a retry in between
            return rate_limited(0)
        delay_s = (zlib.crc32(prompt.encode()) % 100) / 10_000  # out of order: 0 to 10 ms
        return say(answer(prompt), delay_s=delay_s)

    kills: list[Kill] = []
    with ScriptedServer(reply) as server:
        command = [
            sys.executable,
            "-m",
            "tests.llm.kill_driver",
            server.url,
            str(ledger_path),
            str(n_requests),
            str(out),
        ]
        for kill in range(n_kills):
            before, first = _known(ledger_path), len(server.requests)
            process = subprocess.Popen(command, cwd=REPOSITORY)
            left = n_requests - len(before)
            die_after = first + rng.randrange(1, max(2, left // (n_kills - kill)))
            while len(server.requests) < die_after and process.poll() is None:
                time.sleep(0.0005)
            time.sleep(rng.random() * 0.01)
            if process.poll() is not None:
                raise RuntimeError(f"the run ended by itself with {process.returncode}, before kill {kill}")
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            server.wait_until_idle()
            arrived = {recorded.prompt for recorded in server.requests[first:]}
            delivered = {server.requests[n].prompt for n in server.replied if n >= first and n % 97 != 96}
            after = _known(ledger_path)
            kept = after - before
            if not before <= after:
                raise AssertionError("the ledger lost what it had")
            kills.append(
                Kill(run, kill, n_requests, len(before), len(arrived), len(delivered), len(kept),
                     len(delivered - kept), len(arrived - kept), len(arrived & before))
            )  # fmt: skip
        before, first = _known(ledger_path), len(server.requests)
        subprocess.run(command, cwd=REPOSITORY, check=True, timeout=120)
        again = {recorded.prompt for recorded in server.requests[first:]} & before
    return Trial(tuple(kills), json.loads(out.read_text()), len(again), len(_known(ledger_path)))


def _known(ledger_path: Path) -> set[str]:
    """The questions that the ledger answers."""
    if not ledger_path.exists():
        return set()
    with Ledger(ledger_path, read_only=True) as ledger:
        asked = [ledger.request(key) for key in ledger.keys()]  # noqa: SIM118 - it is no dict
    return {request["messages"][-1]["content"] for request in asked if request}


def main() -> None:
    url, ledger_path, n_requests, out = sys.argv[1:]
    answers = run_async(ask_all(url, Path(ledger_path), int(n_requests)))
    Path(out).write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
