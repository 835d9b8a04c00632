"""Do the controls' labels say what they are said to: the best gene set, the commonest annotation?"""

from __future__ import annotations

import asyncio

import pytest

from autointerp.explain.majority import Majority
from autointerp.explain.top_set import TopSet, readable
from autointerp.schema import Contrast, Evidence, Failure, FeatureShift, SetShift


def evidence(**fields) -> Evidence:
    return Evidence(7, 0.1, 50, 500, (), (), (), (), (), **fields)


def set_shift(name: str, z: float, fdr: float, leading: tuple[str, ...] = ("A", "B")) -> SetShift:
    return SetShift(name, "up" if z > 0 else "down", z, fdr, len(leading), 20, leading)


def test_the_set_of_least_rate_becomes_the_label_with_its_genes():
    enriched = (
        set_shift("X", 4.0, 0.02),
        set_shift("Z", -9.0, 0.001),
        set_shift("HALLMARK_G2M_CHECKPOINT", 7.0, 0.01),
        set_shift("Y", 5.0, 0.01),
    )
    label = asyncio.run(TopSet().explain(evidence(enriched=enriched)))
    assert label.title == "g2m checkpoint high"
    assert [(f.name, f.direction) for f in label.key_features] == [("A", "up"), ("B", "up")]
    assert label.confidence == pytest.approx(0.99)
    assert not label.abstained
    lowered = asyncio.run(TopSet().explain(evidence(enriched=enriched[1:2])))
    assert (lowered.title, lowered.key_features[0].direction) == ("Z low", "down")


def test_without_a_set_it_abstains():
    label = asyncio.run(TopSet().explain(evidence()))
    assert label.abstained
    assert label.key_features == ()


def test_names_of_collections_are_readable():
    assert readable("HALLMARK_INTERFERON_ALPHA_RESPONSE") == "interferon alpha response"
    assert readable("response to type I interferon (GO:0034340)") == "response to type I interferon"
    assert readable("B_CELL") == "b cell"
    assert readable("(GO:1)") == "(GO:1)"


def test_the_commonest_category_becomes_the_label_with_its_own_markers():
    up = tuple(FeatureShift(f"U{i}", 2.0, 1.0, 0.9, 0.1) for i in range(30))
    contrast = Contrast("all others", 60, 400, up, (FeatureShift("D", -1.0, -1.0, 0.1, 0.5),), 0.2)
    given = evidence(category_counts=(("T cells", 10), ("B cells", 30)), category_contrast=contrast)
    label = asyncio.run(Majority().explain(given))
    assert (label.title, label.confidence, label.kind) == ("B cells", 0.75, "identity")
    assert [f.direction for f in label.key_features] == ["up"] * 20 + ["down"]


def test_without_annotations_the_majority_fails_and_says_what_to_pass():
    failed = asyncio.run(Majority().explain(evidence()))
    assert isinstance(failed, Failure)
    assert "--category" in failed.message
