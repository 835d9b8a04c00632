"""What does the first person with a key see? Labels, scores, controls, spend; without a key one line."""

from __future__ import annotations

import pytest

from eval.live_check import main
from tests.run.biologist import biologist
from tests.run.small_cells import write_cells
from tests.scripted_server import ScriptedServer, say

PRICED = ("--price-in", "1", "--price-out", "2", "--latents", "5")


@pytest.fixture
def few_cells(tmp_path, monkeypatch):
    """The small cells of the end-to-end tests in the demo's place."""
    path = write_cells(tmp_path / "cells.h5ad")
    monkeypatch.setattr("eval.live_check.demo_cells", lambda: path)


@pytest.mark.usefixtures("few_cells")
def test_a_missing_key_is_one_line_and_exit_code_2(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["--model", "openai/gpt-5-nano", "--out", str(tmp_path / "live")]) == 2
    said = capsys.readouterr()
    assert "OPENAI_API_KEY" in said.err and len(said.err.strip().splitlines()) == 1 and not said.out
    assert not (tmp_path / "live").exists()


@pytest.mark.usefixtures("few_cells")
def test_labels_scores_controls_parse_statuses_and_spend_are_printed(tmp_path, capsys):
    replies = iter(("no JSON at all",))
    with ScriptedServer(
        lambda body, n: next((say(one) for one in replies), None) or biologist(body, n)
    ) as server:
        command = ["--model", "openai/m", "--base-url", server.url, *PRICED, "--out", str(tmp_path / "live")]
        assert main(command) == 0
    first = capsys.readouterr().out
    assert first.count("\nlatent ") + first.startswith("latent ") == 5
    assert "program\n" in first and "Cells with more" in first
    assert "against random (shuffled 0." in first and ", ceiling 0." in first
    assert (
        "how replies were read, labels: 4 ok, 1 reasked" in first
        and "how replies were read, answers: " in first
    )
    assert '"usd": ' in first or '"cost_usd": ' in first
    assert (tmp_path / "live" / "report" / "index.html").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("few_cells")
def test_a_spent_budget_is_exit_code_3(tmp_path, capsys):
    with ScriptedServer(biologist) as server:
        few = ("--price-in", "100", "--price-out", "200", "--latents", "3", "--budget-usd", "0.5")
        command = ["--model", "openai/m", "--base-url", server.url, *few, "--out", str(tmp_path / "live")]
        assert main(command) == 3
    said = capsys.readouterr().err
    assert "stopped by the budget" in said and "--budget-usd" in said
