"""In a world whose causes are known: do strengths, effects and refusals come out as planted?

Dimensions 0–3 of the embedding drive ten genes each, beyond what is linear; 4–7 drive none. Latents 0–7 of a hand-made
dictionary point along these dimensions, 8–15 at random. A decoder that knows the world is the readout.
"""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.corpus.class_readouts import class_readout
from autointerp.corpus.readouts import decoder_genes, neighbour_genes
from autointerp.intervene.effects import isolation, ravel
from autointerp.intervene.real_deltas import agreement, real_deltas
from autointerp.intervene.strength import OnData, divergence
from autointerp.intervene.tables import agreement_table, intervention_tables, strength_table
from autointerp.intervene.workbench import LINEAR, Items, Workbench, activation
from sae import DictionaryConfig, untrained
from tests.tiny_corpus import TinyCorpus

N, D, G, CAUSES = 900, 8, 45, 4
EXPLAIN, DEVELOP, TEST = np.arange(500), np.arange(500, 650), np.arange(650, N)
COLUMNS = np.arange(G)
LOADINGS = np.zeros((D, G))
for _cause in range(CAUSES):
    LOADINGS[_cause, 10 * _cause : 10 * _cause + 10] = 1.0


def decode(x):
    """Log-normalized expression, (b, 8) → (b, 45): saturating, from dimensions 0–3 alone."""
    return 0.3 + 2 / (1 + np.exp(2 - np.asarray(x, float) @ LOADINGS))


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D))
    x[:, :CAUSES] = rng.gamma(1.0, 1.0, (N, CAUSES))
    corpus = TinyCorpus(
        np.maximum(decode(x) + rng.normal(0, 0.2, (N, G)), 0), [f"G{i}" for i in range(G)], EXPLAIN
    )
    corpus.embeddings = x.astype(np.float32)
    return corpus


@pytest.fixture(scope="module")
def dictionary(world):
    import torch

    made = untrained(world.embeddings, DictionaryConfig(d=D, m=16, k=4), rows=EXPLAIN)
    made.decoder[:D] = torch.eye(D)
    made.encoder[:D] = torch.eye(D)
    return made


def bench_of(world, dictionary, main=None, others=(), groups=None):
    main = main or decoder_genes(world, decode, "world:decode", DEVELOP, COLUMNS)
    x = world.embeddings
    on_data = OnData(x, EXPLAIN, DEVELOP)
    return Workbench(
        dictionary,
        main,
        others,
        on_data,
        np.ones(16),
        Items(DEVELOP, x[DEVELOP]),
        Items(TEST, x[TEST], groups),
    )


@pytest.fixture(scope="module")
def bench(world, dictionary):
    return bench_of(world, dictionary)


@pytest.mark.parametrize("sigma", [0.1, 0.3])
def test_strength_is_within_a_tenth_wherever_it_is_reachable(bench, sigma):
    found = [bench.strength(latent, sigma) for latent in range(16)]
    reachable = [latent for latent, one in enumerate(found) if one.reachable]
    assert reachable, "the world has no latent to turn"
    for one in found:
        if one.reachable:
            x = bench.develop.x
            p, q = (bench.main.proportions(decode(v)) for v in (x, bench.edited(bench.develop, 0, 0.0)))
            np.testing.assert_array_equal(p, q)  # s = 0 is x itself
            assert one.reached == pytest.approx(sigma, rel=0.1) and one.leaving < 0.2
        else:
            assert one.reason.startswith("not_reachable: ") and np.isnan(one.s)


def test_one_grid_serves_every_sigma(world, dictionary):
    own, both = bench_of(world, dictionary), bench_of(world, dictionary)
    edits = []
    edit = both.edited
    both.edited = lambda items, latent, s: edits.append(s) or edit(items, latent, s)
    both.strength(0, 0.02)
    n_first = len(edits)
    assert both.strength(0, 0.1).curve == own.strength(0, 0.1).curve
    assert len(set(edits)) == len(edits) > n_first


def test_no_edit_is_no_change(bench):
    for latent in (0, 5, 12):
        np.testing.assert_array_equal(bench.edited(bench.test, latent, 0.0), bench.test.x)
        assert (bench.mean_shift(latent, 0.0, bench.main) == 0).all()


