"""Does a run with language models ask the right things, once, and give the same tables however it goes?"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autointerp.llm.ledger import Ledger
from tests.run.biologist import biologist, is_judging, prompt_of
from tests.run.conftest import Ended, command, tables
from tests.run.small_cells import BROUGHT, WITHHELD, small_cells
from tests.scripted_server import Recorded, ScriptedServer, empty, error, say, say_json

CARD = re.compile(r"<cell>\n(.*?)\n</cell>", re.DOTALL)
KEY = "sk-never-to-be-seen-0123456789"


@dataclass
class Scripted:
    """A run with models that has ended."""

    directory: Path
    options: tuple[object, ...]
    ended: Ended
    requests: list[Recorded]

    @property
    def labels(self) -> pd.DataFrame:
        return pd.read_csv(self.directory / "labels.csv", keep_default_na=False)

    @property
    def scores(self) -> pd.DataFrame:
        return pd.read_csv(self.directory / "scores.csv")


@pytest.fixture(scope="module")
def asked(cells, tmp_path_factory) -> Scripted:
    """The run that the tests look at and compare with; ``options`` go on with any server's URL."""
    directory = tmp_path_factory.mktemp("asked") / "run"
    options = ("run", "--data", cells, *BROUGHT, "--model", "openai/x", "--endpoint-name", "scripted")
    with ScriptedServer(biologist) as server:
        ended = command(*options, "--base-url", server.url, "--out", directory)
        assert server.failure is None
        assert ended.code == 0, ended.err
        return Scripted(directory, options, ended, list(server.requests))


def test_labels_hold_on_cells_that_their_writer_never_saw(asked):
    labels, scores = asked.labels, asked.scores
    made = labels[labels.reason == ""]
    assert made.latent.tolist() == [0, 1, 2, 3, 4, 5]  # the planted programs
    for latent, title in zip(made.latent, made.title, strict=True):
        assert title.count(f"PROG{latent}") == 3
    by_latent = labels.set_index("latent").reason
    assert by_latent[6].startswith("not explainable: dead")
    assert by_latent[7].startswith("not explainable: fires on")
    assert by_latent[8] == "abstained"
    own = scores[(scores.scorer == "detection") & (scores.explainer == "one_shot")]
    auroc = own[(own.metric == "auroc") & (own.negatives == "random")].set_index("latent")
    assert (auroc.value[:6] > 0.9).all()
    assert (auroc.value[:6] - auroc.shuffled_value[:6] > 0.3).all()
    assert auroc.reason[8] == "abstained" and np.isnan(auroc.value[8])
    assert set(own.judge) == {"openai/x"}
    assert set(own.split_mode) == {"group"}


def test_a_second_run_asks_nothing_and_changes_no_byte(asked, server):
    before = tables(asked.directory)
    ended = command(*asked.options, "--base-url", server.url, "--out", asked.directory)
    assert ended.code == 0
    assert not server.requests
    assert "7 known" in ended.saying("label: ")[-1] and " 0 asked" in ended.saying("score: ")[-1]
    assert tables(asked.directory) == before


def test_openai_and_litellm_give_the_same_tables(asked, server, tmp_path):
    options = [*asked.options[:-3], "litellm/openai/x", "--base-url", server.url]
    ended = command(*options, "--out", tmp_path / "litellm")
    assert ended.code == 0, ended.err
    for name in ("labels.csv", "scores.csv"):
        ours, theirs = ((d / name).read_text() for d in (asked.directory, tmp_path / "litellm"))
        assert theirs == ours.replace("openai/x", "litellm/openai/x")


