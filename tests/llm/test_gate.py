"""Does the number of requests in flight follow what the endpoint bears, and does nobody wait for ever?"""

from __future__ import annotations

import asyncio
import time

import pytest

from autointerp.llm.gate import Gate
from autointerp.llm.policy import Policy
from autointerp.llm.request import Reply
from tests import scripted_server as scripted

pytestmark = pytest.mark.usefixtures("loaded")


async def _held(gate: Gate, place: str, seconds: float = 0.0) -> float:
    async with gate.slot(place):
        await asyncio.sleep(seconds)
        return time.monotonic()


def test_a_429_halves_once_for_all_that_were_under_way_and_answers_grow_it_back():
    async def work():
        gate = Gate(16)
        async with gate.slot("a") as first, gate.slot("a") as second:
            gate.refused(first)
            gate.refused(second)
        assert gate.limit("a") == 8
        assert gate.limit("b") == 16
        for _ in range(6):
            async with gate.slot("a") as slot:
                gate.refused(slot)
        assert gate.limit("a") == 1
        for expected, answers in ((2, 1), (3, 3), (4, 4)):
            for _ in range(answers):
                async with gate.slot("a") as slot:
                    gate.answered(slot)
            assert gate.limit("a") == expected
        for _ in range(200):
            async with gate.slot("a") as slot:
                gate.answered(slot)
        assert gate.limit("a") == 16

    asyncio.run(work())


def test_a_pause_holds_for_its_place_alone():
    async def work():
        gate = Gate(2)
        gate.pause("a", 0.2)
        started = time.monotonic()
        waiting = [asyncio.create_task(_held(gate, "a")) for _ in range(5)]
        await asyncio.sleep(0)
        assert await _held(gate, "b") - started < 0.1
        assert min(await asyncio.gather(*waiting)) - started >= 0.2

    asyncio.run(work())


def test_a_pause_that_begins_while_a_turn_is_given_holds_too():
    async def work():
        gate = Gate(1)
        async with gate.slot("a"):
            waiting = asyncio.create_task(_held(gate, "a"))
            await asyncio.sleep(0.01)
        gate.pause("a", 0.2)  # the slot is free, and who waited has not run yet
        started = time.monotonic()
        assert await waiting - started >= 0.19

    asyncio.run(work())


def test_who_gives_up_waiting_takes_no_slot():
    async def work():
        gate = Gate(2)
        holding = [asyncio.create_task(_held(gate, "a", 0.05)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(_held(gate, "a")) for _ in range(6)]
        await asyncio.sleep(0.01)
        for task in (*waiting[:3], holding[0]):
            task.cancel()
        ended = await asyncio.wait_for(asyncio.gather(*holding, *waiting, return_exceptions=True), 2)
        assert sum(isinstance(one, float) for one in ended) == 4
        await asyncio.wait_for(asyncio.gather(*(_held(gate, "a") for _ in range(4))), 2)

    asyncio.run(work())


def test_a_gate_outlives_the_loop_in_which_somebody_waited():
    gate = Gate(1)

    async def leave():
        holder = asyncio.create_task(_held(gate, "a", 60))
        waiter = asyncio.create_task(_held(gate, "a"))
        await asyncio.sleep(0.01)
        assert not holder.done() and not waiter.done()

    asyncio.run(leave())
    asyncio.run(asyncio.wait_for(_held(gate, "a"), 2))


def test_no_slot_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Gate(0)


def test_an_endpoint_that_bears_three_at_a_time_is_given_few(openai_bench):
    """It refuses whatever is above three at a time: all is answered in the end, and refusals stay a minority."""
    server = openai_bench.server

    def reply(body, n):
        return scripted.rate_limited(0.01) if server.at_once > 3 else scripted.slow(delay_s=0.02)

    server.reply = reply

    async def work(llm):
        return await asyncio.gather(*(llm.ask(llm.request(f"question {n}")) for n in range(120)))

    patience = Policy(attempts=50, first_wait_s=0.001, longest_wait_s=0.02)
    assert all(isinstance(one, Reply) for one in openai_bench.run(work, concurrency=32, policy=patience))
    refused = openai_bench.kinds.count("rate")
    assert len(server.requests) == 120 + refused
    assert refused < 120


def test_a_server_that_loads_its_model_first_is_waited_for(bench):
    bench.server.reply = scripted.slow_start(0.4, lambda body, n: "ok")
    patience = Policy(attempts=8, first_wait_s=0.05)
    assert bench.run(lambda llm: llm.ask(llm.request("hi")), policy=patience).text == "ok"
    assert set(bench.kinds) == {"server"}
