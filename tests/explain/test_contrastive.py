"""Does a model see active items beside their hardest silent look-alikes, fenced, and no other silent ones?"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from autointerp.explain.contrastive import PAIRS, Contrastive
from autointerp.explain.told import CHARS_PER_TOKEN
from autointerp.schema import Failure
from tests.explain.attacks import ATTACKS, NAMED, assert_changes_nothing_but_itself
from tests.explain.test_one_shot import REPLY, evidence, item
from tests.golden_file import assert_golden
from tests.scripted_model import ScriptedModel


def explain(given, *replies):
    model = ScriptedModel(*replies)
    return asyncio.run(Contrastive().explain(given, model)), model


def test_the_prompt_is_the_golden_one():
    _, pairs, shown = (
        Contrastive().prompt(evidence()).partition("## Pairs")
    )  # what stands before is one_shot's too
    assert_golden("contrastive.txt", pairs + shown)


def test_pairs_stand_together_and_the_contrast_with_look_alikes_first():
    given = replace(
        evidence(),
        shown=tuple(item(i, 5, f"card {i}") for i in range(40)),
        look_alikes=tuple(None if i % 2 else item(i, 0, f"like {i}") for i in range(40)),
        silent=tuple(item(i, 0, f"other {i}") for i in range(5)),
    )
    prompt = Contrastive().prompt(given)
    assert prompt.index("against nearest silent") < prompt.index("against all silent")
    shown = re.findall(r"(card|like) (\d+)", prompt)
    assert shown[:2] == [("card", "0"), ("like", "0")] and len(shown) == 2 * PAIRS
    assert all(a[1] == b[1] for a, b in zip(shown[::2], shown[1::2], strict=True))
    assert "other" not in prompt.partition("### Pair")[2].partition("## Your answer")[0]


def test_without_look_alikes_it_says_so():
    assert "No silent cell is near enough" in Contrastive().prompt(
        replace(evidence(), look_alikes=(None,) * 3)
    )


def test_a_reply_becomes_a_label_and_a_failure_stays_one():
    found, _ = explain(evidence(), REPLY)
    assert (found.title, found.explainer, found.history) == ("B cells", "contrastive", ("key1",))
    failure = Failure("parse", "no JSON")
    assert explain(evidence(), failure)[0] is failure


def test_a_model_of_short_context_gets_fewer_pairs_once():
    shown, look_alikes = (tuple(item(i, strength) for i in range(40)) for strength in (5, 0))
    many = replace(evidence(), shown=shown, look_alikes=look_alikes)
    found, model = explain(many, Failure("context", "too long"), REPLY)
    assert found.title == "B cells"
    first, second = (prompt.count("### Pair") for prompt in model.prompts)
    assert first == PAIRS and 2 <= second < 10


@pytest.mark.parametrize("tokens", [3000, 2000, 1200])
def test_pairs_and_lines_are_left_out_until_the_prompt_is_as_short_as_asked(tokens):
    shown, look_alikes = (tuple(item(i, s, f"card {i} " * 20) for i in range(40)) for s in (5, 0))
    many = replace(evidence(), shown=shown, look_alikes=look_alikes)
    whole, cut = Contrastive().prompt(many, 100_000), Contrastive().prompt(many, tokens)
    assert len(cut) < len(whole) and whole.count("### Pair") == PAIRS > cut.count("### Pair") >= 2
    assert len(cut) <= tokens * CHARS_PER_TOKEN or cut.count("### Pair") == 2
    assert f"({cut.count('### Pair')} of 40 are shown, evenly over strength)" in cut


@pytest.mark.parametrize("field", [*NAMED, "text"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_name_or_card_changes_nothing_but_itself(field, attack):
    assert_changes_nothing_but_itself(Contrastive().prompt, evidence, field, attack)
