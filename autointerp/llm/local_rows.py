"""What does each row of a batch write next, and when has it ended? By its own rules and numbers, whoever is beside it.

Temperature, top-p, stops and caps of transformers are those of a whole batch; here each row has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Ask:
    """What one row of a batch is to write.

    prompt : token ids
    max_tokens : written at most
    temperature : 0 takes the likeliest token
    top_p : draws from the likeliest tokens that together have this probability
    seed : the same seed, prompt and settings write the same; None draws fresh numbers
    stop : the text ends before the first of these
    top_logprobs : how many alternatives to report for each token; None: no log-probabilities at all
    gone : asked at every token; True stops this row
    """

    prompt: tuple[int, ...]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    gone: Callable[[], bool] = bool


class Rows:
    """The rows of one batch while they are written: what each chooses next, and when it has ended."""

    def __init__(self, torch: Any, asks: Sequence[Ask], begin: int, ends: Sequence[int],
                 decoded: Callable[[Sequence[int]], str]) -> None:  # fmt: skip
        self._torch, self._asks, self._begin, self._ends, self._decoded = torch, asks, begin, ends, decoded
        self._random = [np.random.default_rng(ask.seed) for ask in asks]
        self._tokens: list[list[int]] = [[] for _ in asks]
        self._said: list[list[Any]] = [[] for _ in asks]
        self._done = [False] * len(asks)

    def choose(self, ids: Any, scores: Any) -> Any:
        """Scores that leave each row one token. (b, t), (b, v) -> (b, v)"""
        torch = self._torch
        scores = scores.float()
        chosen = scores.argmax(-1)  # (b,)
        for row, ask in enumerate(self._asks):
            if ask.temperature > 0 and not self._done[row]:
                chosen[row] = self._drawn(scores[row], ask, self._random[row].random())
        for row, token in enumerate(chosen.tolist()):
            if not self._done[row]:
                self._tokens[row].append(token)
                if (top := self._asks[row].top_logprobs) is not None:
                    logp = torch.log_softmax(scores[row], -1)
                    values, which = logp.topk(min(top, len(logp)))
                    best = list(zip(which.tolist(), values.tolist(), strict=True))
                    self._said[row].append((token, float(logp[token]), best))
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)

    def _drawn(self, scores: Any, ask: Ask, uniform: float) -> int:
        """Invert the distribution function at one uniform number, likeliest tokens first."""
        p, which = self._torch.softmax(scores.double() / ask.temperature, -1).sort(
            descending=True, stable=True
        )
        below = p.cumsum(-1)
        kept = below[below - p < max(ask.top_p, 1e-9)]  # at least the likeliest
        at = int(self._torch.searchsorted(kept, uniform * kept[-1], right=True))
        return int(which[min(at, len(kept) - 1)])

    def ended(self, ids: Any, scores: Any, **_: Any) -> Any:
        """Which rows write no more. (b, t) -> (b,)"""
        for row, ask in enumerate(self._asks):
            tokens = self._tokens[row]
            if not self._done[row]:
                full = len(tokens) >= ask.max_tokens or tokens[-1] in self._ends or ask.gone()
                self._done[row] = full or (bool(ask.stop) and self._stopped(ask.stop, tokens))
        return self._torch.tensor(self._done, device=ids.device)

    def _stopped(self, stops: Sequence[str], tokens: list[int]) -> bool:
        recent = self._decoded(tokens[-(max(map(len, stops)) + 8) :])  # a token is at least a byte of them
        return any(stop in recent for stop in stops)

    def results(self) -> Iterator[tuple[Ask, list[int], list[Any]]]:
        return zip(self._asks, self._tokens, self._said, strict=True)
