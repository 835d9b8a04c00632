"""Does an agent's run end the same live, by batch files, from the ledger alone, and after a kill?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp.llm.ledger import Ledger
from tests.run.argued import asked, conversations, model
from tests.run.conftest import TABLES, command, process
from tests.run.small_cells import BROUGHT
from tests.run.test_interrupt import wait_until
from tests.scripted_server import ScriptedReply, ScriptedServer, with_usage

NAMED = ("--endpoint-name", "scripted", "--allow-unpriced", "--concurrency", "8")
AGENT = (
    "--explainer",
    "agent",
    "--rounds",
    "1",
    "--max-latents",
    "2",
    "--controls",
    "none",
    "--scorers",
    "detection",
)
FILES = (*TABLES, "steps.csv")


def options(directory: Path, url: str = "http://127.0.0.1:9/v1", *further: object) -> tuple[object, ...]:
    return (*BROUGHT, "--model", "openai/x", *NAMED, *AGENT, "--base-url", url, "--out", directory, *further)


def files(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def live(cells, tmp_path_factory) -> tuple[dict[str, bytes], list[dict[str, Any]], Path]:
    """Files, requests and directory of a run whose model calls tools and judges."""
    directory = tmp_path_factory.mktemp("live") / "run"
    with ScriptedServer(model(mistake="reversed", tools=True)) as server:
        ended = command("run", "--data", cells, *options(directory, server.url))
        assert ended.code == 0, ended.err
        return files(directory), server.bodies, directory


def test_accepted_scores_never_fall_and_nothing_is_asked_twice(live):
    _, bodies, directory = live
    assert set(asked(bodies).values()) == {1}
    steps = pd.read_csv(directory / "steps.csv")
    accepted = steps[steps.accepted].groupby("latent")
    assert (accepted.develop_auroc.diff().dropna() > 0).all()
    assert (steps.p[steps.accepted & (steps["round"] > 0)] < 0.05).all()
    assert accepted.size().max() > 1  # a label that began wrong was replaced
    labels = pd.read_csv(directory / "labels.csv").query("reason == ''or reason != reason")
    assert labels.label_id.tolist() == accepted.label_id.last().tolist()[: len(labels)]


def test_the_model_called_tools_and_the_endpoint_is_known_to_do_so(live):
    _, bodies, directory = live
    with Ledger(directory / "ledger.sqlite", read_only=True) as ledger:
        assert ledger.learned("scripted", "openai/x")["tools"][0] is True
    roles = [m["role"] for body in conversations(bodies) for m in body["messages"]]
    assert roles.count("tool") > 0


def test_every_step_replays_from_the_ledger_alone(live, tmp_path):
    wanted, _, directory = live
    (tmp_path / "run").mkdir()
    for name in ("ledger.sqlite", "run.json"):
        (tmp_path / "run" / name).write_bytes((directory / name).read_bytes())
    ended = command("report", tmp_path / "run", "--budget-tokens", "1")  # nothing can be sent
    assert ended.code == 0, ended.err
    assert files(tmp_path / "run") == wanted


def test_batches_end_at_the_bytes_of_a_live_run(cells, live, tmp_path):
    directory, reply, steps = tmp_path / "run", model(mistake="reversed", tools=True), 0
    assert command("run", "--data", cells, *options(directory), "--dry-run").code == 0
    lines: list[str] = []
    while True:
        path = tmp_path / f"requests-{steps}.jsonl"
        assert command("batch", "export", directory, "--out", path).code == 0
        if not path.exists():
            break
        steps += 1
        assert steps < 20
        requests = [json.loads(line) for line in path.read_text().splitlines()]
        lines = [json.dumps(answer(request, reply(request["body"]))) for request in requests]
        (tmp_path / "replies.jsonl").write_text("\n".join(lines) + "\n")
        assert command("batch", "import", directory, tmp_path / "replies.jsonl").code == 0
    assert command("report", directory).code == 0
    assert files(directory) == live[0]
    assert 6 <= steps <= 8  # the probe, tools, hypotheses, their test, a revision, its test, the scores


def answer(request: dict[str, Any], reply: ScriptedReply) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply.text, **reply.message}
    choice = {"index": 0, "finish_reason": reply.finish_reason, "message": message}
    body = {"id": "x", "object": "chat.completion", "model": request["body"]["model"], "choices": [choice]}
    return {"id": "b", "custom_id": request["custom_id"], "response": {"status_code": 200, "body": body}}


@pytest.mark.slow
def test_killed_and_resumed_it_asks_nothing_twice(cells, live, tmp_path):
    reply, directory = model(mistake="reversed", tools=True), tmp_path / "run"
    slow = lambda body, n: ScriptedReply(**{**vars(reply(body)), "delay_s": 0.02})  # noqa: E731
    with ScriptedServer(slow) as server:
        given = ("run", "--data", cells, *options(directory, server.url))
        for share in (3, 3 / 2):
            running, most = process(given), len(live[1]) / share
            wait_until(lambda most=most: len(server.requests) >= most, running)
            running.kill()
            running.communicate()
            server.wait_until_idle()
        server.reply = reply
        ended = command(*given)
        assert ended.code == 0, ended.err
        again = sum(count - 1 for count in asked(server.bodies).values())
    assert again <= 2 * 8  # those in flight at the two kills, 8 at a time
    assert files(directory) == live[0]


def test_a_budget_stops_it_and_a_larger_one_goes_on(cells, live, tmp_path):
    reply = model(mistake="reversed", tools=True)
    with ScriptedServer(
        lambda body, n: with_usage(reply(body), prompt_tokens=3000, completion_tokens=100)
    ) as server:
        given = options(tmp_path / "run", server.url, "--price-in", 1, "--price-out", 2, "--budget-usd", 0.5)
        assert command("run", "--data", cells, *given).code == 3
        stopped_at = len(server.requests)
        ended = command("report", tmp_path / "run", "--budget-usd", 1000)
        assert ended.code == 0, ended.err
        assert 0 < stopped_at < len(server.requests)
        assert set(asked(server.bodies).values()) == {1}
    assert files(tmp_path / "run") == live[0]
