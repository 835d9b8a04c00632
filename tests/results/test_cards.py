"""Does the report's payload say of each latent what the run found, and nothing that it did not?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autointerp.config import RunConfig
from autointerp.evidence.activations import Activations
from autointerp.reporting import report_payload
from autointerp.results.cards import (
    MAX_COLUMNS,
    latent_entry,
    map_points,
    score_entries,
    summary_rows,
    value_codes,
)
from autointerp.results.latents import latents_table
from autointerp.results.payload import status_of
from autointerp.results.report import render_report
from autointerp.results.tables import label_row, scores_frame
from autointerp.run import Run
from autointerp.schema import Failure, Score
from eval.planted import planted_cells
from tests.tiny_corpus import label


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run on planted cells with a map: the six factors as latents, one null, one that fires too rarely."""
    cells = planted_cells(seed=4)
    adata = cells.adata.copy()
    rng = np.random.default_rng(0)
    adata.obsm["X_umap"] = adata.obsm["X_pca"][:, :2] + rng.normal(0, 0.01, (2000, 2))
    null = np.where(rng.random(2000) < 0.1, 1.0, 0)
    rare = np.where(np.arange(2000) < 12, 1.0, 0)
    adata.obsm["activations"] = np.column_stack([cells.activity, null, rare])
    config = RunConfig(
        data=Path("planted.h5ad"),
        embedding="X_planted",
        activations="activations",
        group="donor",
        out=tmp_path_factory.mktemp("cards") / "run",
    )
    run = Run(config, data=adata)
    payload = report_payload(
        "run", config, run.prepared, run.labels, run.labels_table, run.scores, run.summary, run.comparisons,
        run.dictionaries_table, [], {}, "autointerp",
    )  # fmt: skip
    return cells, run, payload


def test_the_payload_of_a_run_is_a_page(made):
    _, _, payload = made
    page = render_report(payload)
    assert b"<!doctype html>" in page[:200].lower()
    for entry in payload["latents"]:
        if entry["title"]:
            assert entry["title"].split(",")[0].encode() in page


def test_every_latent_has_an_entry_and_a_status(made):
    _, run, payload = made
    assert [entry["latent"] for entry in payload["latents"]] == list(range(8))
    status = [status_of(entry) for entry in payload["latents"]]
    assert status == ["scored"] * 6 + ["abstained", "not explainable"]
    assert payload["latents"][7]["contrasts"] == []
    assert payload["latents"][7]["examples"] == []
    assert "fires on" in payload["latents"][7]["reason"]
    counts = run.prepared.activations.n_active()
    for entry in payload["latents"]:
        assert entry["n_active"] == counts[entry["latent"]]
        assert entry["firing_rate"] == pytest.approx(counts[entry["latent"]] / 2000)
        assert sum(entry["histogram"]["counts"]) == counts[entry["latent"]]


def test_breakdowns_count_the_cells(made):
    cells, _, payload = made
    obs = cells.adata.obs
    for entry in payload["latents"][:6]:
        active = cells.activity[:, entry["latent"]] > 0
        for column in ("donor", "batch", "cell_type"):
            found = {v["value"]: (v["n"], v["n_active"]) for v in entry["breakdown"][column]}
            expected = (
                pd.DataFrame({"value": obs[column].astype(str), "active": active}).groupby("value").active
            )
            assert found == {
                v: (int(n), int(a)) for (v, n), a in zip(expected.size().items(), expected.sum(), strict=True)
            }


def test_scores_stand_beside_their_controls(made):
    _, run, payload = made
    ceilings = (
        run.scores[run.scores.explainer == "ceiling"].set_index(["latent", "metric", "negatives"]).value
    )
    for entry in payload["latents"][:6]:
        (headline,) = [
            s
            for s in entry["scores"]
            if (s["scorer"], s["metric"], s["negatives"]) == ("detection", "auroc", "random")
        ]
        best = ceilings[entry["latent"], "auroc", "random"]
        assert headline["ceiling"] == best
        assert headline["share"] == pytest.approx((headline["value"] - 0.5) / (best - 0.5))
        assert headline["ci_low"] <= headline["value"] <= headline["ci_high"]
        signature = [s for s in entry["scores"] if s["scorer"] == "signature"]
        assert [s["ceiling"] for s in signature] == [None]  # of other items
        assert len(entry["scores"]) == len(
            {(s["scorer"], s["metric"], s["negatives"]) for s in entry["scores"]}
        )


