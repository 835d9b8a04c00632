"""Does a blocked contrast say what a loop over latents says, and is its null the size of chance?"""

import numpy as np
import pytest
from scipy import sparse

from autointerp.evidence import contrast as module
from autointerp.evidence.chance import Within
from autointerp.evidence.contrast import contrast_all
from tests.evidence.planted_items import feature_table
from tests.tiny_corpus import TinyCorpus

FIELDS = ("up", "down", "up_figures", "down_figures", "null", "n_active", "n_silent")


def sides(n=300, m=12, seed=0, rate=0.2, silent_share=0.5):
    """Active and silent masks (n, m); latent 0 never fires, latent 1 once, latent 2 always."""
    rng = np.random.default_rng(seed)
    active = rng.random((n, m)) < rate
    active[:, :3] = False
    active[5, 1] = True
    active[:, 2] = True
    return active, ~active & (rng.random((n, m)) < silent_share)


def csr(mask):
    return sparse.csr_matrix(mask.astype(np.float32))


def contrasts(table, active, silent=None, groups=None, seed=0, rows=None):
    rows = np.arange(len(table.values)) if rows is None else rows
    return contrast_all(
        table, rows, csr(active), None if silent is None else csr(silent), "given", groups, seed
    )


def naive(table, rows, active, silent):
    """(shift, log2 fold change, share active, share silent) of one latent for every feature."""
    values = table.values[rows]
    a, s = values[active], values[silent]
    pooled = (len(a) - 1) * a.var(0, ddof=1) + (len(s) - 1) * s.var(0, ddof=1)
    sd = np.sqrt(pooled / (len(a) + len(s) - 2))
    s0 = np.median(values.std(0)[table.eligible])
    difference = a.mean(0) - s.mean(0)
    return difference / (sd + s0), difference / np.log(2), (a > 0).mean(0), (s > 0).mean(0)


@pytest.mark.parametrize("paired", [False, True], ids=["all silent", "chosen silent"])
def test_all_figures_are_those_of_a_loop_over_latents(paired):
    table = feature_table()
    rows = np.random.default_rng(1).permutation(300)[:250]
    rows.sort()
    active, silent = sides(250)
    found = contrasts(table, active, silent if paired else None, rows=rows)
    silent = silent if paired else ~active
    assert found.n_active.tolist() == active.sum(0).tolist()
    assert found.n_silent.tolist() == silent.sum(0).tolist()
    for latent in range(3, 12):
        want = np.stack(naive(table, rows, active[:, latent], silent[:, latent]), axis=1)
        eligible = np.flatnonzero(table.eligible)
        ranked = eligible[np.argsort(want[eligible, 0])]
        n_up = int((want[eligible, 0] > 0).sum())
        for columns, figures, order in (
            (found.up[latent], found.up_figures[latent], ranked[::-1][:n_up]),
            (found.down[latent], found.down_figures[latent], ranked[: len(ranked) - n_up]),
        ):
            kept = columns >= 0
            assert columns[kept].tolist() == order.tolist()
            np.testing.assert_allclose(figures[kept], want[order], rtol=1e-3, atol=1e-5)


def test_a_latent_with_fewer_than_two_items_on_a_side_says_nothing():
    found = contrasts(feature_table(), *sides())
    for latent in range(3):
        said = found.of(latent, feature_table().feature_names)
        assert said.up == said.down == ()
    assert np.isinf(found.null[:2]).all()


def test_features_that_are_not_eligible_are_never_named():
    table = feature_table()
    active, _ = sides()
    active[:3, 5] = True  # the only items that have the last feature
    found = contrasts(table, active)
    last = table.values.shape[1] - 1
    assert not table.eligible[last]
    assert not ((found.up == last) | (found.down == last)).any()


@pytest.mark.parametrize("n_eligible", [0, 1, 2])
def test_few_eligible_features_are_told_all_the_same(n_eligible):
    table = feature_table()
    active, _ = sides()
    table.eligible = np.arange(40) < n_eligible
    table.values[active[:, 4], 0] += 5
    found = contrasts(table, active)
    assert found.up.shape == (12, n_eligible)
    assert [f.name for f in found.of(4, table.feature_names).up] == (["F0"] if n_eligible else [])


