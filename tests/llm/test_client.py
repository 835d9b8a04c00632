"""Is nothing asked twice, nothing hidden, and everything counted?"""

from __future__ import annotations

import asyncio
import logging
import random

import pytest
from pydantic import BaseModel

from autointerp.errors import CannotGoOn, UserError
from autointerp.llm.client import LLM
from autointerp.llm.gate import Gate
from autointerp.llm.ledger import Ledger
from autointerp.llm.loop import run_async
from autointerp.llm.policy import Policy
from autointerp.llm.prices import Price
from autointerp.llm.request import Reply
from autointerp.schema import Failure
from tests import scripted_server as scripted
from tests.llm.conftest import MODELS, QUICK
from tests.scripted_server import ScriptedServer, in_turn, say

pytestmark = pytest.mark.usefixtures("loaded")


class Verdict(BaseModel):
    title: str
    score: int


GOOD = {"title": "T cell", "score": 3}


def test_the_second_ask_makes_no_request(bench):
    first = bench.ask()
    assert bench.ask() == first
    assert len(bench.server.requests) == 1
    assert bench.llm.spent.from_ledger == 1
    assert bench.llm.spent.asked == 0


def test_an_answer_outlives_the_process_the_key_and_the_server(tmp_path):
    path = tmp_path / "ledger.sqlite"

    async def ask(url):
        with Ledger(path) as ledger:
            async with LLM("m", ledger, base_url=url, endpoint_name="mine", policy=QUICK) as llm:
                return await llm.ask(llm.request("Which cell?"))

    with ScriptedServer("a B cell") as server:
        first = run_async(ask(server.url))
    assert run_async(ask("https://gone.example/v1")) == first


def test_identical_requests_at_once_are_one(bench):
    bench.server.reply = lambda body, n: scripted.slow(delay_s=0.1)

    async def work(llm):
        return await asyncio.gather(*(llm.ask(llm.request("same")) for _ in range(20)))

    replies = bench.run(work)
    assert len(bench.server.requests) == 1
    assert len(set(map(id, replies))) == 1
    assert (bench.llm.spent.asked, bench.llm.spent.shared) == (1, 19)


def test_replicates_are_asked_each(bench):
    async def work(llm):
        return [await llm.ask(llm.request("same", replicate=n)) for n in range(3)]

    bench.run(work)
    assert len(bench.server.requests) == 3


def test_a_caller_that_goes_away_wastes_no_answer(openai_bench):
    openai_bench.server.reply = lambda body, n: scripted.slow(delay_s=0.2)

    async def work(llm):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(llm.ask(llm.request("hi")), 0.05)
        return await llm.ask(llm.request("hi"))

    assert isinstance(openai_bench.run(work), Reply)
    assert len(openai_bench.server.requests) == 1


def test_a_failure_is_asked_again_by_the_next_run(bench):
    bench.server.reply = in_turn(scripted.empty(), "ok")
    assert isinstance(bench.ask(), Failure)
    assert bench.ask().text == "ok"


@pytest.mark.parametrize("limit", [1, 5])
def test_requests_in_flight_never_exceed_the_limit_at_the_server(bench, limit):
    bench.server.reply = lambda body, n: scripted.error(500) if n % 4 == 0 else scripted.slow(delay_s=0.02)

    async def work(llm):
        return await asyncio.gather(*(llm.ask(llm.request(f"question {n}")) for n in range(30)))

    patience = Policy(attempts=9, first_wait_s=0.001)
    assert all(isinstance(reply, Reply) for reply in bench.run(work, concurrency=limit, policy=patience))
    assert bench.server.most_at_once <= limit
    assert limit == 1 or bench.server.most_at_once > 1


def test_two_models_share_one_gate(tmp_path):
    with ScriptedServer(scripted.slow(delay_s=0.02)) as server, Ledger(tmp_path / "l.sqlite") as ledger:

        async def work():
            gate = Gate(3)
            models = [LLM(name, ledger, base_url=server.url, gate=gate) for name in ("explainer", "judge")]
            asks = [llm.ask(llm.request(f"question {n}")) for n in range(10) for llm in models]
            await asyncio.gather(*asks)
            for llm in models:
                await llm.close()

        run_async(work())
        assert server.most_at_once == 3
        assert len(server.requests) == 20


def test_quota_lets_answers_in_flight_land_and_sends_no_more(openai_bench):
    def reply(body, n):
        return scripted.out_of_quota() if n == 1 else scripted.slow(delay_s=0.3)

    openai_bench.server.reply = reply

    async def work(llm):
        asks = [llm.ask(llm.request(f"question {n}")) for n in range(20)]
        return await asyncio.gather(*asks, return_exceptions=True)

    ended = openai_bench.run(work, concurrency=4)
    assert sum(isinstance(one, Reply) for one in ended) == len(openai_bench.ledger) == 3
    assert sum(isinstance(one, CannotGoOn) for one in ended) == 17
    assert len(openai_bench.server.requests) == 4


def test_a_structured_answer_carries_its_schema(bench):
    bench.server.reply = lambda body, n: GOOD
    value, status, keys = bench.run(lambda llm: llm.ask_for(llm.request("hi"), Verdict))
    assert (value, status) == (Verdict(title="T cell", score=3), "ok")
    assert set(keys) == bench.ledger.keys()
    sent = bench.server.bodies[0]["response_format"]["json_schema"]
    assert sent["name"] == "Verdict"
    assert sent["schema"]["required"] == ["title", "score"]


def test_an_ignored_schema_is_repaired(bench):
    bench.server.reply = lambda body, n: scripted.fenced(GOOD)
    value, status, _ = bench.run(lambda llm: llm.ask_for(llm.request("hi"), Verdict))
    assert (value.score, status) == (3, "repaired")
    assert len(bench.server.requests) == 1


