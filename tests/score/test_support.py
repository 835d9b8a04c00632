"""Is a label supported where its develop AUROC is surely above chance, and flagged where it knows nothing?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from autointerp.schema import POSITIVE, Trials
from autointerp.score.auroc import auroc
from autointerp.score.support import support


def judged(n_pos, n_random, lift, seed, n_neighbour=0) -> Trials:
    """A judge whose answers about active items are ``lift`` sd higher than those about silent ones."""
    rng = np.random.default_rng([seed, n_pos])
    kinds = np.array([POSITIVE] * n_pos + ["random"] * n_random + ["neighbour"] * n_neighbour)
    answers = 100 * expit(rng.normal(lift * (kinds == POSITIVE), 1))
    n = len(kinds)
    return Trials(
        latent=3, explainer="ours", label_id="x", scorer="detection", judge="rule", control="calibration", replicate=0,
        rows=np.arange(n), groups=np.full(n, "a"), kinds=kinds, activations=(kinds == POSITIVE) * 1.0, answers=answers,
        failures=np.full(n, ""), prompts=np.full(n, ""),
    )  # fmt: skip


def delong_lower(trials: Trials) -> float:
    """expit(logit A − 1.645·se/(A(1 − A))), se by DeLong's structural components, straight from their definition."""
    kept = trials.truth | (trials.kinds == "random")
    truth, said = trials.truth[kept], trials.answers[kept]
    wins = (said[truth][:, None] > said[~truth][None]) + 0.5 * (said[truth][:, None] == said[~truth][None])
    area = wins.mean()
    variance = wins.mean(1).var(ddof=1) / truth.sum() + wins.mean(0).var(ddof=1) / (~truth).sum()
    return float(expit(logit(area) - norm.ppf(0.95) * math.sqrt(variance) / (area * (1 - area))))


@pytest.mark.parametrize("lift", [0.3, 0.8, 1.5])
def test_the_bound_is_delong_s_at_one_sided_five_percent_against_random_items_alone(lift):
    trials = judged(25, 40, lift, seed=1, n_neighbour=15)
    found = support(trials)
    kept = trials.kinds != "neighbour"
    assert found.auroc == pytest.approx(auroc(trials.truth[kept], trials.answers[kept]))
    assert found.low == pytest.approx(delong_lower(trials))
    assert found.verdict == ("supported" if delong_lower(trials) > 0.5 else "unsupported")
    assert (found.n, found.n_pos) == (65, 25)


def test_one_label_in_twenty_about_nothing_gets_through_and_a_good_one_always():
    nothing = [support(judged(20, 40, 0.0, seed)).verdict for seed in range(600)]
    through = nothing.count("supported")
    assert nothing.count("not tested") == 0
    assert 0.02 < through / 600 < 0.085
    assert {support(judged(20, 40, 2.0, seed)).verdict for seed in range(100)} == {"supported"}


def test_donors_do_not_widen_the_bound_and_prompts_do():
    trials = judged(30, 40, 0.6, seed=2)
    donors = np.array([f"donor {i % 4}" for i in range(70)])
    assert support(replace(trials, groups=donors)) == support(trials)
    prompts = np.array([f"prompt {i // 10}" for i in np.random.default_rng(0).permutation(70)])
    assert support(replace(trials, prompts=prompts)).low < support(trials).low


def test_what_cannot_be_tested_says_why():
    trials = judged(20, 40, 1.0, seed=3)
    none = replace(trials, kinds=np.where(trials.truth, "neighbour", trials.kinds))
    assert support(none).verdict == "not tested"
    fewer = replace(trials, kinds=np.where(np.arange(60) < 34, trials.kinds, "neighbour"))
    assert support(fewer).reason == "14 negatives, fewer than 15"
    broken = np.arange(60) % 3 == 0
    failed = replace(
        trials, answers=np.where(broken, np.nan, trials.answers), failures=np.where(broken, "parse", "")
    )
    assert support(failed).auroc is None
    assert support(failed).reason == "20 of 60 answers failed: parse"


def test_few_active_items_say_so_and_still_have_a_verdict():
    found = support(judged(6, 40, 3.0, seed=4))
    assert (found.verdict, found.reason) == ("supported", "low_n")
