"""What happens to readouts when a latent is turned? Strength from develop, effects on test.

x' = T⁻¹(T(x) + s·w_latent), by ``Dictionary.edit``; the reconstruction error is kept. Ablation: s = −z where it fires.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from autointerp.corpus.readouts import Readout
from autointerp.intervene.effects import (
    DOSES,
    Mean,
    Symmetry,
    dose_response,
    mean_change,
    symmetry,
)
from autointerp.intervene.strength import (
    OnData,
    Point,
    Strength,
    divergence,
    find_strength,
    standardized,
    strength_grid,
)
from sae import Dictionary

LINEAR = "none: a linear head, no evidence"
MOST_EDITED = 400  # items of a split that are edited, drawn with the seed


@dataclass(frozen=True, eq=False)
class Items:
    """Rows of one split that are edited: rows (b,), x (b, d), groups (b,) donors or None."""

    rows: np.ndarray
    x: np.ndarray
    groups: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Changes:
    """What one strength did to one readout's outputs on test, (r,) each.

    before : mean reading; mean : mean change with interval, in the readout's units; in_sd : its value in sd of real
    items; down : mean change under −s, in sd; dose : Spearman of strength and change over five strengths
    """

    readout: Readout
    before: np.ndarray
    mean: Mean
    in_sd: np.ndarray
    down: np.ndarray
    dose: np.ndarray
    delta: np.ndarray  # (b, r) of every item, in sd

    @property
    def symmetry(self) -> Symmetry:
        return symmetry(self.in_sd, self.down)


@dataclass(frozen=True, eq=False)
class Intervention:
    """One latent turned until σ.

    strength : found on develop; up, down : what ±s did on test; doses : (t,) points on test, rising
    changes : by readout; ablated : the latent removed from the ``n_fired`` test items on which it fires, or None
    Where σ is not reachable, all but ``strength`` is empty.
    """

    latent: int
    strength: Strength
    up: Point | None = None
    down: Point | None = None
    doses: tuple[Point, ...] = ()
    changes: Mapping[str, Changes] | None = None
    ablated: Point | None = None
    n_fired: int = 0


class Workbench:
    """Everything that interventions on one dictionary share, frozen.

    Parameters
    ----------
    main : the readout that σ is measured on; it needs proportions
    others : further readouts, read at the same strength
    units : (m,) mean activation of each latent where it fires on explain, the unit of strengths
    """

    def __init__(
        self,
        dictionary: Dictionary,
        main: Readout,
        others: Sequence[Readout],
        on_data: OnData,
        units: np.ndarray,
        develop: Items,
        test: Items,
    ):
        if main.proportions is None:
            raise ValueError(f"σ needs proportions, which the readout {main.name} has not")
        self.dictionary, self.main, self.others, self.on_data = dictionary, main, tuple(others), on_data
        self.units, self.develop, self.test = units, develop, test
        self._tried: dict[tuple[int, float], Point] = {}  # on develop: one grid serves every σ

    @cached_property
    def _develop_before(self) -> np.ndarray:
        return self.main.read(self.develop.x)

    @cached_property
    def _develop_shares(self) -> np.ndarray:
        return self._shares(self._develop_before)

    @cached_property
    def _test_before(self) -> dict[str, np.ndarray]:
        return {readout.name: readout.read(self.test.x) for readout in (self.main, *self.others)}

    @cached_property
    def _held(self) -> dict[str, np.ndarray]:
        """Which develop and test items are on the data as they are."""
        return {
            name: self.on_data.holds(items.x)
            for name, items in (("develop", self.develop), ("test", self.test))
        }

    def edited(self, items: Items, latent: int, s: float) -> np.ndarray:
        """x' (b, d) of the items under strength s."""
        return self.dictionary.edit(items.x, latent, s)

    def strength(self, latent: int, sigma: float) -> Strength:
        """What it takes on develop to reach σ."""

        def at(s: float) -> Point:
            if (latent, s) not in self._tried:
                after = self.edited(self.develop, latent, s)
                read = self.main.read(after)
                point = self._point(
                    s, self._held["develop"], after, self._develop_before, read, self._develop_shares
                )
                self._tried[latent, s] = point
            return self._tried[latent, s]

        return find_strength(sigma, at, strength_grid(float(self.units[latent])))

    def mean_shift(self, latent: int, s: float, readout: Readout) -> np.ndarray:
        """(r,) mean change on test under strength s, in the readout's units."""
        return (readout.read(self.edited(self.test, latent, s)) - self._test_before[readout.name]).mean(0)

    def intervene(self, latent: int, sigma: float) -> Intervention:
        """Turn a latent until σ on develop, and say what that does on test."""
        strength = self.strength(latent, sigma)
        if not strength.reachable:
            return Intervention(latent, strength)
        doses = np.array(DOSES) * strength.s
        held, groups = self._held["test"], self.test.groups
        turned = [self.edited(self.test, latent, s) for s in doses.tolist()]
        back = self.edited(self.test, latent, -strength.s)
        changes: dict[str, Changes] = {}
        points: list[Point] = []
        down: Point | None = None
        for readout in (self.main, *self.others):
            before = self._test_before[readout.name]
            response, after = [], before
            for s, moved in zip(doses.tolist(), turned, strict=True):
                after = readout.read(moved)  # the last is that of the full strength
                response.append((after - before).mean(0))
                if readout is self.main:
                    points.append(self._point(s, held, moved, before, after))
            below = readout.read(back)
            if readout is self.main:
                down = self._point(-strength.s, held, back, before, below)
            mean = mean_change(after - before, groups)
            if readout.linear:  # the same of every item: how far they differ says nothing
                unknown = np.full(len(mean.value), np.nan)
                mean = Mean(mean.value, unknown, unknown, LINEAR)
            changes[readout.name] = Changes(
                readout, before.mean(0), mean, standardized(mean.value, readout.sd),
                standardized((below - before).mean(0), readout.sd), dose_response(doses, np.stack(response)),
                standardized(after - before, readout.sd),
            )  # fmt: skip
        ablated, n_fired = self.ablate(latent)
        return Intervention(latent, strength, points[-1], down, tuple(points), changes, ablated, n_fired)

    def ablate(self, latent: int) -> tuple[Point | None, int]:
        """Remove a latent (s = −z) from the test items on which it fires: what that did, with the mean −z as its s, and
        how many they are; None where it fires on none."""
        z = activation(self.dictionary, self.test.x, latent)
        fired = z > 0
        if not fired.any():
            return None, 0
        after = self.dictionary.edit(self.test.x[fired], latent, -z[fired])
        before = self._test_before[self.main.name][fired]
        held = self._held["test"][fired]
        return self._point(-float(z[fired].mean()), held, after, before, self.main.read(after)), int(
            fired.sum()
        )

    def _point(
        self, s: float, held: np.ndarray, edited: np.ndarray, before: np.ndarray, after: np.ndarray,
        shares: np.ndarray | None = None,
    ) -> Point:  # fmt: skip
        """``shares``: proportions of ``before``, where they are at hand."""
        shares = self._shares(before) if shares is None else shares
        sigma = float(divergence(shares, self._shares(after)).mean())
        shift = float(np.abs(standardized(after - before, self.main.sd)).mean())
        return Point(s, sigma, shift, self.on_data.leaving(held, edited))

    def _shares(self, read: np.ndarray) -> np.ndarray:
        proportions = self.main.proportions
        assert proportions is not None
        return proportions(read)


def activation(dictionary: Dictionary, x: np.ndarray, latent: int) -> np.ndarray:
    """(b,) float32, how strongly the latent fires on x (b, d)."""
    codes = dictionary.encode(x)
    return np.where(codes.indices == latent, codes.values, 0.0).sum(1).astype(np.float32)