def test_a_reply_that_cannot_be_read_is_asked_for_once_more_with_what_is_wrong(bench):
    bench.server.reply = in_turn('{"title": "T cell"}', GOOD)

    async def work(llm):
        return await llm.ask_for(llm.request("hi"), Verdict, reask=lambda problem: f"Mend this: {problem}")

    value, status, keys = bench.run(work)
    assert (value.score, status, len(keys)) == (3, "reasked", 2)
    turns = bench.server.bodies[1]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"] == '{"title": "T cell"}'
    assert turns[2]["content"] == "Mend this: score: Field required"
    assert bench.run(work) == (value, status, keys)  # the re-ask has its own key
    assert len(bench.server.requests) == 2


def test_a_reply_that_stays_unreadable_is_a_failure(bench):
    bench.server.reply = lambda body, n: say("I would rather talk.")
    failure = bench.run(lambda llm: llm.ask_for(llm.request("hi"), Verdict))
    assert failure == Failure("parse", "the reply holds no JSON object")
    assert len(bench.server.requests) == 2
    assert "error" in bench.server.bodies[1]["messages"][-1]["content"]


def test_a_given_price_is_counted(bench):
    price = Price(1e-6, 1e-5)
    reply = bench.run(lambda llm: llm.ask(llm.request("hi")), price=price)
    assert reply.cost_usd == pytest.approx(100e-6 + 20e-5)
    assert reply.priced_by == "given"
    assert bench.llm.spent.cost_usd == pytest.approx(reply.cost_usd)
    assert bench.ledger.totals().cost_usd == pytest.approx(reply.cost_usd)


def test_counts_add_up_under_faults_of_every_kind(openai_bench):
    rng = random.Random(0)
    faults = [
        *(scripted.rate_limited(0.001), scripted.error(500), scripted.error(503), scripted.dropped()),
        *(scripted.truncated_body(), scripted.half_json(), scripted.empty(), scripted.refused()),
        *(scripted.filtered(), scripted.cut_short(), scripted.too_long(), scripted.fenced(GOOD), say("talk")),
    ]
    openai_bench.server.reply = lambda body, n: rng.choice(faults) if rng.random() < 0.3 else GOOD

    async def work(llm):
        await llm.ask_for(llm.request("first"), Verdict)
        return await asyncio.gather(*(llm.ask_for(llm.request(f"question {n}"), Verdict) for n in range(120)))

    ended = openai_bench.run(work, concurrency=8, policy=Policy(attempts=6, first_wait_s=0.001))
    assert all(isinstance(one, Failure) or one.value.score == 3 for one in ended)
    assert sum(isinstance(one, Failure) for one in ended) < 40
    spent, totals = openai_bench.llm.spent, openai_bench.ledger.totals()
    assert spent.asked == totals.answers == len(openai_bench.ledger)
    assert spent.attempts == len(openai_bench.server.requests) == totals.answers + totals.failures


@pytest.mark.parametrize("library", MODELS, indirect=True)
def test_a_key_stands_in_no_file_no_log_and_no_error(bench, tmp_path, monkeypatch, caplog):
    key = "sk-live-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    caplog.set_level(logging.DEBUG)
    bench.server.reply = in_turn(
        scripted.error(500, f"upstream said {key}"),
        "ok",
        scripted.unauthorized(f"Incorrect API key provided: {key}"),
    )
    assert bench.ask().text == "ok"
    with pytest.raises(CannotGoOn) as told:
        bench.ask("another")
    assert key not in str(told.value)
    assert told.value.__cause__ is None
    assert bench.server.requests[0].headers["Authorization"] == f"Bearer {key}"  # it was used
    bench.ledger.close()
    for path in tmp_path.iterdir():
        assert key.encode() not in path.read_bytes()
    for _, _, message in Ledger(tmp_path / "ledger.sqlite", read_only=True).events():
        assert key not in message
    assert key not in caplog.text


def test_a_missing_key_stops_before_anything_is_sent(tmp_path):
    async def work(model):
        async with LLM(model, ledger) as llm:
            with pytest.raises(UserError):
                llm.check()
            await llm.ask(llm.request("hi"))

    with Ledger(tmp_path / "l.sqlite") as ledger:
        for model, variable in (
            ("openai/gpt-4o-mini", "OPENAI_API_KEY"),
            ("anthropic/claude-x", "ANTHROPIC_API_KEY"),
        ):
            with pytest.raises(UserError, match=variable):
                run_async(work(model))
        assert ledger.events() == []


def test_a_request_to_another_model_is_a_bug(openai_bench):
    async def work(llm):
        request = llm.request("hi")
        other = LLM("other", openai_bench.ledger, base_url=openai_bench.server.url)
        with pytest.raises(ValueError, match="asked of other"):
            await other.ask(request)

    openai_bench.run(work)


def test_it_runs_from_a_notebooks_loop(bench):
    async def cell():
        return bench.ask()  # plain code, called while a loop runs

    assert asyncio.run(cell()).text == "ok"
    assert run_async(_seven()) == 7


async def _seven():
    return 7


def test_one_llm_lives_through_several_loops(bench):
    llm = LLM(bench.model, bench.ledger, base_url=bench.server.url, policy=QUICK, concurrency=2)

    async def work(text):
        replies = await asyncio.gather(*(llm.ask(llm.request(f"{text} {n}")) for n in range(6)))
        await llm.close()
        return replies

    for text in ("one", "two"):
        assert all(isinstance(reply, Reply) for reply in run_async(work(text)))
    assert llm.spent.asked == 12