def test_at_most_two_hundred_features_a_side_are_kept_the_most_shifted_first():
    table = feature_table(g=500)
    active, _ = sides()
    found = contrasts(table, active)
    assert found.up.shape == (12, 200)
    rows = np.arange(300)
    for latent in (4, 9):
        shift = np.where(table.eligible, naive(table, rows, active[:, latent], ~active[:, latent])[0], 0)
        np.testing.assert_allclose(found.up_figures[latent, :, 0], np.sort(shift)[::-1][:200], rtol=1e-3)
        np.testing.assert_allclose(found.down_figures[latent, :, 0], np.sort(shift)[:200], rtol=1e-3)


@pytest.mark.parametrize("paired", [False, True])
def test_blocks_of_few_latents_give_the_same_bytes(monkeypatch, paired):
    table = feature_table()
    active, silent = sides()
    whole = contrasts(table, active, silent if paired else None)
    for values in (1, 150):
        monkeypatch.setattr(module, "BLOCK_VALUES", values)
        blocked = contrasts(table, active, silent if paired else None)
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(whole, field), getattr(blocked, field))


def share_above_null(found) -> float:
    live = np.isfinite(found.null)
    greatest = np.maximum(np.abs(found.up_figures[:, 0, 0]), np.abs(found.down_figures[:, 0, 0]))
    return float((greatest > found.null)[live].mean())


@pytest.mark.parametrize("paired", [False, True], ids=["all silent", "chosen silent"])
def test_meaningless_activations_exceed_the_null_about_one_time_in_twenty(paired):
    table = feature_table(g=60)
    shares = []
    for seed in range(4):
        active, silent = sides(m=150, seed=seed, rate=0.1)
        shares.append(share_above_null(contrasts(table, active, silent if paired else None, seed=seed)))
    assert 0.02 <= np.mean(shares) <= 0.08


@pytest.mark.parametrize("paired", [False, True], ids=["all silent", "chosen silent"])
def test_a_planted_shift_exceeds_the_null_and_leads(paired):
    table = feature_table()
    active, silent = sides(m=40)
    for latent in range(10, 30):
        column = latent - 10
        table.values[active[:, latent], column] += 2.5
    found = contrasts(table, active, silent if paired else None)
    for latent in range(10, 30):
        said = found.of(latent, table.feature_names)
        assert said.up[0].name == f"F{latent - 10}"
        assert said.up[0].shift > said.null
        assert all(abs(f.shift) > said.null for f in (*said.up, *said.down))
        assert (said.n_active, said.against) == (int(active[:, latent].sum()), "given")


def test_a_shift_between_two_groups_is_chance():
    rng = np.random.default_rng(0)
    table = feature_table()
    second = rng.random(300) < 0.5
    table.values[second, 0] += 4  # a batch effect
    active = np.zeros((300, 100), dtype=bool)
    for latent in range(100):  # all fire in that batch alone
        active[rng.permutation(np.flatnonzero(second))[:45], latent] = True
    groups = np.where(second, "b", "a")
    names = table.feature_names
    pooled, within = contrasts(table, active), contrasts(table, active, groups=groups)
    told = [sum("F0" in [f.name for f in c.of(j, names).up] for j in range(100)) for c in (pooled, within)]
    assert told[0] == 100
    assert told[1] <= 9


def test_what_several_groups_share_is_told_and_what_any_few_groups_share_is_not():
    """Latents that fire on whole groups, as on compounds: of six of 30 that share an effect, and of any six."""
    rng = np.random.default_rng(0)
    table = feature_table(n=600)
    groups = np.repeat(np.arange(30), rng.integers(8, 33, 30))[:600]
    groups = np.concatenate([groups, np.full(600 - len(groups), 29)])
    table.values += rng.normal(0, 0.8, (30, 40))[groups].clip(0)  # each group has its own look
    chosen = [rng.permutation(30)[:6] for _ in range(120)]
    active = np.stack([np.isin(groups, some) for some in chosen], axis=1)
    for latent in range(20):
        table.values[active[:, latent], latent] += 3
    found = contrasts(table, active, groups=groups.astype(str))
    first = [found.of(j, table.feature_names).up for j in range(120)]
    assert sum(bool(up) and up[0].name == f"F{j}" for j, up in enumerate(first[:20])) >= 15
    others = [found.of(j, [f"F{i}" for i in range(40)]) for j in range(20, 120)]
    assert sum(bool(said.up or said.down) for said in others) <= 12


