"""Do all controls of a run come out as said: of labels paired, of dictionaries as runs of their own, all asked once?"""

from __future__ import annotations

import json
import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import sae
from autointerp.config import RunConfig
from autointerp.dictionary.controls import dictionary_controls, own_controls, sampled
from autointerp.dictionary.measures import KEY_MEASURES, Ground, encode_rows, key_measures, measure
from autointerp.evidence.splits import split_items
from autointerp.names import DICTIONARY_CONTROLS
from tests.run.biologist import biologist, prompt_of
from tests.run.conftest import command, tables
from tests.run.small_cells import BROUGHT, GENES_EACH, N_PROGRAMS, WITHHELD
from tests.run.test_refusals import refused
from tests.scripted_server import ScriptedServer

M, K = 12, 3
ON = ("--embedding", "X_emb", "--group", "donor", "--category", "kind")
ALL = "shuffled,ceiling,markers,top_set,majority,random,pca,ica,nmf,neurons"
NAMED = ("--model", "openai/x", "--endpoint-name", "scripted")
COUNT = re.compile(r"(\d+) [^;]+")


@pytest.fixture(scope="module")
def dictionary(cells, tmp_path_factory):
    """A saved dictionary, trained too briefly to be good: what is tested here does not depend on it."""
    x = np.asarray(ad.read_h5ad(cells).obsm["X_emb"])
    fitted = sae.fit(x, sae.DictionaryConfig(d=x.shape[1], m=M, k=K, seed=3, steps=40)).dictionary
    folder = tmp_path_factory.mktemp("saved") / "dictionary"
    sae.save(fitted, folder)
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    path = tmp_path_factory.mktemp("sets") / "sets.gmt"
    made = {f"NUMBER_{p}": [f"PROG{p}{chr(65 + g)}" for g in range(GENES_EACH)] for p in range(N_PROGRAMS)}
    made |= {f"BACKGROUND_{i}": [f"BACK{j}" for j in range(10 * i, 10 * i + 12)] for i in range(20)}
    path.write_text("".join("\t".join([name, "note", *genes]) + "\n" for name, genes in made.items()))
    return path


@pytest.fixture(scope="module")
def controlled(cells, dictionary, sets, tmp_path_factory):
    """A run with every control, and how its command ended."""
    out = tmp_path_factory.mktemp("controlled") / "run"
    options = (
        *ON,
        "--dictionary",
        dictionary,
        "--gene-sets",
        sets,
        "--controls",
        ALL,
        "--scorers",
        "detection",
    )
    ended = command("run", "--data", cells, *options, "--out", out)
    assert ended.code == 0, ended.err
    return out, ended


def test_label_controls_are_paired_and_never_of_themselves(controlled):
    compared = pd.read_csv(controlled[0] / "comparisons.csv")
    labels = compared[compared.kind == "label control"]
    pairs = set(zip(labels.explainer, labels.against, strict=True))
    assert {("markers", name) for name in ("shuffled", "top_set", "majority")} <= pairs
    assert not any(own == against for own, against in pairs)
    assert {against for own, against in pairs if own != "markers"} == {"shuffled"}  # no two mere controls
    assert (labels.test == "Wilcoxon signed-rank").all() and (labels.n == labels.n_control).all()
    both = labels[labels.against.isin(["top_set", "majority"])]
    assert both.control_mean_scored.notna().all() and both.control_mean_all.notna().all()
    assert set(compared[compared.kind == "ceiling"].against) == {"ceiling"}


def test_dictionary_controls_are_matched_on_firing_rate_and_counted(controlled):
    compared = pd.read_csv(controlled[0] / "comparisons.csv", keep_default_na=False, na_values=[""])
    rows = compared[compared.kind == "dictionary control"]
    assert set(rows.explainer) == {"markers"} and (rows.test == "Welch t").all()
    assert {name.split("-")[0] for name in rows.against} == set(DICTIONARY_CONTROLS)
    assert (rows.n == rows.n_control).all() and (rows.log_rate_gap.abs() <= 0.2).all()
    assert np.allclose(rows["mean"] - rows.control, rows.difference, atol=2e-6)
    for row in rows.to_dict("records"):
        sides = (
            ("unmatched", "dropped", M),
            ("unmatched_control", "dropped_control", int(row["against"].split("-")[1])),
        )
        for unmatched, dropped, m in sides:
            left_out = sum(int(n) for n in COUNT.findall("" if pd.isna(row[dropped]) else row[dropped]))
            assert row["n"] + row[unmatched] + left_out == m, row
    held = [*KEY_MEASURES, *(f"control_{name}" for name in KEY_MEASURES)]
    assert (
        rows[held].notna().all().all()
        and compared[compared.kind != "dictionary control"][held].isna().all().all()
    )
    tested = compared[compared.p.notna()]
    assert len(tested) > 20 and (tested.q >= tested.p - 1e-6).all()