def test_the_base_url_may_come_from_the_environment(asked, server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    ended = command(*asked.options, "--allow-unpriced", "--out", tmp_path / "env")
    assert ended.code == 0, ended.err
    assert server.requests[-1].body["model"] == "x"
    assert tables(tmp_path / "env")["labels.csv"] == tables(asked.directory)["labels.csv"]


@pytest.mark.parametrize("concurrency", [1, 8])
def test_results_do_not_depend_on_concurrency(asked, server, tmp_path, concurrency):
    server.most_at_once = 0
    server.reply = lambda body, n: say_json(json.loads(biologist(body).text), delay_s=0.002 * (n % 7))
    ended = command(
        *asked.options, "--base-url", server.url, "--concurrency", concurrency, "--out", tmp_path / "other"
    )
    assert ended.code == 0
    assert server.most_at_once <= concurrency
    assert concurrency == 1 or server.most_at_once > 1
    assert tables(tmp_path / "other") == tables(asked.directory)


def test_no_held_out_cell_and_no_annotation_is_in_a_prompt(asked):
    cells = small_cells()
    explain = [prompt_of(r.body) for r in asked.requests if not is_judging(r.body)]
    judge = [prompt_of(r.body) for r in asked.requests if is_judging(r.body)]
    assert len(explain) == 7 and len(judge) > 50
    shown, tested = ({card for prompt in said for card in CARD.findall(prompt)} for said in (explain, judge))
    assert len(shown) > 100 and len(tested) > 50
    assert not shown & tested
    words = (*cells.obs_names, *WITHHELD, *cells.obs.donor.unique(), *cells.obs.kind.unique())
    for prompt in (*explain, *judge):
        assert not any(word in prompt for word in words)


def test_test_cells_are_of_donors_that_no_explain_prompt_shows(asked):
    cells = small_cells()
    totals = pd.Series(cells.X.sum(1).A1.astype(int), index=cells.obs_names)
    trials = pd.read_parquet(asked.directory / "trials.parquet")
    held_out = set(trials.group.unique())
    assert set(cells.obs.donor[trials.item_id.astype(str).unique()]) == held_out
    explain = [prompt_of(r.body) for r in asked.requests if not is_judging(r.body)]
    for card in {card for prompt in explain for card in CARD.findall(prompt)}:
        total = int(re.match(r"total counts (\d+)", card)[1])
        assert set(cells.obs.donor[totals.index[totals == total]]) - held_out


def test_every_trial_names_the_request_that_answered_it(asked):
    trials = pd.read_parquet(asked.directory / "trials.parquet")
    by_model = trials[trials.judge == "openai/x"]
    with Ledger(asked.directory / "ledger.sqlite", read_only=True) as ledger:
        assert set(by_model.prompt) <= ledger.keys()
        assert len(ledger) == len(asked.requests)
    assert (trials[trials.judge != "openai/x"].prompt == "").all()


def test_the_judge_can_be_another_model_and_is_named(asked, server, tmp_path):
    ended = command(
        *asked.options, "--base-url", server.url, "--judge", "openai/second", "--out", tmp_path / "two"
    )
    assert ended.code == 0
    assert not ended.saying("warning: The judge is the labeling model")
    scores = pd.read_csv(tmp_path / "two" / "scores.csv")
    assert set(scores[(scores.scorer == "detection") & (scores.explainer == "one_shot")].judge) == {
        "openai/second"
    }
    assert len(asked.ended.saying("warning: The judge is the labeling model")) == 1


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (lambda: say("I would say it is a T cell."), "parse"),
        (lambda: say_json({"title": "no description"}), "parse"),
        (lambda: error(500), "endpoint"),
        (lambda: empty(), "empty"),
    ],
)
def test_a_label_that_fails_is_a_row_with_its_reason(asked, server, tmp_path, broken, kind):
    bad = "PROG2"  # the latents whose strongest gene is of this program

    def reply(body, n):
        told = biologist({**body, "messages": body["messages"][:1]})
        failing = not is_judging(body) and json.loads(told.text)["title"].startswith(bad)
        return broken() if failing else told

    server.reply = reply
    ended = command(*asked.options, "--base-url", server.url, "--out", tmp_path / "failed")
    assert ended.code == 0, ended.err
    labels = pd.read_csv(tmp_path / "failed" / "labels.csv", keep_default_na=False).set_index("latent")
    assert labels.reason[2].startswith(f"failed ({kind})")
    assert labels.title[2] == labels.label_id[2] == ""
    assert (labels.reason[[0, 1, 3, 4, 5]] == "").all()
    scores = pd.read_csv(tmp_path / "failed" / "scores.csv")
    (row,) = scores[(scores.latent == 2) & (scores.explainer == "one_shot")].to_dict(orient="records")
    assert np.isnan(row["value"]) and row["reason"] == f"label failed ({kind})"
    with Ledger(tmp_path / "failed" / "ledger.sqlite", read_only=True) as ledger:
        assert ledger.totals().failures > 0 or kind == "parse"

    server.reply = biologist  # going on asks for what failed, and for what follows from it
    server.requests.clear()
    assert command(*asked.options, "--base-url", server.url, "--out", tmp_path / "failed").code == 0
    if kind == "parse":  # an answer it was, if no readable one: it stands
        assert not server.requests
    else:
        assert tables(tmp_path / "failed") == tables(asked.directory)


