"""Is a budget never exceeded, whatever the endpoint does, and does raising it go on where it stopped?"""

from __future__ import annotations

import asyncio
import random

import pytest

from autointerp.errors import UserError
from autointerp.llm.budget import Budget, BudgetSpent
from autointerp.llm.client import LLM
from autointerp.llm.cost import bound, estimate
from autointerp.llm.faults import EndpointError
from autointerp.llm.ledger import Ledger
from autointerp.llm.loop import run_async
from autointerp.llm.policy import Policy
from autointerp.llm.prices import Price, given_price
from autointerp.llm.request import Reply, Request, Usage, image_part, text_part
from autointerp.llm.session import Session
from tests import scripted_server as scripted
from tests.llm.conftest import QUICK
from tests.scripted_server import ScriptedServer, honest

PRICE = Price(1e-6, 1e-5)
HI = Request(({"role": "user", "content": "hi"},), "m", "e", max_tokens=100)


def _ask_all(ledger, url, n=40, **limits):
    """Ask n questions within a budget; what came of each, and the LLM."""

    async def work():
        budget = Budget(ledger, **limits)
        async with LLM(
            "m", ledger, base_url=url, policy=QUICK, price=PRICE, budget=budget, concurrency=4
        ) as llm:
            asks = [llm.ask(llm.request(f"question {i:02}", max_tokens=100)) for i in range(n)]
            return await asyncio.gather(*asks, return_exceptions=True), budget

    return run_async(work())


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        yield ledger


def test_a_budget_stops_cleanly_and_raising_it_goes_on(ledger):
    one = bound(Request(({"role": "user", "content": "question 00"},), "m", "e", max_tokens=100), PRICE)
    with ScriptedServer(honest("x" * 50)) as server:
        ended, budget = _ask_all(ledger, server.url, usd=10 * one.cost_usd)
        answered = [one for one in ended if isinstance(one, Reply)]
        stopped = [one for one in ended if isinstance(one, BudgetSpent)]
        assert len(answered) + len(stopped) == 40
        assert 10 < len(answered) == len(ledger) == len(server.requests) < 40  # what was not used is set free
        assert "Raise --budget-usd to go on. Nothing answered is lost" in str(stopped[0])
        assert "\n" not in str(stopped[0])
        assert 0 <= stopped[0].usd_left < one.cost_usd
        assert ledger.totals().cost_usd <= 10 * one.cost_usd
        assert ledger.spending().cost_usd == pytest.approx(budget.usd_spent)

        again, _ = _ask_all(ledger, server.url, usd=10 * one.cost_usd)
        assert len(server.requests) == len(answered)  # no room for one more
        assert sum(isinstance(one, Reply) for one in again) == len(answered)
        rest, _ = _ask_all(ledger, server.url, usd=100 * one.cost_usd)
        assert all(isinstance(one, Reply) for one in rest)
        assert len(server.requests) == 40


def test_tokens_can_be_the_budget_where_no_price_is_known(ledger):
    with ScriptedServer(honest("x" * 50)) as server:
        ended, budget = _ask_all(ledger, server.url, tokens=2000)
        totals = ledger.totals()
        assert totals.tokens_in + totals.tokens_out == budget.tokens_spent <= 2000
        assert "2,000 tokens" in str(next(one for one in ended if isinstance(one, BudgetSpent)))


def test_failures_that_cost_tokens_are_charged(ledger):
    with ScriptedServer(
        lambda body, n: scripted.with_usage(scripted.cut_short(), **scripted.USAGE)
    ) as server:
        _, budget = _ask_all(ledger, server.url, n=1, usd=1.0)
        assert len(server.requests) == 2
        assert budget.usd_spent == ledger.spending().cost_usd == pytest.approx(2 * (100e-6 + 20e-5))


def test_refused_attempts_are_not_charged_and_lost_ones_keep_their_reserve(ledger):
    replies = [scripted.rate_limited(0.001), scripted.error(500), scripted.dropped(), scripted.half_json()]
    with ScriptedServer(lambda body, n: replies[n % 2 if body["seed"] == 1 else 2 + n % 2]) as server:

        async def ask(seed):
            budget = Budget(ledger, usd=1.0)
            policy = Policy(attempts=2, first_wait_s=0.001)
            async with LLM(
                "m", ledger, base_url=server.url, policy=policy, price=PRICE, budget=budget
            ) as llm:
                await llm.ask(llm.request("warm", seed=seed)) if seed == 0 else None
                request = llm.request("hi", seed=seed)
                assert not isinstance(await _tried(llm, request), Reply)
                return budget.usd_spent, bound(request, PRICE).cost_usd

        assert run_async(ask(1))[0] == 0.0
        spent, reserve = run_async(ask(2))
        assert spent == pytest.approx(2 * reserve)
    assert ledger.spending().unknown_usd == pytest.approx(2 * reserve)
    assert Budget(ledger, usd=1.0).usd_spent == pytest.approx(2 * reserve)  # the next run knows


