"""What can be shown of an amplified latent? Reports of what changed, on batches of test items, at one σ of a readout.

A batch is a test group; where fewer than five groups have 20 items, it is one of up to five seeded batches of items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from zlib import crc32

import numpy as np

from autointerp.intervene.asked_features import asked_features
from autointerp.intervene.strength import divergence, standardized
from autointerp.intervene.workbench import Items, Workbench
from autointerp.questions import Change
from autointerp.schema import Failure

BATCHES, LEAST_ITEMS = 5, 20
MOST_CHANGES = 20  # outputs that a report names, the most changed


@dataclass(frozen=True, eq=False)
class Reports:
    """What amplifying one latent did to each batch, as columns of equal length ``e``.

    rows : (e,) int64, the first item of each batch, which names it
    groups : (e,) str, the batch's group, '' where batches are of items of any group
    sigma : (e,) float32, σ reached on the batch, in nats
    kinds : (e,) str, readout and σ that was asked for, such as ``genes:0.3``
    changes : what changed most, most changed first, for each batch
    asked : features to ask about without showing what they did, for each batch, see ``asked_features``
    clean, edited : what tells each batch from all edited items as they are (``before``), without and with the edit
    """

    rows: np.ndarray
    groups: np.ndarray
    sigma: np.ndarray
    kinds: np.ndarray
    changes: tuple[tuple[Change, ...], ...]
    asked: tuple[tuple[Change, ...], ...] = ()
    clean: tuple[tuple[Change, ...], ...] = ()
    edited: tuple[tuple[Change, ...], ...] = ()

    @property
    def activations(self) -> np.ndarray:
        """(e,) float32: the σ reached stands in its place."""
        return self.sigma

    @property
    def truth(self) -> np.ndarray:
        """(e,) bool: a batch is not active or silent."""
        return np.zeros(len(self.rows), dtype=bool)


@dataclass(frozen=True, eq=False)
class Amplifier:
    """Amplifies the latents of one dictionary; what is made once is kept.

    Parameters
    ----------
    bench_of : readout, ``genes`` or ``classes`` -> the workbench that measures σ on it
    decoder_of : () -> (m, p) unit rows, directions of the latents
    families_of : () -> (m,) family of each latent, see ``score.families``
    told : called with the number of latents that were turned
    withheld : names of the features that no label writer is shown; empty: none are kept from them
    """

    bench_of: Callable[[str], Workbench]
    decoder_of: Callable[[], np.ndarray]
    families_of: Callable[[], np.ndarray]
    seed: int
    told: Callable[[int], None] = lambda done: None
    withheld: frozenset[str] = frozenset()
    _benches: dict[str, Workbench] = field(default_factory=dict, init=False)
    _made: dict[tuple[int, str, float], Reports | Failure] = field(default_factory=dict, init=False)

    @cached_property
    def decoder(self) -> np.ndarray:
        """(m, p)."""
        return np.asarray(self.decoder_of(), dtype=np.float64)

    @cached_property
    def families(self) -> np.ndarray:
        """(m,) int64."""
        return self.families_of()

    def bench(self, readout: str) -> Workbench:
        """That measures σ on the readout, made once."""
        if readout not in self._benches:
            self._benches[readout] = self.bench_of(readout)
        return self._benches[readout]

    def reports(self, latent: int, readout: str, sigma: float) -> Reports | Failure:
        """Of the latent amplified until σ on develop, or why there are none: ``not_reachable``, or too few items."""
        key = (latent, readout, sigma)
        if key not in self._made:
            self._made[key] = amplified(self.bench(readout), latent, sigma, self.seed, self.withheld)
            self.told(len(self._made))
        return self._made[key]


def amplified(
    bench: Workbench, latent: int, sigma: float, seed: int, withheld: frozenset[str] = frozenset()
) -> Reports | Failure:
    """Reports of one latent, from the main readout of the workbench; it asks about ``withheld`` features, or about any
    where none are."""
    parts, names = batches(bench.test, seed)
    if not parts:
        return Failure("items", f"{len(bench.test.rows)} test items, fewer than the {LEAST_ITEMS} of a batch")
    if not bench.units[latent] > 0:
        return Failure("items", "not_reachable: it fires on no explain item, so that no strength has a unit")
    strength = bench.strength(latent, sigma)
    if not strength.reachable:
        return Failure("items", strength.reason)
    readout, proportions = bench.main, bench.main.proportions
    assert proportions is not None
    before = readout.read(bench.test.x)  # (b, r)
    after = readout.read(bench.edited(bench.test, latent, strength.s))
    moved = divergence(proportions(before), proportions(after))  # (b,)
    typical = before.mean(0)  # (r,)
    clean, edited = (np.stack([read[part].mean(0) for part in parts]) for read in (before, after))  # (e, r)
    askable = np.isin(readout.outputs, sorted(withheld)) if withheld else np.ones(len(typical), dtype=bool)
    rng = np.random.default_rng([seed, latent, crc32(f"asked:{readout.name}:{sigma:g}".encode())])
    asked = asked_features(standardized(edited - clean, readout.sd), askable, rng)

    def changes(a: np.ndarray, b: np.ndarray, places: np.ndarray | None = None) -> tuple[Change, ...]:
        """From a to b (r,), those at ``places`` or the most changed."""
        in_sd = standardized(b - a, readout.sd)
        if places is None:
            places = np.argsort(-np.abs(in_sd), kind="stable")[:MOST_CHANGES]
        names = readout.outputs
        return tuple(
            Change(str(names[i]), float(a[i]), float(b[i]), float(in_sd[i])) for i in places.tolist()
        )

    return Reports(
        rows=np.array([bench.test.rows[part[0]] for part in parts], dtype=np.int64),
        groups=names,
        sigma=np.array([moved[part].mean() for part in parts], dtype=np.float32),
        kinds=np.full(len(parts), f"{readout.name}:{sigma:g}"),
        changes=tuple(changes(a, b) for a, b in zip(clean, edited, strict=True)),
        asked=tuple(changes(a, b, at) for a, b, at in zip(clean, edited, asked, strict=True)),
        clean=tuple(changes(typical, a) for a in clean),
        edited=tuple(changes(typical, b) for b in edited),
    )


def batches(items: Items, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Places of each batch's items in ``items``, and the group of each batch ('' of batches of items)."""
    if items.groups is not None:
        names, counts = np.unique(items.groups.astype(str), return_counts=True)
        names = names[counts >= LEAST_ITEMS]
        if len(names) >= BATCHES:
            return [np.flatnonzero(items.groups == name) for name in names.tolist()], names
    n = min(BATCHES, len(items.rows) // LEAST_ITEMS)
    shuffled = np.random.default_rng([seed, 11]).permutation(len(items.rows))
    return [np.sort(part) for part in np.array_split(shuffled, n)] if n else [], np.full(n, "")
