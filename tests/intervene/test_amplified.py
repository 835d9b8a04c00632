"""Do reports of an amplified latent name what it drives, batch by batch, and say where there are none?"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from autointerp.intervene.amplified import BATCHES, LEAST_ITEMS, MOST_CHANGES, Amplifier, amplified, batches
from autointerp.intervene.strength import Strength, divergence
from autointerp.intervene.workbench import Items
from autointerp.schema import Failure

N, R = 120, 30
SD = np.full(R, 2.0)
NAMES = np.array([f"G{i}" for i in range(R)])


class Bench:
    """x is expression itself; latent 0 raises the first three outputs by s, latent 1 reaches no σ, latent 2 is dead."""

    units = np.array([1.0, 1.0, 0.0])

    def __init__(self, n=N, groups=None):
        x = np.random.default_rng(0).gamma(2.0, 1.0, (n, R))
        self.test = Items(np.arange(n) + 1000, x, groups)
        self.main = SimpleNamespace(
            name="genes",
            outputs=NAMES,
            sd=SD,
            read=lambda x: x,
            proportions=lambda x: x / x.sum(1, keepdims=True),
        )
        self.asked = []

    def strength(self, latent, sigma):
        self.asked.append((latent, sigma))
        reached = latent == 0
        return Strength(
            sigma, 4.0 if reached else np.nan, sigma, 0.0, (), "" if reached else "not_reachable: far"
        )

    def edited(self, items, latent, s):
        step = np.zeros(R)
        step[:3] = s, s / 2, s / 4
        return items.x + step


def test_a_report_is_the_mean_over_its_batch():
    bench = Bench()
    made = amplified(bench, 0, 0.3, seed=1)
    parts, _ = batches(bench.test, 1)
    assert len(made.rows) == BATCHES and made.kinds.tolist() == ["genes:0.3"] * BATCHES
    for part, row, changes, sigma in zip(parts, made.rows, made.changes, made.sigma, strict=True):
        x, after = bench.test.x[part], bench.edited(SimpleNamespace(x=bench.test.x[part]), 0, 4.0)
        assert len(changes) == MOST_CHANGES and [c.name for c in changes[:3]] == ["G0", "G1", "G2"]
        assert [c.in_sd for c in changes[:4]] == pytest.approx([2.0, 1.0, 0.5, 0.0])
        assert changes[1].before == pytest.approx(x[:, 1].mean())
        assert changes[1].after == pytest.approx(x[:, 1].mean() + 2.0)
        shares = [v / v.sum(1, keepdims=True) for v in (x, after)]
        assert sigma == pytest.approx(divergence(*shares).mean())
        assert row == bench.test.rows[part[0]]


def test_withheld_features_alone_are_asked_about_with_what_they_did():
    bench = Bench()
    withheld = frozenset(NAMES[[0, 2, 5, 6, 7, 20]].tolist()) | {"not read"}
    made = amplified(bench, 0, 0.3, 1, withheld)
    told = {change.name: change.in_sd for each in made.asked for change in each}
    assert set(told) == withheld - {"not read"}
    assert [told[name] for name in ("G0", "G2", "G5")] == pytest.approx([2.0, 0.5, 0.0])
    any_ = {change.name for each in amplified(bench, 0, 0.3, 1).asked for change in each}
    assert len(any_) == R and {"G0", "G1", "G2"} <= any_
    assert amplified(bench, 0, 0.3, 1, withheld).asked == made.asked


def test_clean_and_edited_reports_tell_a_batch_from_all_items_as_they_are():
    bench = Bench()
    made = amplified(bench, 0, 0.3, seed=1)
    typical = bench.test.x.mean(0)
    step = dict(zip(NAMES[:3].tolist(), (4.0, 2.0, 1.0), strict=True))
    for part, clean, edited in zip(batches(bench.test, 1)[0], made.clean, made.edited, strict=True):
        own = bench.test.x[part].mean(0)
        for changes, moved in ((clean, {}), (edited, step)):
            assert len(changes) == MOST_CHANGES
            for change in changes:
                i = NAMES.tolist().index(change.name)
                after = own[i] + moved.get(change.name, 0.0)
                assert (change.before, change.after) == pytest.approx((typical[i], after))
                assert change.in_sd == pytest.approx((after - typical[i]) / 2.0)
            size = [abs(change.in_sd) for change in changes]
            assert size == sorted(size, reverse=True)
        assert edited[0].name == "G0"


def test_batches_of_items_are_disjoint_and_of_twenty_at_least():
    for n, wanted in ((N, 5), (75, 3), (20, 1), (19, 0)):
        parts, names = batches(Items(np.arange(n), np.zeros((n, 1))), 0)
        assert len(parts) == len(names) == wanted and (names == "").all()
        together = np.concatenate([np.empty(0, dtype=int), *parts])
        assert len(np.unique(together)) == len(together) == (n if wanted else 0)
        assert all(len(part) >= LEAST_ITEMS for part in parts)


def test_batches_are_groups_where_five_are_large_enough():
    groups = np.repeat([f"donor {i}" for i in range(6)], [20, 20, 20, 20, 30, 10])
    parts, names = batches(Items(np.arange(N), np.zeros((N, 1)), groups), 0)
    assert names.tolist() == [f"donor {i}" for i in range(5)]
    assert [len(part) for part in parts] == [20, 20, 20, 20, 30]
    few = np.repeat(["a", "b"], 60)
    assert batches(Items(np.arange(N), np.zeros((N, 1)), few), 0)[1].tolist() == [""] * 5


def test_where_there_is_no_report_it_says_why():
    assert amplified(Bench(), 1, 0.3, 0) == Failure("items", "not_reachable: far")
    assert "fires on no explain item" in amplified(Bench(), 2, 0.3, 0).message
    assert amplified(Bench(19), 0, 0.3, 0).message == "19 test items, fewer than the 20 of a batch"


def test_benches_families_and_reports_are_made_once():
    made, told = [], []
    bench = Bench()
    amplifier = Amplifier(
        lambda readout: made.append(readout) or bench, lambda: np.eye(3), lambda: made.append("f") or np.arange(3),
        0, told.append,
    )  # fmt: skip
    assert made == []
    first = amplifier.reports(0, "genes", 0.3)
    assert amplifier.reports(0, "genes", 0.3) is first
    amplifier.reports(0, "genes", 0.1)
    assert made == ["genes"] and bench.asked == [(0, 0.3), (0, 0.1)] and told == [1, 2]
    assert amplifier.families is amplifier.families and made == ["genes", "f"]
