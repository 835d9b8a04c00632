"""Does a run keep apart what one model said in two forms, and ask for each once?"""

from __future__ import annotations

import json

import pandas as pd

from tests.run.biologist import biologist, is_judging, prompt_of
from tests.run.conftest import command, tables
from tests.run.small_cells import BROUGHT
from tests.run.test_batches import NAMED, answer, export
from tests.scripted_server import ScriptedServer, say_json


def _either(body, n=0):
    """The biologist; asked for 0 or 1, it says 1 from a probability of 50 on."""
    prompt = prompt_of(body)
    if not is_judging(body) or '{"answers": [1, 0' not in prompt:
        return biologist(body, n)
    told = json.loads(biologist(body, n).text)["answers"]
    return say_json({"answers": [int(one["probability"] >= 50) for one in told]})


def test_two_forms_stand_side_by_side_and_nothing_is_asked_twice(cells, tmp_path):
    out, few = tmp_path / "run", ("--max-latents", "3", "--controls", "shuffled", "--allow-unpriced")
    with ScriptedServer(_either) as server:
        asked = ("--model", "openai/m", "--base-url", server.url)
        ended = command("run", "--data", cells, *BROUGHT, *asked, *few, "--out", out)
        assert ended.code == 0, ended.err
        first = len(server.requests)
        ended = command("score", out, "--judge-form", "binary")
        assert ended.code == 0, ended.err
        new = [r.prompt for r in server.requests[first:]]
        assert new and all("1 for yes, 0 for no" in prompt and "\ncell 6:" not in prompt for prompt in new)
        scores = pd.read_csv(out / "scores.csv")
        mine = scores[scores.scorer == "detection"]
        assert set(mine.judge) - {"ceiling"} == {"openai/m", "openai/m [binary]"}
        counts = mine[(mine.metric == "auroc") & mine.value.notna()].groupby("judge").latent.nunique()
        assert counts["openai/m"] == counts["openai/m [binary]"] == 3
        trials = pd.read_parquet(out / "trials.parquet")
        assert set(trials[trials.judge == "openai/m [binary]"].answer) == {0.0, 100.0}
        before, asked_so_far = tables(out), len(server.requests)
        assert command("report", out).code == 0
        assert tables(out) == before and len(server.requests) == asked_so_far
    ended = command("score", out, "--judge-form", "percent")
    assert ended.code == 2 and "judge-form" in ended.err and len(ended.err.strip().splitlines()) == 1


def test_batch_files_end_at_the_bytes_of_a_live_run(cells, tmp_path):
    few = ("--max-latents", "2", "--controls", "none", "--scorers", "detection", *NAMED)
    given = ("--data", cells, *BROUGHT, *few, "--model", "openai/x", "--judge-form", "indices")
    with ScriptedServer(_indices) as server:
        ended = command("run", *given, "--base-url", server.url, "--out", tmp_path / "live")
        assert ended.code == 0, ended.err
    lines, out = tmp_path / "requests.jsonl", tmp_path / "batch"
    ended = command("run", *given, "--base-url", "http://127.0.0.1:9/v1", "--out", out, "--dry-run")
    assert ended.code == 0, ended.err
    steps = 0
    while requests := export(out, lines):
        steps += 1
        assert steps < 4
        lines.write_text("\n".join(json.dumps(answer(one, _indices)) for one in requests))
        assert command("batch", "import", out, lines).code == 0
    assert command("report", out).code == 0
    assert tables(out) == tables(tmp_path / "live")


def _indices(body, n=0):
    """The biologist; asked for numbers, it names those of a probability of 50 on."""
    if not is_judging(body):
        return biologist(body, n)
    told = json.loads(biologist(body, n).text)["answers"]
    return say_json({"items": [one["item"] for one in told if one["probability"] >= 50]})
