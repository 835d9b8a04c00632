"""Do labels of several explainers and models stand side by side, and does no later command ask for them again?"""

from __future__ import annotations

import json
import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from autointerp.llm.ledger import Ledger
from tests.run.argued import conversations, model
from tests.run.biologist import is_judging
from tests.run.conftest import command
from tests.run.small_cells import BROUGHT, small_cells
from tests.scripted_server import ScriptedServer

FEW = ("--max-latents", "2", "--controls", "none", "--scorers", "detection", "--allow-unpriced")


@pytest.fixture
def server():
    with ScriptedServer(model()) as running:
        yield running


def labels(directory) -> pd.DataFrame:
    return pd.read_csv(directory / "labels.csv", keep_default_na=False).query("title != ''")


def test_each_explainer_keeps_its_model_and_its_judge(cells, server, tmp_path):
    directory, url = tmp_path / "run", server.url
    first = ("--model", "one", "--base-url", url, "--judge", "signature", "--out", directory)
    assert command("run", "--data", cells, *BROUGHT, *FEW, *first).code == 0
    before, n = labels(directory), len(server.requests)
    ended = command("label", directory, "--explainer", "agent", "--model", "two", "--rounds", 1)
    assert ended.code == 0, ended.err
    new = [body["model"] for body in server.bodies[n:]]
    assert new and set(new) == {"two"}
    after = labels(directory)
    assert after[after.explainer == "one_shot"].equals(before)
    assert dict(zip(after.explainer, after.model, strict=True)) == {"one_shot": "one", "agent": "two"}

    n = len(server.requests)
    ended = command(
        "score", directory, "--judge", "constant"
    )  # another judge, and the agent's stays what it was
    assert ended.code == 0, ended.err
    ended = command("report", directory)
    assert ended.code == 0, ended.err
    assert len(server.requests) == n and labels(directory).equals(after)
    scores = pd.read_csv(directory / "scores.csv")
    assert set(scores.judge[scores.explainer == "agent"]) == {"signature", "constant"}


def test_an_option_of_an_explainer_labels_it_again_and_no_other(cells, server, tmp_path):
    directory = tmp_path / "run"
    given = ("--model", "one", "--base-url", server.url, "--judge", "signature", "--out", directory)
    both = ("--explainer", "one_shot", "--explainer", "agent", "--rounds", 0)
    assert command("run", "--data", cells, *BROUGHT, *FEW, *given, *both).code == 0
    n = len(server.requests)
    assert command("label", directory, "--rounds", 1).code == 0
    later = server.bodies[n:]
    assert (
        0 < len(later) == len(conversations(later))
    )  # what the ledger holds of the first round is not asked for
    assert pd.read_csv(directory / "steps.csv")["round"].max() == 1
    config = json.loads((directory / "run.json").read_text())["config"]
    assert [one["explainer"] for one in config["labelers"]] == ["one_shot"] and config["rounds"] == 1


def test_a_writer_that_only_makes_things_worse_ends_with_its_first_label_beside_all_others(cells, tmp_path):
    with ScriptedServer(model(worsens=True)) as server:
        given = (
            "--model",
            "one",
            "--base-url",
            server.url,
            "--judge",
            "signature",
            "--out",
            tmp_path / "run",
        )
        names = ("one_shot", "contrastive", "best_of_n", "agent")
        several = (f"--explainer={name}" for name in names)
        assert command("run", "--data", cells, *BROUGHT, *FEW, *given, *several, "--samples", 3).code == 0
        assert len(conversations(server.bodies)) > 3  # it did try
        assert sum(body.get("temperature") == 0.8 for body in server.bodies) == 3 * 2
    said = labels(tmp_path / "run")
    assert said.explainer.tolist() == [name for name in names for _ in range(2)]
    titles = said.pivot(index="latent", columns="explainer", values="title")
    assert (titles.agent == titles.one_shot).all()


