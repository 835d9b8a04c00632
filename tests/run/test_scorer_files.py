"""Do the scorers of amplified latents, and likelihoods, go through batch files to the tables of a live run?

Those about cells do in ``test_model_scorers``; together they are all that ask anybody anything.
"""

from __future__ import annotations

import json

import pandas as pd
import pytest

from autointerp.llm.local import LocalModel
from autointerp.names import SCORERS
from tests.llm.tiny_llama import save_tiny_llama
from tests.run.biologist import biologist
from tests.run.conftest import command, tables
from tests.run.test_model_scorers import ASKED, answered
from tests.scripted_server import ScriptedServer

pytestmark = pytest.mark.filterwarnings("ignore:FastICA did not converge")
QUICK = ("--embedding", "X_emb", "--dictionary", "ica", "--latents", 32, "--k", 3, "--group", "donor")
LABELED = (0, 3, 7, 8, 17)  # of six programs
LIKELIHOODS = ("surprisal", "gain:genes:0.3")
AMPLIFIED = ("match:genes:0.3", "2afc:genes:0.3", "direction:genes:0.3")
FARTHEST = 8  # rounds of files


def options(folder, latents):
    """Labels of these latents, brought in a file, and a readout that reaches σ."""
    (folder / "more.toml").write_text(
        'decoder = "tests.run.small_decoder:decode"\nheld_out_features = true\n'
    )
    rows = [
        f"{latent},Program {i},Cells with more PROG{i}A and PROG{i}B." for i, latent in enumerate(latents)
    ]
    (folder / "labels.csv").write_text("\n".join(["latent,title,description", *rows]))
    return (
        *QUICK,
        "--threads",
        1,
        "--config",
        folder / "more.toml",
        "--explainer",
        f"file:{folder / 'labels.csv'}",
    )


def by_files(directory, folder, answered) -> tuple[int, set[str]]:
    """Export, answer and import until nothing is wanted, then write the tables: rounds, and kinds of requests."""
    out, replies, kinds = folder / "out.jsonl", folder / "in.jsonl", set()
    for done in range(FARTHEST):
        ended = command("batch", "export", directory, "--out", out)
        assert ended.code == 0, ended.err
        lines = [line for file in sorted(folder.glob("out*.jsonl")) for line in file.read_text().splitlines()]
        if not lines:
            assert command("report", directory).code == 0
            return done, kinds
        kinds |= {json.loads(line)["body"].get("kind", json.loads(line)["url"]) for line in lines}
        replies.write_text("".join(map(answered, lines)))
        ended = command("batch", "import", directory, replies)
        assert ended.code == 0, ended.err
        for file in folder.glob("out*.jsonl"):
            file.unlink()
    raise AssertionError(f"after {FARTHEST} rounds something is still wanted")


def asked_about(directory) -> set[str]:
    """Scorers with a trial about a label of its own."""
    trials = pd.read_parquet(directory / "trials.parquet")
    return set(trials[trials.control == ""].scorer)


def test_all_that_ask_anybody_are_tested_as_files():
    kinds = {name.partition(":")[0] if name.count(":") == 2 else name for name in SCORERS} - {"signature"}
    tested = {*(name.partition(":")[0] for name in (*AMPLIFIED, *LIKELIHOODS)), *ASKED}
    assert tested == kinds


def test_reports_and_directions_lead_to_the_bytes_of_a_live_run(cells, tmp_path):
    named = ("--judge", "openai/x", "--endpoint-name", "scripted", "--base-url")
    run = ("run", "--data", cells, *options(tmp_path, LABELED), "--scorers", ",".join(AMPLIFIED), *named)
    with ScriptedServer(biologist) as server:
        ended = command(*run, server.url, "--out", tmp_path / "live")
        assert ended.code == 0, ended.err
        sent, before = len(server.requests), tables(tmp_path / "live")
        assert sent > 50 and command("report", tmp_path / "live").code == 0
        assert len(server.requests) == sent and tables(tmp_path / "live") == before  # nothing is asked again
        assert command(*run, server.url, "--out", tmp_path / "filed", "--dry-run").code == 0
        rounds, kinds = by_files(tmp_path / "filed", tmp_path, answered)
        assert len(server.requests) == sent
    assert (rounds, kinds) == (1, {"/v1/chat/completions"})
    assert tables(tmp_path / "filed") == before
    assert asked_about(tmp_path / "filed") == set(AMPLIFIED)


def test_likelihoods_travel_too_to_whoever_has_the_model(cells, tmp_path):
    pytest.importorskip("transformers")
    folder = save_tiny_llama(tmp_path / "tiny", longest=4096)
    model = LocalModel.open(str(folder))
    scorers = ("--scorers", ",".join(LIKELIHOODS), "--judge", f"hf:{folder}", "--controls", "none")
    run = ("run", "--data", cells, *options(tmp_path, LABELED[:1]), *scorers)
    ended = command(*run, "--out", tmp_path / "live")
    assert ended.code == 0, ended.err

    def likely(line):
        asked = json.loads(line)["body"]
        *before, last = asked["messages"]
        (found,) = model.likelihoods(before, [last["content"]])
        said = {"index": 0, "message": last, "finish_reason": "stop"}
        said["logprobs"] = {"content": [{"token": "", "logprob": float(value)} for value in found]}
        body = {"choices": [said], "model": asked["model"]}
        return (
            json.dumps(
                {"custom_id": json.loads(line)["custom_id"], "response": {"status_code": 200, "body": body}}
            )
            + "\n"
        )

    assert command(*run, "--out", tmp_path / "filed", "--dry-run").code == 0
    rounds, kinds = by_files(tmp_path / "filed", tmp_path, likely)
    assert (rounds, kinds) == (1, {"log_probability"})
    assert tables(tmp_path / "filed") == tables(tmp_path / "live")
    assert asked_about(tmp_path / "filed") == set(LIKELIHOODS)
