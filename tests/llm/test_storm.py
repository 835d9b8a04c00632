"""With 30 % faulty replies of all kinds: does everything end, as an answer or a typed failure, and is all counted?"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter

import pytest
from pydantic import BaseModel

from autointerp.errors import CannotGoOn
from autointerp.llm import providers
from autointerp.llm.budget import Budget, BudgetSpent
from autointerp.llm.client import Answered
from autointerp.llm.ledger import Ledger
from autointerp.llm.loop import run_async
from autointerp.llm.policy import Policy
from autointerp.llm.session import Session
from autointerp.schema import Failure
from tests import scripted_server as scripted
from tests.scripted_server import say

pytestmark = pytest.mark.usefixtures("loaded")
N = 300
PATIENCE = Policy(attempts=6, first_wait_s=0.001, longest_wait_s=0.01, timeout_s=1.5)


class Verdict(BaseModel):
    title: str
    score: int


GOOD = {"title": "T cell", "score": 3}
PASSING = [  # cost an attempt
    *(scripted.rate_limited(0.002), scripted.rate_limited(), scripted.error(500), scripted.error(502)),
    *(scripted.error(503), scripted.error(529), scripted.dropped(), scripted.truncated_body()),
    *(scripted.half_json(), scripted.ScriptedReply(body=b'{"id": "x", "choices": []}')),
]
OF_THE_ITEM = {  # end a request
    "filtered": [scripted.filtered(), scripted.refused(), scripted.error(400, "no", code="content_filter")],
    "empty": [scripted.empty(), say(" \n")],
    "context": [scripted.too_long()],
    "bad_request": [scripted.error(400, "messages must alternate")],
}
UNREAD = [
    say("I would rather talk."),
    say('{"title": "T ce'),
    {"title": "T cell"},
    [GOOD, GOOD],
    say("{" * 500),
]
READ = [scripted.fenced(GOOD), scripted.cached('{"title": "T cell", "score": 3}')]


def _weather(seed: int, rate: float):
    rng = random.Random(seed)
    kinds = [*PASSING, *itertools.chain(*OF_THE_ITEM.values()), *UNREAD, *READ, scripted.cut_short()]

    def reply(body, n):
        if n and rng.random() < 0.004:
            return scripted.slow(delay_s=4.0)  # times out
        return rng.choice(kinds) if n and rng.random() < rate else GOOD

    return reply


async def _all(llm):
    first = await llm.ask_for(llm.request("first"), Verdict)
    asks = (llm.ask_for(llm.request(f"question {n}"), Verdict) for n in range(N))
    return [first, *await asyncio.wait_for(asyncio.gather(*asks), 120)]


def test_in_a_storm_every_item_ends_and_every_request_is_counted(bench, tmp_path):
    bench.server.reply = _weather(0, 0.3)
    ended = bench.run(_all, concurrency=24, policy=PATIENCE)
    assert bench.server.failure is None
    failed = [one for one in ended if isinstance(one, Failure)]
    good = [one for one in ended if isinstance(one, Answered)]
    assert len(failed) + len(good) == N + 1
    assert all(one.value == Verdict(**GOOD) for one in good)
    assert {one.status for one in good} == {"ok", "repaired", "reasked"}
    assert {one.kind for one in failed} >= {"filtered", "context", "bad_request"}
    assert {one.kind for one in failed} <= {*OF_THE_ITEM, "parse", "endpoint", "truncated"}

    spent, totals = bench.llm.spent, bench.ledger.totals()
    first_asks, second_asks = N + 1, sum(one.status == "reasked" for one in good)
    reasked = spent.asked + spent.failed - first_asks  # every request is answered or failed, once
    assert second_asks <= reasked
    assert spent.asked == totals.answers == len(bench.ledger)
    assert len(failed) == spent.failed + spent.unread
    assert spent.attempts == len(bench.server.requests) == totals.answers + totals.failures
    assert spent.shared == spent.from_ledger == 0
    kinds = Counter(bench.kinds)
    for kind in OF_THE_ITEM:
        assert kinds[kind] == sum(one.kind == kind for one in failed)  # these are asked once

    # Running again asks for what failed, and for nothing else; in calm weather all is answered.
    sent, known = len(bench.server.requests), spent.asked
    bench.server.reply = lambda body, n: GOOD
    again = bench.run(_all, policy=PATIENCE)
    assert not any(isinstance(one, Failure) for one in again if one not in failed)
    assert bench.llm.spent.attempts == len(bench.server.requests) - sent == len(failed) - spent.unread
    assert next(one for one in again if isinstance(one, Answered)) == ended[0]
    assert known + bench.llm.spent.asked == len(bench.ledger)
    before = len(bench.server.requests)
    assert bench.run(_all, policy=PATIENCE) == again
    assert len(bench.server.requests) == before  # a further run asks for nothing


def test_a_storm_within_a_budget_stays_within_it(openai_bench):
    openai_bench.server.reply = _weather(1, 0.3)
    budget = Budget(openai_bench.ledger, tokens=25_000)

    async def work(llm):
        asks = (llm.ask_for(llm.request(f"question {n}", max_tokens=50), Verdict) for n in range(N))
        return await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 60)

    ended = openai_bench.run(work, concurrency=16, policy=PATIENCE, budget=budget)
    assert {type(one) for one in ended} == {Answered, Failure, BudgetSpent}
    assert budget.tokens_spent <= 25_000
    assert openai_bench.ledger.spending().tokens == budget.tokens_spent
    assert budget._held == 0


@pytest.mark.parametrize("rate", [0.3, 0.6])
def test_a_storm_is_not_taken_for_a_dead_endpoint(openai_bench, rate):
    openai_bench.server.reply = _weather(2, rate)
    ended = openai_bench.run(_all, concurrency=24, policy=PATIENCE)  # raises CannotGoOn if it is given up
    assert sum(isinstance(one, Answered) for one in ended) > N * (1 - rate)


def test_kinds_of_a_storm_survive_in_the_ledger(openai_bench, tmp_path):
    openai_bench.server.reply = _weather(3, 0.5)
    openai_bench.run(_all, concurrency=24, policy=PATIENCE)
    told = openai_bench.kinds
    openai_bench.ledger.close()
    with Ledger(tmp_path / "ledger.sqlite") as openai_bench.ledger:
        assert openai_bench.kinds == told


@pytest.mark.parametrize("limits", [{}, {"budget_tokens": 10**6}])
def test_a_run_that_stops_keeps_the_answers_that_are_on_their_way(tmp_path, limits):
    def reply(body, n):
        return scripted.out_of_quota() if n == 3 else say("paid for", delay_s=0.3)

    async def work(url):
        options = {"base_url": url, "concurrency": 6, **limits}
        async with Session({"label": "m"}, tmp_path / "l.sqlite", **options) as session:
            llm = session.models["label"]
            await asyncio.gather(*(llm.ask(llm.request(f"question {n}")) for n in range(20)))

    with scripted.ScriptedServer(reply) as server:
        with pytest.raises(CannotGoOn, match="quota"):
            run_async(work(server.url))
        assert len(server.requests) == 6
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert len(ledger) == 5
        assert ledger.spending().unknown_usd == 0


def test_replies_that_break_us_are_recorded_and_too_many_stop_the_run(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("planted sk-never-to-be-seen-0123456789")

    async def work(url):
        async with Session({"label": "m"}, tmp_path / "l.sqlite", base_url=url, concurrency=2) as session:
            llm = session.models["label"]
            asks = (llm.ask(llm.request(f"question {n}")) for n in range(100))
            return await asyncio.gather(*asks, return_exceptions=True)

    monkeypatch.setattr(providers, "_reply", broken)
    with scripted.ScriptedServer("paid for") as server:
        ended = run_async(work(server.url))
        assert len(server.requests) <= Policy().give_up_after + 1
    assert isinstance(ended[0], ZeroDivisionError)
    assert isinstance(ended[-1], CannotGoOn) and "please report" in str(ended[-1]).lower()
    with Ledger(tmp_path / "l.sqlite") as ledger:
        events = ledger.events()
        assert {kind for _, kind, _ in events} == {"bug"} and len(events) == len(server.requests)
        assert not any("sk-never" in message for _, _, message in events)
