"""Is a probability the mean of the numbers a model might have written, and as stated where that cannot be read?"""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.judge.expected import expected
from autointerp.judge.llm import LLMJudge
from autointerp.llm.client import LLM
from autointerp.llm.ledger import Ledger
from autointerp.llm.request import Reply
from autointerp.schema import Question
from tests.scripted_server import ScriptedServer, say
from tests.tiny_corpus import TinyCorpus, label


def entry(token: str, p: float = 0.9, **others: float) -> dict[str, Any]:
    told = [{"token": t.removeprefix("n"), "logprob": math.log(q)} for t, q in others.items()]
    return {
        "token": token,
        "logprob": math.log(p),
        "top_logprobs": [{"token": token, "logprob": math.log(p)}, *told],
    }


def reply(*entries: dict[str, Any]) -> Reply:
    return Reply("".join(e["token"] for e in entries), "stop", logprobs={"content": list(entries)})


HEAD, MIDDLE, TAIL = (
    entry('{"answers": [{"item": 1, "probability": '),
    entry('}, {"item": 2, "probability":'),
    entry("}]}"),
)


def test_the_mean_of_the_alternatives_by_hand():
    told = reply(HEAD, entry("80", 0.5, n90=0.3, n100=0.1, nnull=0.1), MIDDLE, entry(" 5", 1.0), TAIL)
    assert expected(told, [80.0, 5.0]) == pytest.approx([(0.5 * 80 + 0.3 * 90 + 0.1 * 100) / 0.9, 5.0])


def test_numbers_out_of_range_and_words_are_no_alternatives():
    told = reply(HEAD, entry("80", 0.5, n900=0.4, nhigh=0.1), MIDDLE, entry("5"), TAIL)
    assert expected(told, [80.0, 5.0]) == pytest.approx([80.0, 5.0])


def test_items_are_told_apart_by_their_number_not_their_place():
    second = entry('{"answers": [{"item": 2, "probability": ')
    told = reply(second, entry("80", 0.5, n60=0.5), entry('}, {"item": 1, "probability":'), entry(" 5"), TAIL)
    assert expected(told, [5.0, 80.0]) == pytest.approx([5.0, 70.0])


def test_a_number_of_two_tokens_stays_as_stated():
    told = reply(HEAD, entry("8", 0.5, n9=0.5), entry("5", 0.5, n0=0.5), MIDDLE, entry("5"), TAIL)
    assert expected(told, [85.0, 5.0]) == [85.0, 5.0]


@pytest.mark.parametrize("logprobs", [None, {}, {"content": []}, {"content": [entry("other text")]}])
def test_without_log_probabilities_of_this_text_all_stays_as_stated(logprobs):
    text = '{"answers": [{"item": 1, "probability": 80}]}'
    assert expected(Reply(text, "stop", logprobs=logprobs), [80.0]) == [80.0]


def test_failures_stay_failures():
    told = reply(HEAD, entry("80", 0.5, n90=0.5), MIDDLE, entry("500"), TAIL)
    assert expected(told, [80.0, None]) == pytest.approx([85.0, None])


def script(gives: bool):
    """Every probability is 80, or 90 as often; log-probabilities are given, or asked for in vain."""

    def answered(body: dict[str, Any], n: int) -> Any:
        entries = [entry('{"answers": [')]
        for i in range(1, 4):
            entries += [
                entry(f'{", " if i > 1 else ""}{{"item": {i}, "probability": '),
                entry("80", 0.5, n90=0.5),
                entry("}"),
            ]
        entries.append(entry("]}"))
        if "response_format" not in body:
            entries = [entry("Blue."), entry(" Yes.")]
        text = "".join(e["token"] for e in entries)
        return say(text, choice={"logprobs": {"content": entries}} if gives and body.get("logprobs") else {})

    return answered


@pytest.mark.parametrize(("gives", "values"), [(True, 85.0), (False, 80.0)])
def test_over_the_wire_an_endpoint_is_asked_once_whether_it_gives_them(tmp_path: Path, gives, values):
    given = label(4, up="LYZ", title="B cells", description="CD79A+ cells.")
    corpus = TinyCorpus(np.eye(6), list("ABCDEF"))

    async def work(server: ScriptedServer, ledger: Ledger) -> list[Any]:
        async with LLM("openai/m", ledger, base_url=server.url) as llm:
            judge = LLMJudge(llm, corpus, json.dumps, logprobs=True)
            asked = [Question("detection", 4, given, np.array(rows), ()) for rows in ([0, 1, 2], [3, 4, 5])]
            return list(await asyncio.gather(*(judge.answer(one) for one in asked)))

    with ScriptedServer(script(gives)) as server, Ledger(tmp_path / "ledger.sqlite") as ledger:
        found = asyncio.run(work(server, ledger))
        assert [answer.values for answer in found] == [pytest.approx((values,) * 3)] * 2
        bodies = [request.body for request in server.requests]
        assert sum("response_format" not in body for body in bodies) == 1  # the probe
        assert len(bodies) == 3
        assert all(bool(body.get("logprobs")) is gives for body in bodies if "response_format" in body)
        assert asyncio.run(work(server, ledger)) == found  # from the ledger, to the same values
        assert len(server.requests) == 3
