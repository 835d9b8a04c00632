"""Do match and 2AFC run end to end, by a rule, by a model through the wire, from the ledger, and say what they lack?"""

from __future__ import annotations

import re

import pandas as pd
import pytest

from autointerp import config
from autointerp.score import match
from autointerp.score.registry import SCORERS
from tests.run.biologist import CHANGED, biologist, prompt_of
from tests.run.conftest import command, tables
from tests.run.small_cells import BROUGHT
from tests.scripted_server import ScriptedServer

pytestmark = pytest.mark.filterwarnings("ignore:FastICA did not converge")
PLACE = "genes:0.03"  # within reach of the small cells' kernel readout
NAMES = (f"match:{PLACE}", f"2afc:{PLACE}")
QUICK = ("--embedding", "X_emb", "--dictionary", "ica", "--latents", 32, "--k", 3, "--group", "donor")
DESCRIBED = re.compile(r"<description>\n(.*?)\n</description>", re.DOTALL)


@pytest.fixture(scope="module")
def small_sigma():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "SCORERS", (*config.SCORERS, *NAMES))
        patch.setattr(config, "AMPLIFIED", (*config.AMPLIFIED, PLACE))
        made = (match._scorer(NAMES[0], 5, match.five), match._scorer(NAMES[1], 2, match.two))
        for scorer in made:
            patch.setitem(SCORERS, scorer.name, scorer)
        yield


@pytest.fixture(scope="module")
def ruled(cells, small_sigma, tmp_path_factory):
    """Marker labels, judged by their key features."""
    directory = tmp_path_factory.mktemp("ruled") / "run"
    options = ("--scorers", f"{','.join(NAMES)},match,match:classes:0.3", "--category", "kind")
    ended = command("run", "--data", cells, *QUICK, *options, "--out", directory)
    assert ended.code == 0, ended.err
    return directory


def scores(directory, scorer) -> pd.DataFrame:
    table = pd.read_csv(directory / "scores.csv", keep_default_na=False, na_values=[""])
    return table[table.scorer == scorer]


def test_labels_by_markers_fit_what_their_latents_do(ruled):
    for name in NAMES:
        found = scores(ruled, name)
        own = found[(found.metric == "above_chance") & found.value.notna()]
        assert len(own) >= 4 and set(own.negatives) == {PLACE}
        assert own.value.mean() > 0.25 and own.value.mean() > own.shuffled_value.mean() + 0.2
        reached = found[found.metric == "sigma_on_test"].value.dropna()
        assert len(reached) == len(own) and reached.between(0.01, 0.1).all()


def test_what_is_not_reachable_or_cannot_be_judged_says_why(ruled):
    found = scores(ruled, "match:genes:0.3")
    assert found[found.value.isna()].reason.str.contains("not_reachable: |abstained|not explainable").all()
    far = found[found.reason.str.startswith("not_reachable: ", na=False)]
    assert len(far) >= 4 and set(far.metric) == {"above_chance"} and set(far.negatives) == {"genes:0.3"}
    failed = scores(ruled, "match:classes:0.3")
    failed = failed[failed.n_failed > 0]  # a rule reads genes, and the report names classes
    assert len(failed) and failed.reason.str.contains("no label lists a feature").all()


def test_a_model_is_counted_first_then_asked_once_and_its_answers_are_kept(cells, small_sigma, tmp_path):
    directory = tmp_path / "run"
    with ScriptedServer(biologist) as server:
        named = ("--model", "openai/x", "--endpoint-name", "scripted", "--base-url", server.url)
        run = ("run", "--data", cells, *QUICK, "--controls", "none", *named, "--out", directory)
        assert command(*run, "--scorers", "signature").code == 0  # labels
        n_labels = len(server.requests)
        counted = command(*run, "--scorers", NAMES[0], "--dry-run")
        assert counted.code == 0 and len(server.requests) == n_labels
        ended = command(*run, "--scorers", NAMES[0])
        assert ended.code == 0, ended.err
        asked = [r.body for r in server.requests if "was amplified" in prompt_of(r.body)]
        assert len(asked) == len(server.requests) - n_labels > 20
        assert f"{len(asked)} requests" in counted.out + counted.err
        before = tables(directory)
        assert command("report", directory).code == 0
        assert tables(directory) == before and len(server.requests) == n_labels + len(asked)
    own = scores(directory, NAMES[0])
    own = own[(own.metric == "above_chance") & own.value.notna()]
    assert len(asked) == own.n.sum() and own.value.mean() > 0.25
    for body in asked:
        prompt = prompt_of(body)
        assert len(DESCRIBED.findall(prompt)) == 5 and 1 <= len(CHANGED.findall(prompt)) <= 20


def test_what_has_no_dictionary_or_no_classes_is_refused_in_one_line(cells, tmp_path):
    for options, said in (
        ((*BROUGHT, "--scorers", "match"), "match:genes:0.3 amplifies latents"),
        ((*QUICK, "--scorers", "2afc:classes:0.1"), "Pass --category COLUMN"),
    ):
        ended = command("run", "--data", cells, *options, "--out", tmp_path / "run")
        assert ended.code == 2 and said in ended.lines[-1]
