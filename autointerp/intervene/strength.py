"""How far must a latent be turned until a readout moves by σ, and do the edited items stay where real items are?

σ = E_x KL(R(x') ‖ R(x)) in nats, over proportions (protocols, section 5). The strength is the smallest crossing of σ on
a grid of 24 strengths, then bisection to 10 %, all on develop. Not reachable is a result, with its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from autointerp.corpus.kernel_neighbours import MOST_REFERENCES, References, some_rows

SIGMAS = (0.1, 0.3)
GRID_POINTS, GRID_LEAST, GRID_MOST = 24, 1 / 32, 32.0  # times the latent's mean activation where it fires
TOLERANCE = 0.1
MOST_BISECTIONS = 40
DATA_NEIGHBOUR, DATA_PERCENTILE = 10, 99.0
MOST_LEAVING = 0.2


def divergence(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """KL(after ‖ before) of each item in nats, (n,): Σ_r p' log(p'/p), rows of proportions (n, r) > 0."""
    return np.sum(after * (np.log(after) - np.log(before)), axis=1)


def standardized(delta: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Changes (n, r) or (r,) in units of each output's sd (r,) over real items; 0 where it has none."""
    return np.divide(delta, sd, out=np.zeros_like(np.asarray(delta, dtype=np.float64)), where=sd > 0)


class OnData:
    """Is a point where real items are? Its distance to the 10th nearest explain item is within the 99th percentile of
    that of real develop items, which like an edited item are not among the explain items themselves.

    Parameters
    ----------
    embeddings : (n, d); explain, develop : row numbers
    """

    def __init__(self, embeddings: np.ndarray, explain: np.ndarray, develop: np.ndarray, seed: int = 0):
        rows = some_rows(explain, MOST_REFERENCES, seed)
        self._references = References(np.asarray(embeddings[rows]))
        real = np.asarray(embeddings[some_rows(develop, MOST_REFERENCES, seed)])
        self.limit = float(np.percentile(self.distance(real), DATA_PERCENTILE))

    def distance(self, x: np.ndarray) -> np.ndarray:
        """(b,) to the 10th nearest explain item of x (b, d)."""
        return self._references.nearest(x, DATA_NEIGHBOUR).distances[:, -1]

    def holds(self, x: np.ndarray) -> np.ndarray:
        """(b,) bool."""
        return self.distance(x) <= self.limit

    def leaving(self, held: np.ndarray, edited: np.ndarray) -> float:
        """Of the items that were on the data, ``held`` (b,) bool, the share that no longer is as edited (b, d)."""
        return float((~self.holds(edited[held])).mean()) if held.any() else 1.0


class Point(NamedTuple):
    """What strength s does to the items of one split: σ, mean |Δ|/sd, and the share that leaves the data."""

    s: float
    sigma: float
    shift: float
    leaving: float


@dataclass(frozen=True, eq=False)
class Strength:
    """What turning a latent takes to reach σ on develop.

    s : the strength, NaN where σ is not reached; reached : σ there, within 10 % of ``target``
    curve : every strength that was tried, rising
    reason : '' or why it is not reachable, with numbers
    """

    target: float
    s: float
    reached: float
    leaving: float
    curve: tuple[Point, ...]
    reason: str = ""

    @property
    def reachable(self) -> bool:
        return not self.reason

    @property
    def most(self) -> float:
        """The greatest σ that was seen on the way there, up to the first strength under which 20 % leave the data."""
        on_data = list(takewhile(lambda point: point.leaving < MOST_LEAVING, self.curve))
        return max(point.sigma for point in on_data)


def strength_grid(unit: float) -> np.ndarray:
    """(24,) strengths, geometric from unit/32 to 32·unit; unit: the latent's mean activation where it fires."""
    if not unit > 0:
        raise ValueError(f"the unit of strengths lies above 0, got {unit}")
    return unit * np.geomspace(GRID_LEAST, GRID_MOST, GRID_POINTS)


def find_strength(target: float, at: Callable[[float], Point], grid: Iterable[float]) -> Strength:
    """The smallest crossing of σ = target on the grid, then bisection until σ is within 10 % of it.

    Parameters
    ----------
    at : what a strength does to develop items; σ need not rise with s
    grid : strengths > 0, rising

    Returns
    -------
    Strength, with ``reason`` where 20 % of the items leave the data before σ is reached, where the strongest strength
    does not reach it, or where σ jumps across it
    """
    if not target > 0:
        raise ValueError(f"σ lies above 0, got {target}")
    seen = [Point(0.0, 0.0, 0.0, 0.0)]
    for s in grid:
        here = at(float(s))
        seen.append(here)
        if here.sigma >= target:
            return _bisect(target, at, seen)
        if here.leaving >= MOST_LEAVING:
            return _failed(
                target, here, seen,
                f"{here.leaving:.0%} of the items leave the data at s = {here.s:.3g}, where σ is {here.sigma:.3g}",
            )  # fmt: skip
    last = seen[-1]
    return _failed(target, last, seen, f"the strongest s, {last.s:.3g}, reaches σ {last.sigma:.3g}")


def _bisect(target: float, at: Callable[[float], Point], seen: list[Point]) -> Strength:
    low, high = seen[-2], seen[-1]
    tried = [high]
    while abs(tried[-1].sigma / target - 1) > TOLERANCE and len(tried) <= MOST_BISECTIONS:
        middle = at((low.s + high.s) / 2)
        tried.append(middle)
        low, high = (low, middle) if middle.sigma >= target else (middle, high)
    seen.extend(tried[1:])
    found = tried[-1]
    if abs(found.sigma / target - 1) > TOLERANCE:
        return _failed(
            target, found, seen, f"σ jumps from {low.sigma:.3g} to {high.sigma:.3g} at s = {high.s:.3g}"
        )
    if found.leaving >= MOST_LEAVING:
        return _failed(
            target, found, seen,
            f"{found.leaving:.0%} of the items have left the data at s = {found.s:.3g}, where σ is {found.sigma:.3g}",
        )  # fmt: skip
    return Strength(target, found.s, found.sigma, found.leaving, _ordered(seen))


def _failed(target: float, here: Point, seen: list[Point], why: str) -> Strength:
    return Strength(target, float("nan"), here.sigma, here.leaving, _ordered(seen), f"not_reachable: {why}")


def _ordered(seen: list[Point]) -> tuple[Point, ...]:
    return tuple(sorted(set(seen)))
