"""Do our tests over latents reject 5 % under the null, find the difference they say they find, and cover the truth?

``python -m eval.bench.sizes_of_tests`` writes results/sizes_of_tests.csv (protocols, section 8). Each row is
one design, drawn ``replicates`` times and handed to ``autointerp.score.compare.paired``, or to scipy's Welch or
Mann–Whitney test. ``rejected`` is the share with p < 0.05, under the null its size, else its power; ``coverage`` that
of the 95 % interval of the difference.

Draws of a score over latents: ``normal``; ``steps`` of 0.05, with ties; ``bounded``, Beta with a thick lower tail, as
AUROCs have; ``unscored``, bounded with 30 % at chance, as in ``mean_all``. ``families`` of 5 twins share their values.
Under the paired null the two sides are exchangeable; ``skewed differences`` is no null of the signed-rank test: the
mean is 0, the median is not.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import mannwhitneyu, ttest_ind

from autointerp.score.compare import Comparison, LatentScores, paired
from autointerp.score.power import paired_mdd, welch_mdd

OUT = Path(__file__).parent / "results" / "sizes_of_tests.csv"
COLUMNS = ("test", "draws", "n", "n_control", "sd_ratio", "twins", "difference", "replicates", "rejected", "coverage",
           "required")  # fmt: skip
SD = 0.1
SIZE, POWER, COVERAGE = 0.06, (0.77, 0.83), (0.93, 0.97)


class Design(NamedTuple):
    """One row of the table before it is measured."""

    test: str  # 'paired', 'welch', 'mann-whitney'
    draws: str
    n: int
    n_control: int
    sd_ratio: float = 1.0  # spread of the control over that of the labels
    twins: int = 1
    at_mdd: bool = False  # the true difference is the minimum detectable one, not 0
    required: str = ""


def designs() -> Iterator[Design]:
    for n in (8, 12, 20, 50, 200):
        for draws in ("normal", "steps", "bounded", "unscored"):
            yield Design("paired", draws, n, n, required=f"rejected <= {SIZE}")
        yield Design("paired", "skewed differences", n, n)
    yield Design("paired", "normal", 100, 100, twins=5, required=f"rejected <= {SIZE}")
    for n in (8, 12, 20, 50, 200):
        yield Design("paired", "normal", n, n, at_mdd=True, required=f"rejected {POWER[0]}-{POWER[1]}")
        yield Design("paired", "bounded", n, n, at_mdd=True)
    for test in ("welch", "mann-whitney"):
        must = test == "welch"
        for n, n_control in ((10, 10), (20, 20), (20, 80), (100, 100), (100, 400)):
            for draws in ("normal", "bounded", "unscored"):
                for ratio in (1.0, 0.5, 2.0):
                    enough = f"rejected <= {SIZE}" if must and (draws == "normal" or n >= 100) else ""
                    yield Design(test, draws, n, n_control, ratio, required=enough)
    for n, n_control in ((10, 10), (20, 80), (100, 100)):
        for ratio in (1.0, 2.0):
            needed = f"rejected {POWER[0]}-{POWER[1]}"
            yield Design("welch", "normal", n, n_control, ratio, at_mdd=True, required=needed)


def drawn(draws: str, n: int, sd: float, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """(replicates, n) scores of mean 0.75; ``sd`` is that of what is scored."""
    if draws in ("normal", "steps"):
        scores = rng.normal(0.75, sd, (replicates, n))
        return np.round(scores * 20) / 20 if draws == "steps" else scores
    beta = rng.beta(6, 1.5, (replicates, n))  # mean 0.8, skewness −1.1
    scores = 0.75 + (beta - 0.8) * sd / math.sqrt(6 * 1.5 / (7.5**2 * 8.5))
    return np.where(rng.random((replicates, n)) < 0.3, 0.5, scores) if draws == "unscored" else scores


def samples(d: Design, replicates: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Labels (r, n), control (r, n_control), and the true difference of their means."""
    families = d.n // d.twins
    if d.test == "paired":
        a, b = (drawn(d.draws.split()[0], families, SD, replicates, rng) for _ in range(2))
        if d.draws == "skewed differences":
            a, b = (
                rng.gamma(2, SD / math.sqrt(2), (replicates, families)),
                np.full((replicates, families), 0.0),
            )
            b += 2 * SD / math.sqrt(2)
        true = paired_mdd(SD * math.sqrt(2), families) if d.at_mdd else 0.0
        return np.repeat(a + true, d.twins, axis=1), np.repeat(b, d.twins, axis=1), true
    true = welch_mdd(SD, d.n, SD * d.sd_ratio, d.n_control) if d.at_mdd else 0.0
    a = drawn(d.draws, d.n, SD, replicates, rng) + true
    return a, drawn(d.draws, d.n_control, SD * d.sd_ratio, replicates, rng), true


def compared(d: Design, a: np.ndarray, b: np.ndarray) -> Comparison:
    first, second = (
        LatentScores(np.arange(len(x)), x, np.full(len(x), ""), np.ones(len(x), dtype=bool)) for x in (a, b)
    )
    return paired(first, second, np.arange(d.n) // d.twins)


def measured(d: Design, replicates: int, seed: int) -> tuple[float, float]:
    """Share rejected at 0.05 and coverage of the interval (NaN for Mann–Whitney)."""
    a, b, true = samples(d, replicates, np.random.default_rng([seed, d.n]))
    if d.test == "mann-whitney":
        return float((mannwhitneyu(a, b, axis=1, method="asymptotic").pvalue < 0.05).mean()), math.nan
    if d.test == "welch":  # all replicates at once; the tests hold ``compare.unpaired`` to be the same
        test = ttest_ind(a, b, axis=1, equal_var=False)
        bounds = test.confidence_interval()
        return float((test.pvalue < 0.05).mean()), float(
            ((bounds.low <= true) & (true <= bounds.high)).mean()
        )
    made = [compared(d, x, y) for x, y in zip(a, b, strict=True)]
    held = np.mean([c.ci_low <= true <= c.ci_high for c in made])
    return float(np.mean([c.p < 0.05 for c in made])), float(held)


def rows(replicates: int) -> Iterator[dict[str, object]]:
    for seed, d in enumerate(designs()):
        rejected, held = measured(d, replicates, seed)
        _, _, true = samples(d, 1, np.random.default_rng(0))
        values = (d.test, d.draws, d.n, d.n_control, d.sd_ratio, d.twins, f"{true:.4f}", replicates, f"{rejected:.4f}",
                  "" if math.isnan(held) else f"{held:.4f}", d.required)  # fmt: skip
        yield dict(zip(COLUMNS, values, strict=True))


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
