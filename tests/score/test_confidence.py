"""Are calibrated probabilities true ones, made of other families and of halves that share no item?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from autointerp.schema import POSITIVE, Trials
from autointerp.score.auroc import auroc
from autointerp.score.confidence import PASSES, calibrate, halves, reliability

NOTHING = np.full(400, np.nan)


def judged(n_pos, n_random, seed, latent=0) -> Trials:
    rng = np.random.default_rng(seed)
    kinds = np.array([POSITIVE] * n_pos + ["random"] * n_random + ["neighbour"] * 5)
    n = len(kinds)
    return Trials(
        latent=latent, explainer="ours", label_id="x", scorer="detection", judge="rule", control="calibration",
        replicate=0, rows=np.arange(n), groups=np.full(n, ""), kinds=kinds, activations=(kinds == POSITIVE) * 1.0,
        answers=100 * expit(rng.normal(kinds == POSITIVE, 1)), failures=np.full(n, ""), prompts=np.full(n, ""),
    )  # fmt: skip


def world(n=400, n_families=None, seed=0):
    """True log-odds of labels' AUROC, what their writer stated of it, two noisy halves, and a test as noisy as both
    halves together."""
    rng = np.random.default_rng(seed)
    true = rng.normal(1.1, 0.8, n)
    stated = expit(0.5 * true + rng.normal(0, 0.7, n) + 1.5)  # too sure of itself
    noise = 0.6
    split = expit(true[:, None] + rng.normal(0, noise, (n, 2)))
    test = expit(true + rng.normal(0, noise / np.sqrt(2), n))
    families = np.arange(n) if n_families is None else rng.integers(0, n_families, n)
    return stated, split, test > PASSES, families, true


def test_probabilities_come_true_where_stated_ones_do_not():
    found, alone = [], []
    for seed in range(8):
        stated, split, passed, families, _ = world(seed=seed)
        made = calibrate(stated, NOTHING, split, families, seed=0)
        assert made.reason == ""
        found.append(reliability(made.probability, passed, families))
        alone.append(reliability(stated, passed, families))
    assert abs(np.mean([r.mean - r.passed for r in found])) < 0.02
    assert np.mean([r.ece for r in found]) < 0.08 < 0.15 < np.mean([r.ece for r in alone])
    assert np.mean([r.brier for r in found]) < np.mean([r.brier for r in alone]) - 0.03


def test_they_are_near_the_best_that_anybody_could_say():
    """The posterior of this world: true ~ N(1.1, 0.8²), two halves of variance 0.36, a statement of variance 1.96."""
    stated, split, passed, families, _ = world(n=3000, seed=3)
    made = calibrate(stated, np.full(3000, np.nan), split, families, seed=0).probability
    precision = 1 / 0.8**2 + 2 / 0.36 + 0.25 / 0.49
    mean = (1.1 / 0.64 + logit(split).sum(1) / 0.36 + (logit(stated) - 1.5) * 0.5 / 0.49) / precision
    best = norm.cdf((mean - logit(PASSES)) / np.sqrt(1 / precision + 0.18))
    assert np.corrcoef(made, best)[0, 1] > 0.97
    assert np.mean((made - passed) ** 2) < np.mean((best - passed) ** 2) + 0.01


def test_neither_a_label_nor_its_twins_vouch_for_themselves():
    """Whatever a twin states and scores, a label's probability stays to the last digit; of strangers it does not."""
    stated, split, _, families, _ = world(n=120, n_families=30, seed=2)
    before = calibrate(stated, NOTHING[:120], split, families, seed=0).probability
    own = np.flatnonzero(families == families[0])
    assert len(own) > 1

    def after(changed: np.ndarray) -> float:
        said, halved = stated.copy(), split.copy()
        said[changed], halved[changed] = 0.99, 0.51
        return calibrate(said, NOTHING[:120], halved, families, seed=0).probability[0]

    assert after(own[1:]) == before[0]
    assert after(np.flatnonzero(families != families[0])[:40]) != before[0]


def test_agreement_is_used_where_every_label_has_it():
    stated, split, passed, families, true = world(n=400, seed=4)
    rng = np.random.default_rng(0)
    agreement = expit(true + rng.normal(0, 0.2, 400))  # knows nearly all
    without = calibrate(stated, NOTHING, split, families, seed=0).probability
    with_it = calibrate(stated, agreement, split, families, seed=0).probability
    assert np.mean((with_it - passed) ** 2) < np.mean((without - passed) ** 2)
    agreement[7] = np.nan
    assert np.array_equal(calibrate(stated, agreement, split, families, seed=0).probability, without)


def test_the_same_seed_gives_the_same_numbers_and_a_label_without_halves_gets_none():
    stated, split, _, families, _ = world(n=100, seed=5)
    split[3] = np.nan
    one, two = (calibrate(stated, NOTHING[:100], split, families, seed=1).probability for _ in range(2))
    assert np.array_equal(one, two, equal_nan=True)
    assert np.isnan(one[3]) and not np.isnan(np.delete(one, 3)).any()


@pytest.mark.parametrize(
    ("n", "families", "change", "said"),
    [
        (39, None, lambda s: s, "39 labels with enough develop items, fewer than 40"),
        (60, 5, lambda s: s, "5 families of latents, fewer than 10"),
        (60, None, lambda s: np.full_like(s, 0.9), "nearly all labels pass on develop"),
        (60, None, lambda s: np.full_like(s, 0.5), "nearly all labels fail on develop"),
    ],
)
def test_with_too_little_to_learn_from_it_says_so(n, families, change, said):
    stated, split, _, of, _ = world(n=n, n_families=families, seed=6)
    made = calibrate(stated, NOTHING[:n], change(split), of, seed=0)
    assert np.isnan(made.probability).all()
    assert said in made.reason


def test_halves_share_no_item_and_hold_half_of_each_side():
    trials = judged(20, 30, seed=1)
    first, second = halves(trials, seed=0)
    assert halves(trials, seed=0) == (first, second)
    assert halves(trials, seed=1) != (first, second)
    kept = trials.kinds != "neighbour"
    whole = auroc(trials.truth[kept], trials.answers[kept])
    assert (first + second) / 2 == pytest.approx(whole, abs=0.08)
    assert first != second
    assert all(np.isnan(halves(judged(7, 30, seed=1), seed=0)))
    assert not any(np.isnan(halves(judged(8, 30, seed=1), seed=0)))


def test_reliability_counts_a_family_as_one_and_leaves_out_what_is_not_told():
    said = np.array([0.1] * 10 + [0.9] * 10 + [np.nan] * 5)
    came = np.array([False] * 9 + [True] + [True] * 9 + [False] + [True] * 5)
    table = reliability(said, came, np.arange(25))
    assert (table.n, table.passed) == (20, 0.5) and table.mean == pytest.approx(0.5)
    assert [(b.n, b.observed) for b in table.bins] == [(10, 0.1), (10, 0.9)]
    assert table.brier == pytest.approx(0.09) and table.ece == pytest.approx(0)
    twins = reliability(said, came, np.arange(25) // 5)
    assert twins.bins[0].ci_high - twins.bins[0].ci_low > table.bins[0].ci_high - table.bins[0].ci_low
    assert reliability(np.full(3, np.nan), np.ones(3, bool), np.arange(3)) is None