def test_failed_answers_are_counted_and_too_many_give_no_value(asked, server, tmp_path):
    def reply(body, n):
        told = json.loads(biologist(body).text)
        if is_judging(body):
            skipped = 4 if "PROG0" in prompt_of(body).split("</title>")[0] else 1
            told["answers"] = told["answers"][skipped:]
        return say_json(told)

    server.reply = reply
    ended = command(*asked.options, "--base-url", server.url, "--out", tmp_path / "holes")
    assert ended.code == 0
    scores = pd.read_csv(tmp_path / "holes" / "scores.csv")
    own = scores[
        (scores.scorer == "detection") & (scores.explainer == "one_shot") & (scores.negatives == "all")
    ]
    auroc = own[own.metric == "auroc"].set_index("latent")
    assert np.isnan(auroc.value[0])
    assert "answers failed" in auroc.reason[0]
    whole = pd.read_csv(asked.directory / "scores.csv")
    whole = whole[(whole.explainer == "one_shot") & (whole.metric == "auroc") & (whole.negatives == "all")]
    for latent in range(1, 6):
        assert auroc.value[latent] > 0.9
        all_items = int(whole.set_index("latent").n[latent])
        assert auroc.n_failed[latent] == -(-all_items // 10)  # the first of each batch of ten
        assert auroc.n[latent] + auroc.n_failed[latent] == all_items
    trials = pd.read_parquet(tmp_path / "holes" / "trials.parquet")
    assert (trials.answer.isna() == (trials.failure != "")).all()
    assert (trials[trials.answer.isna()].failure == "no answer for this item").all()


def test_an_endpoint_that_never_answers_stops_the_run_in_one_line(asked, server, tmp_path):
    server.reply = lambda body, n: error(401, f"Incorrect API key provided: {KEY}", code="invalid_api_key")
    ended = command(*asked.options, "--base-url", server.url, "--out", tmp_path / "no")
    assert ended.code == 2
    assert ended.lines[-1].startswith("autointerp: ") and "refuses the API key" in ended.lines[-1]
    assert "Traceback" not in ended.err


def test_no_file_and_no_message_holds_a_key(cells, server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    options = ("run", "--data", cells, *BROUGHT, "--base-url", server.url)
    ended = [command(*options, "--model", "openai/x", "--out", tmp_path / "ok")]
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    server.reply = lambda body, n: error(401, f"Incorrect API key provided: {KEY}", code="invalid_api_key")
    for model in ("openai/x", "litellm/openai/x"):
        ended.append(command(*options, "--model", model, "--out", tmp_path / model.split("/")[0]))
    assert [one.code for one in ended] == [0, 2, 2]
    for one in ended:
        assert KEY not in one.out + one.err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path


def test_labeler_and_judge_can_sit_at_two_endpoints(cells, tmp_path):
    directory = tmp_path / "run"
    with (
        ScriptedServer(biologist) as labeler,
        ScriptedServer(biologist) as judge,
        ScriptedServer(biologist) as other,
    ):
        places = ("--base-url", labeler.url, "--judge", "y", "--judge-base-url", judge.url)
        ended = command("run", "--data", cells, *BROUGHT, "--model", "x", *places, "--out", directory)
        assert ended.code == 0, ended.err
        assert labeler.requests and all(not is_judging(request.body) for request in labeler.requests)
        assert judge.requests and all(is_judging(request.body) for request in judge.requests)
        before = len(labeler.requests)
        ended = command("score", directory, "--judge", "z", "--judge-base-url", other.url)
        assert ended.code == 0, ended.err
        assert len(labeler.requests) == before  # another judge asks for no label again
        assert len(other.requests) == len(judge.requests)


def test_a_run_from_memory_is_not_continued_on_the_command_line(tmp_path):
    import autointerp as ai

    run = ai.start(small_cells(), embedding="X_emb", activations="X_act", out=tmp_path / "run")
    run.encode()
    ended = command("label", tmp_path / "run")
    assert (ended.code, len(ended.lines)) == (2, 1)
    assert "in memory" in ended.err


def test_how_replies_were_read_is_counted_in_the_record(asked):
    counted = json.loads((asked.directory / "run.json").read_text())["parse_status"]
    assert counted["labels"] == {"ok": int((asked.labels.parse_status == "ok").sum())}
    trials = pd.read_parquet(asked.directory / "trials.parquet")
    assert counted["answers"] == {"ok": int((trials.parse_status == "ok").sum())}
    assert counted["answers"]["ok"] > 100


def test_rows_of_a_label_file_for_latents_that_do_not_exist_are_named(cells, tmp_path):
    (tmp_path / "mine.csv").write_text(
        "latent,title,key_features\n0,a program,PROG0A+\n999,nothing,PROG1A+\n"
    )
    named = ("--explainer", f"file:{tmp_path / 'mine.csv'}", "--out", tmp_path / "run")
    ended = command("run", "--data", cells, *BROUGHT, *named)
    assert ended.code == 0, ended.err
    assert len([line for line in ended.saying("warning: ") if "999" in line]) == 1
