"""Which language models are open during a stage? One per role, sharing ledger, budget and limit on requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from autointerp.errors import UserError
from autointerp.llm.batch import Imported, Part, export_requests, import_replies
from autointerp.llm.budget import Budget, BudgetSpent
from autointerp.llm.client import LLM
from autointerp.llm.cost import Estimate, estimate
from autointerp.llm.gate import Gate
from autointerp.llm.ledger import Ledger
from autointerp.llm.prices import Price
from autointerp.llm.providers import check_route
from autointerp.llm.request import Request
from autointerp.llm.route import route
from autointerp.llm.wanted import Wanted


class Session:
    """Role ('label', 'judge') -> open model; an async context manager that closes what it opened.

    Parameters
    ----------
    roles : role -> model name; empty: nothing is opened and no ledger is made
    own_urls : role -> base URL in place of ``base_url``, None for the provider's own; ``endpoint_name`` is not theirs
    budget_usd, budget_tokens : for all runs of the ledger together; None: no limit
    price : of the models without a list price; of the model, if there is only one
    allow_unpriced : a model of unknown price may be asked within a budget in dollars, and counts for nothing there
    works : see ``LLM``
    deferred : send nothing; what the ledger lacks is put into ``wanted``
    wanted : key -> request; give the same one to the sessions of all stages
    asks_again : see ``LLM``
    stopped : of the stage before, where its budget ended all sending
    elsewhere : further roles -> (model, base URL, endpoint name), each as it stands
    """

    def __init__(
        self,
        roles: Mapping[str, str],
        ledger_path: Path,
        *,
        base_url: str | None = None,
        endpoint_name: str | None = None,
        own_urls: Mapping[str, str | None] | None = None,
        concurrency: int = 16,
        budget_usd: float | None = None,
        budget_tokens: int | None = None,
        price: Price | None = None,
        allow_unpriced: bool = False,
        works: Mapping[str, bool] | None = None,
        deferred: bool = False,
        wanted: MutableMapping[str, Request] | None = None,
        asks_again: bool = False,
        stopped: BudgetSpent | None = None,
        elsewhere: Mapping[str, tuple[str, str | None, str | None]] | None = None,
    ):
        further = dict(elsewhere or {})
        self._roles = dict(roles) | {role: place[0] for role, place in further.items()}
        self._ledger_path = ledger_path
        self._concurrency = concurrency
        own = own_urls or {}
        self._places = {  # role -> what tells its endpoint: model, base URL, name
            role: (name, own[role], None) if role in own else (name, base_url, endpoint_name)
            for role, name in roles.items()
        } | further
        self._budget_usd, self._budget_tokens = budget_usd, budget_tokens
        self._price, self._allow_unpriced, self._works = price, allow_unpriced, works
        self._deferred, self._asks_again = deferred, asks_again
        self._stopped = stopped
        self._budget: Budget | None = None
        self._ledger: Ledger | None = None
        self.wanted = Wanted() if wanted is None else wanted
        self.models: dict[str, LLM] = {}

    @property
    def deferred(self) -> bool:
        """Whether nothing is sent."""
        return self._deferred

    @property
    def workers(self) -> int:
        """How many jobs at a time keep every slot busy."""
        return self._concurrency if self._roles else 1

    @property
    def stopped(self) -> BudgetSpent | None:
        """Why the budget ended all sending, if it did."""
        return self._stopped if self._budget is None else self._budget.stopped

    def check(self) -> list[str]:
        """Raise the UserError that the first request would raise; returns the models elsewhere whose price is unknown.

        A model that has answered before is not checked: all may be answered, and then no key is needed.
        """
        answered: set[str] = set()
        if self._roles and self._ledger_path.exists():
            with Ledger(self._ledger_path) as ledger:
                answered = ledger.models()
        unpriced = []
        for place in dict.fromkeys(self._places.values()):
            if place[0] not in answered and not self._deferred:
                check_route(route(*place))
            if self._price_of(place) is None:
                unpriced.append(place[0])
        if unpriced and self._budget_usd is not None and not self._allow_unpriced:
            raise UserError(
                f"--budget-usd needs a price, and that of {', '.join(unpriced)} is unknown. Give --price-in and"
                " --price-out (dollars per million tokens), or --budget-tokens in place of --budget-usd."
            )
        here = {place[0] for place in self._places.values() if route(*place).here}  # sends no bill
        return [name for name in unpriced if name not in here]

    async def __aenter__(self) -> Session:
        if self._roles:
            self._ledger_path.parent.mkdir(parents=True, exist_ok=True)
            self._ledger = Ledger(self._ledger_path)
            gate, budget = Gate(self._concurrency), None
            if self._budget_usd is not None or self._budget_tokens is not None:
                budget = self._budget = Budget(
                    self._ledger, self._budget_usd, self._budget_tokens, self._stopped
                )
            opened: dict[tuple[str, str | None, str | None], LLM] = {}
            for role, place in self._places.items():
                if place not in opened:
                    name, base_url, endpoint_name = place
                    opened[place] = LLM(
                        name, self._ledger, base_url=base_url, endpoint_name=endpoint_name, gate=gate,
                        budget=budget, price=self._price_of(place), works=self._works, deferred=self._deferred,
                        wanted=self.wanted, asks_again=self._asks_again,
                    )  # fmt: skip
                self.models[role] = opened[place]
        return self

    async def __aexit__(self, _kind: object, raised: BaseException | None, _trace: object) -> None:
        try:
            if isinstance(raised, UserError):  # an orderly stop: what is on its way is paid for
                await asyncio.gather(*(llm.finish(raised) for llm in self._distinct()))
        finally:
            for llm in self._distinct():
                await llm.close()
            if self._ledger is not None:
                self._ledger.close()

    def estimate(self) -> Estimate:
        """What the wanted requests would cost, for --dry-run."""
        return estimate((request, self.model_of(request).price) for request in self.wanted.values())

    def export(self, path: Path) -> list[Part]:
        """Write the wanted requests as OpenAI batch files."""
        return export_requests(self.wanted, path, lambda request: self.model_of(request).body(request))

    def take(self, path: Path, source: str = "") -> Imported:
        """Read a file of replies to wanted requests into the ledger."""
        if self._ledger is None:
            return Imported()
        return import_replies(path, self.wanted, self._ledger, self.model_of, source)

    def model_of(self, request: Request) -> LLM:
        """The open model that a request is for."""
        for llm in self._distinct():
            if (llm.model, llm.endpoint) == (request.model, request.endpoint):
                return llm
        raise ValueError(f"no open model for a request to {request.model} at {request.endpoint}")

    def ignored(self) -> list[str]:
        """What the endpoints take and do not do, one line each."""
        return [
            f"{llm.model} at {llm.endpoint} takes {name} and ignores it ({message})"
            for llm in self._distinct()
            for name, (works, told_by, message) in llm.ledger.learned(llm.endpoint, llm.model).items()
            if not works and told_by != "refused"
        ]

    def spent(self) -> str:
        """Requests, failures and spend so far, for progress."""
        if not self.models:
            return ""
        if self._deferred:
            return f"{len(self.wanted)} to ask"
        spent = [llm.spent for llm in self._distinct()]
        unpriced = sum(s.unpriced for s in spent)
        price = f"${sum(s.cost_usd for s in spent):.2f}" + (f" + {unpriced} unpriced" if unpriced else "")
        asked, known, failed, unread = (
            sum(getattr(s, name) for s in spent) for name in ("asked", "from_ledger", "failed", "unread")
        )
        faults = [f"{s.faulty} attempts failed (last: {s.last_fault})" for s in spent if s.faulty]
        return ", ".join([f"{asked} asked, {known} known, {failed + unread} failed, {price}", *faults])

    def _distinct(self) -> list[LLM]:
        return list(dict.fromkeys(self.models.values()))

    def _price_of(self, place: tuple[str, str | None, str | None]) -> Price | None:
        listed = route(*place).price
        only_one = len(set(self._roles.values())) == 1
        return self._price if self._price is not None and (only_one or listed is None) else listed
