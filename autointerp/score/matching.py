"""Which latents of two dictionaries fire about equally often, so that their scores may be compared?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CALIPER = 0.2  # of ln(firing rate): rates within a factor of 1.22


class Matched(NamedTuple):
    """Pairs of latents, and how many found no partner."""

    first: np.ndarray  # (p,) int64, positions in the first array of rates, rising
    second: np.ndarray  # (p,) int64, each one's partner in the second
    n_unmatched_first: int
    n_unmatched_second: int
    mean_gap: (
        float  # of ln(first rate / second rate) over pairs: near 0 where the match is even; NaN without pairs
    )


def match_firing_rates(
    first: np.ndarray, second: np.ndarray, rng: np.random.Generator, caliper: float = CALIPER
) -> Matched:
    """Nearest neighbours on ln(firing rate) without replacement, one to one, within a caliper (protocols, section 6).

    The smaller side seeks, in random order, the nearest partner that is still free [Rosenbaum & Rubin 1985]: matching
    in order of rate would take the rare ones of the other side first and leave a gap. Latents that never fire match
    nothing. About (n₁ + n₂)·log n₂ steps.

    first, second : (n₁,), (n₂,) firing rates in [0, 1]

    Raises
    ------
    ValueError
        for rates outside [0, 1] or a caliper that is not positive
    """
    sides = [np.asarray(rates, dtype=float) for rates in (first, second)]
    if not all(((rates >= 0) & (rates <= 1)).all() for rates in sides) or caliper <= 0:
        raise ValueError(f"firing rates lie between 0 and 1 and the caliper above 0, got caliper {caliper}")
    turned = len(sides[0]) > len(sides[1])
    few, many = sides[::-1] if turned else sides
    order = np.flatnonzero(many > 0)
    order = order[np.argsort(many[order], kind="stable")]
    sorted_logs = np.log(many[order])  # (f,) rising
    below, above = np.arange(len(order) + 1), np.arange(len(order) + 1)  # next free place at or under, over i
    found: list[tuple[int, int]] = []
    for seeker in rng.permutation(np.flatnonzero(few > 0)).tolist():
        wanted = np.log(few[seeker])
        place = int(np.searchsorted(sorted_logs, wanted))
        up, down = _free(above, place), _free(below, place) - 1  # below is shifted by one: 0 is none
        gap_up = sorted_logs[up] - wanted if up < len(order) else np.inf
        gap_down = wanted - sorted_logs[down] if down >= 0 else np.inf
        if min(gap_up, gap_down) > caliper:
            continue
        taken = up if gap_up <= gap_down else down
        above[taken], below[taken + 1] = taken + 1, taken
        found.append((seeker, int(order[taken])))
    pairs = np.array(sorted((b, a) if turned else (a, b) for a, b in found), dtype=np.int64).reshape(-1, 2)
    gaps = np.log(sides[0][pairs[:, 0]]) - np.log(sides[1][pairs[:, 1]])
    unmatched = (len(sides[0]) - len(pairs), len(sides[1]) - len(pairs))
    return Matched(pairs[:, 0], pairs[:, 1], *unmatched, float(gaps.mean()) if len(gaps) else float("nan"))


def _free(pointers: np.ndarray, place: int) -> int:
    """Follow the pointers to a place that points to itself, and shorten the way for those who come later."""
    end = place
    while pointers[end] != end:
        end = int(pointers[end])
    while pointers[place] != end and place != end:
        pointers[place], place = end, int(pointers[place])
    return end
