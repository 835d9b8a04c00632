"""Do our 95 % intervals hold the truth 95 % of the time, and does the paired test reject 5 % under the null?

``python -m eval.bench.interval_coverage`` writes results/interval_coverage.csv beside this file (protocols, section 8).
Sampler: item i of class y = ±1 in donor g and prompt c scores y·(μ/2 + v_g) + u_g + w_c + e, variance 1 in all; u, v
and w are normal, so that AUROC = Φ(μ/√2) and recall = specificity = Φ(μ/2) are exact. ``answers`` 'tens' rounds the
AUROC's scores to eleven values, as a model judge does; its truth is summed over the grid.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

from autointerp.score.statistics import (
    auroc_interval,
    balanced_accuracy_interval,
    paired_wilcoxon,
    proportion_interval,
)

OUT = Path(__file__).parent / "results" / "interval_coverage.csv"
COLUMNS = ("statistic", "method", "n_pos", "n_neg", "accuracy", "groups", "sizes", "donor_sd", "prompt_sd", "answers",
           "replicates", "coverage", "median_width", "required")  # fmt: skip


class Design(NamedTuple):
    """One row of the table before it is measured."""

    n_pos: int
    n_neg: int
    accuracy: float
    n_groups: int = 0  # 0: items without donors
    uneven: bool = False  # donor shares ~ Dirichlet with coefficient of variation 0.5
    donor_sd: float = 0.0  # of u and of v
    prompt_sd: float = 0.0  # > 0: answers in shuffled prompts of ten
    answers: str = "any"


class Sample(NamedTuple):
    truth: np.ndarray  # (n,) bool
    score: np.ndarray  # (n,)
    groups: np.ndarray | None
    clusters: np.ndarray | None


def samples(design: Design, mu: float, replicates: int, rng: np.random.Generator) -> Iterator[Sample]:
    """Draw all replicates of a design at once, hand them out one by one."""
    n = design.n_pos + design.n_neg
    truth = np.arange(n) < design.n_pos
    sign = np.where(truth, 1.0, -1.0)
    score = (
        rng.normal(0, np.sqrt(1 - 2 * design.donor_sd**2 - design.prompt_sd**2), (replicates, n))
        + sign * mu / 2
    )
    groups = clusters = None
    if design.n_groups:
        shares = np.full((replicates, design.n_groups), 1 / design.n_groups)
        groups = np.tile(np.r_[: design.n_pos, : design.n_neg] % design.n_groups, (replicates, 1))
        if design.uneven:
            shares = rng.dirichlet(np.full(design.n_groups, 4.0), replicates)
            groups = (rng.random((replicates, n, 1)) > np.cumsum(shares, 1)[:, None, :-1]).sum(2)
        u, v = rng.normal(0, design.donor_sd, (2, replicates, design.n_groups))
        score += np.take_along_axis(u, groups, 1) + sign * np.take_along_axis(v, groups, 1)
    if design.prompt_sd:
        clusters = rng.permuted(np.tile(np.arange(n) // 10, (replicates, 1)), axis=1)
        w = rng.normal(0, design.prompt_sd, (replicates, n // 10 + 1))
        score += np.take_along_axis(w, clusters, 1)
    for r in range(replicates):
        yield Sample(
            truth, score[r], None if groups is None else groups[r], None if clusters is None else clusters[r]
        )


def to_tens(score: np.ndarray) -> np.ndarray:
    """Answers 0, 10 … 100."""
    return np.round(10 * expit(1.5 * score))


def auroc_in_tens(mu: float) -> float:
    """The AUROC of ``to_tens`` scores: Σ over the grid of P(pos = a)·(P(neg < a) + ½ P(neg = a))."""
    edges = np.r_[-np.inf, logit((np.arange(10) + 0.5) / 10) / 1.5, np.inf]
    pos, neg = np.diff(ndtr(edges - mu / 2)), np.diff(ndtr(edges + mu / 2))
    return float(pos @ (np.cumsum(neg) - neg / 2))


def ours(statistic: str, s: Sample, *, answers: str) -> tuple[float, float]:
    if statistic == "auroc":
        score = to_tens(s.score) if answers == "tens" else s.score
        return auroc_interval(s.truth, score, s.clusters, s.groups)[1:3]
    if statistic == "balanced_accuracy":
        return balanced_accuracy_interval(s.truth, s.score > 0, s.clusters, s.groups)[1:3]
    pos = s.truth
    clusters, groups = (None if x is None else x[pos] for x in (s.clusters, s.groups))
    return proportion_interval(s.score[pos] > 0, clusters, groups)[1:3]


def bootstrap_t(s: Sample, rng: np.random.Generator, n_boot: int = 599) -> tuple[float, float]:
    """The alternative: cluster bootstrap-t of the AUROC on the logit scale, donors drawn with replacement.

    Exact, not linearized: with P[g, h] the pairs won by positives of donor g against negatives of donor h and w the
    counts of the donors drawn, A* = wᵀPw / (wᵀm · wᵀn). Replicates without a variance are left out.
    """
    assert s.groups is not None
    one_hot = np.eye(int(s.groups.max()) + 1)[s.groups]  # (n, G)
    pos, neg = s.score[s.truth], s.score[~s.truth]
    wins = one_hot[s.truth].T @ (pos[:, None] > neg) @ one_hot[~s.truth]  # (G, G)
    m, n = one_hot[s.truth].sum(0), one_hot[~s.truth].sum(0)
    n_groups = len(m)

    def evaluate(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        big_m, big_n = w @ m, w @ n
        a = np.einsum("bg,bg->b", w, w @ wins.T) / (big_m * big_n)
        u = ((w @ wins.T) / big_n[:, None] - m * a[:, None]) / big_m[:, None]
        u += ((w @ wins) / big_m[:, None] - n * a[:, None]) / big_n[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            se = np.sqrt(n_groups / (n_groups - 1) * (w * u**2).sum(1)) / (a * (1 - a))
            return logit(a), se

    (center,), (se,) = evaluate(np.ones((1, n_groups)))
    w = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_boot).astype(float)
    drawn, drawn_se = evaluate(w[(w @ m > 0) & (w @ n > 0)])
    usable = np.isfinite(drawn) & np.isfinite(drawn_se) & (drawn_se > 1e-9)
    if not np.isfinite(center) or not np.isfinite(se) or not usable.any():
        return auroc_interval(s.truth, s.score, None, s.groups)[1:3]
    low, high = np.quantile((drawn[usable] - center) / drawn_se[usable], [0.025, 0.975])
    return float(expit(center - high * se)), float(expit(center - low * se))


def coverage(
    design: Design,
    statistic: str,
    interval: Callable[[Sample], tuple[float, float]],
    replicates: int,
    seed: int,
) -> tuple[float, float]:
    """Share of replicates whose interval holds the true value, and the median width."""
    mu = float(ndtri(design.accuracy)) * (2**0.5 if statistic == "auroc" else 2)
    true = auroc_in_tens(mu) if statistic == "auroc" and design.answers == "tens" else design.accuracy
    bounds = np.array([interval(s) for s in samples(design, mu, replicates, np.random.default_rng(seed))])
    held = (bounds[:, 0] <= true) & (true <= bounds[:, 1])
    return float(held.mean()), float(np.median(bounds[:, 1] - bounds[:, 0]))


def designs() -> Iterator[Design]:
    for n_pos in (10, 20, 50):
        for accuracy in (0.6, 0.8, 0.95):
            base = Design(n_pos, max(30, n_pos), accuracy)
            yield base
            yield base._replace(answers="tens")
            yield base._replace(prompt_sd=0.3)
            for n_groups in (2, 3, 5, 10, 20):
                yield base._replace(n_groups=n_groups, donor_sd=0.3)
            yield base._replace(n_groups=10)
            yield base._replace(n_groups=10, donor_sd=0.3, uneven=True)
            yield base._replace(n_groups=10, donor_sd=0.3, prompt_sd=0.3)


def null_rejection(replicates: int, n: int, tied: bool, rng: np.random.Generator) -> float:
    """How often the paired test rejects at 0.05 where both labels are equally good; ``tied``: steps of 0.05."""
    a, b = rng.normal(0.8, 0.1, (2, replicates, n))
    if tied:
        a, b = np.round(a * 20) / 20, np.round(b * 20) / 20
    return float(np.mean([paired_wilcoxon(x, y).p < 0.05 for x, y in zip(a, b, strict=True)]))


def rows(replicates: int) -> Iterator[dict[str, object]]:
    def row(d: Design, statistic: str, method: str, n: int, held: float, width: float, bound: str) -> dict:
        values = (statistic, method, d.n_pos, d.n_neg, d.accuracy, d.n_groups, "uneven" if d.uneven else "even",
                  d.donor_sd, d.prompt_sd, d.answers, n, f"{held:.4f}", f"{width:.3f}", bound)  # fmt: skip
        return dict(zip(COLUMNS, values, strict=True))

    for i, d in enumerate(designs()):
        required = "0.93-0.97" if d.n_pos >= 20 and d.n_groups >= 10 else ""
        for statistic in ("auroc", "balanced_accuracy", "recall"):
            if d.answers == "tens" and statistic != "auroc":
                continue
            by_us = partial(ours, statistic, answers=d.answers)
            held, width = coverage(d, statistic, by_us, replicates, i)
            yield row(d, statistic, "ours", replicates, held, width, required)
        if d.n_pos >= 20 and d.n_groups >= 10 and not d.prompt_sd:
            fewer = max(1, replicates // 5)
            held, width = coverage(
                d, "auroc", partial(bootstrap_t, rng=np.random.default_rng([i, 1])), fewer, i
            )
            yield row(d, "auroc", "bootstrap-t", fewer, held, width, "")
    for n in (8, 20, 100):
        for tied in (False, True):
            rejected = null_rejection(replicates, n, tied, np.random.default_rng([n, tied]))
            d = Design(n, 0, 0.5, answers="steps of 0.05" if tied else "any")
            yield row(d, "paired_wilcoxon null rejection", "ours", replicates, rejected, 0.0, "<= 0.06")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--replicates", type=int, default=5000)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="") as f:
        writer = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for r in rows(args.replicates):
            writer.writerow(r)


if __name__ == "__main__":
    main()
