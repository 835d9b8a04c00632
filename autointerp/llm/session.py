"""Which language models are open during a stage? One per role, sharing a ledger and the limit on requests in flight."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autointerp.llm.client import LLM
from autointerp.llm.ledger import Ledger
from autointerp.llm.policy import Gate
from autointerp.llm.providers import check_route
from autointerp.llm.route import route


class Session:
    """Role ('label', 'judge') -> open model; an async context manager that closes what it opened.

    Parameters
    ----------
    roles : role -> model name; empty: nothing is opened and no ledger is made
    """

    def __init__(
        self,
        roles: Mapping[str, str],
        ledger_path: Path,
        *,
        base_url: str | None = None,
        endpoint_name: str | None = None,
        concurrency: int = 16,
    ):
        self._roles, self._ledger_path = dict(roles), ledger_path
        self._base_url, self._endpoint_name, self._concurrency = base_url, endpoint_name, concurrency
        self._ledger: Ledger | None = None
        self.models: dict[str, LLM] = {}

    @property
    def workers(self) -> int:
        """How many jobs at a time keep every slot busy."""
        return self._concurrency if self._roles else 1

    def check(self) -> list[str]:
        """Raise the UserError that the first request would raise; returns the models whose price is unknown.

        A model that has answered before is not checked: all may be answered, and then no key is needed.
        """
        answered: set[str] = set()
        if self._roles and self._ledger_path.exists():
            with Ledger(self._ledger_path) as ledger:
                answered = ledger.models()
        unpriced = []
        for name in dict.fromkeys(self._roles.values()):
            where = route(name, self._base_url, self._endpoint_name)
            if name not in answered:
                check_route(where)
            if where.price is None:
                unpriced.append(name)
        return unpriced

    async def __aenter__(self) -> Session:
        if self._roles:
            self._ledger_path.parent.mkdir(parents=True, exist_ok=True)
            self._ledger = Ledger(self._ledger_path)
            gate = Gate(self._concurrency)
            for role, name in self._roles.items():
                self.models[role] = LLM(
                    name, self._ledger, base_url=self._base_url, endpoint_name=self._endpoint_name, gate=gate
                )
        return self

    async def __aexit__(self, *_: object) -> None:
        for llm in self.models.values():
            await llm.close()
        if self._ledger is not None:
            self._ledger.close()

    def spent(self) -> str:
        """Requests, failures and spend so far, for progress."""
        if not self.models:
            return ""
        spent = [llm.spent for llm in self.models.values()]
        unpriced = sum(s.unpriced for s in spent)
        price = f"${sum(s.cost_usd for s in spent):.2f}" + (f" + {unpriced} unpriced" if unpriced else "")
        asked, known, failed = (
            sum(getattr(s, name) for s in spent) for name in ("asked", "from_ledger", "failed")
        )
        return f"{asked} asked, {known} known, {failed} failed, {price}"
