"""Is the paired test of two AUROCs DeLong's, clustered where prompts are, and does it reject no more than it says?"""

import math

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from autointerp.score.auroc import paired_difference
from tests.score.test_auroc import psi


def drawn(seed: int, gain: float = 0.0, n: int = 100):
    """(truth, first, second): two scores that share half of their noise; the first is better by ``gain`` sd."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) < n // 3
    shared = rng.normal(size=n)
    first, second = (shared + rng.normal(size=n) + (1 + g) * truth for g in (gain, 0.0))
    return truth, first, second


def test_by_delongs_covariance_of_placement_values():
    truth, first, second = drawn(1, 0.5)
    a, b = psi(truth, first), psi(truth, second)
    m, n = a.shape
    s10 = np.cov(a.mean(1), b.mean(1))  # over positives
    s01 = np.cov(a.mean(0), b.mean(0))
    contrast = np.array([1.0, -1.0])
    variance = contrast @ (s10 / m + s01 / n) @ contrast
    got = paired_difference(truth, first, second)
    assert got.value == pytest.approx(roc_auc_score(truth, first) - roc_auc_score(truth, second), abs=1e-12)
    assert got.p == pytest.approx(norm.sf(got.value / math.sqrt(variance)), abs=1e-12)


def test_answers_of_one_prompt_are_a_cluster():
    """Obuchowski's formula with its loops written out, t on prompts − 1 degrees of freedom."""
    truth, first, second = drawn(2, 0.5)
    prompts = np.random.default_rng(2).permutation(100) // 8
    a, b = psi(truth, first), psi(truth, second)
    d10 = (a - a.mean() - b + b.mean()).mean(1) / a.shape[0]
    d01 = (a - a.mean() - b + b.mean()).mean(0) / a.shape[1]
    rows, columns, clusters = prompts[truth], prompts[~truth], np.unique(prompts)
    x = np.array([d10[rows == c].sum() for c in clusters])
    y = np.array([d01[columns == c].sum() for c in clusters])
    i10, i01, i = len(set(rows)), len(set(columns)), len(clusters)
    variance = i10 / (i10 - 1) * x @ x + i01 / (i01 - 1) * y @ y + 2 * i / (i - 1) * x @ y
    got = paired_difference(truth, first, second, prompts)
    assert got.p == pytest.approx(student.sf(got.value / math.sqrt(variance), i - 1), abs=1e-12)


def test_it_rejects_equal_scores_as_often_as_it_says_and_finds_a_gain():
    p = np.array([paired_difference(*drawn(seed)).p for seed in range(2000)])
    assert 0.035 <= (p < 0.05).mean() <= 0.065
    found = np.array([paired_difference(*drawn(seed, 1.0)).p for seed in range(200)])
    assert (found < 0.05).mean() > 0.8


def test_without_variance_it_is_the_chance_of_that_one_order():
    truth = np.array([True, True, False, False, False])
    perfect, same = truth.astype(float), np.ones(5)
    assert paired_difference(truth, perfect, same) == (0.5, 1 / 10)
    assert paired_difference(truth, same, perfect) == (-0.5, 1.0)
    assert paired_difference(truth, perfect, perfect * 3) == (0.0, 1.0)
    with pytest.raises(ValueError, match="both classes"):
        paired_difference(np.ones(3, bool), perfect[:3], same[:3])
