"""Are titles of related latents told only once all labels of the other explainer are there, in any order of work?"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from autointerp.config import RunConfig
from autointerp.errors import UserError
from autointerp.explain.base import Explainer
from autointerp.labeling import label_all, make_explainers
from autointerp.prepare import Prepared
from autointerp.schema import WAITING, Evidence, Failure, Label
from tests.run.small_cells import small_cells


class Noting:
    """Asks no model, but is told what those are; it notes the titles that it hears."""

    needs_model, needs_lab, reads_categories = True, False, False

    def __init__(self, name: str, waits_on: int | None = None):
        self.name, self.waits_on = name, waits_on
        self.heard: dict[int, dict[int, str]] = {}

    async def explain(self, evidence: Evidence, llm=None, lab=None) -> Label | Failure:
        self.heard[evidence.latent] = {one.latent: one.title for one in evidence.related}
        if evidence.latent == self.waits_on:
            return Failure(WAITING, "no answer yet")
        abstained = evidence.latent == 3
        title = "" if abstained else f"{self.name} {evidence.latent}"
        return Label(evidence.latent, self.name, title, "", "unknown", 0.5, (), abstained)


async def backwards(stage, jobs, one, broke, session) -> None:
    """The latest job first: only what waits for all others is in order."""
    for job in reversed(jobs):
        await one(job)


def labeled(waits_on: int | None = None, **options):
    config = RunConfig(data="cells.h5ad", embedding="X_emb", activations="X_act", group="donor", **options)
    made: dict[str, Explainer] = {"late": Noting("late"), "first": Noting("first", waits_on)}
    session = SimpleNamespace(models={})
    labels = asyncio.run(label_all(Prepared(config, data=small_cells()), made, session, backwards))
    return labels, made["late"], made["first"]


def test_titles_of_the_explainer_that_labels_first_are_told():
    labels, late, first = labeled(titles_from="first")
    assert len(labels.outcomes) == 2 * len(first.heard) == 2 * len(late.heard)
    assert not any(title for heard in first.heard.values() for title in heard.values())
    told = [(other, title) for heard in late.heard.values() for other, title in heard.items()]
    assert len(told) > 5
    assert all(title == ("" if other == 3 else f"first {other}") for other, title in told)


def test_without_it_none_are_told():
    _, late, _ = labeled()
    assert not any(title for heard in late.heard.values() for title in heard.values())


def test_while_one_label_is_missing_the_others_wait():
    labels, late, first = labeled(waits_on=2, titles_from="first")
    assert not late.heard and len(first.heard) > 5
    assert labels.waiting("late") and labels.waiting("first")
    assert len(labels.outcomes) == 2 * len(first.heard)


@pytest.mark.parametrize("source", ["agent", "late"])
def test_titles_of_an_explainer_that_is_not_there_are_refused(source):
    if source == "agent":
        config = RunConfig(data="x.h5ad", explainer=("one_shot",), model="openai/x", titles_from=source)
        with pytest.raises(UserError, match=r"titles_from = 'agent'.*one_shot"):
            make_explainers(config.all_explainers, config)
    else:
        _, late, _ = labeled(titles_from="late")
        assert late.heard and not any(t for heard in late.heard.values() for t in heard.values())