def test_what_drives_no_gene_never_reaches_sigma_and_leaves_the_data(bench):
    """0.02 is within reach of every cause."""
    for cause in range(CAUSES):
        assert bench.strength(cause, 0.02).reachable
    for latent in range(CAUSES, D):
        made = bench.intervene(latent, 0.02)
        assert "leave the data" in made.strength.reason and made.strength.reached == pytest.approx(
            0, abs=1e-12
        )
        assert made.changes is None and made.up is None
        assert set(strength_table(made)["split"]) == {"develop"}


def test_a_cause_moves_its_genes_and_no_others(bench):
    for cause in range(CAUSES):
        made = bench.intervene(cause, 0.02)
        changes = made.changes["genes"]
        own = LOADINGS[cause] > 0
        assert changes.mean.value[own].min() > 0.1 and np.abs(changes.mean.value[~own]).max() < 1e-6
        after = decode(bench.test.x + made.strength.s * (bench.edited(bench.test, cause, 1) - bench.test.x))
        np.testing.assert_allclose(changes.mean.value, (after - decode(bench.test.x)).mean(0), atol=1e-5)
        p, q = (changes.readout.proportions(v) for v in (decode(bench.test.x), after))
        assert made.up.sigma == pytest.approx(divergence(p, q).mean(), rel=1e-4)
        np.testing.assert_allclose(changes.dose[own], 1.0)
        assert (changes.down[own] < 0).all() and changes.symmetry.cosine > 0.99
        assert [point.s for point in made.doses] == pytest.approx(
            [0.2 * i * made.strength.s for i in range(1, 6)]
        )
        sign = own.astype(int)
        assert isolation(changes.delta, own) > 1e3 and ravel(changes.delta, sign).isolation == 1.0
        assert ravel(changes.delta, -sign).cause == 0.0


def test_random_directions_are_less_isolated_than_causes_at_the_same_sigma(bench):
    own = [
        max(isolation(made.changes["genes"].delta, LOADINGS[c] > 0) for c in range(CAUSES))
        for made in (bench.intervene(latent, 0.02) for latent in range(16))
        if made.strength.reachable
    ]
    assert len(own) > CAUSES and np.median(own[CAUSES:]) < 10 and max(own[CAUSES:]) < 1e3 < min(own[:CAUSES])


def test_ablation_takes_the_latent_away(bench):
    point, n_fired = bench.ablate(0)
    z = activation(bench.dictionary, bench.test.x, 0)
    codes = bench.dictionary.encode(bench.test.x)
    np.testing.assert_allclose(z, [v[i == 0].sum() for i, v in zip(codes.indices, codes.values, strict=True)])
    assert n_fired == (z > 0).sum() > 0 and point.s == pytest.approx(-z[z > 0].mean()) and point.sigma > 0
    scale = float(bench.dictionary.preprocessing.scale[0])
    moved = bench.test.x[z > 0].copy()
    moved[:, 0] -= scale * z[z > 0]
    p = bench.main.proportions
    expected = divergence(p(decode(bench.test.x[z > 0])), p(decode(moved))).mean()
    assert point.sigma == pytest.approx(expected, rel=1e-4)


def test_neighbours_say_what_the_world_does_and_classes_follow(world, dictionary):
    rng = np.random.default_rng(1)
    kind = np.where(world.embeddings[:, 0] > 1.0, "high", "low").astype(object)
    classes = class_readout(world.embeddings, kind, EXPLAIN, DEVELOP, "kind", "logistic")
    near = neighbour_genes(world, EXPLAIN, DEVELOP, COLUMNS)
    groups = rng.choice(["a", "b", "c", "d"], len(TEST))
    bench = bench_of(world, dictionary, near, [classes], groups)
    made = bench.intervene(0, 0.01)
    assert made.strength.reachable
    tables = intervention_tables(made, bench, {"markers": {"G0": 1, "G9": 1, "G12": -1}, "none": {"Z": 1}})
    assert set(tables["genes"]["output"].head(10)) == {f"G{i}" for i in range(10)}
    assert tables["genes"]["method"].eq("t over groups").all()
    shift = tables["classes"].set_index("output")["change"]
    assert shift["high"] > 0.1 and shift.sum() == pytest.approx(0, abs=1e-9)
    assert tables["classes"]["method"].eq(LINEAR).all() and tables["classes"][["low", "high"]].isna().all(
        axis=None
    )
    assert tables["isolation"]["explainer"].tolist() == ["markers"]
    summary = tables["summary"].set_index("measure")["value"]
    assert summary["sigma on develop"] == pytest.approx(0.01, rel=0.1)
    assert summary["on the data"] == pytest.approx(1 - made.up.leaving)
    assert summary["quality of classes"] == classes.quality.value


