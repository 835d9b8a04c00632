"""Can a user bring an explainer, and is what it says held to what a label is?"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pandas as pd
import pytest

from autointerp.config import make_config
from autointerp.errors import UserError
from autointerp.explain.own import OwnExplainer
from autointerp.labeler import kept_labelers
from autointerp.labeling import make_explainers
from autointerp.schema import Failure, KeyFeature, Label
from tests.run.conftest import command
from tests.run.small_cells import BROUGHT

HERE = "own:tests.run.test_own_explainer"
NO_EXPLAINER = 3


class Strongest:
    """The one feature that shifts most."""

    name, needs_model, reads_categories, needs_lab = "whatever", False, False, False

    async def explain(self, evidence, llm, lab):
        first = evidence.contrasts[0].up
        if not first:
            return Failure("nothing", "no feature is raised")
        features = (KeyFeature(first[0].name, "up"),)
        return Label(99, "somebody", f"{first[0].name} high", "As it says.", "unknown", 0.5, features)


class Wordless(Strongest):
    async def explain(self, evidence, llm, lab):
        return "T cells"


def nothing():
    return 3


def _said(name: str):
    made = OwnExplainer(f"{HERE}:{name}")
    shift = SimpleNamespace(up=(SimpleNamespace(name="CD3E"),))
    return asyncio.run(made.explain(SimpleNamespace(latent=7, contrasts=(shift,)), None))


def test_its_label_is_of_the_latent_and_by_the_name_that_was_given():
    label = _said("Strongest")
    assert (label.latent, label.explainer, label.title) == (7, f"{HERE}:Strongest", "CD3E high")


def test_what_is_no_label_is_a_failure():
    failure = _said("Wordless")
    assert isinstance(failure, Failure) and "returned a str" in failure.message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "returns a int, which has no needs_model"),
        ("missing", "missing"),
        ("NO_EXPLAINER", "not a callable"),
        ("_said", "is called as"),
    ],
)
def test_what_is_no_explainer_is_refused_in_one_line(name, said):
    with pytest.raises(UserError, match=said) as caught:
        make_explainers([f"{HERE}:{name}"], make_config({"data": "x.h5ad"}))
    assert "\n" not in str(caught.value)


def test_its_model_is_kept_when_another_explainer_is_added():
    before = make_config({"data": "x.h5ad", "explainer": (f"{HERE}:Strongest",), "model": "openai/a"})
    (kept,) = kept_labelers(before, ["one_shot"])
    assert (kept.explainer, kept.model) == (f"{HERE}:Strongest", "openai/a")


def test_a_run_is_labeled_by_it(cells, tmp_path):
    ended = command(
        "run", "--data", cells, *BROUGHT, "--explainer", f"{HERE}:Strongest", "--out", tmp_path / "run"
    )
    assert ended.code == 0, ended.err
    labels = pd.read_csv(tmp_path / "run" / "labels.csv", keep_default_na=False)
    mine = labels[labels.reason == ""]
    assert set(mine.explainer) == {f"{HERE}:Strongest"} and mine.title.str.endswith(" high").all()
    assert len(mine) >= 6 and not labels.reason.eq("abstained").any()  # a failure is no abstention
    scores = pd.read_csv(tmp_path / "run" / "scores.csv")
    told = scores[(scores.explainer == f"{HERE}:Strongest") & (scores.scorer == "detection")]
    assert told[(told.metric == "auroc") & (told.negatives == "random")].value.median() > 0.6