def test_a_dictionary_control_is_the_run_that_its_options_name(cells, controlled, tmp_path):
    """Apart from ids of runs, to the byte: a control sees nothing of the run that it is a control of."""
    size = ("--latents", M, "--k", K, "--dictionary", "pca", "--scorers", "detection")
    ended = command("run", "--data", cells, *ON, *size, "--out", tmp_path / "alone")
    assert ended.code == 0, ended.err
    for name in ("scores.csv", "labels.csv"):
        alone, control = (
            pd.read_csv(d / name) for d in (tmp_path / "alone", controlled[0] / "controls" / "pca")
        )
        pd.testing.assert_frame_equal(alone.drop(columns="run_id"), control.drop(columns="run_id"))


def test_dictionaries_stand_beside_each_other_with_what_they_hold(controlled):
    out, ended = controlled
    table = pd.read_csv(out / "dictionaries.csv", keep_default_na=False, na_values=[""])
    assert list(dict.fromkeys(table.control.fillna(""))) == ["", *DICTIONARY_CONTROLS]
    assert table[list(KEY_MEASURES)].notna().all().all()
    own, summary = table[table.control.isna()], json.loads((out / "run.json").read_text())["summary"]
    told = {
        (r["scorer"], r["metric"], r["negatives"]): r["mean_all"]
        for r in summary
        if r["explainer"] == "markers"
    }
    for row in own.to_dict("records"):
        said = told[row["scorer"], row["metric"], row["negatives"]]
        assert pd.isna(row["mean_all"]) if said is None else row["mean_all"] == pytest.approx(said, abs=1e-5)
    scored = own.mean_scored.notna() & own.scored_low.notna()
    assert (own[scored].scored_low <= own[scored].mean_scored + 1e-9).sum() >= 3
    assert "markers − labels of pca-12-k3, explainable latents that fire as often" in ended.out
    page = (out / "report" / "index.html").read_text()
    assert "This dictionary beside simpler ones" in page and "neurons-32-k3" in page


def test_measures_beside_scores_are_those_of_the_dictionary_report():
    rng = np.random.default_rng(0)
    x, concepts = rng.normal(size=(600, 8)).astype(np.float32), rng.choice(["a", "b", None], 600)
    made = sae.fit(x, sae.DictionaryConfig(d=8, m=16, k=3, kind="random")).dictionary
    ground = Ground(split_items(600, None, 0), x, concepts)
    codes = encode_rows(made, x)
    whole = measure("random", codes, ground, made)["summary"].set_index("measure").value
    found = key_measures(codes, ground, made)
    same = {"selectivity": "selectivity_average"}
    assert found == {name: pytest.approx(whole[same.get(name, name)]) for name in KEY_MEASURES}


@pytest.mark.parametrize(
    ("explainable", "given", "asked"), [(400, None, 100), (120, None, 50), (30, None, 30), (400, 20, 20)]
)
def test_with_a_model_a_quarter_of_a_control_is_asked_about_and_at_least_fifty(explainable, given, asked):
    config = RunConfig(data="cells.h5ad", max_latents=given)
    assert sampled(config, [""] * explainable + ["fires too rarely"] * 70).max_latents == asked


@pytest.mark.parametrize(
    ("dictionary", "explainers", "controls", "noted"),
    [("pca", ("markers",), ("pca", "markers"), ["pca is this run", "markers writes"]),
     ("topk", ("markers",), ("pca", "shuffled"), []),
     ("topk", ("markers", "one_shot"), ("markers",), []),
     ("topk", ("markers",), ("markers", "top_set"), [])],
)  # fmt: skip
def test_what_would_be_held_against_itself_is_said(dictionary, explainers, controls, noted):
    config = RunConfig(data="c.h5ad", dictionary=dictionary, explainer=explainers, controls=controls)
    notes = own_controls(config)
    assert len(notes) == len(noted) and all(word in note for word, note in zip(noted, notes, strict=True))
    assert "pca" not in dictionary_controls(config) or dictionary != "pca"


