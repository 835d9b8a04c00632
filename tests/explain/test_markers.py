"""Does the labeler without a model say only what stands above chance, briefly?"""

from __future__ import annotations

import asyncio

import pytest

from autointerp.explain.markers import Markers
from autointerp.schema import Contrast, Evidence, FeatureShift


def explain(up: dict[str, float], down: dict[str, float], null: float = 0.25, **fields):
    raised, lowered = (
        tuple(FeatureShift(name, by, by, 0.5, 0.1) for name, by in side.items()) for side in (up, down)
    )
    contrast = Contrast("all silent", 50, 500, raised, lowered, null)
    evidence = Evidence(7, 0.1, 50, 500, (contrast, contrast), (), (), (), (), **fields)
    return asyncio.run(Markers().explain(evidence))


def test_a_label_by_hand():
    found = explain({"CD79A": 1.0, "MS4A1": 0.8}, {"LYZ": -0.5})
    assert found.title == "CD79A, MS4A1 high"
    assert found.description == "Cells with more CD79A, MS4A1 and less LYZ than silent cells."
    features = [(f.name, f.direction) for f in found.key_features]
    assert features == [("CD79A", "up"), ("MS4A1", "up"), ("LYZ", "down")]
    assert (found.latent, found.explainer, found.kind, found.abstained) == (7, "markers", "unknown", False)


@pytest.mark.parametrize(
    ("up", "down", "null", "confidence"),
    [
        ({"A": 1.0, "B": 0.5}, {}, 0.25, 0.75),  # 1 − 0.25/1
        ({"A": 0.5}, {"B": -2.0}, 0.5, 0.75),  # the strongest falls: 1 − 0.5/2
        ({"A": 0.3}, {}, 0.3, 0.0),
    ],
)
def test_confidence_is_how_far_the_strongest_shift_stands_above_chance(up, down, null, confidence):
    assert explain(up, down, null).confidence == pytest.approx(confidence)


def test_nothing_above_chance_abstains():
    found = explain({}, {})
    assert found.abstained
    assert (found.title, found.confidence, found.key_features) == ("", 0.0, ())
    assert found.description == "No gene shifts more than by chance."


def test_only_lowered_genes():
    assert explain({}, {"LYZ": -0.5, "CST3": -0.4}).title == "LYZ, CST3 low"


def test_twenty_up_and_ten_down_at_most():
    up = {f"UP{i}": 2 - i / 100 for i in range(40)}
    down = {f"DOWN{i}": -1 + i / 100 for i in range(40)}
    found = explain(up, down)
    expected = [f"UP{i}" for i in range(20)] + [f"DOWN{i}" for i in range(10)]
    assert [f.name for f in found.key_features] == expected
    assert found.title == "UP0, UP1, UP2, UP3, UP4 high"


@pytest.mark.parametrize(
    ("names", "title"),
    [
        ("ABCDEF", "A, B, C, D, E high"),
        (["mean nuclear area", "mean cell area", "ER texture"], "mean nuclear area, mean cell area, ER texture high"),
        (["mean nuclear area"] + [f"mean cell area {i}" for i in range(4)], "mean nuclear area, mean cell area 0 high"),
        (["one of a great many words that go on and on"], "one of a great many words that go on high"),
    ],
)  # fmt: skip
def test_a_title_has_ten_words_at_most(names, title):
    found = explain(dict.fromkeys(names, 1.0), {}, noun="crop", feature_noun="measure").title
    assert found == title
    assert len(found.split()) <= 10