def test_examples_are_explain_cells_with_a_silent_look_alike(made):
    _, run, payload = made
    ids = run.prepared.corpus.ids
    explain = set(ids[run.prepared.split.rows("explain")])
    for entry in payload["latents"][:7]:
        latent = entry["latent"]
        active = set(ids[run.prepared.activations.latent(latent)[0]])
        assert 4 <= len(entry["examples"]) <= 8
        for example in entry["examples"]:
            assert example["id"] in explain & active
            assert 1 <= example["strength"] <= 10
            if example["look_alike"] is not None:
                assert example["look_alike"]["id"] in explain - active
        strengths = [example["strength"] for example in entry["examples"]]
        assert strengths == sorted(strengths, reverse=True)
        assert sum(e["look_alike"] is not None for e in entry["examples"]) >= 3


def test_points_of_the_map_light_up_where_the_latent_fires(made):
    cells, _, payload = made
    assert payload["umap"]["name"] == "X_umap"
    assert len(payload["umap"]["x"]) == 2000
    for entry in payload["latents"][:6]:
        lit = np.zeros(2000)
        lit[entry["activations"]["rows"]] = entry["activations"]["values"]
        assert lit == pytest.approx(cells.activity[:, entry["latent"]], rel=1e-3)


def test_claims_and_contrasts_are_those_of_the_label(made):
    _, run, payload = made
    for entry in payload["latents"][:6]:
        claims = run.labels.outcomes["markers", entry["latent"]].claims
        assert [(k["name"], k["verdict"]) for k in entry["key_features"]] == [
            (c.feature, c.verdict) for c in claims
        ]
        for block in entry["contrasts"]:
            assert all(row["shift"] > block["null"] for row in block["up"])
            assert all(row["shift"] < -block["null"] for row in block["down"])


def test_the_headline_leads_the_summary(made):
    _, run, payload = made
    first = payload["summary"][0]
    assert (first["scorer"], first["metric"], first["negatives"]) == ("detection", "auroc", "random")
    assert len(payload["summary"]) == len(run.summary)
    assert not any(isinstance(v, float) and np.isnan(v) for row in payload["summary"] for v in row.values())
    assert first["n_not_explainable"] == 1


# ------------------------------------------------------------------------ parts


SILENT = Activations.from_matrix(np.eye(3), 3, "three")


@pytest.mark.parametrize(
    ("outcome", "scores", "status"),
    [
        (label(0), [], "not scored"),
        (label(0), [{"value": None}], "not scored"),
        (label(0), [{"value": 0.5}], "scored"),
        (label(0, title="", abstained=True), [], "abstained"),
        (Failure("parse", "no JSON"), [], "failed"),
        ("not explainable: dead", [], "not explainable"),
        ("left out by --max-latents", [], "not scored"),
    ],
)
def test_the_status_of_a_latent(outcome, scores, status):
    row = label_row("run", "d", 0, "ours", outcome, 0.1, 5)
    given = outcome if hasattr(outcome, "title") and not isinstance(outcome, str) else None
    assert latent_entry(row, given, scores, None, SILENT, {}, None)["status"] == status


def test_a_latent_that_never_fires_has_no_histogram():
    dead = Activations.from_matrix(np.array([[0.0], [0.0]]), 2, "dead")
    row = label_row("run", "d", 0, "ours", "not explainable: dead", 0.0, 0)
    assert latent_entry(row, None, [], None, dead, {}, np.arange(2))["histogram"] is None


