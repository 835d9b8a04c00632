"""How is a model asked so that nothing is paid twice and no failure is hidden? The ledger first, the wire after.

>>> with Ledger("runs/x/ledger.sqlite") as ledger:
...     async with LLM("openai/gpt-5-mini", ledger) as llm:
...         reply = await llm.ask(llm.request("Which cell type expresses MS4A1?", max_tokens=50))
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from autointerp.errors import UserError
from autointerp.llm.budget import Budget
from autointerp.llm.capability import Feature, probe, saw_it_work
from autointerp.llm.dialect import Dialect
from autointerp.llm.failed import known_failure, raised_cap
from autointerp.llm.faults import EndpointError
from autointerp.llm.gate import Gate
from autointerp.llm.ledger import Ledger
from autointerp.llm.parse import Parsed, Status, parse, strict_schema
from autointerp.llm.policy import Policy
from autointerp.llm.prices import Price
from autointerp.llm.providers import check_route
from autointerp.llm.request import Deferred, Reply, Request, content_of
from autointerp.llm.route import OPENAI_KEY, route
from autointerp.llm.sender import Sender, Spent
from autointerp.llm.wanted import Wanted
from autointerp.schema import Failure

M = TypeVar("M", bound=BaseModel)
Messages = Sequence[Mapping[str, Any]]


class Answered(NamedTuple, Generic[M]):
    """A structured answer: its value, how it was read, and the keys of the requests behind it."""

    value: M
    status: Status
    keys: tuple[str, ...]


class LLM:
    """One model at one endpoint.

    Parameters
    ----------
    model, base_url : who answers; see ``route``
    ledger : what is answered already
    endpoint_name : stands in the keys for the provider or the URL
    concurrency : requests in flight at most; of ``gate``, if that is given
    gate, budget : shared by all models of a run
    price : where the list price is unknown or wrong
    api_key_env : name of the environment variable that holds the key
    works : name of a parameter or reply format ('json_schema', 'logprobs', 'seed', …) -> whether to use it, over what
        is found out
    deferred : send nothing: what the ledger lacks is put into ``wanted`` and ``Deferred`` is raised
    wanted : key -> request, in the order of asking; shared by all models of a run
    asks_again : of ``deferred``: want also what failed for good, as a live run asks for it again

    Notes
    -----
    Nothing is imported or opened, and no key is asked for, before the first request that the ledger does not answer.
    """

    def __init__(self, model: str, ledger: Ledger, *, base_url: str | None = None, endpoint_name: str | None = None,
                 concurrency: int = 16, policy: Policy | None = None, gate: Gate | None = None,
                 budget: Budget | None = None, price: Price | None = None, api_key_env: str = OPENAI_KEY,
                 works: Mapping[str, bool] | None = None, deferred: bool = False,
                 wanted: MutableMapping[str, Request] | None = None, asks_again: bool = False) -> None:  # fmt: skip
        self.model = model
        self.ledger = ledger
        self.policy = policy or Policy()
        self.gate = gate or Gate(concurrency)
        self.route = route(model, base_url, endpoint_name)
        self.price = price or self.route.price
        self.deferred = deferred
        self.wanted = Wanted() if wanted is None else wanted
        self._asks_again = asks_again
        self.sender = Sender(
            model, self.route, ledger, policy=self.policy, gate=self.gate, price=self.price, budget=budget,
            api_key_env=api_key_env, works=works or {},
        )  # fmt: skip
        self._works = dict(works or {})
        self._api_key_env = api_key_env
        self._loop: asyncio.AbstractEventLoop | None = None
        self._in_flight: dict[str, asyncio.Task[Reply | Failure]] = {}

    @property
    def endpoint(self) -> str:
        """The endpoint's name, as it stands in the keys."""
        return self.route.endpoint

    @property
    def spent(self) -> Spent:
        """Requests, tokens and dollars so far."""
        return self.sender.spent

    def request(self, messages: str | Messages, **fields: Any) -> Request:
        """A request to this model; ``fields`` are those of Request. A str is one user message with its pictures."""
        said = [{"role": "user", "content": content_of(messages)}] if isinstance(messages, str) else messages
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
        BudgetSpent : what the request may cost does not fit
        UserError : no key, unknown provider, full disk
        Deferred : nothing is sent in this mode
        """
        if (request.model, request.endpoint) != (self.model, self.endpoint):
            raise ValueError(f"a request to {request.model} at {request.endpoint}, asked of {self.model}")
        known = self.ledger.get(request.key)
        if known is not None:
            self.spent.from_ledger += 1
            return known
        if self.deferred:
            failure = None
            if not self._asks_again:
                failure = known_failure(self.ledger.events(request.key), self.policy)
            if failure is not None:
                self.spent.failed += 1
                return failure
            self.wanted.setdefault(request.key, request)
            raise Deferred(f"{request.purpose or 'a request'} waits for an answer")
        self._enter_loop()
        task = self._in_flight.get(request.key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self.sender.fetch(request))
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
        if not (isinstance(parsed, Parsed) and parsed.status == "ok") and not reply.adapted:
            self._note_an_ignored_schema(request, reply)
        if isinstance(parsed, Parsed):
            return Answered(parsed.value, parsed.status, (request.key,))
        second = request.after(reply.text, (reask or _bare_problem)(parsed.message))
        reply = await self.ask(second)
        if isinstance(reply, Failure):
            return reply
        parsed = parse(reply.text, form)
        if isinstance(parsed, Failure):
            self.spent.unread += 1
            return parsed
        return Answered(parsed.value, "reasked", (request.key, second.key))

    async def can(self, feature: Feature) -> bool | None:
        """Whether the endpoint does this, and does not only take the parameter; None if it cannot be found out.

        Told by ``works``, else by what was learned, else by one small request, which goes through the ledger as all
        others do: it is sent once for a ledger, and never where nothing asks for the feature.
        """
        if feature in self._works:
            return self._works[feature]
        known = self.ledger.learned(self.endpoint, self.model).get(feature)
        if known is not None:
            return known[0]
        reply = await self.ask(self.request(**probe(feature)))
        if isinstance(reply, Failure):
            return None
        does = saw_it_work(feature, reply)
        self.sender.learn(feature, does, "probed", "does it" if does else "takes it, and does not do it")
        self.sender.forget_dialect()
        return self.ledger.learned(self.endpoint, self.model)[feature][0]

    def body(self, request: Request) -> dict[str, Any]:
        """What is sent for a request, in OpenAI's words; with a higher cap, if a reply to it was cut off."""
        return self.sender.body(request, self._cap(request))

    def take(self, request: Request, reply: Reply, sent: Dialect, source: str) -> Reply | Failure:
        """Put a reply that came by file into the ledger, judged as if it had come live. Its price is unknown."""
        return self.sender.take(request, reply, sent, self._cap(request), source=source)

    def refused(self, request: Request, error: EndpointError, sent: Dialect) -> None:
        """Record an error that came by file; a parameter that it refuses is not sent again."""
        self.ledger.event(request.key, error.kind, str(error))
        if error.kind == "bad_request":
            body = sent.body(request, self.route.name, self._cap(request))
            self.sender.adapt(request, error, body, sent)

    def check(self) -> None:
        """Raise the UserError that the first request would raise: a missing key, an unknown provider."""
        check_route(self.route, self._api_key_env)

    async def finish(self, why: UserError) -> None:
        """Send nothing more, and keep the answers that are on their way."""
        await self.sender.finish(why)

    async def close(self) -> None:
        """Cancel what is in flight and close the connections."""
        for task in list(self._in_flight.values()):
            task.cancel()
        await asyncio.gather(*self._in_flight.values(), return_exceptions=True)
        await self.sender.close()

    async def __aenter__(self) -> LLM:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _cap(self, request: Request) -> int:
        return raised_cap(request, self.ledger.events(request.key), self.policy)

    def _note_an_ignored_schema(self, request: Request, reply: Reply) -> None:
        if request.schema is not None and not saw_it_work("json_schema", reply, request.schema):
            message = f"the reply to {request.key} does not keep to its schema"
            self.sender.learn("json_schema", False, "seen", message)

    def _landed(self, key: str, task: asyncio.Task[Reply | Failure]) -> None:
        self._in_flight.pop(key, None)
        if not task.cancelled():
            raised = task.exception()
            if isinstance(raised, UserError) and self.sender.stopped is None:
                self.sender.stopped = raised

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # connections and tasks of a loop that has ended are of no use
            self._loop, self._in_flight = loop, {}
            self.sender.leave_loop()


def _bare_problem(problem: str) -> str:
    return json.dumps({"error": problem}, ensure_ascii=False)  # prose belongs into prompts/
