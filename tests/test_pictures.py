"""Do a prompt's pictures arrive as images, at their place, and can data pretend to be one?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.corpus.image_display import png
from autointerp.llm.request import content_of
from autointerp.pictures import CHARS, MARK, cut, length, marked
from autointerp.schema import Rendering, ShownItem
from autointerp.templates import escape, render

RED, BLUE = (png(np.full((4, 4, 3), color, np.uint8)) for color in ((255, 0, 0), (0, 0, 255)))


def prompt(*items: Rendering) -> str:
    label = {"title": "red", "description": "red things"}
    shown = [ShownItem("", 0, "", item) for item in items]
    return render("judge/detection.j2", noun="image crop", feature_noun="measurement", **label, items=shown)


def test_pictures_stand_after_the_card_of_their_item():
    parts = content_of(prompt(Rendering("first card", (RED,)), Rendering("second card", (BLUE, RED))))
    kinds = [part["type"] for part in parts]
    assert kinds == ["text", "image_url", "text", "image_url", "image_url", "text"]
    assert parts[0]["text"].endswith("first card\n</image crop>") or "first card" in parts[0]["text"]
    assert "second card" in parts[2]["text"]
    assert cut(prompt(Rendering("x", (RED,)), Rendering("y", (BLUE,))))[1::2] == [RED, BLUE]


def test_without_pictures_a_prompt_is_one_text():
    said = prompt(Rendering("a card"))
    assert content_of(said) == said and MARK not in said


@given(st.text())
def test_cutting_gives_back_what_was_marked(text):
    said = escape(text, 1000)
    pieces = cut(said + marked([RED]) + said)
    assert [p for p in pieces if isinstance(p, bytes)] == [RED]
    assert "".join(p for p in pieces if isinstance(p, str)) == said + said


def test_data_cannot_pretend_to_be_a_picture():
    parts = content_of(prompt(Rendering(marked([BLUE]), (RED,))))
    assert [part["type"] for part in parts] == ["text", "image_url", "text"]
    assert cut(prompt(Rendering(marked([BLUE]), (RED,))))[1] == RED


def test_half_a_picture_is_a_bug():
    with pytest.raises(ValueError, match="half a picture"):
        cut(f"a{MARK}b")


def test_a_picture_counts_for_so_many_characters():
    assert length("abc") == 3
    assert length("abc" + marked([RED, BLUE])) == 3 + 2 * CHARS
