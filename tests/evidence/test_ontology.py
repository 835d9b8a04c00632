"""Does a title find its term word for word, and is a broken ontology refused in one line?"""

from __future__ import annotations

import gzip
import json

import pytest

from autointerp.errors import UserError
from autointerp.evidence.ontology import LONGEST_LINE, Names, Term, as_compared, read_ontology

OBO = r"""format-version: 1.2
ontology: cl
name: not a term

[Term]
id: CL:0000236
name: B cell
def: "A lymphocyte of B lineage." [GOC:add]
synonym: "B lymphocyte" EXACT []
synonym: "B-lymphocyte" EXACT [MESH:D001402]
synonym: "lymphocyte of \"B\" kind" EXACT []
synonym: "bursal cell" BROAD []
synonym: "shared" EXACT []
is_a: CL:0000945 ! lymphocyte of B lineage

[Term]
id: CL:0000084
name: T cell
synonym: "shared" EXACT []
synonym: "B cell" EXACT []

[Term]
id: CL:0000999
name: old cell
is_obsolete: true

[Term]
id: CL:0000624
name: CD4-positive, alpha-beta T cell

[Typedef]
id: part_of
name: part of
"""


def write(tmp_path, text: str, name: str = "cl.obo"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("title", "identity"),
    [
        ("B cell", "CL:0000236"),  # a name goes before another term's synonym
        ("B Cells", "CL:0000236"),
        ("b-cells.", "CL:0000236"),
        ("B lymphocytes", "CL:0000236"),
        ('lymphocyte of "B" kind', "CL:0000236"),
        ("CD4 positive alpha beta T cells", "CL:0000624"),
        ("shared", None),  # two terms claim it
        ("bursal cell", None),  # broad
        ("old cell", None),
        ("part of", None),
        ("not a term", None),
        ("naive B cell", None),
        ("B", None),
        ("cell", None),
        ("", None),
    ],
)
def test_a_title_is_a_term_word_for_word_or_none(tmp_path, title, identity):
    found = read_ontology(write(tmp_path, OBO)).of(title)
    assert (found.id if found else None) == identity


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("Naive B-cells", "naive b cell"),
        ("  T   cells ", "t cell"),
        ("CD8- T cell", "cd8- t cell"),
        ("CD8+ T cell", "cd8+ t cell"),
        ("virus", "virus"),
        ("mitosis", "mitosis"),
        ("gas", "gas"),
        ("interferon_alpha_response", "interferon alpha response"),
    ],
)
def test_what_counts_as_the_same(text, compared):
    assert as_compared(text) == compared


def test_json_and_packed_files_are_the_same_terms(tmp_path):
    terms = {
        "CL:1": {"label": "neuron", "synonyms": ["nerve cell"], "deprecated": False},
        "CL:2": {"label": "gone", "deprecated": True},
        "CL:3": {"label": "glial cell", "synonyms": None},
    }
    plain = write(tmp_path, json.dumps(terms), "cl.json")
    packed = tmp_path / "cl.json.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        found = read_ontology(path)
        assert found.of("Nerve cells") == Term("CL:1", "neuron") and found.of("gone") is None
    packed = tmp_path / "cl.obo.gz"
    packed.write_bytes(gzip.compress(OBO.encode()))
    assert read_ontology(packed).of("T cells") == Term("CL:0000084", "T cell")


def test_the_cell_ontology_has_the_terms_of_blood(data_folder):
    (path,) = (data_folder / "genesets").glob("CL-ontology-*.json.zst")
    found = read_ontology(path)
    assert len(found) > 5000
    for title, identity in (("B cells", "CL:0000236"), ("Natural killer cells", "CL:0000623"),
                            ("Monocytes", "CL:0000576"), ("naive B cell", "CL:0000788")):  # fmt: skip
        assert found.of(title).id == identity, title
    assert found.of("cells that express CD79A") is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cl.owl", b"<rdf/>", "neither .obo nor .json"),
        ("cl.obo", b"\xff\xfe\x00[Term]", "cannot be read"),
        ("cl.obo", b"", "holds no term"),
        ("cl.obo", b"[Term]\nid: CL:1\n", "holds no term"),
        ("cl.obo", b"[Term]\nid: " + b"x" * (LONGEST_LINE + 5), "longer than any ontology"),
        ("cl.json", b"{", "cannot be read"),
        ("cl.json", b"[1, 2]", "not an object of terms"),
        ("cl.json", b'{"CL:1": {"name": "x"}}', "'CL:1' has no label"),
        ("cl.json", b'{"CL:1": {"label": "x", "synonyms": "y"}}', "synonyms of 'CL:1' are no list"),
        ("cl.json", b"[" * 200_000, "cannot be read"),
        ("cl.obo.gz", b"not packed", "cannot be read"),
        ("cl.json.zst", b"not packed", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        read_ontology(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_ontology(tmp_path / "cl.obo")


def test_the_first_of_equal_names_stands():
    one, two = Term("a", "x"), Term("b", "X")
    assert Names([("x", one), ("X", two)]).of("x") == one
