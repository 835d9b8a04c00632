"""How does one request become an answer or a typed failure? Attempt by attempt, within policy, gate and budget."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autointerp.errors import CannotGoOn, UserError
from autointerp.llm.budget import Budget, Hold
from autointerp.llm.cost import bound
from autointerp.llm.dialect import FORMATS, Dialect
from autointerp.llm.faults import (
    NOTHING_LOST,
    STOPS_THE_RUN,
    TRANSIENT,
    EndpointError,
    api_keys,
    one_line,
    why_stopped,
    without_keys,
)
from autointerp.llm.gate import Gate
from autointerp.llm.ledger import Ledger
from autointerp.llm.policy import Policy, fault_of, persist
from autointerp.llm.prices import Price
from autointerp.llm.providers import Transport, open_transport
from autointerp.llm.request import Reply, Request
from autointerp.llm.route import Route
from autointerp.schema import Failure


@dataclass(slots=True)
class Spent:
    """What one LLM did so far. ``cost_usd`` sums the known costs; ``unpriced`` replies have none.

    Every request that the ledger does not answer is in ``asked`` or in ``failed``, unless the run stops first.
    """

    asked: int = 0  # requests answered by the endpoint
    from_ledger: int = 0
    shared: int = 0  # identical to one in flight, and answered with it
    attempts: int = 0  # requests sent
    faulty: int = 0  # of them, how many the endpoint failed; most are sent again
    last_fault: str = ""  # kind of the latest
    failed: int = 0  # requests that ended in a Failure
    unread: int = 0  # answers that could not be read as what was asked for, also the second time
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0


class Sender:
    """The way to one model at one endpoint, and what was learned of it.

    Parameters
    ----------
    works : name of a parameter or reply format -> whether to use it, over what was learned
    """

    def __init__(self, model: str, where: Route, ledger: Ledger, *, policy: Policy, gate: Gate, price: Price | None,
                 budget: Budget | None, api_key_env: str, works: Mapping[str, bool]) -> None:  # fmt: skip
        self.model, self.route, self.ledger = model, where, ledger
        self.policy, self.gate, self.price, self.budget = policy, gate, price, budget
        self.spent = Spent()
        self.stopped: UserError | None = None
        self._place = f"{where.endpoint} {model}"
        self._api_key_env, self._works = api_key_env, works
        self._dialect: Dialect | None = None
        self._transport: Transport | None = None
        self._on_the_wire: set[asyncio.Future[None]] = set()
        self._failed_in_a_row = 0
        self._reached = False

    @property
    def dialect(self) -> Dialect:
        """What the endpoint takes, as far as it is known; refused once is not asked again."""
        if self._dialect is None:
            learned = self.ledger.learned(self.route.endpoint, self.model)
            gone = {
                name
                for name, (works, told_by, _) in learned.items()
                if not works and (told_by == "refused" or (told_by == "probed" and name in FORMATS))
            }
            gone |= {name for name, works in self._works.items() if not works}
            gone -= {name for name, works in self._works.items() if works}
            self._dialect = Dialect(tokens_name=self.route.tokens_name).without(gone)
        return self._dialect

    def learn(self, name: str, works: bool, told_by: str, message: str) -> None:
        """Keep what was found out: 'probed', 'seen' in a reply, or, which outweighs them, 'refused' by a 400."""
        known = self.ledger.learned(self.route.endpoint, self.model).get(name)
        if known is None or (told_by == "refused" and known[1] != "refused"):
            self.ledger.learn(self.route.endpoint, self.model, name, works, told_by, message)

    def forget_dialect(self) -> None:
        """Read what was learned again, before the next request."""
        self._dialect = None

    def body(self, request: Request, max_tokens: int | None = None) -> dict[str, Any]:
        """What is sent."""
        return self.dialect.body(request, self.route.name, max_tokens or request.max_tokens)

    async def fetch(self, request: Request) -> Reply | Failure:
        """Ask the endpoint. Raises CannotGoOn, BudgetSpent and other UserErrors."""
        self._check_going()
        if self._transport is None:  # here, so that no attempt's time goes by while a library loads
            self._transport = open_transport(self.route, self.policy.timeout_s, self._api_key_env)
        max_tokens = request.max_tokens
        while True:
            dialect = self.dialect
            body = self.body(request, max_tokens)
            try:
                outcome = await persist(
                    lambda body=body, dialect=dialect, cap=max_tokens: self._attempt(  # type: ignore[misc]
                        request, body, dialect, cap
                    ),
                    policy=self.policy,
                    gate=self.gate,
                    place=self._place,
                )
            except EndpointError as error:
                if error.kind == "bad_request" and self._mended(request, error, body, dialect):
                    continue
                return self._given_up(error)
            self._failed_in_a_row, self._reached = 0, True
            if isinstance(outcome, Reply):
                self.spent.asked += 1
                return outcome
            if (
                outcome.kind == "truncated"
                and max_tokens == request.max_tokens
                and self.policy.raise_tokens > 1
            ):
                max_tokens *= self.policy.raise_tokens
                continue
            self.spent.failed += 1
            return outcome

    def take(self, request: Request, reply: Reply, dialect: Dialect, max_tokens: int, *, source: str = "live",
             price: Price | None = None) -> Reply | Failure:  # fmt: skip
        """Put a reply that came back into the ledger: as an answer, or, if it is none, as an event."""
        if keys := api_keys():
            reply = _without(keys, reply)
        reply = replace(
            reply,
            adapted=dialect.adapted(request),
            cost_usd=None if price is None else price.cost_usd(reply.usage),
            priced_by="" if price is None else price.source,
        )
        if request.params.get("logprobs") and reply.logprobs is None and "logprobs" not in dialect.dropped:
            self.learn("logprobs", False, "seen", f"asked for and not in the reply to {request.key}")
        fault = fault_of(reply, max_tokens)
        if fault is None:
            self.ledger.put(request, reply, source=source)
            return reply
        usage = reply.usage if source == "live" else None
        self.ledger.event(request.key, fault.kind, fault.message, usage=usage, cost_usd=reply.cost_usd)
        return fault

    def adapt(self, request: Request, error: EndpointError, body: dict[str, Any], sent: Dialect) -> bool:
        """Give up what a 400 names, if that was sent; False if it names nothing of the kind."""
        learned = sent.after(error, body)
        if learned is None:
            return False
        self._dialect = self.dialect.without([learned.name])
        self.learn(learned.name, False, "refused", str(error))
        self.ledger.event(request.key, "adapted", learned.said)
        return True

    async def finish(self, why: UserError) -> None:
        """Send nothing more, and wait for what is on its way: it is paid for; what is computed here is not."""
        self.stopped = self.stopped or why
        if self._on_the_wire and self.route.library != "local":
            await asyncio.wait(self._on_the_wire)

    async def close(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    def leave_loop(self) -> None:
        """Connections of a loop that has ended are of no use."""
        self._transport = None
        self._on_the_wire = set()

    def _mended(self, request: Request, error: EndpointError, body: dict[str, Any], sent: Dialect) -> bool:
        if self.dialect != sent:  # another request has learned something meanwhile
            return True
        return self.adapt(request, error, body, sent) and self.dialect != sent

    async def _attempt(
        self, request: Request, body: dict[str, Any], dialect: Dialect, max_tokens: int
    ) -> Reply | Failure:
        self._check_going()
        hold = None
        if self.budget is not None:
            hold = await self.budget.hold(request.key, bound(request, self.price, max_tokens))
            try:
                self._check_going()  # it has waited
            except UserError:
                self.budget.release(hold)
                raise
        under_way: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_the_wire.add(under_way)
        try:
            return await self._exchange(request, body, dialect, max_tokens, hold)
        finally:
            self._on_the_wire.discard(under_way)
            if not under_way.done():
                under_way.set_result(None)

    async def _exchange(
        self, request: Request, body: dict[str, Any], dialect: Dialect, max_tokens: int, hold: Hold | None
    ) -> Reply | Failure:
        try:
            reply = await self._send(body)
        except EndpointError as error:
            self.ledger.event(request.key, error.kind, str(error))
            self.spent.faulty, self.spent.last_fault = self.spent.faulty + 1, error.kind
            if error.kind in STOPS_THE_RUN and self.stopped is None:
                # Here, because once this attempt's slot is free the next request takes it.
                self.stopped = CannotGoOn(why_stopped(error, self.route.endpoint, self.route.name))
            if self.budget is not None and hold is not None:
                (self.budget.forfeit if error.may_be_charged else self.budget.release)(hold)
            raise
        except BaseException as error:
            if self.budget is not None and hold is not None:
                self.budget.forfeit(hold)
            if isinstance(error, Exception) and not isinstance(error, UserError):
                self._note_a_bug(request, error)
            raise
        outcome = self.take(request, reply, dialect, max_tokens, price=self.price)
        cost_usd = None if self.price is None else self.price.cost_usd(reply.usage)
        if reply.usage is not None:
            self.spent.tokens_in += reply.usage.tokens_in
            self.spent.tokens_out += reply.usage.tokens_out
        self.spent.cost_usd += cost_usd or 0.0
        self.spent.unpriced += cost_usd is None
        if self.budget is not None and hold is not None:
            self.budget.settle(hold, reply.usage, cost_usd)
        return outcome

    def _note_a_bug(self, request: Request, error: Exception) -> None:
        """Of ours or of a library's: what is sent may be paid for, so it is recorded, and too many stop the run."""
        said = one_line(f"{type(error).__name__}: {error}")
        self.ledger.event(request.key, "bug", said)
        self.spent.failed += 1
        self._failed_in_a_row += 1
        if (n := self._failed_in_a_row) >= self.policy.give_up_after:
            self.stopped = self.stopped or CannotGoOn(
                f"{n} requests in a row to {self.route.endpoint} broke on a bug, the last on {said}. Please report it."
                f" {NOTHING_LOST}"
            )
            raise self.stopped from error

    def _check_going(self) -> None:
        if self.stopped is not None:
            raise self.stopped

    async def _send(self, body: dict[str, Any]) -> Reply:
        assert self._transport is not None
        self.spent.attempts += 1
        own = self.route.library == "local"  # what runs here is slow, not lost
        try:
            async with asyncio.timeout(None if own else self.policy.timeout_s):
                return await self._transport.send(body)
        except TimeoutError:
            raise EndpointError("timeout", f"no reply within {self.policy.timeout_s:g} s") from None

    def _given_up(self, error: EndpointError) -> Failure:
        """A Failure, unless the error says that no request will do better."""
        if error.kind in STOPS_THE_RUN and self.stopped is not None:
            raise self.stopped
        name = self.route.endpoint
        if error.kind == "rate" and (error.retry_after_s or 0.0) > self.policy.longest_retry_after_s:
            raise CannotGoOn(f"{name} asks to wait {error.retry_after_s:.0f} s: {error}. {NOTHING_LOST}")
        self.spent.failed += 1
        if error.kind in TRANSIENT or error.kind == "bad_request":
            self._failed_in_a_row += 1
            if error.kind == "connection" and not self._reached:
                raise CannotGoOn(f"cannot reach {name}: {error}. Is it running, and --base-url right?")
            if (n := self._failed_in_a_row) >= self.policy.give_up_after:
                raise CannotGoOn(f"{name} failed {n} requests in a row, the last: {error}. {NOTHING_LOST}")
        return Failure("endpoint" if error.transient else error.kind, str(error))


def _without(keys: Sequence[str], reply: Reply) -> Reply:
    """For servers that say a key back."""
    said = json.dumps(reply.to_json())
    clean = without_keys(said, keys)
    return reply if clean == said else Reply.from_json(json.loads(clean))