@pytest.fixture(scope="module")
def asked(cells, dictionary, tmp_path_factory):
    """A run with models: first without dictionary controls, then with one. Directory, and the prompts of each."""
    out = tmp_path_factory.mktemp("asked") / "run"
    with ScriptedServer(biologist) as server:
        options = (*ON, "--dictionary", dictionary, "--controls", "shuffled", "--max-latents", 3, *NAMED)
        first = command("run", "--data", cells, *options, "--base-url", server.url, "--out", out)
        assert first.code == 0, first.err
        before, labels = [prompt_of(r.body) for r in server.requests], (out / "labels.csv").read_bytes()
        dry = command("score", out, "--controls", "shuffled,pca", "--dry-run")
        spent = json.loads((out / "run.json").read_text())["spent"]
        poor = command("score", out, "--controls", "shuffled,pca", "--budget-tokens", _tokens(spent) + 50)
        after_poor = len(server.requests)
        exported = command("batch", "export", out, "--out", out / "requests.jsonl")
        second = command("score", out, "--controls", "shuffled,pca", "--budget-tokens", 10**9)
        assert second.code == 0, second.err
        after = [prompt_of(r.body) for r in server.requests][len(before) :]
        made = _files(out)
        again = [command("score", out), command("report", out / "controls" / "pca")]
        assert made == _files(out)  # to the byte
        assert all(ended.code == 0 for ended in again), again
        assert len(server.requests) == len(before) + len(after)
        return out, before, after, labels, (dry, poor, after_poor, exported)


def _files(out: Path) -> dict[str, bytes]:
    """The tables of a run and its control."""
    own = tables(out) | {"dictionaries.csv": (out / "dictionaries.csv").read_bytes()}
    return own | {f"control {name}": found for name, found in tables(out / "controls" / "pca").items()}


def _tokens(spent: dict) -> int:
    return sum(value for name, value in spent.items() if name.startswith("tokens"))


def test_one_ledger_keeps_the_answers_of_a_run_and_its_controls(asked):
    out, before, after, labels, _ = asked
    assert len(after) >= 10 and not set(before) & set(after)  # what was asked before is not asked again
    assert labels == (out / "labels.csv").read_bytes()  # and a control changes nothing of the labels
    assert list(out.glob("**/ledger.sqlite")) == [out / "ledger.sqlite"]
    control = pd.read_csv(out / "controls" / "pca" / "labels.csv")
    assert (
        set(control.explainer) == {"one_shot"}
        and (control.reason == "").sum() + control.reason.isna().sum() <= 3
    )
    assert control.reason.str.contains("left out").sum() >= 1
    rows = pd.read_csv(out / "comparisons.csv")
    assert {"one_shot"} == set(rows[rows.kind == "dictionary control"].explainer)


def test_no_prompt_names_a_category_or_a_dictionary(asked):
    _, before, after, _, _ = asked
    for prompt in (*before, *after):
        assert not any(word in prompt for word in (*WITHHELD, "pca", "PCA", "topk", "dictionary control"))


def test_dry_runs_budgets_and_batches_cover_the_controls(asked):
    _, before, _, _, (dry, poor, after_poor, exported) = asked
    counted = re.search(r"Now: (\d+) requests", dry.out)
    assert (
        dry.code == 0 and counted is not None and int(counted[1]) == 3
    )  # labels; what is judged follows from them
    assert "The judge's requests follow from the labels" in dry.err  # those of the control
    assert poor.code == 3 and "Stopped at control pca, " in poor.err
    assert after_poor == len(before)  # a label would cost more
    assert exported.code == 0 and "3 requests" in exported.out


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        ((*ON, "--controls", "top_set"), ("--controls top_set", "--gene-sets FILE.gmt")),
        (("--embedding", "X_emb", "--controls", "majority"), ("--controls majority", "--category COLUMN")),
        ((*BROUGHT, "--controls", "shuffled,pca"), ("--controls pca", "activations were brought")),
        ((*ON, "--explainer", "file:LABELS", "--controls", "random"), ("--controls random", "--explainer markers")),
        ((*ON, "--controls", "shuffled,pcaa"), ("'pcaa'", "neurons")),
    ],
)  # fmt: skip
def test_controls_that_cannot_be_had_are_one_line(cells, tmp_path, options, saying):
    path = tmp_path / "labels.csv"
    path.write_text("latent,title,description,key_features\n0,a,b,PROG0A+\n")
    options = [f"file:{path}" if option == "file:LABELS" else option for option in options]
    refused("run", "--data", cells, *options, "--out", tmp_path / "out", saying=saying)
    assert not (tmp_path / "out").exists()
