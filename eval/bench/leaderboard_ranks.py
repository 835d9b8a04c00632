"""Does a board part what is equal, and rank what is not? Two copies of one configuration; labels of known quality.

``python -m eval.bench.leaderboard_ranks`` writes results/leaderboard_ranks.csv.

*False differences.* 500 seeds × two copies of one configuration: latents with true AUROCs drawn from a Beta, a quarter
of them twins of others, judged on 50 active and 50 silent items each, independently for each copy. ``paired``: both
label the same latents; ``unpaired``: other latents of the same kind. A false difference is a pair of rank intervals
that do not overlap; at most 7 % are allowed.

*Order.* ``--seeds 20`` planted corpora of 6,000 cells, factors as latents, the oracle judge with and without noise:
labels that are true, paraphrased, too broad and of another family. Truth and paraphrase mean the same, so their places
are 1–2 together, too broad is 3, shuffled is 4; ``in_order`` counts corpora where the means come so, ``covered`` those
where every rank interval holds its places.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import beta, norm
from threadpoolctl import threadpool_limits

from autointerp.results.entries import Asked, Entry, Scored, optional
from autointerp.results.leaderboard import leaderboard
from autointerp.results.run_entries import run_entries
from autointerp.score.auroc import auroc
from autointerp.score.intervals import wilson
from eval.leaderboard import run_suite
from eval.suite import Data, Dictionary, Suite

RESULTS = Path(__file__).parent / "results"
LATENTS, TWINS, ITEMS = 120, 0.25, 50
GRADES = {"oracle": (1, 2), "paraphrase": (1, 2), "too_broad": (3, 3), "shuffled": (4, 4)}
CELLS = 6000


def false_differences(seeds: int, paired: bool) -> int:
    """How many of the boards part two copies of one configuration."""
    parted = 0
    for seed in range(seeds):
        rng = np.random.default_rng([seed, int(paired)])
        truth, family, rates = _latents(rng)
        entries = [_entry(truth, family, rates, rng, "one", 0)]
        if not paired:
            truth, family, rates = _latents(rng)
        entries.append(_entry(truth, family, rates, rng, "one" if paired else "two", 1))
        board = leaderboard(entries)
        parted += int(board.rank_low.max() > board.rank_high.min())
    return parted


def _latents(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True AUROCs, families and firing rates: a twin has the quality and the rate of its sibling."""
    truth = beta.rvs(6, 2, size=LATENTS, random_state=rng) * 0.5 + 0.5
    rates = np.exp(rng.uniform(np.log(0.005), np.log(0.2), LATENTS))
    family = np.arange(LATENTS)
    twins = np.flatnonzero(rng.random(LATENTS) < TWINS)
    family[twins] = family[np.maximum(twins - 1, 0)]
    return truth[family], family, rates[family]


def _entry(
    truth: np.ndarray, family: np.ndarray, rates: np.ndarray, rng: np.random.Generator, run_id: str, copy: int
) -> Entry:
    """A configuration whose judge tells active from silent items as well as ``truth`` says."""
    apart = np.sqrt(2) * norm.ppf(truth)  # of two normal distributions with that AUROC
    values = [auroc(np.repeat([True, False], ITEMS), _answers(d, rng)) for d in apart]
    n = len(values)
    scored = Scored(
        scorer="detection", judge="j", metric="auroc", negatives="random", latent=list(range(n)),
        value=optional(values), reason=[""] * n, as_chance=[True] * n, weight=[1.0] * n, shuffled=[0.5] * n,
        ceiling=[None] * n, n=[2 * ITEMS] * n, n_failed=[0] * n,
    )  # fmt: skip
    return Entry(
        run_id=run_id, data="d", data_fingerprint="f", n_items=1, split_mode="group", split_hash="", dictionary=run_id,
        dictionary_fingerprint=run_id, embedding="", seed=0, explainer=f"copy {copy}", model="", judge="j", options={},
        versions={}, n_latents=n, n_not_explainable=0, n_asked=n, n_abstained=0, n_failed=0,
        firing_rate=rates.tolist(), family=family.tolist(), labels_hash=str(copy), scores=[scored], measures={},
        labels=Asked(), answers=Asked(), seconds={},
    )  # fmt: skip


def _answers(apart: float, rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([rng.normal(apart, 1, ITEMS), rng.normal(0, 1, ITEMS)])


def orders(seeds: int) -> pd.DataFrame:
    """A row a seed and judge: whether the grades come in their order, and whether rank intervals hold their places."""
    rows = []
    suite = Suite(
        about="labels of known quality",
        data=[Data(name="planted", planted="full.toml", n_cells=CELLS, embedding="pca", group="donor")],
        dictionary=[Dictionary(name="factors", factors=True)],
        explainers=[f"planted:{grade}" for grade in GRADES],
        judges=["oracle", "noisy"],
        scorers=["detection"],
        seeds=list(range(seeds)),
        options={"threads": 1},
    )
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        for seed in suite.seeds:
            only = suite.model_copy(update={"seeds": [seed]})
            [directory], _ = run_suite(only, Path(folder), {}, lambda *_: None)
            entries, refused = run_entries(directory)
            assert not refused, refused
            for judge in sorted({entry.judge for entry in entries}):
                board = leaderboard([entry for entry in entries if entry.judge == judge])
                rows.append({"seed": seed, "judge": judge.rpartition(":")[2], **_held(board)})
                print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def _held(board: pd.DataFrame) -> dict[str, bool]:
    by_grade = board.assign(
        grade=board.explainer.str.removeprefix("file:").str.removesuffix(".csv")
    ).set_index("grade")
    means = by_grade["detection mean_all"]
    in_order = min(means["oracle"], means["paraphrase"]) > means["too_broad"] > means["shuffled"]
    covered = all(
        by_grade.rank_low[grade] <= first and last <= by_grade.rank_high[grade]
        for grade, (first, last) in GRADES.items()
    )
    exact = all(
        (by_grade.rank_low[grade], by_grade.rank_high[grade]) == places for grade, places in GRADES.items()
    )
    return {"in_order": bool(in_order), "covered": bool(covered), "exact": bool(exact)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both, write the table, print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--copies", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args(arguments)
    rows = []
    for paired in (True, False):
        parted = false_differences(given.copies, paired)
        rows.append(_row("false differences", "paired" if paired else "unpaired", parted, given.copies))
        print(rows[-1], flush=True)
    held = orders(given.seeds) if given.seeds else pd.DataFrame(columns=["judge"])
    for judge, part in held.groupby("judge", sort=False):
        rows += [
            _row(what, str(judge), int(part[what].sum()), len(part))
            for what in ("in_order", "covered", "exact")
        ]
    table = pd.DataFrame(rows)
    table.to_csv(RESULTS / "leaderboard_ranks.csv", index=False, float_format="%.4g", lineterminator="\n")
    print(table.to_string(index=False))


def _row(what: str, which: str, count: int, n: int) -> dict[str, object]:
    low, high = wilson(count, n)
    return {
        "what": what,
        "which": which,
        "count": count,
        "n": n,
        "share": count / n,
        "low": low,
        "high": high,
    }


if __name__ == "__main__":
    main()
