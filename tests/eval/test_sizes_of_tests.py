"""Sizes and power of the tests over latents: a quick draw of the benchmark, and its committed table."""

import csv

import pytest

from autointerp.score.compare import paired
from eval.bench import sizes_of_tests
from eval.bench.sizes_of_tests import OUT, Design, measured


def kept(rejected: float, required: str) -> bool:
    """Whether a row of the table meets its bound: 'rejected <= 0.06', 'rejected 0.77-0.83' or none."""
    if "<=" in required:
        return rejected <= float(required.split()[-1])
    low, high = map(float, required.split()[-1].split("-")) if required else (0.0, 1.0)
    return low <= rejected <= high


@pytest.mark.parametrize(
    "design",
    [
        Design("paired", "steps", 12, 12),
        Design("paired", "normal", 60, 60, twins=5),
        Design("welch", "bounded", 100, 400, 2.0),
    ],
)
def test_equal_labels_are_rarely_told_apart(design):
    rejected, coverage = measured(design, 800, seed=1)
    assert rejected == pytest.approx(0.05, abs=0.03)  # 0.03: 3.9 standard errors
    assert coverage == pytest.approx(0.95, abs=0.03)


def test_twins_taken_for_independent_latents_would_be_told_apart_far_too_often():
    """What families are for: the same draw, every latent its own family."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes_of_tests, "paired", lambda first, second, families: paired(first, second))
        assert measured(Design("paired", "normal", 60, 60, twins=5), 300, seed=1)[0] > 0.2


def test_the_committed_table_keeps_every_bound():
    with OUT.open(newline="") as f:
        rows = list(csv.DictReader(f))
    bound = [row for row in rows if row["required"]]
    assert len(bound) >= 50 and {row["replicates"] for row in rows} == {"5000"}
    assert [row for row in bound if not kept(float(row["rejected"]), row["required"])] == []
    assert not kept(0.061, "rejected <= 0.06") and not kept(0.7, "rejected 0.77-0.83")
