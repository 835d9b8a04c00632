"""Does a board come from finished runs, from their trials alone, and refuse what has no controls?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.run.biologist import biologist, is_judging
from tests.run.conftest import command
from tests.run.small_cells import BROUGHT
from tests.scripted_server import ScriptedServer


@pytest.fixture(scope="module")
def scored(cells, tmp_path_factory) -> Path:
    """A finished run of two explainers without a model."""
    out = tmp_path_factory.mktemp("board") / "run"
    options = ("--explainer", "markers", "--explainer", "majority", "--category", "kind")
    ended = command("run", "--data", cells, *BROUGHT, *options, "--out", out)
    assert ended.code == 0, ended.err
    return out


def _board(folder: Path) -> pd.DataFrame:
    return pd.read_csv(
        folder / "leaderboard.csv", keep_default_na=False, na_values={"detection mean_all": ""}
    )


def test_a_board_of_one_run(scored, tmp_path):
    ended = command("leaderboard", scored, "--out", tmp_path / "board")
    assert ended.code == 0, ended.err
    board = _board(tmp_path / "board")
    assert sorted(board.explainer) == ["majority", "markers"]
    assert (board.judge == "signature").all() and (board.n_compared == 2).all()
    summary = pd.DataFrame(json.loads((scored / "run.json").read_text())["summary"])
    told = summary[
        (summary.scorer == "detection") & (summary.metric == "auroc") & (summary.negatives == "random")
    ]
    for row in told.itertuples():
        mine = board[board.explainer == row.explainer].iloc[0]
        assert mine["detection mean_all"] == pytest.approx(row.mean_all, abs=1e-5)
        assert float(mine["detection mean_scored"]) == pytest.approx(row.mean_scored, abs=1e-5)
        assert float(mine["detection mean_scored_low"]) == pytest.approx(row.scored_low, abs=1e-5)
    assert f"Next: open {tmp_path / 'board' / 'leaderboard.html'}" in ended.err


def test_scores_may_be_deleted(scored, tmp_path):
    """The board is computed from trials and labels: without scores.csv it has the same bytes."""
    copy = tmp_path / scored.name
    shutil.copytree(scored, copy)
    (copy / "scores.csv").unlink()
    (copy / "comparisons.csv").unlink()
    for source, folder in ((scored, "one"), (copy, "two")):
        assert command("leaderboard", source, "--out", tmp_path / folder).code == 0
    for name in ("leaderboard.csv", "leaderboard.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_another_machine_reads_what_is_exported(scored, tmp_path):
    ended = command("leaderboard", "export", scored, "--out", tmp_path / "sent.json")
    assert ended.code == 0, ended.err
    said = (tmp_path / "sent.json").read_text()
    assert str(scored.parent) not in said and "donor" not in json.dumps(
        json.loads(said)["entries"][0]["scores"]
    )
    assert command("leaderboard", scored, "--out", tmp_path / "here").code == 0
    assert command("leaderboard", tmp_path / "sent.json", "--out", tmp_path / "there").code == 0
    assert (tmp_path / "here" / "leaderboard.csv").read_bytes() == (
        tmp_path / "there" / "leaderboard.csv"
    ).read_bytes()
    both = command("leaderboard", scored, tmp_path / "sent.json", "--out", tmp_path / "both")
    assert both.code == 0 and len(_board(tmp_path / "both")) == 2


def test_labels_without_their_shuffled_control_are_refused(cells, tmp_path):
    out = tmp_path / "bare"
    assert command("run", "--data", cells, *BROUGHT, "--controls", "none", "--out", out).code == 0
    ended = command("leaderboard", out, "--out", tmp_path / "board")
    assert ended.code == 2 and "no shuffled control" in ended.lines[-1]
    assert not (tmp_path / "board").exists()


def test_a_run_that_is_not_scored_is_refused_in_one_line(cells, tmp_path):
    out = tmp_path / "labeled"
    assert command("fit", "--data", cells, *BROUGHT, "--out", out).code == 0
    ended = command("leaderboard", out)
    assert ended.code == 2 and f"autointerp score {out}" in ended.lines[-1]
    assert command("leaderboard", tmp_path / "nowhere").code == 2
    assert command("leaderboard", "export").code == 2


def test_a_judge_that_is_asked_again_shows_its_noise(cells, tmp_path):
    """Answers differ by the number of the request: the board and run.json tell by how much; scores stay."""

    def unsteady(body, n=0):
        reply = biologist(body, n)
        if not is_judging(body):
            return reply
        said = json.loads(reply.text)
        for answer in said.get("answers", []):
            answer["probability"] = min(
                100, max(0, answer["probability"] + (n * 37 + answer["item"] * 61) % 41 - 20)
            )
        return type(reply)(**{**reply.__dict__, "text": json.dumps(said)})

    options = (
        "run",
        "--data",
        cells,
        *BROUGHT,
        "--model",
        "openai/x",
        "--endpoint-name",
        "s",
        "--concurrency",
        1,
    )
    out = tmp_path / "run"
    with ScriptedServer(unsteady) as server:
        first = command(*options, "--base-url", server.url, "--scorers", "detection", "--out", out)
        assert first.code == 0, first.err
        before, n = (out / "scores.csv").read_bytes(), len(server.requests)
        again = command("score", out, "--controls", "shuffled,ceiling,retest")
        assert again.code == 0, again.err
        assert len(server.requests) > n
    assert (out / "scores.csv").read_bytes() == before
    [row] = json.loads((out / "run.json").read_text())["retest"]
    assert row["n"] == 6 and row["within_sd"] > 0
    assert command("leaderboard", out, "--out", tmp_path / "board").code == 0
    board = _board(tmp_path / "board").iloc[0]
    assert float(board.retest_sd) == pytest.approx(row["within_sd"], rel=1e-5)
    assert float(board.label_calls) >= 1 and float(board.judge_calls) > 1 and float(board.judge_tokens) > 0
