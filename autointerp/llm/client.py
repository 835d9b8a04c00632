"""How is a model asked so that nothing is paid twice and no failure is hidden? The ledger first, the wire after.

>>> with Ledger("runs/x/ledger.sqlite") as ledger:
...     async with LLM("openai/gpt-5-mini", ledger) as llm:
...         reply = await llm.ask(llm.request("Which cell type expresses MS4A1?", max_tokens=50))
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from autointerp.errors import CannotGoOn, UserError
from autointerp.llm.dialect import Dialect
from autointerp.llm.faults import NOTHING_LOST, STOPS_THE_RUN, TRANSIENT, EndpointError, why_stopped
from autointerp.llm.ledger import Ledger
from autointerp.llm.parse import Parsed, Status, parse, strict_schema
from autointerp.llm.policy import Gate, Policy, fault_of, persist
from autointerp.llm.prices import Price
from autointerp.llm.providers import Transport, check_route, open_transport
from autointerp.llm.request import Reply, Request
from autointerp.llm.route import OPENAI_KEY, route
from autointerp.schema import Failure

M = TypeVar("M", bound=BaseModel)
Messages = Sequence[Mapping[str, Any]]


class Answered(NamedTuple, Generic[M]):
    """A structured answer: its value, how it was read, and the keys of the requests behind it."""

    value: M
    status: Status
    keys: tuple[str, ...]


@dataclass(slots=True)
class Spent:
    """What one LLM did so far, for progress. ``cost_usd`` sums the known costs; ``unpriced`` replies have none."""

    asked: int = 0  # requests answered by the endpoint
    from_ledger: int = 0
    shared: int = 0  # identical to one in flight, and answered with it
    attempts: int = 0  # requests sent
    failed: int = 0  # requests that ended in a Failure
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0


class LLM:
    """One model at one endpoint.

    Parameters
    ----------
    model, base_url : who answers; see ``route``
    ledger : what is answered already
    endpoint_name : stands in the keys for the provider or the URL
    concurrency : requests in flight at most; of ``gate``, if that is given
    gate : shared by all models of a run
    price : where the list price is unknown or wrong
    api_key_env : name of the environment variable that holds the key

    Notes
    -----
    Nothing is imported or opened, and no key is asked for, before the first request that the ledger does not answer.
    """

    def __init__(self, model: str, ledger: Ledger, *, base_url: str | None = None, endpoint_name: str | None = None,
                 concurrency: int = 16, policy: Policy | None = None, gate: Gate | None = None,
                 price: Price | None = None, api_key_env: str = OPENAI_KEY) -> None:  # fmt: skip
        self.model = model
        self.ledger = ledger
        self.policy = policy or Policy()
        self.gate = gate or Gate(concurrency)
        self.spent = Spent()
        self.route = route(model, base_url, endpoint_name)
        self.price = price or self.route.price
        self._api_key_env = api_key_env
        self._dialect = Dialect(tokens_name=self.route.tokens_name)
        self._transport: Transport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._in_flight: dict[str, asyncio.Task[Reply | Failure]] = {}
        self._stopped: UserError | None = None
        self._failed_in_a_row = 0
        self._reached = False

    @property
    def endpoint(self) -> str:
        """The endpoint's name, as it stands in the keys."""
        return self.route.endpoint

    def request(self, messages: str | Messages, **fields: Any) -> Request:
        """A request to this model; ``fields`` are those of Request. A str is one user message."""
        said: Messages = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        return Request(messages=tuple(said), model=self.model, endpoint=self.endpoint, **fields)

    async def ask(self, request: Request) -> Reply | Failure:
        """The answer to a request, from the ledger if it is there.

        Identical requests at the same time are one request.

        Returns
        -------
        Reply, or Failure of kind 'endpoint', 'context', 'filtered', 'truncated', 'empty' or 'bad_request'

        Raises
        ------
        CannotGoOn : the endpoint refuses every request; so do all later calls that the ledger does not answer
        UserError : no key, unknown provider, full disk
        """
        if (request.model, request.endpoint) != (self.model, self.endpoint):
            raise ValueError(f"a request to {request.model} at {request.endpoint}, asked of {self.model}")
        known = self.ledger.get(request.key)
        if known is not None:
            self.spent.from_ledger += 1
            return known
        self._enter_loop()
        task = self._in_flight.get(request.key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetch(request))
            self._in_flight[request.key] = task
            task.add_done_callback(lambda done: self._landed(request.key, done))
        else:
            self.spent.shared += 1
        return await asyncio.shield(task)  # a caller that goes away does not waste what is paid for

    async def ask_for(self, request: Request, form: type[M],
                      reask: Callable[[str], str] | None = None) -> Answered[M] | Failure:  # fmt: skip
        """The answer to a request, read as a pydantic model.

        A reply that cannot be read is asked for once more, in the same conversation, with what is wrong with it;
        that is a request of its own, with its own key.

        Parameters
        ----------
        form : also gives the schema, if the request has none
        reask : from what is wrong to the message that says so (a template's ``render``); else the bare problem as JSON

        Returns
        -------
        Answered, which unpacks into (value, status, keys); or Failure, of kind 'parse' or one of ``ask``'s
        """
        if request.schema is None:
            request = replace(request, schema=strict_schema(form), schema_name=form.__name__)
        reply = await self.ask(request)
        if isinstance(reply, Failure):
            return reply
        parsed = parse(reply.text, form)
        if isinstance(parsed, Parsed):
            return Answered(parsed.value, parsed.status, (request.key,))
        wrong = (reask or _bare_problem)(parsed.message)
        turns = ({"role": "assistant", "content": reply.text}, {"role": "user", "content": wrong})
        second = replace(request, messages=(*request.messages, *turns))
        reply = await self.ask(second)
        if isinstance(reply, Failure):
            return reply
        parsed = parse(reply.text, form)
        if isinstance(parsed, Failure):
            self.spent.failed += 1
            return parsed
        return Answered(parsed.value, "reasked", (request.key, second.key))

    def check(self) -> None:
        """Raise the UserError that the first request would raise: a missing key, an unknown provider."""
        check_route(self.route, self._api_key_env)

    async def close(self) -> None:
        """Cancel what is in flight and close the connections."""
        for task in list(self._in_flight.values()):
            task.cancel()
        await asyncio.gather(*self._in_flight.values(), return_exceptions=True)
        if self._transport is not None:
            await self._transport.close()
            self._transport = None

    async def __aenter__(self) -> LLM:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _fetch(self, request: Request) -> Reply | Failure:
        if self._stopped is not None:
            raise self._stopped
        if self._transport is None:  # here, so that no attempt's time goes by while a library loads
            self._transport = open_transport(self.route, self.policy.timeout_s, self._api_key_env)
        max_tokens = request.max_tokens
        while True:
            dialect = self._dialect
            body = dialect.body(request, self.route.name, max_tokens)
            try:
                reply = await persist(
                    lambda body=body: self._send(body),  # type: ignore[misc]
                    policy=self.policy,
                    gate=self.gate,
                    endpoint=self.endpoint,
                    failed=lambda error: self.ledger.event(request.key, error.kind, str(error)),
                )
            except EndpointError as error:
                if error.kind == "bad_request" and self._adapt(request, dialect, error, body):
                    continue
                return self._given_up(error)
            self._failed_in_a_row, self._reached = 0, True
            reply = replace(reply, adapted=dialect.adapted(request), cost_usd=None, priced_by="")
            if self.price is not None:
                reply = replace(reply, cost_usd=self.price.cost_usd(reply.usage), priced_by=self.price.source)
            self._count(reply)
            fault = fault_of(reply, max_tokens)
            if fault is None:
                self.spent.asked += 1
                self.ledger.put(request, reply)
                return reply
            self.ledger.event(
                request.key, fault.kind, fault.message, usage=reply.usage, cost_usd=reply.cost_usd
            )
            if (
                fault.kind == "truncated"
                and max_tokens == request.max_tokens
                and self.policy.raise_tokens > 1
            ):
                max_tokens *= self.policy.raise_tokens
                continue
            self.spent.failed += 1
            return fault

    async def _send(self, body: dict[str, Any]) -> Reply:
        if self._stopped is not None:
            raise self._stopped
        assert self._transport is not None
        self.spent.attempts += 1
        try:
            return await self._transport.send(body)
        except EndpointError as error:
            if error.kind in STOPS_THE_RUN and self._stopped is None:
                # Here, because once this attempt's slot is free the next request takes it.
                self._stopped = CannotGoOn(why_stopped(error, self.endpoint, self.route.name))
            raise

    def _adapt(self, request: Request, dialect: Dialect, error: EndpointError, body: dict[str, Any]) -> bool:
        if self._dialect != dialect:  # another request has learned something meanwhile
            return True
        learned = dialect.after(error, body)
        if learned is None:
            return False
        self._dialect, said = learned
        self.ledger.event(request.key, "adapted", said)
        return True

    def _given_up(self, error: EndpointError) -> Failure:
        """A Failure, unless the error says that no request will do better."""
        if error.kind in STOPS_THE_RUN and self._stopped is not None:
            raise self._stopped
        if error.kind == "rate" and (error.retry_after_s or 0.0) > self.policy.longest_retry_after_s:
            raise CannotGoOn(
                f"{self.endpoint} asks to wait {error.retry_after_s:.0f} s: {error}. {NOTHING_LOST}"
            )
        self.spent.failed += 1
        if error.kind in TRANSIENT or error.kind == "bad_request":
            self._failed_in_a_row += 1
            if error.kind == "connection" and not self._reached:
                fix = "Is it running, and --base-url right?"
                raise CannotGoOn(f"cannot reach {self.endpoint}: {error}. {fix}")
            if (n := self._failed_in_a_row) >= self.policy.give_up_after:
                last = f"the last: {error}. {NOTHING_LOST}"
                raise CannotGoOn(f"{self.endpoint} failed {n} requests in a row, {last}")
        return Failure("endpoint" if error.transient else error.kind, str(error))

    def _count(self, reply: Reply) -> None:
        if reply.usage is not None:
            self.spent.tokens_in += reply.usage.tokens_in
            self.spent.tokens_out += reply.usage.tokens_out
        if reply.cost_usd is None:
            self.spent.unpriced += 1
        else:
            self.spent.cost_usd += reply.cost_usd

    def _landed(self, key: str, task: asyncio.Task[Reply | Failure]) -> None:
        self._in_flight.pop(key, None)
        if not task.cancelled():
            raised = task.exception()
            if isinstance(raised, UserError) and self._stopped is None:
                self._stopped = raised

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # connections and tasks of a loop that has ended are of no use
            self._loop, self._transport, self._in_flight = loop, None, {}


def _bare_problem(problem: str) -> str:
    return json.dumps({"error": problem}, ensure_ascii=False)  # prose belongs into prompts/
