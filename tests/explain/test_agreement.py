"""How far samples of a label agree: is it what hand counting gives, and is it asked for only on demand?"""

from __future__ import annotations

import asyncio

import pytest

from autointerp.explain.agreement import agreement
from autointerp.explain.best_of_n import BestOfN
from autointerp.explain.contrastive import Contrastive
from autointerp.explain.one_shot import TEMPERATURE, OneShot
from autointerp.schema import Failure
from tests.explain.fake_lab import FakeLab, TalkingModel
from tests.explain.test_one_shot import REPLY, evidence
from tests.tiny_corpus import label


def said(title: str, up: str = "", down: str = "", abstained: bool = False):
    return label(0, title=title, up=up, down=down, abstained=abstained)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([], None),
        ([said("B cells")], None),
        ([said("B cells", up="CD79A"), said("b cell", up="CD79A")], 1.0),
        ([said("B cells"), said("T cells")], 1 / 3),  # {b, cell}, {t, cell}; no features: titles alone
        ([said("B cells", up="CD79A MS4A1"), said("Naive B cells", up="CD79A")], (2 / 3 + 1 / 2) / 2),
        (
            [said("B cells", up="LYZ"), said("B cells", down="LYZ")],
            0.5,
        ),  # the other direction is another claim
        ([said("B cells", up="LYZ"), said("B cells")], 0.5),
        ([said("", abstained=True), said("", abstained=True)], 1.0),
        ([said("B cells"), said("", abstained=True)], 0.0),
        ([said("B cells"), said("B cells"), said("", abstained=True)], 1 / 3),  # 1, 0, 0
        ([said("CD4+ T cells"), said("CD4- T cells")], 0.5),
    ],
)
def test_agreement_is_what_hand_counting_gives(labels, expected):
    assert agreement(labels) == (None if expected is None else pytest.approx(expected))


def explain(explainer, *replies):
    model = TalkingModel(*replies)
    return asyncio.run(explainer.explain(evidence(), model)), model


@pytest.mark.parametrize("kind", [OneShot, Contrastive])
def test_without_samples_one_request_is_sent_and_nothing_is_said(kind):
    found, model = explain(kind(), REPLY)
    assert found.agreement is None and len(model.requests) == 1
    assert model.requests[0].temperature == 0.0


@pytest.mark.parametrize("kind", [OneShot, Contrastive])
def test_samples_are_of_the_same_prompt_and_the_label_stays_the_first(kind):
    other = REPLY | {"title": "Something else", "key_features": []}
    found, model = explain(kind(2), REPLY, REPLY, other)
    assert found.title == REPLY["title"]
    assert [(r.temperature, r.replicate) for r in model.requests] == [
        (0.0, 0),
        (TEMPERATURE, 0),
        (TEMPERATURE, 1),
    ]
    assert len({r.messages[0]["content"] for r in model.requests}) == 1
    assert found.agreement == pytest.approx(1 / 3, abs=0.15) and 0 < found.agreement < 1
    assert found.history == ("key1", "key2", "key3")  # all that it rests on


def test_a_sample_that_fails_is_left_out_and_a_label_that_fails_is_a_failure():
    failure = Failure("parse", "no JSON")
    found, _ = explain(OneShot(2), REPLY, failure, REPLY)
    assert found.agreement == 1.0
    assert explain(OneShot(2), REPLY, failure, failure)[0].agreement is None
    assert explain(OneShot(2), failure, REPLY, REPLY)[0] is failure


def test_a_short_context_gets_less_evidence_for_label_and_samples_alike():
    too_long = Failure("context", "too long")
    found, model = explain(OneShot(1), too_long, too_long, REPLY, REPLY)
    assert found.agreement == 1.0 and len(model.requests) == 4
    assert len({r.messages[0]["content"] for r in model.requests[2:]}) == 1


def test_best_of_n_stores_how_far_its_samples_agree():
    model = TalkingModel(*(REPLY | {"title": title, "key_features": []} for title in ("a b", "a c", "a b")))
    found = asyncio.run(BestOfN(3).explain(evidence(), model, FakeLab(**{"a b": 0.7, "a c": 0.9})))
    assert found.title == "a c"
    assert found.agreement == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)
