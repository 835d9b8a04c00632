"""Are a label's claims read as they were meant, and held against the data?"""

from __future__ import annotations

import pytest

from autointerp.explain.claims import check_claims, named_features
from autointerp.schema import Contrast, FeatureShift
from tests.tiny_corpus import label

MEASURED = {"CD3D", "CD3E", "CD3G", "CD4", "CD8A", "CD14", "CD19", "LYZ", "HLA-DRA", "REST", "CAT", "TNF"}


def shift(name: str, by: float) -> FeatureShift:
    return FeatureShift(name, by, by, 0.5, 0.5)


CONTRAST = Contrast(
    against="all silent",
    n_active=50,
    n_silent=500,
    up=(shift("CD3D", 1.0), shift("CD4", 0.8)),
    down=(shift("LYZ", -0.9),),
    null=0.3,
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("CD4 T cells", {"CD4": "up"}),
        ("lacks CD3D", {"CD3D": "down"}),
        ("lacking CD3D", {"CD3D": "down"}),
        ("lacks CD3D, CD3E and CD3G", {"CD3D": "down", "CD3E": "down", "CD3G": "down"}),
        ("CD8A-negative", {"CD8A": "down"}),
        ("CD8A- and CD8A", {"CD8A": "down"}),
        ("CD4+CD8A−", {"CD4": "up", "CD8A": "down"}),
        ("CD8A-CD4+ cells", {"CD8A": "down", "CD4": "up"}),
        ("(LYZ-)", {"LYZ": "down"}),
        ("low LYZ", {"LYZ": "down"}),
        ("LYZ low, CD14 high", {"LYZ": "down", "CD14": "up"}),
        ("LYZ-low and CD14-high", {"LYZ": "down", "CD14": "up"}),
        ("no detectable expression of CD3D", {"CD3D": "down"}),
        ("without surface CD3D", {"CD3D": "down"}),
        ("non-CD8A T cells", {"CD8A": "down"}),
        ("more CD3D and less LYZ, CD14 than silent cells", {"CD3D": "up", "LYZ": "down", "CD14": "down"}),
        ("CD3D but no LYZ", {"CD3D": "up", "LYZ": "down"}),
        ("HLA-DRA-high", {"HLA-DRA": "up"}),
        ("TNF-alpha", {"TNF": "up"}),
        ("anti-CD4", {"CD4": "up"}),
        ("CD14/LYZ monocytes", {"CD14": "up", "LYZ": "up"}),
    ],
)
def test_a_text_says_up_or_down(text, names):
    assert dict(named_features(text, MEASURED)) == names


@pytest.mark.parametrize(
    "text",
    [
        "low LYZ. CD3D is high",  # the sentence ends
        "low LYZ; CD3D",
        "mono CD3D",  # 'no' within a word
        "they allow CD3D",
        "CD3D - a T cell marker",  # a dash between words
    ],
)
def test_what_does_not_negate_a_gene(text):
    assert dict(named_features(text, MEASURED))["CD3D"] == "up"


@pytest.mark.parametrize("text", ["at rest", "the cat set", "cd4 and lyz", "CD40 CD3", "CD4L", "xCD4", ""])
def test_plain_words_other_cases_and_parts_of_names_are_no_genes(text):
    assert named_features(text, MEASURED) == []


def test_a_lower_case_word_is_no_gene_even_if_one_is_measured_under_it():
    assert named_features("the rest of p53 cells", {"rest", "p53"}) == [("p53", "up")]


def test_names_come_in_the_order_of_the_text_each_once_with_its_first_direction():
    assert named_features("LYZ, CD4+ and not LYZ", MEASURED) == [("LYZ", "up"), ("CD4", "up")]


def test_verdicts():
    given = label(up="CD3D CD8A GENEX", down="LYZ CD4", title="CD14-negative cells", description="With CD3E.")
    found = {c.feature: (c.direction, c.verdict) for c in check_claims(given, CONTRAST, MEASURED).claims}
    assert found == {
        "CD3D": ("up", "supported"),
        "CD8A": ("up", "contradicted"),  # measured, but no shift
        "GENEX": ("up", "not measured"),
        "LYZ": ("down", "supported"),
        "CD4": ("down", "contradicted"),  # shifts the other way
        "CD14": ("down", "contradicted"),  # named in the title only
        "CD3E": ("up", "contradicted"),
    }


def test_the_list_of_key_features_decides_where_the_text_says_otherwise():
    checked = check_claims(label(down="LYZ", title="LYZ high"), CONTRAST, MEASURED)
    assert [(c.feature, c.direction, c.verdict) for c in checked.claims] == [("LYZ", "down", "supported")]


def test_checking_changes_nothing_but_the_claims():
    given = label(up="CD3D")
    checked = check_claims(given, CONTRAST, MEASURED)
    assert len(checked.claims) == 1
    assert checked.label_id == given.label_id
    assert (checked.key_features, checked.title) == (given.key_features, given.title)
