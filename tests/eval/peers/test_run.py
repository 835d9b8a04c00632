"""Do all peers label the latents of one run, asked over a socket, and are they set beside ours item by item?"""

from __future__ import annotations

import pandas as pd
import pytest

from eval.peers.table import markdown, rows_of
from eval.planted.rule_reader import RuleReader
from eval.planted.rule_server import RuleServer
from tests.run.conftest import command
from tests.run.small_cells import BROUGHT, GENES_EACH, N_PROGRAMS, write_cells

PEERS = {
    "Delphi": "own:eval.peers.delphi:Delphi",
    "SAEBench": "own:eval.peers.saebench:SAEBench",
    "GPTCelltype": "own:eval.peers.gptcelltype:GPTCelltype",
    "ScFeatureLens": "own:eval.peers.scfeaturelens:ScFeatureLens",
}


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A run by all peers, judged by a rule, then by a model that says 0 or 1."""
    folder = tmp_path_factory.mktemp("peers")
    genes = [[f"PROG{p}{chr(65 + g)}" for g in range(GENES_EACH)] for p in range(N_PROGRAMS)]
    sets = folder / "sets.gmt"
    sets.write_text("".join(f"program {p}\t\t{chr(9).join(names)}\n" for p, names in enumerate(genes)))
    cells, out = write_cells(folder / "cells.h5ad"), folder / "run"
    named = [part for name in ("markers", *PEERS.values()) for part in ("--explainer", name)]
    with RuleServer(RuleReader().reply) as server:
        asked = ("--model", "openai/rule", "--base-url", server.url, "--allow-unpriced", "--max-latents", "4")
        given = ("--data", cells, *BROUGHT, *named, *asked, "--gene-sets", sets, "--scorers", "detection")
        ended = command("run", *given, "--controls", "shuffled", "--judge", "signature", "--out", out)
        assert ended.code == 0, ended.err
        ended = command("score", out, "--judge", "openai/rule", "--judge-form", "indices")
        assert ended.code == 0, ended.err
        prompts = [str(body["messages"][0]["content"]) for body in server.bodies]
    return out, prompts


def test_every_peer_labels_every_latent_and_finds_its_program(scored):
    labels = pd.read_csv(scored[0] / "labels.csv", keep_default_na=False)
    labels = labels[labels.reason == ""]
    assert set(labels.explainer) == {"markers", *PEERS.values()}
    programs = labels[labels.latent < N_PROGRAMS]
    for name, mine in programs.groupby("explainer"):
        right = [f"PROG{row.latent}" in row.key_features for row in mine.itertuples()]
        assert len(right) >= 3 and all(right), name
    told = programs[programs.explainer == PEERS["ScFeatureLens"]]
    assert (told.title == "program " + told.latent.astype(str)).all()


def test_label_writers_of_others_see_no_silent_cell(scored):
    shown = [prompt for prompt in scored[1] if '{"explanation"' in prompt]
    assert len(shown) == 8 and not any("silent" in prompt for prompt in shown)


def test_rows_are_paired_with_markers_under_the_same_judge(scored):
    table = pd.DataFrame(rows_of(scored[0]))
    assert set(table.explainer) == {"markers", *PEERS}
    assert set(table.judge) == {"signature", "openai/rule [indices]"}
    markers = table[table.explainer == "markers"].set_index(["judge", "negatives"])
    assert markers.to_markers.isna().all()
    for row in table[table.explainer != "markers"].to_dict("records"):
        at = row["judge"], row["negatives"]
        assert row["to_markers"] == pytest.approx(row["mean_all"] - markers.mean_all[at])
    rule = table[(table.judge == "signature") & (table.negatives == "random")].set_index("explainer")
    assert rule.mean_all["Delphi"] > 0.7 > rule.shuffled["Delphi"]
    assert rule.label_requests["Delphi"] == 4 and rule.label_requests["ScFeatureLens"] == 0
    assert "| ScFeatureLens | random | 4 of 4 |" in markdown(table)