def test_the_null_is_wider_for_rare_latents():
    table = feature_table()
    rng = np.random.default_rng(2)
    active = rng.random((300, 80)) < np.repeat([0.02, 0.3], 40)
    active[:3] = True
    null = contrasts(table, active).null
    assert null[:40].mean() > 1.5 * null[40:].mean()


def test_one_live_latent_has_a_null():
    table = feature_table()
    active, _ = sides()
    null = contrasts(table, active[:, 3:4]).null
    assert null.shape == (1,) and 0.1 < null[0] < 2


def test_no_more_features_are_named_than_asked_for():
    table = feature_table()
    active, _ = sides()
    table.values[active[:, 4], :9] += 3
    found = contrasts(table, active)
    assert len(found.of(4, table.feature_names).up) >= 9
    assert [f.name for f in found.of(4, table.feature_names, 2).up] == [
        f.name for f in found.of(4, table.feature_names).up[:2]
    ]


def test_the_seed_decides_the_null_and_nothing_else():
    table = feature_table()
    active, _ = sides()
    first, again, other = (contrasts(table, active, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.null, again.null)
    assert not np.array_equal(first.null, other.null)
    np.testing.assert_array_equal(first.up_figures, other.up_figures)


def test_within_parts_silent_are_the_other_items_of_the_part():
    table = feature_table()
    active, _ = sides()
    parts = np.random.default_rng(5).integers(0, 3, 300)
    of = np.arange(12) % 3
    inside = active & (parts[:, None] == of)
    found = contrast_all(table, np.arange(300), csr(inside), Within(parts, of), "given", None, 0)
    for latent in range(3, 12):
        others = (parts == of[latent]) & ~inside[:, latent]
        want = np.stack(naive(table, np.arange(300), inside[:, latent], others), axis=1)
        assert found.n_silent[latent] == others.sum()
        for columns, figures in (
            (found.up[latent], found.up_figures[latent]),
            (found.down[latent], found.down_figures[latent]),
        ):
            kept = columns >= 0
            np.testing.assert_allclose(figures[kept], want[columns[kept]], rtol=1e-3, atol=1e-5)


def test_what_separates_parts_is_chance_within_them():
    rng = np.random.default_rng(0)
    table = feature_table()
    parts = rng.integers(0, 2, 300)
    table.values[parts == 1, 0] += 4
    of = np.arange(100) % 2
    inside = (rng.random((300, 100)) < 0.3) & (parts[:, None] == of)
    found = contrast_all(table, np.arange(300), csr(inside), Within(parts, of), "given", None, 0)
    assert sum(bool(c.up or c.down) for c in (found.of(j, table.feature_names) for j in range(100))) <= 12
    table.values[inside[:, 7], 3] += 3
    found = contrast_all(table, np.arange(300), csr(inside), Within(parts, of), "given", None, 0)
    assert found.of(7, table.feature_names).up[0].name == "F3"


def test_the_share_of_expressing_items_that_are_active_is_counted():
    table = feature_table()
    active, silent = sides()
    table.values[active[:, 5], 2] += 3
    told = contrasts(table, active).of(5, table.feature_names).up
    assert told[0].name == "F2"
    for feature in told:
        has = table.values[:, int(feature.name[1:])] > 0
        assert feature.given_expressed == pytest.approx(active[has, 5].mean())
        assert feature.given_not == (pytest.approx(active[~has, 5].mean()) if (~has).any() else None)
    matched = contrasts(table, active, silent).of(5, table.feature_names).up
    assert all(f.given_expressed is None and f.given_not is None for f in matched)


def test_no_latents_have_no_contrast():
    corpus = TinyCorpus(np.ones((6, 3)), ["A", "B", "C"])
    none = sparse.csr_matrix((6, 0), dtype=np.float32)
    made = contrast_all(corpus, np.arange(6), none, None, "all silent", None, 0)
    assert made.null.shape == (0,) and made.up.shape[0] == 0


def test_of_no_latents_nothing_is_said_with_groups_either():
    table = feature_table()
    made = contrasts(table, np.zeros((300, 0), bool), groups=np.repeat(list("abcdef"), 50))
    assert made.null.shape == (0,) and made.up.shape[0] == 0
