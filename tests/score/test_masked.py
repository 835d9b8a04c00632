"""Does masking hide every measured gene that a label names, and nothing else?"""

from __future__ import annotations

import pytest

from autointerp.names import SCORERS as NAMED
from autointerp.score import detection, masked
from autointerp.score.registry import SCORERS
from tests.tiny_corpus import examples, label

MEASURED = frozenset({"CD79A", "MS4A1", "CD4", "HLA-DRA", "CD8A", "cat"})


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("CD79A MS4A1 program", "▮ ▮ program"),
        ("B cells (CD79A+, MS4A1-high)", "B cells (▮+, ▮-high)"),
        ("anti-CD4 and CD8A-negative", "anti-▮ and ▮-negative"),
        ("HLA-DRA and HLA-DRB1", "▮ and HLA-DRB1"),
        ("CD20 is not measured, a cat is no gene", "CD20 is not measured, a cat is no gene"),
        ("", ""),
    ],
)
def test_names_of_measured_features_are_hidden(text, hidden):
    assert masked.masked(text, MEASURED) == hidden


def test_a_masked_label_keeps_its_words_and_no_features():
    given = label(2, up="CD79A", title="B cells", description="CD79A+ B cells.")
    shown = masked.masked_label(given, MEASURED)
    assert (shown.title, shown.description, shown.key_features) == ("B cells", "▮+ B cells.", ())


def test_the_questions_are_those_of_detection_without_a_panel():
    held_out = examples(list(range(20)), random=list(range(40, 70)))
    plain = detection.questions(label(2), 2, held_out, 10, 0, ("CD79A",))
    hidden = masked.questions(label(2), 2, held_out, 10, 0, ("CD79A",))
    assert [q.rows.tolist() for q in hidden] == [q.rows.tolist() for q in plain]
    assert {(q.scorer, q.panel) for q in hidden} == {("detection:masked", ())}


def test_every_scorer_that_can_be_asked_for_is_registered_under_its_name():
    assert set(NAMED) == set(SCORERS)
    assert all(scorer.name == name for name, scorer in SCORERS.items())
