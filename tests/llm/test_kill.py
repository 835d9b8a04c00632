"""Does SIGKILL cost more than the answers in flight? Real processes, killed at random moments."""

from __future__ import annotations

import sys

import pytest

from tests.llm.kill_driver import CONCURRENCY, Trial, answer, kill_and_resume, question

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


def assert_nothing_lost(trial: Trial, n_requests: int) -> None:
    texts = [question(n) for n in range(n_requests)]
    assert trial.answers == {text: answer(text) for text in texts}  # those of a run that nobody kills
    assert trial.in_ledger == n_requests
    assert trial.asked_again_at_last == 0
    for kill in trial.kills:
        assert kill.asked_again == 0, kill
        assert kill.lost <= kill.in_flight <= CONCURRENCY, kill


def test_a_run_killed_five_times_ends_as_if_nothing_had_happened(tmp_path):
    trial = kill_and_resume(tmp_path, n_kills=5, n_requests=2000)
    assert_nothing_lost(trial, 2000)
    assert sum(kill.kept for kill in trial.kills) > 100  # the kills hit runs at work


@pytest.mark.slow
@pytest.mark.parametrize("run", range(1, 11))
def test_fifty_kills(tmp_path, run):
    """eval/bench/kill_resume.py writes the same down."""
    assert_nothing_lost(kill_and_resume(tmp_path, run=run), 2000)
