"""Do the peers see what their papers say they see, and is what they say a label?"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from autointerp.schema import Contrast, Evidence, Failure, FeatureShift, Rendering, ShownItem
from eval.peers.delphi import Delphi
from eval.peers.gptcelltype import GPTCelltype
from eval.peers.named import said
from eval.peers.saebench import SAEBench, chosen
from tests.golden_file import assert_golden
from tests.hostile import HOSTILE
from tests.scripted_model import ScriptedModel


def item(number: int, strength: int, genes: str = "CD79A:10 MS4A1:7") -> ShownItem:
    return ShownItem(f"cell{number}", strength, "positive", Rendering(f"total counts {number}\n{genes}"))


def evidence(up=("CD79A", "MS4A1"), shown=()) -> Evidence:
    shifts = tuple(FeatureShift(name, 1.0, 1.0, 0.9, 0.1) for name in up)
    contrast = Contrast("all silent", 40, 400, shifts, (), 0.1)
    silent = (ShownItem("s", 0, "random", Rendering("total counts 9\nLYZ:10")),)
    return Evidence(7, 0.1, 40, 440, (contrast,), tuple(shown), (None,) * len(shown), silent)


class Cards:
    """A lab that only shows items."""

    def __init__(self, activations):
        self.activations, self.asked = np.asarray(activations, dtype=np.float32), []

    def measured(self):
        return self

    def cards(self, places):
        self.asked = list(places)
        return [item(place, max(1, int(10 * self.activations[place]))) for place in places]


SHOWN = tuple(item(n, 10 - n // 4) for n in range(40))


def test_delphi_shows_every_activating_example_with_its_strength_and_no_silent_one():
    prompt = Delphi().prompt(evidence(shown=SHOWN))
    assert prompt.count("\nExample ") == 40 and "strength 10:" in prompt and "strength 1:" in prompt
    assert "LYZ" not in prompt  # of the silent item
    assert "cell7" not in prompt  # no id
    assert_golden("peer_delphi.txt", Delphi().prompt(evidence(shown=SHOWN[::20])))


def test_delphis_sentence_is_the_label_and_the_genes_it_names_are_its_key_features():
    model = ScriptedModel(
        {"explanation": "B cells that express CD79A and MS4A1 but lack LYZ, with high depth too"}
    )
    label = asyncio.run(Delphi().explain(evidence(shown=SHOWN), model))
    assert label.title == "B cells that express CD79A and MS4A1 but lack LYZ,"
    assert label.description.endswith("with high depth too")
    assert [(f.name, f.direction) for f in label.key_features] == [("CD79A", "up"), ("MS4A1", "up")]
    assert (label.latent, label.model, label.history) == (7, "scripted/model", ("key1",))


def test_a_failed_request_is_no_label():
    failure = Failure("filtered", "refused")
    for peer, lab in ((Delphi(), None), (GPTCelltype(), None), (SAEBench(), Cards([1, 2, 0]))):
        assert asyncio.run(peer.explain(evidence(shown=SHOWN), ScriptedModel(failure), lab)) is failure


def test_saebench_shows_the_ten_strongest_and_five_drawn_by_activation():
    rng = np.random.default_rng(0)
    activations = np.where(rng.random(300) < 0.4, rng.gamma(1, 1, 300), 0.0).astype(np.float32)
    places = chosen(activations, 3)
    assert places[:10] == np.argsort(-activations, kind="stable")[:10].tolist()
    assert len(set(places)) == 15 and (activations[places] > 0).all()
    assert (np.diff(activations[places[10:]]) <= 0).all()
    assert chosen(activations, 3) == places != chosen(activations, 4)
    drawn = np.concatenate([chosen(activations, latent)[10:] for latent in range(600)])
    active = np.setdiff1d(np.flatnonzero(activations), places[:10])
    half = active[np.argsort(activations[active])]
    weak, strong = half[: len(half) // 2], half[len(half) // 2 :]
    expected = activations[strong].sum() / activations[active].sum()
    assert np.isin(drawn, strong).mean() == pytest.approx(expected, abs=0.04)
    assert np.isin(drawn, weak).any()


def test_saebench_takes_what_there_is():
    assert chosen(np.array([0, 2, 0, 3.0]), 0) == [3, 1]
    lab = Cards([0.5, 0, 1.0, 0.2])
    label = asyncio.run(SAEBench().explain(evidence(), ScriptedModel({"explanation": "CD79A high"}), lab))
    assert lab.asked == [2, 0, 3] and label.title == "CD79A high" and label.description == ""


def test_saebenchs_prompt_is_the_golden_one():
    assert_golden("peer_saebench.txt", SAEBench().prompt(evidence(), SHOWN[:2]))


def test_gptcelltype_shows_the_top_ten_markers_and_nothing_else():
    many = evidence(up=[f"GENE{i}" for i in range(12)], shown=SHOWN)
    model = ScriptedModel({"cell_type": "B cell"})
    label = asyncio.run(GPTCelltype().explain(many, model))
    assert (label.title, label.description, label.key_features) == ("B cell", "", ())
    assert (
        "- GENE9\n" in model.prompts[0]
        and "GENE10" not in model.prompts[0]
        and "total" not in model.prompts[0]
    )
    assert_golden("peer_gptcelltype.txt", GPTCelltype().prompt(evidence(), ["CD79A", "MS4A1"]))


def test_gptcelltype_abstains_unasked_without_a_marker():
    label = asyncio.run(GPTCelltype().explain(evidence(up=()), ScriptedModel()))
    assert label.abstained and not label.title


def test_an_empty_answer_abstains():
    assert said("  ", 0, "m", "k", "ok", ()).abstained


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_card_closes_no_fence(text):
    plain, attacked = (
        Delphi().prompt(evidence(shown=(item(0, 3, genes), item(1, 2)))) for genes in ("CD79A:3", text)
    )
    for tag in ("<cell>", "</cell>"):
        assert attacked.count(tag) == plain.count(tag)
