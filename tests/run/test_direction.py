"""Does a real run ask what edits do of features that no label writer saw, and of no label whose writer saw edits?"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

import pandas as pd
import pytest

from autointerp import labeling
from autointerp.explain.markers import Markers
from autointerp.intervene.held_out import held_out_features
from autointerp.llm.ledger import Ledger
from autointerp.schema import Label
from autointerp.score.registry import SCORERS
from tests.llm.tiny_llama import save_tiny_llama
from tests.results.stored_trials import KEYS, from_rows
from tests.run.biologist import GENE, biologist
from tests.run.conftest import command
from tests.run.small_cells import small_cells
from tests.scripted_server import ScriptedServer

pytestmark = pytest.mark.filterwarnings("ignore:FastICA did not converge")
QUICK = ("--embedding", "X_emb", "--dictionary", "ica", "--latents", 32, "--k", 3, "--group", "donor")
NAMES = small_cells().var_names.to_numpy(dtype=str)
HELD = set(NAMES[held_out_features(NAMES, 0)].tolist())
SCORER = "direction:genes:0.3"
TINKERED = 7  # one of the six latents that get a label


def config(folder, held=True):
    toml = folder / "more.toml"
    toml.write_text(f'decoder = "tests.run.small_decoder:decode"\nheld_out_features = {str(held).lower()}\n')
    return ("--config", toml)


def scores(directory, scorer) -> pd.DataFrame:
    table = pd.read_csv(directory / "scores.csv", keep_default_na=False, na_values=[""])
    return table[table.scorer == scorer]


@pytest.fixture(scope="module")
def asked(cells, tmp_path_factory):
    """The directory of a run in which a model wrote the labels and was asked about features kept from it."""
    folder = tmp_path_factory.mktemp("direction")
    with ScriptedServer(biologist) as server:
        named = ("--model", "openai/x", "--endpoint-name", "scripted", "--base-url", server.url)
        run = ("run", "--data", cells, *QUICK, *config(folder), *named, "--scorers", "direction")
        ended = command(*run, "--out", folder / "run")
        assert ended.code == 0, ended.err
        sent = len(server.requests)
        assert command("report", folder / "run").code == 0
        assert len(server.requests) == sent  # nothing is asked twice
    return folder / "run"


def test_who_knows_the_programs_predicts_features_that_the_label_does_not_name(asked):
    found = scores(asked, SCORER)
    own = found[(found.metric == "above_chance") & found.value.notna()]
    assert len(own) >= 4 and set(own.negatives) == {"genes:0.3"}
    assert own.value.mean() > 0.05 and own.value.mean() > own.shuffled_value.mean()
    assert own.shuffled_value.notna().any() and not own.reason.str.contains("seen").any()
    reached = found[found.metric == "sigma_on_test"].value.dropna()
    assert len(reached) == len(own) and reached.between(0.15, 0.6).all()
    summary = json.loads((asked / "run.json").read_text())["summary"]
    (row,) = [r for r in summary if r["metric"] == "above_chance"]
    assert row["scorer"] == SCORER and row["mean_all"] is not None and row["shuffled"] is not None


def test_the_ledger_holds_no_held_out_name_before_the_questions_about_directions(asked):
    with sqlite3.connect(asked / "ledger.sqlite") as db:
        purposes = dict(db.execute("SELECT key, purpose FROM answers"))
    told: dict[str, set[str]] = {"explain": set(), "judge": set()}
    with Ledger(asked / "ledger.sqlite", read_only=True) as ledger:
        for key, purpose in purposes.items():
            told[purpose] |= set(GENE.findall(json.dumps(ledger.request(key)["messages"])))
    assert set(purposes.values()) == {"explain", "judge"}
    assert told["explain"] & set(NAMES) and not told["explain"] & HELD
    assert told["judge"] & HELD
    trials = pd.read_parquet(asked / "trials.parquet")
    assert set(trials.asked) <= HELD and set(trials.kind) == {"held_out"}


def test_the_numbers_come_from_the_trials_alone(asked):
    trials = pd.read_parquet(asked / "trials.parquet")
    ids = small_cells().obs_names.to_numpy(dtype=str)
    stored = scores(asked, SCORER).set_index(["latent", "metric"])
    own = trials[trials.control == ""]
    n = 0
    for _, part in own.groupby(KEYS, sort=False, observed=True):
        for score in SCORERS[SCORER].scores(from_rows(part, ids), 0.1, "group", ""):
            row, n = stored.loc[(score.latent, score.metric)], n + 1
            assert row.value == pytest.approx(score.value, rel=1e-5) and row.n == score.n
            assert row.ci_method == (score.ci_method or pytest.approx(float("nan"), nan_ok=True))
    assert n >= 12


def test_without_held_out_features_the_numbers_say_that_writers_could_see_them(cells, tmp_path):
    run = ("run", "--data", cells, *QUICK, *config(tmp_path, held=False), "--scorers", "direction")
    assert command(*run, "--out", tmp_path / "run").code == 0
    found = scores(tmp_path / "run", SCORER)
    own = found[(found.metric == "above_chance") & found.value.notna()]
    assert len(own) >= 4 and own.reason.str.contains("seen by the label writer").all()
    assert own.value.mean() > 0.1  # a rule reads key features, which may be asked about here
    trials = pd.read_parquet(tmp_path / "run" / "trials.parquet")
    assert set(trials.kind) == {"seen"} and not set(trials.asked) <= HELD
    page = (tmp_path / "run" / "scores.csv").read_text()
    assert (
        command("report", tmp_path / "run").code == 0
        and (tmp_path / "run" / "scores.csv").read_text() == page
    )
    assert "seen by the label writer" in (tmp_path / "run" / "report" / "index.html").read_text()


class Tinkerer(Markers):
    """Writes one of its labels after it has seen what edits do."""

    name = "tinkerer"

    async def explain(self, evidence, llm=None, lab=None):
        said = await super().explain(evidence, llm, lab)
        return replace(said, saw_edits=evidence.latent == TINKERED) if isinstance(said, Label) else said


@pytest.mark.parametrize("judge", ["signature", "hf"])
def test_no_intervention_scores_a_label_whose_writer_saw_edits(cells, tmp_path, monkeypatch, judge):
    monkeypatch.setitem(labeling.EXPLAINERS, "tinkerer", lambda *options: Tinkerer())
    names = ["match:genes:0.3", "2afc:genes:0.3", SCORER]
    if judge == "hf":
        pytest.importorskip("transformers")
        judge, names = f"hf:{save_tiny_llama(tmp_path / 'tiny', longest=4096)}", ["gain:genes:0.3"]
    options = ("--explainer", "tinkerer", "--scorers", ",".join(names), "--judge", judge)
    run = ("run", "--data", cells, *QUICK, *config(tmp_path, held=False), *options)
    ended = command(*run, "--out", tmp_path / "run")
    assert ended.code == 0, ended.err
    for name in names:
        found = scores(tmp_path / "run", name)
        found = found[(found.metric == SCORERS[name].metric) & (found.n + found.n_failed > 0)]
        assert len(found) and (found.latent != TINKERED).all() and found.value.notna().any(), name
        seen = scores(tmp_path / "run", name)
        seen = seen[seen.reason == "not scored (seen)"]
        assert len(seen) == 1 and (seen.latent == TINKERED).all() and seen.value.isna().all(), name
        assert set(seen.metric) == {SCORERS[name].metric}
    trials = pd.read_parquet(tmp_path / "run" / "trials.parquet")
    assert (trials[trials.control == ""].latent != TINKERED).all()