def test_a_linear_head_moves_the_log_odds_of_all_items_alike_and_the_default_does_not(world, dictionary):
    """So the default gives an interval, and a linear head none."""
    kind = np.where(world.embeddings[:, 0] > 1.0, "high", "low").astype(object)
    spread = {}
    for how in ("logistic", "kernel"):
        head = class_readout(world.embeddings, kind, EXPLAIN, DEVELOP, "kind", how)
        bench = bench_of(world, dictionary, others=[head])
        moved = [head.read(x) for x in (bench.test.x, bench.edited(bench.test, 0, 0.2))]
        free = [p / (1 - p) for p in ((one[:, 0] * 1.002 - 0.001) for one in moved)]  # without smoothing
        inside = (moved[0][:, 0] > 0.05) & (moved[0][:, 0] < 0.95) & (moved[1][:, 0] < 0.95)
        spread[how] = np.log(free[1][inside] / free[0][inside]).std()
    assert spread["logistic"] < 1e-3 < 0.1 < spread["kernel"]
    default = class_readout(world.embeddings, kind, EXPLAIN, DEVELOP, "kind")
    assert not default.linear and default.how.startswith("kernel head")
    made = bench_of(world, dictionary, others=[default]).intervene(0, 0.01)
    assert np.isfinite(made.changes["classes"].mean.low).all()


def test_what_no_proportions_have_cannot_measure_sigma(world, dictionary):
    from dataclasses import replace

    genes = decoder_genes(world, decode, "world:decode", DEVELOP, COLUMNS)
    with pytest.raises(ValueError, match="proportions"):
        bench_of(world, dictionary, replace(genes, proportions=None))


def test_agreement_with_a_perturbation_that_turns_the_same_cause(world, dictionary, bench):
    """Half of the items are moved along dimension 2 and measured again."""
    x, rng = world.embeddings.astype(float).copy(), np.random.default_rng(2)
    treated = np.arange(N) % 2 == 0
    x[treated, 2] += 1.5
    moved = TinyCorpus(
        np.maximum(decode(x) + rng.normal(0, 0.2, (N, G)), 0), world.feature_names.tolist(), EXPLAIN
    )
    names, donors = np.where(treated, "drug", "none"), np.where(np.arange(N) % 3, "p", "q")
    real = real_deltas(moved, TEST, COLUMNS, names, ~treated, donors)
    by_hand = np.mean(
        [
            moved.x[TEST[treated[TEST] & (donors[TEST] == d)]].mean(0)
            - moved.x[TEST[~treated[TEST] & (donors[TEST] == d)]].mean(0)
            for d in "pq"
        ],
        axis=0,
    )
    np.testing.assert_allclose(real.delta[0], by_hand, atol=1e-6)
    assert (real.names.tolist(), real.groups.tolist(), real.counts.tolist()) == (["drug"], [2], [125])
    pooled = real_deltas(moved, TEST, COLUMNS, names, ~treated, names)  # no group has both
    assert pooled.groups.tolist() == [0]
    made = bench.intervene(2, 0.02)
    others = [bench.mean_shift(latent, 1.0, bench.main) for latent in (0, 1, 3)]
    row = agreement_table(made.changes["genes"], real, others).iloc[0]
    assert row["cosine"] > 0.9 > 0.3 > row["random_cosine"] and row["at_least"] == pytest.approx(1 / 4)
    assert row["n_random"] == 3


def test_agreement_by_hand():
    found = agreement(np.array([3.0, 0.0, -2.0, 1.0]), np.array([4.0, 1.0, 3.0, 0.0]), top=2)
    assert found.cosine == pytest.approx((12 - 6) / (14**0.5 * 26**0.5))
    assert found.overlap == 0.5  # both move 0 and 2 most; 2 goes the other way
