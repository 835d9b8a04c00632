"""Do batch files, budgets and dry runs lead to the same tables as asking live, and to no request too many?"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autointerp.llm.ledger import Ledger
from tests.run.biologist import biologist
from tests.run.conftest import command, tables
from tests.run.small_cells import BROUGHT
from tests.scripted_server import ScriptedServer, empty, with_usage

NAMED = ("--endpoint-name", "scripted", "--allow-unpriced")
PRICED = ("--price-in", 1.0, "--price-out", 2.0)


def answer(request: dict[str, Any], script: Callable[..., Any] = biologist) -> dict[str, Any]:
    """A line of replies, as a provider's batch endpoint writes it."""
    reply = script(request["body"])
    message = {"role": "assistant", "content": reply.text}
    completion = {
        "id": "x",
        "object": "chat.completion",
        "model": request["body"]["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    return {
        "id": "batch",
        "custom_id": request["custom_id"],
        "response": {"status_code": 200, "body": completion},
    }


def export(directory: Path, path: Path) -> list[dict[str, Any]]:
    path.unlink(missing_ok=True)
    ended = command("batch", "export", directory, "--out", path)
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def live(cells, tmp_path_factory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("live") / "run"
    with ScriptedServer(biologist) as server:
        options = ("--model", "openai/x", *NAMED, "--base-url", server.url, "--out", directory)
        ended = command("run", "--data", cells, *BROUGHT, *options)
        assert ended.code == 0, ended.err
    return tables(directory)


def start(cells: Path, directory: Path, url: str = "http://127.0.0.1:9/v1") -> None:
    """A run directory that knows its models; nothing is asked."""
    options = ("--model", "openai/x", *NAMED, "--base-url", url, "--out", directory)
    ended = command("run", "--data", cells, *BROUGHT, *options, "--dry-run")
    assert ended.code == 0, ended.err


def test_batches_end_at_the_bytes_of_a_live_run(cells, live, tmp_path):
    directory, rng = tmp_path / "run", random.Random(0)
    start(cells, directory)
    steps = 0
    while requests := export(directory, tmp_path / "requests.jsonl"):
        steps += 1
        assert steps < 10
        lines = [json.dumps(answer(request)) for request in requests]
        if (
            steps == 1
        ):  # a first file with the half of them, one twice, a foreign line, an error and a torn line
            lines = rng.sample(lines, len(lines) // 2)
            foreign = {**json.loads(lines[0]), "custom_id": "0" * 64}
            failed = {
                "custom_id": requests[-1]["custom_id"],
                "response": None,
                "error": {"message": "expired"},
            }
            lines += [lines[0], json.dumps(foreign), json.dumps(failed), '{"custom_id": "cut']
        rng.shuffle(lines)
        (tmp_path / "replies.jsonl").write_text("\n".join(lines) + "\n")
        ended = command("batch", "import", directory, tmp_path / "replies.jsonl")
        assert ended.code == 0, ended.err
    ended = command("report", directory)
    assert ended.code == 0, ended.err
    assert tables(directory) == live
    assert (
        steps == 3
    )  # half of the labels, the others with the first judgements, the rest with the shuffled ones


def test_an_import_counts_every_line(cells, tmp_path):
    directory = tmp_path / "run"
    start(cells, directory)
    requests = export(directory, tmp_path / "requests.jsonl")
    good = [json.dumps(answer(request)) for request in requests]
    error = json.dumps({"custom_id": requests[0]["custom_id"], "response": None, "error": {"message": "no"}})
    foreign = json.dumps({**answer(requests[0]), "custom_id": "f" * 64})
    (tmp_path / "replies.jsonl").write_text("\n".join([error, *good, good[0], foreign, "no json"]) + "\n")
    ended = command("batch", "import", directory, tmp_path / "replies.jsonl", "--source", "a cluster")
    assert f"{len(good)} of {len(good) + 4} lines are new answers" in ended.out
    for told in ("1 answered before", "1 of other runs", "1 not readable"):
        assert told in ended.out


def test_a_dry_run_counts_and_asks_nothing(cells, server, tmp_path):
    options = ("--model", "openai/x", *NAMED, *PRICED, "--base-url", server.url, "--out", tmp_path / "run")
    ended = command("run", "--data", cells, *BROUGHT, *options, "--dry-run")
    assert ended.code == 0, ended.err
    assert server.requests == []
    counted = re.search(r"Now: (\d+) requests, about [\d,]+ tokens .*about \$\d", ended.out)
    assert counted, ended.out
    command("label", tmp_path / "run")
    assert len(server.requests) == int(counted[1])


def test_a_dry_run_counts_what_failed_before(cells, server, tmp_path):
    server.reply = lambda body, n: empty()
    options = ("--model", "openai/x", *NAMED, "--base-url", server.url, "--out", tmp_path / "run")
    assert command("run", "--data", cells, *BROUGHT, *options).code == 0
    assert "Now: 7 requests" in command("label", tmp_path / "run", "--dry-run").out
    before = len(server.requests)
    command("label", tmp_path / "run")
    assert len(server.requests) == before + 7


def test_a_dry_run_leaves_the_options_of_a_run_as_they_are(cells, tmp_path):
    directory = tmp_path / "run"
    assert command("run", "--data", cells, *BROUGHT, "--out", directory).code == 0
    before = (directory / "run.json").read_bytes()
    ended = command("score", directory, "--judge", "constant", "--dry-run")
    assert ended.code == 0, ended.err
    assert "Next: the same command without --dry-run" in ended.err
    assert (directory / "run.json").read_bytes() == before


def test_a_budget_stops_the_run_and_a_larger_one_goes_on(cells, server, live, tmp_path):
    directory = tmp_path / "run"
    server.reply = lambda body, n: with_usage(biologist(body), prompt_tokens=3000, completion_tokens=100)
    options = ("--model", "openai/x", *NAMED, *PRICED, "--base-url", server.url, "--out", directory)
    ended = command("run", "--data", cells, *BROUGHT, *options, "--budget-usd", 0.05)
    assert ended.code == 3, ended.err
    assert ended.saying("Stopped by the budget")
    again = ended.saying("Go on with: ")
    assert again == [f"Go on with: autointerp report {directory} --budget-usd MORE"]
    before = len(server.requests)
    with Ledger(directory / "ledger.sqlite", read_only=True) as ledger:
        spent = ledger.totals()
    assert spent.cost_usd is not None and 0 < spent.cost_usd <= 0.05
    ended = command("report", directory, "--budget-usd", 1000)
    assert ended.code == 0, ended.err
    assert len(server.requests) > before
    keys = [json.dumps(request.body, sort_keys=True) for request in server.requests]
    assert len(keys) == len(set(keys))  # nothing was asked twice
    assert tables(directory) == live


def test_how_a_reply_was_read_is_in_the_tables(live):
    header = live["labels.csv"].decode().splitlines()[0]
    assert header.endswith("parse_status")
    assert ",ok\n" in live["labels.csv"].decode()


@pytest.mark.parametrize("options", [("--price-in", 1), ("--budget-usd", 0), ("--budget-tokens", -5)])
def test_a_budget_or_price_that_cannot_be_meant_is_refused(cells, server, tmp_path, options):
    named = ("--model", "openai/x", *NAMED, "--base-url", server.url, "--out", tmp_path / "run")
    ended = command("run", "--data", cells, *BROUGHT, *named, *options)
    assert ended.code == 2
    assert len(ended.lines) == 1
    assert server.requests == []


@pytest.mark.parametrize("response", [{"status_code": "200", "body": {}}, {"status_code": "5xx"}, [1], "no"])
def test_a_line_of_another_shape_is_a_failed_line(cells, tmp_path, response):
    start(cells, tmp_path / "run")
    requests = export(tmp_path / "run", tmp_path / "requests.jsonl")
    line = {"custom_id": requests[0]["custom_id"], "response": response}
    (tmp_path / "replies.jsonl").write_text(json.dumps(line))
    ended = command("batch", "import", tmp_path / "run", tmp_path / "replies.jsonl")
    assert ended.code == 0, ended.err
    assert "0 of 1 lines are new answers, 1 server" in ended.out


def test_an_answer_above_its_reserve_stops_the_stages_that_follow(cells, server, tmp_path):
    directory = tmp_path / "run"
    server.reply = lambda body, n: with_usage(biologist(body), prompt_tokens=10**7, completion_tokens=5)
    options = ("--model", "openai/x", *NAMED, *PRICED, "--base-url", server.url, "--out", directory)
    ended = command("run", "--data", cells, *BROUGHT, *options, "--budget-usd", 1000)
    assert ended.code == 3
    assert len(server.requests) == 7  # the labels, all on their way at once
    (told,) = ended.saying("Stopped by the budget")
    assert "an answer cost $10.0000" in told
    assert ended.saying("Go on with: ") == [f"Go on with: autointerp report {directory}"]
    assert ended.saying("Stopped at score: 0 of ")
    spent = json.loads((directory / "run.json").read_text())["spent"]
    assert spent["answers"] == 7 and spent["cost_usd"] > 70


@pytest.mark.parametrize("hidden", ["http://me:sesame@127.0.0.1:9/v1", "http://127.0.0.1:9/v1?key=sesame"])
def test_a_base_url_with_credentials_is_refused_and_not_repeated(cells, tmp_path, hidden):
    ended = command("run", "--data", cells, "--model", "x", "--base-url", hidden, "--out", tmp_path / "run")
    assert (ended.code, len(ended.lines)) == (2, 1)
    assert "OPENAI_API_KEY" in ended.err and "sesame" not in ended.err
    assert not (tmp_path / "run").exists()


def test_a_server_elsewhere_has_a_price_or_is_refused(cells, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none-0123456789")
    options = ("run", "--data", cells, *BROUGHT, "--model", "x", "--base-url", "https://gateway.example/v1")
    ended = command(*options, "--dry-run", "--out", tmp_path / "no")
    assert ended.code == 2 and "--price-in" in ended.err and "--allow-unpriced" in ended.err
    assert command(*options, *PRICED, "--dry-run", "--out", tmp_path / "yes").code == 0
