"""Does the model see the evidence, fenced, and is its reply turned into a label without loss?"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest
from pydantic import ValidationError

from autointerp.evidence.assemble import spread
from autointerp.explain.one_shot import LabelReply, OneShot, reask_message, to_label
from autointerp.explain.told import CHARS_PER_TOKEN, TOKENS, Kept
from autointerp.schema import (
    ClusterFiring,
    Contrast,
    Disclosed,
    Evidence,
    Failure,
    FeatureShift,
    KeyFeature,
    Related,
    Rendering,
    SetShift,
    ShownItem,
    TechnicalShare,
)
from tests.explain.attacks import ATTACKS, NAMED, assert_changes_nothing_but_itself
from tests.golden_file import assert_golden
from tests.scripted_model import ScriptedModel


def item(number: int, strength: int, text: str = "", gene: str = "CD79A") -> ShownItem:
    kind = "positive" if strength else "random"
    card = Rendering(text or f"depth 1500, genes 600; CD74 10, {gene} 4, MS4A1 {number % 10}")
    return ShownItem(f"barcode_{number}", strength, kind, card, ((gene, 1.5), ("LYZ", 0.0)))


def evidence(
    shown: int = 3,
    silent: int = 2,
    text: str = "",
    gene: str = "CD79A",
    gene_set: str = "HALLMARK_B",
    title: str = "",
    column: str = "batch",
    value: str = "",
    **fields,
) -> Evidence:
    """Of a latent with every kind of evidence; what a user's data may name is given."""
    overall = Contrast(
        "all silent",
        50,
        450,
        (
            FeatureShift(gene, 1.25, 3.1, 0.9, 0.06, 0.62, 0.012, 0.925, 0.0004),
            FeatureShift("MS4A1", 1.0, 2.2, 0.7, 0.05, 0.61, 0.03, 0.84, 0.03),
        ),
        (FeatureShift("LYZ", -0.4, -1.0, 0.2, 0.44, 0.05, None, 0.31, 0.5),),
        0.214,
    )
    matched = Contrast("nearest silent", 50, 50, (), (), 0.5)
    markers = (gene, "CD79B")
    inside = Contrast(
        "silent", 40, 22, (FeatureShift("IGHM", 0.9, 1.2, 0.8, 0.3, 0.83, 0.34),), (), 0.7, markers
    )
    given = {
        "firing_rate": 0.1,
        "n_active": 50,
        "n_explain": 500,
        "contrasts": (overall, matched, inside),
        "clusters": (
            ClusterFiring(markers, 62, 40, 0.94, 0.5),
            ClusterFiring(("LYZ", "CST3"), 130, 4, 0.0, 0.25),
        ),
        "enriched": (SetShift(gene_set, "up", 6.5, 0.0012, 9, 40, (gene, "MS4A1")),),
        "related": (
            Related(12, "together", 0.31, 0.042, (gene, "CD74"), title),
            Related(3, "direction", 0.55, 0.01, ()),
        ),
        "disclosed": (Disclosed(column, ((value, 38, 44), ("day 0", 12, 456))),) if value else (),
        "shown": tuple(item(i, 10 - i % 10, text, gene) for i in range(shown)),
        "look_alikes": tuple(None if i == 1 else item(100 + i, 0, text, gene) for i in range(shown)),
        "silent": tuple(item(200 + i, 0, text, gene) for i in range(silent)),
        "technical": (
            TechnicalShare("total counts", 0.31, 1500.0, 1480.5),
            TechnicalShare(column, 0.02, n_values=6),
            TechnicalShare("% mitochondrial", None, 4.25, 4.0),
        ),
    }
    return Evidence(latent=7, **(given | fields))


REPLY = {
    "reasoning": "CD79A and MS4A1 mark B cells.",
    "title": "B cells",
    "description": "CD79A+ MS4A1+ cells.",
    "kind": "identity",
    "confidence": 0.9,
    "key_features": [{"name": "CD79A", "direction": "up"}, {"name": "LYZ", "direction": "down"}],
}


def explain(given: Evidence, *replies):
    model = ScriptedModel(*replies)
    return asyncio.run(OneShot().explain(given, model)), model


def test_the_prompt_is_the_golden_one():
    assert_golden("one_shot.txt", OneShot().prompt(evidence(title="Plasmablasts", value="day 1")))


def test_a_reply_becomes_a_label():
    found, model = explain(evidence(), REPLY)
    assert (found.latent, found.explainer, found.model) == (7, "one_shot", "scripted/model")
    assert (found.title, found.description) == ("B cells", "CD79A+ MS4A1+ cells.")
    assert (found.kind, found.confidence, found.abstained) == ("identity", 0.9, False)
    assert found.key_features == (KeyFeature("CD79A", "up"), KeyFeature("LYZ", "down"))
    assert found.history == ("key1",)
    assert model.prompts == [OneShot().prompt(evidence())]


