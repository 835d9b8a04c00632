"""Do the scorers that ask a model run through the wire, as files and from the ledger, and say what they lack?"""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from tests.llm.tiny_llama import save_tiny_llama
from tests.run.biologist import biologist
from tests.run.conftest import command, tables
from tests.run.small_cells import BROUGHT
from tests.scripted_server import ScriptedServer, embedding

ASKED = ("detection", "detection:masked", "fuzzing", "simulation", "intruder", "embedding")
SCORERS = ("--scorers", ",".join(ASKED), "--embedding-model", "openai/vectors")
NAMED = ("--model", "openai/x", "--endpoint-name", "scripted")
PROGRAMS = [f"PROG{i}{letter}" for i in range(10) for letter in "ABCDEFGH"]


def answers(body, n=0):
    """The biologist, and for texts a count of each program's genes."""
    if "input" in body:
        return embedding(
            [0.1 + sum(g in body["input"] for g in PROGRAMS[8 * i : 8 * i + 8]) for i in range(10)]
        )
    return biologist(body)


def scores(directory, scorer) -> pd.DataFrame:
    table = pd.read_csv(directory / "scores.csv", keep_default_na=False, na_values=[""])
    return table[table.scorer == scorer]


@pytest.fixture(scope="module")
def live(cells, tmp_path_factory):
    """A run that was answered live, and what arrived."""
    directory = tmp_path_factory.mktemp("live") / "run"
    with ScriptedServer(answers) as server:
        ended = command(
            "run", "--data", cells, *BROUGHT, *SCORERS, *NAMED, "--base-url", server.url, "--out", directory
        )
        assert ended.code == 0, ended.err
        asked = len(server.requests)
        before = tables(directory)
        assert command("report", directory).code == 0  # again: nothing is asked, nothing changes
        assert len(server.requests) == asked and tables(directory) == before
        return directory, [(r.path, r.body) for r in server.requests]


def test_good_labels_score_above_chance_and_above_shuffled_ones(live):
    directory, _ = live
    for scorer, metric, negatives, least in (
        ("simulation", "pearson", "random", 0.5),
        ("simulation", "spearman", "random", 0.5),
        ("embedding", "auroc", "random", 0.8),
    ):
        found = scores(directory, scorer)
        found = found[(found.metric == metric) & (found.negatives == negatives) & found.value.notna()]
        assert len(found) == 6 and (found.value > least).all(), (scorer, found.value.tolist())
        assert (found.shuffled_value.dropna() < found.value.min()).all()
        assert (found.ci_low <= found.value).all() and found.split_hash.notna().all()
    odd = scores(directory, "intruder")
    odd = odd[odd.value.notna()]
    assert len(odd) == 6 and (odd.metric == "above_chance").all() and odd.value.mean() > 0.3
    assert odd.shuffled_value.isna().all()


def test_labels_that_abstained_have_a_reason_under_the_scorers_own_metric(live):
    directory, _ = live
    for scorer, metric in (("simulation", "pearson"), ("intruder", "above_chance")):
        found = scores(directory, scorer)
        gone = found[found.value.isna() & (found.n == 0)]
        assert set(gone.metric) == {metric} and gone.reason.str.contains("abstained|not explainable").all()
    summary = json.loads((directory / "run.json").read_text())["summary"]
    told = {(r["scorer"], r["metric"], r["negatives"]): r for r in summary}
    simulated = told["simulation", "pearson", "random"]
    assert (
        0 < simulated["mean_all"] < simulated["mean_scored"]
    )  # what has no score counts as 0, not as a half
    assert told["intruder", "above_chance", "random"]["mean_all"] is not None


def test_texts_are_embedded_once_and_cards_of_a_latent_are_not_asked_again_for_its_label(live):
    _, asked = live
    texts = [body["input"] for path, body in asked if path.endswith("/embeddings")]
    assert texts and len(texts) == len(set(texts))
    odd = [body for _, body in asked if '{"choice"' in str(body)]
    assert 6 <= len(odd) <= 6 * 12
    assert not any("<title>" in str(body) for body in odd)


