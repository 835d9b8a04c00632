"""Does what is told of the evidence keep to its budget, whole lines only, and say what it left out?"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from autointerp.explain.told import CHARS_PER_TOKEN, Kept, told
from autointerp.schema import Contrast, FeatureShift
from autointerp.templates import render
from tests.explain.test_one_shot import evidence

SIDE = tuple(FeatureShift(f"GENE{i}", 2 - i / 100, 1.0, 0.5, 0.1) for i in range(60))
RICH = replace(
    evidence(shown=40, silent=30, value="day 1"),
    contrasts=(Contrast("all silent", 50, 450, SIDE, SIDE[:15], 0.2),),
)


def prompt(tokens: int, given=RICH) -> str:
    return render("shared/evidence.j2", **told(given, tokens))


@pytest.mark.parametrize("tokens", [1500, 2000, 2500, 3000, 4000])
def test_a_budget_is_kept_and_used(tokens):
    assert 0.85 * tokens < len(prompt(tokens)) / CHARS_PER_TOKEN <= tokens


def test_every_line_of_a_shorter_prompt_is_whole():
    whole = set(prompt(100_000).splitlines())
    for tokens in (1400, 2100, 3300):
        new = [line for line in prompt(tokens).splitlines() if line not in whole]
        assert all(
            re.search(r"(are shown(, evenly over strength)?|more above chance)$", line) for line in new
        )


def test_what_tells_least_goes_first():
    most, some, less = (told(RICH, tokens) for tokens in (100_000, 4300, 3700))
    full = Kept()
    assert [len(most[part]) for part in ("shown", "silent")] == [full.shown, full.silent]
    assert most["lines"] == some["lines"] == less["lines"] == full.lines
    assert len(some["silent"]) < full.silent and len(some["shown"]) == full.shown
    assert len(less["silent"]) == 3 and sum(item is not None for item in less["look_alikes"]) < 20


def test_what_is_left_out_is_counted():
    text = prompt(1400)
    said = {m[1]: (int(m[2]), int(m[3])) for m in re.finditer(r"- (.*): (\d+) of (\d+) are shown", text)}
    assert said == {
        "active cells": (len(re.findall("^active cell", text, re.M)), 40),
        "their silent look-alikes": (len(re.findall("^its nearest", text, re.M)), 39),
        "other silent cells": (len(re.findall("^silent cell", text, re.M)), 30),
        "other latents": (0, 2),
    }
    up, down = re.findall(r"- and (\d+) more above chance", text)
    listed = len(re.findall(r"- GENE", text))
    assert listed + int(up) + int(down) == 75
    assert "Left out" not in prompt(8000, evidence())


def test_evidence_too_long_for_any_budget_is_told_at_its_least():
    least = told(RICH, 1)
    assert (len(least["shown"]), len(least["silent"]), least["lines"]) == (3, 0, 4)
