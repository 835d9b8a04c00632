"""May this request still be paid for? A limit in dollars or tokens that all models of a run share.

What a request may cost at most is reserved before it is sent, in the ledger too, and replaced by what it did cost. A
request of which nobody ever tells the cost (a timeout, a lost connection, a kill) keeps its reserve: providers may
charge for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from autointerp.errors import UserError
from autointerp.llm.cost import Bound
from autointerp.llm.ledger import Ledger
from autointerp.llm.request import Usage


class BudgetSpent(UserError):
    """The next request might exceed the budget: no more are sent, and nothing is lost.

    usd_left, tokens_left : what is not spent; None where it is not limited
    too_small : the options that must be larger to go on; none where a larger budget is not what is missing
    """

    def __init__(
        self, message: str, usd_left: float | None, tokens_left: int | None, too_small: tuple[str, ...]
    ) -> None:
        super().__init__(message)
        self.usd_left = usd_left
        self.tokens_left = tokens_left
        self.too_small = too_small


@dataclass(frozen=True, slots=True)
class Hold:
    """What is set aside for one attempt."""

    key: str
    tokens: int
    cost_usd: float
    number: int  # of the reserve in the ledger


class Budget:
    """Dollars and tokens, spent by all runs of one ledger together.

    Parameters
    ----------
    usd, tokens : the limits; None: no limit
    ledger : what it says is spent counts
    stopped : why nothing is to be sent, if that is known already
    """

    def __init__(self, ledger: Ledger, usd: float | None = None, tokens: int | None = None,
                 stopped: BudgetSpent | None = None) -> None:  # fmt: skip
        self.usd, self.tokens = usd, tokens
        self._ledger = ledger
        spent = ledger.spending()
        self.usd_spent, self.tokens_spent = spent.cost_usd, spent.tokens
        self._unknown_usd = spent.unknown_usd
        self._usd_held, self._tokens_held, self._held = 0.0, 0, 0
        self._waiting: list[asyncio.Future[None]] = []
        self.stopped = stopped

    async def hold(self, key: str, most: Bound) -> Hold:
        """Set aside what an attempt may cost; waits for attempts under way where only their reserves stand against it.

        Raises
        ------
        BudgetSpent : it does not fit; nothing is sent from then on
        """
        cost_usd = most.cost_usd or 0.0  # an unknown price is refused before, or allowed by the user
        while True:
            if self.stopped is not None:
                raise self.stopped
            if self._fits(cost_usd, most.tokens):
                break
            if not self._held:
                self._stop(
                    f"and the next request may cost {self._told(cost_usd, most.tokens)}",
                    self._too_small(cost_usd, most.tokens),
                )
                continue
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self._usd_held += cost_usd
        self._tokens_held += most.tokens
        self._held += 1
        return Hold(key, most.tokens, cost_usd, self._ledger.reserve(key, most.tokens, cost_usd))

    def settle(self, hold: Hold, usage: Usage | None, cost_usd: float | None) -> None:
        """The attempt came back. Where the endpoint does not tell its tokens, the reserve counts.

        An attempt that cost more than its reserve is recorded, and ends all sending: the bound does not hold there.
        """
        if usage is None:
            self._let_go(hold, hold.tokens, hold.cost_usd, keep=True)
            return
        tokens, paid_usd = usage.tokens_in + usage.tokens_out, cost_usd or 0.0
        self._let_go(hold, tokens, paid_usd)
        if tokens > hold.tokens or paid_usd > hold.cost_usd * (1 + 1e-9):
            cost = (
                f"cost {self._told(paid_usd, tokens)}, reserved were {self._told(hold.cost_usd, hold.tokens)}"
            )
            self._ledger.event(hold.key, "over_reserve", f"the answer {cost}")
            self._stop(
                f"and an answer {cost}: the endpoint does not keep to the cap on replies, or counts otherwise"
            )

    def release(self, hold: Hold) -> None:
        """The attempt was refused: nothing is charged."""
        self._let_go(hold, 0, 0.0)

    def forfeit(self, hold: Hold) -> None:
        """Nobody knows whether the attempt is charged: its reserve stays."""
        self._unknown_usd += hold.cost_usd
        self._let_go(hold, hold.tokens, hold.cost_usd, keep=True)

    def _fits(self, cost_usd: float, tokens: int) -> bool:
        return not self._too_small(cost_usd, tokens)

    def _too_small(self, cost_usd: float, tokens: int) -> tuple[str, ...]:
        options = []
        if self.usd is not None and self.usd_spent + self._usd_held + cost_usd > self.usd:
            options.append("--budget-usd")
        if self.tokens is not None and self.tokens_spent + self._tokens_held + tokens > self.tokens:
            options.append("--budget-tokens")
        return tuple(options)

    def _let_go(self, hold: Hold, tokens: int, cost_usd: float, keep: bool = False) -> None:
        self._usd_held -= hold.cost_usd
        self._tokens_held -= hold.tokens
        self._held -= 1
        if not self._held:
            self._usd_held = 0.0  # no rounding is left over
        self.usd_spent += cost_usd
        self.tokens_spent += tokens
        if not keep:
            self._ledger.unreserve(hold.number)
        self._wake()

    def _stop(self, why: str, too_small: tuple[str, ...] = ()) -> None:
        limits, spent = [], []
        usd_left = None if self.usd is None else self.usd - self.usd_spent
        tokens_left = None if self.tokens is None else self.tokens - self.tokens_spent
        if self.usd is not None:
            limits.append(f"${self.usd:g}")
            unknown = f" (${self._unknown_usd:.4f} of it unsure)" if self._unknown_usd else ""
            spent.append(f"${self.usd_spent:.4f}{unknown}")
        if self.tokens is not None:
            limits.append(f"{self.tokens:,} tokens")
            spent.append(f"{self.tokens_spent:,} tokens")
        message = (
            f"{' and '.join(spent)} of the budget of {' and '.join(limits)} are spent,"
            f" {self._told(usd_left or 0.0, tokens_left or 0)} left, {why}."
        )
        if too_small:
            message += f" Raise {' and '.join(too_small)} to go on."
        message += " Nothing answered is lost."
        self.stopped = self.stopped or BudgetSpent(message, usd_left, tokens_left, too_small)
        self._wake()

    def _told(self, cost_usd: float, tokens: int) -> str:
        said = [f"${cost_usd:.4f}"] if self.usd is not None else []
        return " and ".join([*said, f"{tokens:,} tokens"] if self.tokens is not None else said)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.done() and not turn.get_loop().is_closed():
                turn.set_result(None)