def test_files_lead_to_the_same_bytes(cells, live, tmp_path):
    directory, out, replies = tmp_path / "run", tmp_path / "out.jsonl", tmp_path / "in.jsonl"
    with ScriptedServer(answers) as unused:
        options = (*SCORERS, *NAMED, "--base-url", unused.url, "--out", directory)
        assert command("run", "--data", cells, *BROUGHT, *options, "--dry-run").code == 0
        assert not unused.requests
        for _ in range(6):
            ended = command("batch", "export", directory, "--out", out)
            assert ended.code == 0, ended.err
            files = sorted(tmp_path.glob("out*.jsonl"))
            if not files:
                break
            urls = [{json.loads(line)["url"] for line in f.read_text().splitlines()} for f in files]
            assert all(len(each) == 1 for each in urls)
            replies.write_text("".join(answered(line) for f in files for line in f.read_text().splitlines()))
            assert command("batch", "import", directory, replies).code == 0
            for file in files:
                file.unlink()
        assert command("report", directory).code == 0
        assert not unused.requests
    assert tables(directory) == tables(live[0])
    trials = pd.read_parquet(directory / "trials.parquet")
    assert set(trials[trials.control == ""].scorer) == set(ASKED)


def answered(line: str) -> str:
    """A line of a batch file, answered as the server answers."""
    asked = json.loads(line)
    reply = answers(asked["body"])
    body = json.loads(reply.body) if reply.body else {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": reply.text}, "finish_reason": "stop"}],
        "model": "openai/x",
    }  # fmt: skip
    said = {"custom_id": asked["custom_id"], "response": {"status_code": 200, "body": body}}
    return json.dumps(said) + "\n"


def test_another_judge_leaves_the_rows_of_vectors_and_of_the_first(live, tmp_path):
    directory = shutil.copytree(live[0], tmp_path / "run")
    before = pd.read_csv(directory / "scores.csv")
    ended = command("score", directory, "--judge", "constant", "--scorers", "simulation")
    assert ended.code == 0, ended.err
    after = pd.read_csv(directory / "scores.csv")
    key = ["latent", "explainer", "scorer", "judge", "metric", "negatives"]
    both = before[before.value.notna()].merge(after, on=key, how="left", suffixes=("", "_now"))
    assert (both.value == both.value_now).all() and not after.duplicated(key).any()
    assert set(after[after.scorer == "simulation"].judge) == {"openai/x", "constant"}
    assert set(after[after.scorer == "embedding"].judge) == {"openai/vectors"}


@pytest.mark.parametrize("judge", ["constant", "always_yes", "random", "malformed"])
def test_judges_that_know_nothing_score_chance(cells, tmp_path, judge):
    options = ("--scorers", "simulation,intruder", "--judge", judge, "--out", tmp_path / "run")
    ended = command("run", "--data", cells, *BROUGHT, *options)
    assert ended.code == 0, ended.err
    simulated, odd = scores(tmp_path / "run", "simulation"), scores(tmp_path / "run", "intruder")
    if judge == "malformed":
        for found in (simulated, odd):
            assert len(found) and found.value.isna().all() and found.reason.notna().all()
    elif judge == "random":
        assert abs(simulated.value.mean()) < 0.25  # of six labels, 14 to 62 items each: standard error 0.07
        assert abs(odd.value.mean()) < 0.15
    else:
        assert (simulated.value.dropna() == 0).all() and simulated.value.notna().sum() == 24
        assert abs(odd.value.mean()) < 0.15  # the first or the last of five in random order


def test_what_a_scorer_needs_is_said_before_anything_starts(cells, tmp_path):
    for options, need in (
        (("--scorers", "embedding"), "--embedding-model"),
        (("--scorers", "surprisal"), "--judge hf:PATH"),
        (("--scorers", "surprisal", "--judge", "openai/x"), "the judge is openai/x"),
    ):
        ended = command("run", "--data", cells, *BROUGHT, *options, "--out", tmp_path / "run")
        assert ended.code == 2 and need in ended.err and len(ended.lines) == 1
    assert not (tmp_path / "run").exists()


def test_a_local_model_gives_surprisal_and_vectors_without_any_server(cells, tmp_path):
    pytest.importorskip("transformers")
    folder = save_tiny_llama(tmp_path / "tiny", longest=2048)
    options = (
        "--scorers",
        "surprisal,embedding",
        "--judge",
        f"hf:{folder}",
        "--embedding-model",
        f"hf:{folder}",
    )
    options += (
        "--max-latents",
        "2",
        "--controls",
        "none",
        "--explainer",
        "markers",
        "--out",
        tmp_path / "run",
    )
    ended = command("run", "--data", cells, *BROUGHT, *options)
    assert ended.code == 0, ended.err
    for scorer in ("surprisal", "embedding"):
        found = scores(tmp_path / "run", scorer)
        found = found[(found.metric == "auroc") & (found.negatives == "random") & found.value.notna()]
        assert len(found) and found.value.between(0, 1).all() and (found.n_failed == 0).all()
        assert found.judge.str.startswith("hf:").all()
