"""Do requests that wait come back as they were, in order, without their prompts in memory?"""

from __future__ import annotations

import errno
import tempfile
import tracemalloc

import pytest

from autointerp.errors import UserError
from autointerp.llm.request import Request, image_part, text_part
from autointerp.llm.wanted import Wanted


def request(number: int = 0, text: str = "Which cells?", **fields: object) -> Request:
    return Request(
        ({"role": "user", "content": f"{text} {number}"},), "openai/m", "openai", replicate=number, **fields
    )


def test_a_request_comes_back_with_its_key_and_all_else():
    parts = ({"role": "user", "content": [text_part("\ud800 ü"), image_part(b"\x89PNG")]},)
    schema = {"type": "object", "properties": {"z": {"type": "number"}, "a": {"type": "string"}}}
    asked = Request(
        parts,
        "openai/m",
        "here",
        77,
        0.5,
        0.9,
        3,
        schema,
        "Form",
        {"logprobs": True, "tools": [{"a": 1}]},
        2,
        "judge",
    )
    wanted = Wanted()
    wanted[asked.key] = asked
    back = wanted[asked.key]
    assert back.key == asked.key
    assert back.canonical() == asked.canonical()
    assert (back.purpose, back.model, back.max_tokens) == ("judge", "openai/m", 77)
    assert list(back.schema["properties"]) == ["z", "a"]


def test_it_is_a_mapping_in_the_order_of_asking():
    wanted = Wanted()
    asked = [request(number) for number in (2, 0, 1)]
    for one in asked:
        assert wanted.setdefault(one.key, one).key == one.key
    wanted.setdefault(asked[1].key, asked[1])
    assert list(wanted) == [one.key for one in asked]
    assert [one.replicate for one in wanted.values()] == [2, 0, 1]
    del wanted[asked[0].key]
    assert asked[0].key not in wanted
    assert len(wanted) == 2
    with pytest.raises(KeyError):
        wanted[asked[0].key]


def test_prompts_are_not_held_in_memory():
    wanted = Wanted()
    tracemalloc.start()
    try:
        for number in range(500):
            one = request(number, "GENE " * 10_000)  # 50 kB each, 25 MB together
            wanted[one.key] = one
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    one = request()
    with pytest.raises(UserError, match=r"No space left on device. Free space there, or set TMPDIR"):
        Wanted()[one.key] = one
