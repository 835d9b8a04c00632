"""Does the ledger of a run show that no explainer was told of a test cell, nor of a cell of a test donor?"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pandas as pd
import pytest

from autointerp.config import RunConfig
from autointerp.llm.ledger import Ledger
from autointerp.prepare import Prepared
from tests.run.biologist import is_judging, prompt_of
from tests.run.conftest import command
from tests.run.small_cells import BROUGHT

CARD = re.compile(r"<cell>\n(.*?)\n</cell>", re.DOTALL)
BUDGET = 20  # calls per labeled latent: its label, detection and fuzzing, without controls


def cards(prompts: list[str]) -> set[str]:
    """Without marks."""
    return {re.sub("[«»]", "", card) for prompt in prompts for card in CARD.findall(prompt)}


@pytest.mark.parametrize("group", ["donor", None])
def test_the_ledger_shows_no_test_cell_in_any_prompt_of_an_explainer(cells, server, tmp_path, group):
    options = BROUGHT if group else BROUGHT[:4]
    model = ("--model", "openai/x", "--base-url", server.url, "--scorers", "detection,fuzzing")
    ended = command("run", "--data", cells, *options, *model, "--controls", "none", "--out", tmp_path / "run")
    assert ended.code == 0, ended.err
    with Ledger(tmp_path / "run" / "ledger.sqlite", read_only=True) as ledger:
        requests = [ledger.request(key) for key in sorted(ledger.keys())]
    explain = [prompt_of(r) for r in requests if not is_judging(r)]
    judge = [prompt_of(r) for r in requests if is_judging(r)]
    assert len(explain) == 7 and len(judge) > 50
    config = RunConfig(data=cells, embedding="X_emb", activations="X_act", group=group)
    prepared = Prepared(config)
    split, corpus = prepared.split, prepared.corpus
    rendered = {
        name: {card.text for card in corpus.render(split.rows(name))}
        for name in ("explain", "develop", "test")
    }
    shown = cards(explain)
    assert len(shown) > 100
    assert shown <= rendered["explain"]  # all of it, and so no cell of develop or of test
    assert not shown & rendered["test"]
    if group:
        held_out = set(corpus.groups[split.rows("test")])
        assert split.mode == "group" and not held_out & set(corpus.groups[split.rows("explain")])
    assert cards(judge) <= rendered["test"]  # and judges are asked about test cells only

    labels = pd.read_csv(tmp_path / "run" / "labels.csv", keep_default_na=False)
    assert len(requests) / (labels.reason == "").sum() <= BUDGET


def test_calibration_asks_judges_about_develop_cells_and_still_shows_explainers_none(cells, server, tmp_path):
    """By the purpose that the ledger keeps of each request, read from the file itself."""
    model = ("--model", "openai/x", "--base-url", server.url, "--scorers", "detection,fuzzing", "--calibrate")
    ended = command("run", "--data", cells, *BROUGHT, *model, "--controls", "none", "--out", tmp_path / "run")
    assert ended.code == 0, ended.err
    path = tmp_path / "run" / "ledger.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        purposes = dict(file.execute("SELECT key, purpose FROM answers"))
    with Ledger(path, read_only=True) as ledger:
        asked = {key: prompt_of(ledger.request(key)) for key in purposes}
    assert set(purposes.values()) == {"explain", "judge"}
    by_purpose = {p: cards([asked[k] for k in asked if purposes[k] == p]) for p in ("explain", "judge")}
    prepared = Prepared(RunConfig(data=cells, embedding="X_emb", activations="X_act", group="donor"))
    split, corpus = prepared.split, prepared.corpus
    rendered = {
        name: {card.text for card in corpus.render(split.rows(name))}
        for name in ("explain", "develop", "test")
    }
    assert len(by_purpose["explain"]) > 100 and by_purpose["explain"] <= rendered["explain"]
    assert not by_purpose["explain"] & (rendered["develop"] | rendered["test"])
    assert by_purpose["judge"] <= rendered["develop"] | rendered["test"]
    assert by_purpose["judge"] & rendered["develop"] and by_purpose["judge"] & rendered["test"]
    groups = {name: set(corpus.groups[split.rows(name)]) for name in rendered}
    assert not groups["explain"] & groups["test"] and not groups["explain"] & groups["develop"]
