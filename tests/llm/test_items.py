"""Does a batch keep its good answers and ask for the others once, and only once?"""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from autointerp.llm.items import ask_items
from autointerp.schema import Failure
from tests.scripted_model import ScriptedModel


class Marks(BaseModel):
    marks: list[int | None]


def _ask(n, *replies):
    llm, asked = ScriptedModel(*replies), []

    def request(places, attempt):
        asked.append((list(places), attempt))
        return llm.request(f"{places}")

    def read(reply, k):
        marks = (reply.marks + [None] * k)[:k]
        return marks, [None if mark is not None else "missing" for mark in marks]

    return asyncio.run(ask_items(llm, n, request, Marks, read)), asked


def marks(*given):
    return {"marks": list(given)}


@pytest.mark.parametrize(
    ("replies", "asked", "values", "status"),
    [
        ([marks(1, 2, 3)], [([0, 1, 2], 0)], (1, 2, 3), "ok"),
        ([marks(1, None, 3), marks(2)], [([0, 1, 2], 0), ([1], 0)], (1, 2, 3), "reasked"),
        ([marks(1), marks(2)], [([0, 1, 2], 0), ([1, 2], 0)], (1, 2, None), "reasked"),
        ([marks(), marks(1, 2)], [([0, 1, 2], 0), ([0, 1, 2], 1)], (1, 2, None), "reasked"),
        ([marks(), marks()], [([0, 1, 2], 0), ([0, 1, 2], 1)], (None, None, None), "failed"),
        ([Failure("filtered", "no")], [([0, 1, 2], 0)], (None, None, None), "failed"),
        ([marks(1), Failure("endpoint", "no")], [([0, 1, 2], 0), ([1, 2], 0)], (1, None, None), "reasked"),
    ],
)
def test_who_is_asked_again(replies, asked, values, status):
    found, requests = _ask(3, *replies)
    assert requests == asked
    assert (found.values, found.status) == (values, status)
    assert [value is None for value in found.values] == [failure is not None for failure in found.failures]


def test_a_batch_too_long_is_halved_once_and_each_half_asked_for_what_it_leaves_out():
    too_long = Failure("context", "too long")
    found, requests = _ask(5, too_long, marks(1, 2), marks(3, 4), marks())
    assert requests == [([0, 1, 2, 3, 4], 0), ([0, 1], 0), ([2, 3, 4], 0), ([4], 0)]
    assert (found.values, found.failures[4], found.status) == ((1, 2, 3, 4, None), "missing", "reasked")
    assert found.keys == ("key2", "key3", "key4")


def test_a_half_that_is_too_long_is_not_halved_again():
    too_long = Failure("context", "too long")
    found, requests = _ask(4, too_long, too_long, marks(3, 4))
    assert requests == [([0, 1, 2, 3], 0), ([0, 1], 0), ([2, 3], 0)]
    assert (found.values, found.failures[:2]) == ((None, None, 3, 4), ("context", "context"))