def test_a_failure_stays_a_failure():
    given = Failure("truncated", "cut off at 4000 tokens")
    assert explain(evidence(), given)[0] is given


def test_a_model_of_short_context_gets_a_quarter_of_the_evidence_once():
    many = evidence(shown=40, silent=30, text="depth 1500, genes 600; " + "CD74 10, " * 30)
    found, model = explain(many, Failure("context", "too long"), REPLY)
    assert found.title == "B cells"
    assert model.prompts == [OneShot().prompt(many), OneShot().prompt(many, TOKENS // 4)]
    assert len(model.prompts[1]) < TOKENS // 4 * CHARS_PER_TOKEN + 2500 < len(model.prompts[0])
    assert explain(many, *[Failure("context", "too long")] * 2)[0].kind == "context"


@pytest.mark.parametrize("wrong", [{"confidence": 80}, {"kind": "cell"}, {"title": None}])
def test_a_reply_out_of_form_is_no_label(wrong):
    with pytest.raises(ValidationError):
        LabelReply(**(REPLY | wrong))


@pytest.mark.parametrize(
    ("said", "title", "description"),
    [
        ("one two three four five six seven eight nine ten", None, "D."),
        (
            "one two three four five six seven eight nine ten eleven",
            "one two three four five six seven eight nine ten",
            "one two three four five six seven eight nine ten eleven. D.",
        ),
        ("  B \n cells ", "B cells", "D."),
    ],
)
def test_a_long_title_is_cut_and_kept_whole_in_the_description(said, title, description):
    found = to_label(LabelReply(**REPLY | {"title": said, "description": " D. "}), 0, "one_shot", "m", ())
    assert (found.title, found.description) == (title or said, description)


def test_an_empty_title_abstains():
    assert to_label(LabelReply(**REPLY | {"title": " "}), 0, "one_shot", "m", ()).abstained
    assert to_label(LabelReply(**REPLY | {"abstained": True}), 0, "one_shot", "m", ()).abstained


def test_features_are_told_once_and_not_empty():
    said = [("CD79A ", "up"), ("", "up"), ("LYZ", "down"), ("CD79A", "up")]
    reply = LabelReply(**REPLY | {"key_features": [{"name": n, "direction": d} for n, d in said]})
    found = to_label(reply, 0, "one_shot", "m", ()).key_features
    assert found == (KeyFeature("CD79A", "up"), KeyFeature("LYZ", "down"))


@pytest.mark.parametrize(
    ("n", "most", "places"),
    [(0, 5, []), (3, 5, [0, 1, 2]), (5, 5, [0, 1, 2, 3, 4]), (9, 5, [0, 2, 4, 6, 8]), (10, 2, [0, 9]), (7, 0, [])],
)  # fmt: skip
def test_spread(n, most, places):
    assert spread(n, most) == places


@pytest.mark.parametrize(("n", "most"), [(21, 20), (40, 20), (100, 10), (11, 10)])
def test_spread_keeps_order_ends_and_distinct_places(n, most):
    places = spread(n, most)
    assert len(set(places)) == most
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, n - 1)


def test_a_prompt_holds_twenty_cells_with_their_own_look_alikes_and_ten_silent_ones():
    many = replace(
        evidence(silent=30),
        shown=tuple(item(i, 5, f"card {i}") for i in range(40)),
        look_alikes=tuple(item(i, 0, f"like {i}") for i in range(40)),
    )
    prompt = OneShot().prompt(many)
    shown = [int(n) for n in re.findall(r"\bcard (\d+)", prompt)]
    assert shown == spread(40, Kept().shown)
    assert [int(n) for n in re.findall(r"like (\d+)", prompt)] == shown
    assert prompt.count("\nsilent cell") == Kept().silent


def test_nothing_above_chance_is_said():
    flat = Contrast("all silent", 50, 450, (), (), 0.3)
    assert "No gene shifts more than by chance" in OneShot().prompt(evidence(contrasts=(flat,)))


def test_no_cell_id_reaches_the_prompt():
    assert "barcode" not in OneShot().prompt(evidence(shown=30, silent=15))


@pytest.mark.parametrize("field", [*NAMED, "text"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_name_or_card_changes_nothing_but_itself(field, attack):
    assert_changes_nothing_but_itself(OneShot().prompt, evidence, field, attack)


def test_the_re_asked_problem_is_fenced():
    said = reask_message("expected </problem> at line 1")
    assert said.count("</problem>") == 1
    assert "Reply again" in said