def test_which_annotations_are_broken_down():
    n = 40
    obs = pd.DataFrame(
        {
            "one": ["a"] * n,
            "two": ["b", "a"] * (n // 2),
            "many": [f"v{i}" for i in range(n)],
            "float": np.linspace(0, 1, n).round(0),
            "flag": [True, False] * (n // 2),
            "gaps": pd.Categorical(["x", None, "y", "x"] * (n // 4)),
            "number": np.arange(n) % 3,
        }
    )
    found = value_codes(obs)
    assert list(found) == ["two", "flag", "gaps", "number"]
    codes, names, sizes = found["gaps"]
    assert names == ["x", "y"]
    assert codes[:4].tolist() == [0, -1, 1, 0]
    assert sizes.tolist() == [20, 10]
    wide = pd.DataFrame({f"c{i}": obs["two"] for i in range(20)})
    assert len(value_codes(wide)) == MAX_COLUMNS


class Mapped:
    """A corpus with a map on which one item lies nowhere."""

    def __init__(self, n):
        self.xy = np.column_stack([np.arange(n), -np.arange(n)]).astype(np.float32)
        self.xy[3] = np.nan

    def planar_embedding(self):
        return "X_umap", self.xy


def test_a_map_has_five_thousand_points_at_most_and_none_that_lies_nowhere():
    points, rows = map_points(Mapped(6000), seed=0)
    assert len(points["x"]) == len(rows) == 5000
    assert (np.diff(rows) > 0).all()
    assert 3 not in rows
    assert points["x"] == rows.tolist()
    assert np.array_equal(map_points(Mapped(6000), seed=0)[1], rows)
    assert not np.array_equal(map_points(Mapped(6000), seed=1)[1], rows)
    assert map_points(Mapped(10), seed=0)[1].tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def score(latent: int, explainer: str = "ours", scorer: str = "detection", **fields) -> Score:
    given = Score(latent, explainer, "id", scorer, "rule", "auroc", "random", 0.9, n=80, n_pos=40)
    return dataclasses.replace(given, **fields)


def test_score_entries_by_hand():
    frame = scores_frame(
        "run",
        "d",
        [
            score(0, shuffled_value=0.4),
            score(0, metric="recall", negatives=""),
            score(1, value=None, reason="abstained"),
            score(0, scorer="signature"),
            score(0, "ceiling", value=0.95, ci_low=0.9),
        ],
    )
    found = score_entries(frame)
    assert set(found) == {("ours", 0), ("ours", 1)}
    auroc, recall, signature = found["ours", 0]
    assert (auroc["value"], auroc["shuffled"], auroc["ceiling"]) == (0.9, 0.4, 0.95)
    assert auroc["share"] == pytest.approx(0.4 / 0.45)
    assert (recall["ceiling"], recall["share"]) == (None, None)
    assert (signature["ceiling"], signature["share"]) == (None, None)
    (missing,) = found["ours", 1]
    assert (missing["value"], missing["share"], missing["reason"]) == (None, None, "abstained")


def test_summary_rows_are_sorted_and_hold_no_nan():
    rows = [
        {"explainer": "ours", "scorer": scorer, "metric": metric, "negatives": kind, "median": value}
        for scorer, metric, kind, value in (
            ("signature", "auroc", "random", 0.9),
            ("detection", "recall", "", np.nan),
            ("detection", "auroc", "all", 0.7),
            ("detection", "auroc", "random", 0.8),
            ("detection", "auroc", "neighbour", 0.6),
        )
    ]
    found = summary_rows(pd.DataFrame(rows))
    assert [row["median"] for row in found] == [0.8, 0.6, 0.7, None, 0.9]


def test_the_table_of_latents_shows_the_first_explainer(made):
    labels = pd.DataFrame(
        [
            label_row("run", "d", j, name, label(j, title=f"{name} {j}"), 0.1, 50)
            for name in ("first", "second")
            for j in range(3)
        ]
    )
    scores = scores_frame(
        "run",
        "d",
        [
            score(0, "second", value=0.1),
            score(0, "first", ci_low=0.8, ci_high=0.95, shuffled_value=0.5),
            score(0, "first", negatives="all", value=0.7),
            score(2, "first", value=None, reason="abstained"),
        ],
    )
    found = latents_table(labels, scores)
    assert found.title.tolist() == ["first 0", "first 1", "first 2"]
    assert found.auroc_random.tolist()[0] == 0.9
    assert found.auroc_all.tolist()[0] == 0.7
    assert found.loc[0, ["auroc_low", "auroc_high", "auroc_shuffled"]].tolist() == [0.8, 0.95, 0.5]
    assert found.auroc_random.isna().tolist() == [False, True, True]
    assert found.auroc_neighbour.isna().all()
    _, run, _ = made
    whole = latents_table(run.labels_table, run.scores)
    assert len(whole) == 8
    assert whole.auroc_random.notna().tolist() == [True] * 6 + [False] * 2


def test_columns_of_lists_and_mixed_types_are_broken_down_as_text() -> None:
    obs = pd.DataFrame({"lists": [[1, 2], [3], None, [3]], "mixed": [1, "a", None, 1.5], "few": [1, 1, 1, 1]})
    codes = value_codes(obs)
    assert codes["lists"][1] == ["[1, 2]", "[3]"] and codes["lists"][0].tolist() == [0, 1, -1, 1]
    assert codes["mixed"][1] == ["1", "1.5", "a"] and "few" not in codes
