"""How often does the interval of a simulation's correlation hold the truth? By n, noise and kind, beside Fisher's own.

Strengths as a scorer sees them: half of the items silent, the others gamma; predictions are rounded to 0–10 and pile up
at both ends. ``python -m eval.bench.correlation_coverage`` writes ``results/correlation_coverage.csv``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from autointerp.score.correlation import correlation_interval, pearson
from autointerp.score.intervals import midranks

RESULTS = Path(__file__).parent / "results" / "correlation_coverage.csv"
NOISES, SIZES = (1.0, 2.0, 4.0), (20, 40, 60, 100)
TRUTH_ITEMS = 4_000_000


def draw(rng: np.random.Generator, noise: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) predictions 0–10 and (n,) measured strengths; the first half of the items is active."""
    active = np.arange(n) < n // 2
    measured = np.where(active, rng.gamma(2.0, 1.0, n), 0.0)
    return np.round(np.clip(1 + 1.5 * measured + rng.normal(0, noise, n), 0, 10)), measured


def truth_of(noise: float, ranks: bool, n: int = TRUTH_ITEMS) -> float:
    """The correlation of very many items."""
    x, y = draw(np.random.default_rng(1), noise, n)
    return pearson(midranks(x), midranks(y)) if ranks else pearson(x, y)


def coverage(noise: float, n: int, ranks: bool, replicates: int, truth: float, normal: bool = False) -> float:
    """Share of replicates whose interval holds the truth; ``normal``: Fisher's z ± 1.96/√(n − 3) in its place."""
    rng = np.random.default_rng([int(10 * noise), n, ranks])
    held = 0
    for _ in range(replicates):
        x, y = draw(rng, noise, n)
        found = correlation_interval(x, y, ranks)
        low, high = found.low, found.high
        if normal:
            low, high = np.tanh(np.arctanh(found.value) + np.array([-1, 1]) * 1.96 / np.sqrt(n - 3))
        held += low <= truth <= high
    return held / replicates


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows = []
    for ranks in (False, True):
        for noise in NOISES:
            truth = truth_of(noise, ranks)
            for n in SIZES:
                ours, fisher = (
                    coverage(noise, n, ranks, given.replicates, truth, normal) for normal in (False, True)
                )
                rows.append(("spearman" if ranks else "pearson", noise, n, round(truth, 4), ours, fisher))
    columns = ["metric", "noise", "n", "truth", "coverage", "coverage_fisher_normal"]
    frame = pd.DataFrame(rows, columns=columns).assign(replicates=given.replicates)
    frame.to_csv(given.out, index=False, float_format="%.6g", lineterminator="\n")
    print(frame.to_string(index=False))


if __name__ == "__main__":
    main()
