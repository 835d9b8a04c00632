"""Does Ctrl-C say how to go on, does going on work, and is nothing asked twice that was answered?"""

from __future__ import annotations

import json
import re
import shlex
import signal
import time
from collections import Counter

from autointerp.llm.ledger import Ledger
from tests.run.biologist import biologist, prompt_of
from tests.run.conftest import command, process, tables
from tests.run.small_cells import BROUGHT, FITTED
from tests.scripted_server import ScriptedServer, empty, say

GO_ON = re.compile(
    r"Stopped\. Nothing that was answered is lost\. Go on with: autointerp (.+)$", re.MULTILINE
)
PATIENCE_S = 60.0


def wait_until(what, running) -> None:
    until = time.monotonic() + PATIENCE_S
    while not what():
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < until, "the run did not come to the point where it is to be interrupted"
        time.sleep(0.01)


def interrupted(running) -> str:
    """What it says on standard error after a Ctrl-C."""
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    return err


def test_a_run_that_asks_models(cells, tmp_path):
    directory = tmp_path / "run"

    def slow(body, n):
        if n == 2:
            return empty()  # a failure, which must not become an answer
        return say(biologist(body).text, delay_s=0.05 if n < 30 else 30.0)

    with ScriptedServer(slow) as server:
        options = ["run", "--data", cells, *BROUGHT, "--model", "openai/x", "--base-url", server.url]
        options += ["--endpoint-name", "scripted", "--concurrency", "4", "--out", directory]
        running = process(options)
        wait_until(lambda: len(server.requests) >= 34, running)
        said = interrupted(running)
        server.reply, sent = biologist, len(server.requests)
        with Ledger(directory / "ledger.sqlite", read_only=True) as ledger:
            keys = ledger.keys()
            answered = {ledger.request(key)["messages"][0]["content"] for key in keys}
            replies = [ledger.get(key).text for key in keys]
        assert 25 <= len(answered) <= sent - 5  # without the empty one, and without the four in flight
        assert all(json.loads(text) for text in replies)

        (again,) = GO_ON.findall(said)
        assert again == f"report {directory}"
        ended = command(*shlex.split(again))
        assert ended.code == 0, ended.err
        later = Counter(prompt_of(recorded.body) for recorded in server.requests[sent:])
        assert not set(later) & answered
        assert set(later.values()) == {1}

        whole = [*options[:-1], tmp_path / "whole"]
        assert command(*whole).code == 0
        assert tables(directory) == tables(tmp_path / "whole")


def test_a_run_that_fits(cells, tmp_path):
    directory = tmp_path / "run"
    running = process(["fit", "--data", cells, *FITTED, "--out", directory])
    wait_until((directory / "run.json").exists, running)
    time.sleep(0.5)
    said = interrupted(running)
    (again,) = GO_ON.findall(said)
    assert again == f"encode {directory}"
    ended = command(*shlex.split(again))
    assert ended.code == 0, ended.err
    assert ended.lines[-1] == f"Next: autointerp label {directory}"


def test_a_run_killed_while_it_asks_goes_on(cells, tmp_path):
    with ScriptedServer(lambda body, n: say(biologist(body).text, delay_s=0.05)) as server:
        options = ["run", "--data", cells, *BROUGHT, "--model", "openai/x", "--base-url", server.url]
        options += ["--concurrency", "4", "--out", tmp_path / "run"]
        running = process(options)
        wait_until(lambda: len(server.requests) >= 20, running)
        running.kill()
        running.communicate()
        sent, server.reply = len(server.requests), biologist
        ended = command(*options)
        assert ended.code == 0, ended.err
        asked = Counter(prompt_of(recorded.body) for recorded in server.requests)
        assert sum(count - 1 for count in asked.values()) <= 4  # those in flight
        assert sent < len(server.requests)