async def _tried(llm, request):
    try:
        return await llm.ask(request)
    except UserError as error:
        return error


def test_nobody_there_costs_nothing(ledger):
    ended, budget = _ask_all(ledger, "http://127.0.0.1:9/v1", n=1, usd=1.0)
    assert isinstance(ended[0], UserError)
    assert budget.usd_spent == 0.0


def test_a_server_that_ignores_the_cap_is_settled_told_and_stopped(ledger):
    usage = {"prompt_tokens": 10, "completion_tokens": 9000, "total_tokens": 9010}
    with ScriptedServer(lambda body, n: scripted.with_usage(scripted.say("long"), **usage)) as server:
        ended, budget = _ask_all(ledger, server.url, usd=100.0)
        assert len(server.requests) <= 4
        assert sum(isinstance(one, Reply) for one in ended) == len(server.requests) == len(ledger)
        assert "does not keep to the cap" in str(next(one for one in ended if isinstance(one, BudgetSpent)))
        assert budget.usd_spent == pytest.approx(len(ledger) * (10e-6 + 9000e-5))
    assert {kind for _, kind, _ in ledger.events()} == {"over_reserve"}
    assert ledger.totals().failures == 0


def test_an_endpoint_that_tells_no_tokens_is_charged_the_reserve(ledger):
    with ScriptedServer(lambda body, n: scripted.say("x", usage=None)) as server:
        _, budget = _ask_all(ledger, server.url, n=1, usd=1.0)
    assert budget.usd_spent == pytest.approx(bound(HI, PRICE).cost_usd, rel=0.1)
    assert ledger.spending().cost_usd == budget.usd_spent


def test_two_models_share_a_budget(tmp_path):
    path = tmp_path / "run" / "ledger.sqlite"

    async def work(server):
        roles = {"label": "one", "judge": "two"}
        async with Session(roles, path, base_url=server.url, budget_tokens=1500, price=PRICE) as session:
            asks = [
                llm.ask(llm.request(f"question {n}", max_tokens=100))
                for n in range(20)
                for llm in session.models.values()
            ]
            ended = await asyncio.gather(*asks, return_exceptions=True)
            assert {type(one) for one in ended} == {Reply, BudgetSpent}

    with ScriptedServer(honest("x" * 50)) as server:
        run_async(work(server))
    with Ledger(path) as ledger:
        assert ledger.totals().tokens_in + ledger.totals().tokens_out <= 1500


def test_a_budget_in_dollars_needs_a_price(tmp_path):
    def session(**options):
        return Session({"judge": "m"}, tmp_path / "l.sqlite", base_url="http://localhost:1/v1", **options)

    with pytest.raises(UserError, match="--price-in and --price-out"):
        session(budget_usd=1.0).check()
    session(budget_usd=1.0, allow_unpriced=True).check()
    session(budget_usd=1.0, price=given_price(1, 2)).check()
    session(budget_tokens=10).check()


def test_a_model_elsewhere_of_unknown_price_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    def unpriced(url, **options):
        return Session({"judge": "m"}, tmp_path / "l.sqlite", base_url=url, **options).check()

    assert unpriced("https://models.example/v1") == ["m"]
    assert unpriced("https://models.example/v1", price=given_price(1, 2)) == []
    assert unpriced("http://localhost:1/v1") == []  # a server here sends no bill


def test_a_given_price_is_per_million_and_whole():
    assert given_price(None, None) is None
    assert given_price(0.15, 0.6) == Price(0.15e-6, 0.6e-6)
    for pair in ((1, None), (None, 1), (-1, 1)):
        with pytest.raises(UserError, match="go together"):
            given_price(*pair)


def test_the_bound_counts_bytes_images_schema_and_tools():
    def tokens(content, **fields):
        return bound(Request(({"role": "user", "content": content},), "m", "e", **fields), PRICE).tokens_in

    empty = tokens("")
    assert tokens("äöü\ud800") == empty + 9
    assert tokens([text_part("abc")]) == empty + 3
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (600).to_bytes(4, "big") + (100).to_bytes(4, "big") + bytes(500)
    assert tokens([image_part(png)]) == empty + 3000 + 2 * 1024
    assert tokens([image_part(b"\xff\xd8 a JPEG", "image/jpeg")]) == empty + 3000 + 12 * 1024
    assert tokens("", schema={"type": "object"}) == empty + len('{"type": "object"}')
    assert tokens("", params={"tools": [{"a": 1}]}) == empty + len('[{"a": 1}]')
    assert tokens("", params={"logprobs": True}) == empty