def test_an_endpoint_without_tools_is_asked_for_calls_in_json(cells, tmp_path):
    with ScriptedServer(model(tools=True, calls_natively=False)) as server:
        given = (
            "--model",
            "one",
            "--base-url",
            server.url,
            "--judge",
            "signature",
            "--endpoint-name",
            "rules",
        )
        given += ("--explainer", "agent", "--out", tmp_path / "run")
        assert command("run", "--data", cells, *BROUGHT, *FEW, *given).code == 0
        said = conversations(server.bodies)
        assert sum("tools" in body for body in server.bodies) == 1  # the probe
    assert any("## What contrast says" in str(body["messages"][-1]["content"]) for body in said)
    with Ledger(tmp_path / "run" / "ledger.sqlite", read_only=True) as ledger:
        assert ledger.learned("rules", "one")["tools"][0] is False


def test_no_request_that_writes_a_label_depends_on_a_test_cell(tmp_path):
    """What is measured of test donors changes; what the label writer is sent stays as it was, to the byte."""
    said = []
    for swapped in (False, True):
        cells = small_cells()
        if swapped:
            swap_test_cells(cells, tmp_path / "False" / "run")
        folder = tmp_path / str(swapped)
        folder.mkdir()
        cells.write_h5ad(folder / "cells.h5ad")
        with ScriptedServer(model(mistake="reversed", tools=True)) as server:
            given = (
                "--model",
                "one",
                "--base-url",
                server.url,
                "--judge",
                "signature",
                "--out",
                folder / "run",
            )
            both = ("--explainer", "one_shot", "--explainer", "contrastive", "--explainer", "agent")
            ended = command("run", "--data", folder / "cells.h5ad", *BROUGHT, *FEW, *given, *both)
            assert ended.code == 0, ended.err
            said.append(sorted(json.dumps(b, sort_keys=True) for b in server.bodies if not is_judging(b)))
    assert len(said[0]) > 10 and said[0] == said[1]
    tables = [(tmp_path / name / "run" / "scores.csv").read_bytes() for name in ("False", "True")]
    assert tables[0] != tables[1]  # the test cells did change


def swap_test_cells(cells: ad.AnnData, run) -> None:
    """Shuffle all that is measured of the test cells among them, so that as many are active as before."""
    trials = pd.read_parquet(run / "trials.parquet", columns=["group", "control"])
    trials = trials[trials.control != "calibration"]  # those are of develop
    donors = cells.obs.donor.astype(str).to_numpy()
    test = np.flatnonzero(np.isin(donors, trials.group.astype(str).unique()))
    assert 0 < len(test) < len(cells)
    other = np.random.default_rng(1).permutation(test)
    x = cells.X.tocsr().toarray()
    x[test] = x[other]
    cells.X = type(cells.X)(x)
    for key, way in (("X_emb", 1), ("X_act", 2)):
        values = cells.obsm[key].copy()
        values[test] = values[np.random.default_rng(way).permutation(test)]
        cells.obsm[key] = values


def test_an_agent_joins_a_run_that_asked_no_model(cells, server, tmp_path):
    """Within a budget, with the label writer as judge of what it tries, and of all labels from then on."""
    directory = tmp_path / "run"
    given = (*BROUGHT, "--max-latents", "2", "--controls", "none", "--scorers", "detection")
    assert command("run", "--data", cells, *given, "--out", directory).code == 0
    before = labels(directory)
    asked = ("--model", "two", "--base-url", server.url, "--price-in", 1, "--price-out", 2, "--budget-usd", 5)
    ended = command("label", directory, "--explainer", "agent", "--rounds", 4, *asked)
    assert ended.code == 0, ended.err
    after = labels(directory)
    assert after[after.explainer == "markers"].equals(before)
    assert (after[after.explainer == "agent"].model == "two").all()
    assert any(is_judging(body) for body in server.bodies)
    steps = pd.read_csv(directory / "steps.csv")
    assert set(steps.explainer) == {"agent"} and steps.stopped.dropna().nunique() >= 1
    ended = command("report", directory)
    assert ended.code == 0, ended.err


def test_a_dry_run_says_that_more_follows(cells, server, tmp_path):
    given = ("--model", "one", "--base-url", server.url, "--judge", "signature", "--out", tmp_path / "run")
    ended = command("run", "--data", cells, *BROUGHT, *FEW, *given, "--explainer", "agent", "--dry-run")
    assert ended.code == 0, ended.err
    assert server.requests == [] and re.search(
        r"Now: 1 requests", ended.out
    )  # whether the endpoint calls tools
    assert "Trials of hypotheses and further rounds follow" in ended.err