def test_what_is_left_is_counted_and_priced():
    told = estimate([(HI, PRICE), (HI, PRICE), (HI, None)])
    most = bound(HI, PRICE)
    assert (told.requests, told.unpriced, told.tokens_at_most) == (3, 1, 3 * most.tokens)
    assert told.usd_at_most == pytest.approx(2 * most.cost_usd)
    assert 0 < told.usd_about < told.usd_at_most
    assert str(told).startswith("3 requests, about")
    assert "1 requests at an unknown price" in str(told)
    assert str(estimate([])) == "nothing is left to ask"
    assert "at an unknown price" in str(estimate([(HI, None)]))


class Meter:
    """A transport that keeps to the cap, fails at random, and knows what it has charged for."""

    def __init__(self, rng):
        self.rng, self.usd, self.tokens = rng, 0.0, 0

    async def send(self, body):
        rng, fate = self.rng, self.rng.random()
        for _ in range(rng.randrange(3)):
            await asyncio.sleep(0)
        if fate < 0.1:
            raise EndpointError("rate", "slow down", status=429, retry_after_s=0.0)
        if fate < 0.2:
            raise EndpointError("server", "oops", status=500)
        sent = sum(len(message["content"].encode()) for message in body["messages"])
        usage = Usage(rng.randint(1, sent), rng.randint(0, body["max_tokens"]))
        self.usd += PRICE.cost_usd(usage)
        self.tokens += usage.tokens_in + usage.tokens_out
        if fate < 0.3:  # charged, and nobody hears of it
            raise EndpointError(rng.choice(("timeout", "connection", "server")), "lost")
        if fate < 0.32:
            await asyncio.sleep(3600)  # until the run is killed
        reason = "length" if fate < 0.4 else "stop"
        return Reply("yes", reason, None if fate > 0.95 else usage, "m")

    async def close(self):
        pass


@pytest.mark.parametrize("runs", [120, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_random_run_exceeds_its_budget(runs, tmp_path, monkeypatch):
    """Random prompts, caps, limits, faults, kills and resumes, against a server that honors the cap."""
    stopped = asked = 0
    monkeypatch.setattr("asyncio.sleep", _no_waiting(asyncio.sleep))
    for run in range(runs):
        rng = random.Random(run)
        meter = Meter(rng)
        monkeypatch.setattr("autointerp.llm.sender.open_transport", lambda *_, meter=meter: meter)
        usd = rng.uniform(0.001, 0.05) if run % 2 else None
        tokens = rng.randint(500, 20_000) if run % 3 else None
        policy = Policy(attempts=3, first_wait_s=0.0, longest_wait_s=0.0)
        asks = [("word " * rng.randint(1, 60), rng.randint(1, 300)) for _ in range(12)]

        async def work(ledger, budget, options, asks):
            llm = LLM("m", ledger, base_url="http://localhost:1/v1", price=PRICE, budget=budget, **options)
            pending = [
                asyncio.ensure_future(llm.ask(llm.request(f"{n} {text}", max_tokens=cap)))
                for n, (text, cap) in enumerate(asks)
            ]
            for _ in range(100):
                await asyncio.sleep(0)
            done = sum(task.done() for task in pending)
            for task in pending:
                task.cancel()
            await llm.close()  # what is under way is lost, as in a kill
            ended = await asyncio.gather(*pending, return_exceptions=True)
            return sum(isinstance(one, BudgetSpent) for one in ended), done

        with Ledger(tmp_path / f"{run % 4}.sqlite") as ledger:
            for table in ("answers", "events", "reserves"):
                ledger._db.execute(f"DELETE FROM {table}")
            for _ in range(2):  # the second goes on where the first was killed
                options = {"policy": policy, "concurrency": rng.randint(1, 8)}
                told, done = asyncio.run(work(ledger, Budget(ledger, usd, tokens), options, asks))
                stopped, asked = stopped + told, asked + done
                assert usd is None or meter.usd <= usd * (1 + 1e-9), f"run {run}"
                assert tokens is None or meter.tokens <= tokens, f"run {run}"
            spending = ledger.spending()
            assert spending.tokens >= meter.tokens or (usd is None and tokens is None)
    assert stopped > runs  # the limits were reached, not only approached
    assert asked > 10 * runs


def _no_waiting(sleep):
    async def quick(delay, *args):
        await sleep(delay if delay == 3600 else 0)

    return quick


def test_only_the_budget_that_is_too_small_is_to_be_raised(ledger):
    with ScriptedServer(honest("x" * 50)) as server:
        ended, _ = _ask_all(ledger, server.url, usd=100.0, tokens=2000)
        stopped = next(one for one in ended if isinstance(one, BudgetSpent))
    assert stopped.too_small == ("--budget-tokens",)
    assert f"{stopped.tokens_left:,} tokens left" in str(stopped)
    assert "Raise --budget-tokens to go on." in str(stopped)
    assert "same command" not in str(stopped)  # it would stop again
