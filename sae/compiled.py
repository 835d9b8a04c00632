"""Which loops are compiled? Those over a sparse code's entries, and Adam over rows; by numba, at their first use.

Each takes ``start`` and ``stop`` and writes rows start … stop − 1 of its outputs alone, so that `share` may give parts
to threads: every row of a result has one owner, and its bytes do not depend on how many threads there are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

SUMS = {"reassoc", "contract"}  # sums may be reordered, once, when compiled; NaN and infinity are kept


def available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


class Compiled:
    """A function that numba compiles when it is first called; machine code is kept beside the source file."""

    def __init__(self, function: Callable[..., None]) -> None:
        functools.update_wrapper(self, function)
        self._function = function

    @functools.cached_property
    def machine_code(self) -> Callable[..., None]:
        """Compiled for each combination of types when it is first called with it."""
        import numba

        njit: Any = numba.njit
        options = {"nogil": True, "fastmath": SUMS, "error_model": "numpy"}
        try:
            made: Callable[..., None] = njit(cache=True, **options)(self._function)
        except RuntimeError:  # there is no folder that may be written
            made = njit(**options)(self._function)
        return made

    def __call__(self, *given: Any) -> None:
        self.machine_code(*given)


@Compiled
def largest(start, stop, pre, bias, k, lanes, indices, values):  # type: ignore[no-untyped-def]
    """The k largest of each row of pre + bias, strongest first, of equal ones the earlier first.

    Column i is in lane i mod ``lanes``; what k of the lanes' maxima reach bounds the k-th largest from below, so that
    few lanes are looked at again, and few of their columns ranked. No number of a row may be NaN: where fewer than k
    are numbers, its values are NaN, elsewhere some may be missed.

    pre : (b, m) float32; bias (m,)
    lanes : from k to m
    indices, values : (b, k) int64 and float32, written
    """
    m = pre.shape[1]
    enough, half, one, none = k + k // 4, np.float32(0.5), np.int32(1), np.int32(0)
    top, looked_at = np.empty(lanes, np.float32), np.empty(lanes, np.int64)
    found, columns = np.empty(m + 64, np.float32), np.empty(m + 1, np.int64)
    equal = np.empty(m + 1, np.int64)
    for r in range(start, stop):
        row, chosen = pre[r], indices[r]
        for i in range(lanes):
            top[i] = row[i] + bias[i]
        for at in range(lanes, m, lanes):
            part, added = row[at : at + lanes], bias[at : at + lanes]
            for i in range(len(part)):
                value = part[i] + added[i]
                top[i] = top[i] if value <= top[i] else value
        low, high = np.float32(np.inf), np.float32(-np.inf)
        for i in range(lanes):
            low = top[i] if top[i] < low else low
            high = top[i] if top[i] > high else high
        least = np.float32(-np.inf)
        for _ in range(24):  # bisection for what k lanes, or a few more, reach
            middle = half * low + half * high
            count = none
            for i in range(lanes):
                count += one if top[i] >= middle else none
            if count < k:
                high = middle
            else:
                low = least = middle
                if count <= enough:
                    break
        n_lanes = 0
        for lane in range(lanes):
            looked_at[n_lanes] = lane
            n_lanes += top[lane] >= least
            if n_lanes == lanes:
                break
        n = 0
        for at in range(0, m, lanes):
            part, added = row[at : at + lanes], bias[at : at + lanes]
            for p in range(n_lanes):
                i = looked_at[p]
                if i < len(part):
                    value = part[i] + added[i]
                    found[n], columns[n] = value, at + i
                    n += value >= least
        if n > 4 * enough:  # many are equal, or one is far above all others
            order = np.argsort(-found[:n], kind="mergesort")
            for p in range(k):
                chosen[p], values[r, p] = columns[order[p]], found[order[p]]
            continue
        if n < k:
            for p in range(k):
                chosen[p], values[r, p] = p, np.nan
            continue
        padded = (n + 63) // 64 * 64
        found[n:padded] = -np.inf
        equal[:n] = 0
        for p in range(n):
            value, rank = found[p], none
            for q in range(padded):
                rank += one if found[q] > value else none
            place = rank + equal[rank]
            equal[rank] += 1
            if place < k:
                chosen[place], values[r, place] = columns[p], value


@Compiled
def count_above(start, stop, pre, least, counts):  # type: ignore[no-untyped-def]
    """counts (b,): entries of each row of pre (b, m) that are > least (m,)."""
    for r in range(start, stop):
        row, found = pre[r], 0
        for i in range(len(row)):
            found += row[i] > least[i]
        counts[r] = found


@Compiled
def fill_above(start, stop, pre, least, offsets, latents, values):  # type: ignore[no-untyped-def]
    """Latents and values (e,) of these entries, by row and rising latent, from offsets (b + 1,) on."""
    for r in range(start, stop):
        row, e = pre[r], offsets[r]
        for i in range(len(row)):
            if row[i] > least[i]:
                latents[e], values[e] = i, row[i]
                e += 1


@Compiled
def by_strength(start, stop, offsets, latents, values, indices, strengths):  # type: ignore[no-untyped-def]
    """Entries of each row (as above), strongest first, of equal ones the earlier; then latents without an entry, of 0.

    indices, strengths : (b, w) int64 and float32, written; no row has more than w entries, w ≤ m
    """
    width = indices.shape[1]
    for r in range(start, stop):
        first, last = offsets[r], offsets[r + 1]
        order = np.argsort(-values[first:last], kind="mergesort")
        for p in range(last - first):
            indices[r, p], strengths[r, p] = latents[first + order[p]], values[first + order[p]]
        free, e = 0, first
        for p in range(last - first, width):
            while e < last and latents[e] == free:
                free, e = free + 1, e + 1
            indices[r, p], strengths[r, p] = free, 0
            free += 1


@Compiled
def reconstruct(start, stop, offsets, latents, values, x, w, ends, error, products, squares):  # type: ignore[no-untyped-def]
    """Rows of x − code @ w, for each group of latents with all groups before it, and their products with w.

    offsets (b + 1,), latents (e,), values (e,) : the code, by row; latents rise within a row if there are groups
    x : (b, d), w : (m, d), float32
    ends : (g,) the latent after the last of each group
    error : (g, b, d) written: the sum of the errors of a group and all after it
    products : (e,) written, of ``error`` of the entry's group with the entry's row of w
    squares : (b,) float64 written, Σ‖error‖² over groups
    """
    d = x.shape[1]
    for r in range(start, stop):
        e, last = offsets[r], offsets[r + 1]
        squares[r] = 0
        for g in range(len(ends)):
            row = error[g, r]
            row[:] = x[r] if g == 0 else error[g - 1, r]
            until = last if g == len(ends) - 1 else e
            while until < last and latents[until] < ends[g]:
                until += 1
            while e + 3 < until:
                w0, w1, w2, w3 = w[latents[e]], w[latents[e + 1]], w[latents[e + 2]], w[latents[e + 3]]
                a0, a1, a2, a3 = values[e], values[e + 1], values[e + 2], values[e + 3]
                for i in range(d):
                    row[i] -= a0 * w0[i] + a1 * w1[i] + a2 * w2[i] + a3 * w3[i]
                e += 4
            while e < until:
                w0, a0 = w[latents[e]], values[e]
                for i in range(d):
                    row[i] -= a0 * w0[i]
                e += 1
            square = np.float32(0)
            for i in range(d):
                square += row[i] * row[i]
            squares[r] += square
        for g in range(len(ends) - 2, -1, -1):
            row, after = error[g, r], error[g + 1, r]
            for i in range(d):
                row[i] += after[i]
        g = 0
        for e in range(offsets[r], last):
            while latents[e] >= ends[g]:
                g += 1
            row, w0, product = error[g, r], w[latents[e]], np.float32(0)
            for i in range(d):
                product += row[i] * w0[i]
            products[e] = product


@Compiled
def by_latent(start, stop, offsets, latents, values, products, starts, rows, taken, slopes):  # type: ignore[no-untyped-def]
    """The entries of a code by row (as above) sorted by latent, for latents start … stop − 1.

    starts : (m + 1,) where each latent's entries begin
    rows, taken, slopes : (e,) written: row, value and product of each entry
    """
    free = starts[start : stop + 1].copy()
    for r in range(len(offsets) - 1):
        for e in range(offsets[r], offsets[r + 1]):
            j = latents[e]
            if start <= j < stop:
                at = free[j - start]
                rows[at], taken[at], slopes[at] = r, values[e], products[e]
                free[j - start] = at + 1


@Compiled
def sort_by_latent(start, stop, first, offsets, latents, values, free, rows, taken):  # type: ignore[no-untyped-def]
    """The entries of items first … (as above, but offsets may start anywhere), for latents start … stop − 1.

    free : (m,) where the next entry of each latent goes, moved on
    rows, taken : (e,) written: item and value of each entry
    """
    for r in range(len(offsets) - 1):
        for e in range(offsets[r] - offsets[0], offsets[r + 1] - offsets[0]):
            j = latents[e]
            if start <= j < stop:
                rows[free[j]], taken[free[j]] = first + r, values[e]
                free[j] += 1


@Compiled
def gradients(
    start, stop, starts, rows, taken, slopes, scale, groups, error, x, w, grad_w, grad_e, grad_b, squares
):  # type: ignore[no-untyped-def]
    """scale · codeᵀ @ error and scale · productsᵀ @ x: gradients of decoder and encoder, each (m, d).

    groups : (m,) which of error (g, b, d) is that of a latent
    What there is in grad_w, grad_e and grad_b already, of latents in ``squares`` ≥ 0, is added to: others start at 0.
    The part of grad_w along w, which only changes the length of a row, is left out.

    squares : (m,) float64, written: ‖grad_w‖² + ‖grad_e‖² + grad_b² of each latent
    """
    d = x.shape[1]
    for j in range(start, stop):
        decoder, encoder, unit, wrong = grad_w[j], grad_e[j], w[j], error[groups[j]]
        if squares[j] < 0:
            decoder[:] = 0
            encoder[:] = 0
            grad_b[j] = 0
        bias = np.float32(0)
        e, last = starts[j], starts[j + 1]
        while e + 1 < last:
            y0, x0, y1, x1 = wrong[rows[e]], x[rows[e]], wrong[rows[e + 1]], x[rows[e + 1]]
            a0, s0, a1, s1 = scale * taken[e], scale * slopes[e], scale * taken[e + 1], scale * slopes[e + 1]
            bias += s0 + s1
            for i in range(d):
                decoder[i] += a0 * y0[i] + a1 * y1[i]
            for i in range(d):
                encoder[i] += s0 * x0[i] + s1 * x1[i]
            e += 2
        if e < last:
            y0, x0, a0, s0 = wrong[rows[e]], x[rows[e]], scale * taken[e], scale * slopes[e]
            bias += s0
            for i in range(d):
                decoder[i] += a0 * y0[i]
            for i in range(d):
                encoder[i] += s0 * x0[i]
        grad_b[j] += bias
        along = np.float32(0)
        for i in range(d):
            along += decoder[i] * unit[i]
        total = np.float32(0)
        for i in range(d):
            decoder[i] -= along * unit[i]
            total += decoder[i] * decoder[i] + encoder[i] * encoder[i]
        squares[j] = total + grad_b[j] * grad_b[j]


@Compiled
def adam(start, stop, w, grad, first, second, shrink, rate, root, gain1, beta2, gain2, unit):  # type: ignore[no-untyped-def]
    """One step of Adam for rows of w (m, d), in one pass; unit length afterwards where ``unit`` is 1.

    rate : learning rate / (1 − β₁ᵗ);  root : √(1 − β₂ᵗ);  gain1, gain2 : 1 − β₁, 1 − β₂
    shrink : what clipping multiplies the gradient by
    Moments under 1e-30 become 0: those of a latent that is silent for long would end in numbers that are slow.
    """
    one, tiny, eps = np.float32(1), np.float32(1e-30), np.float32(1e-8)
    for j in range(start, stop):
        row, g, m1, m2 = w[j], grad[j], first[j], second[j]
        total = np.float32(0)
        for i in range(len(row)):
            slope = g[i] * shrink
            mean = m1[i] + gain1 * (slope - m1[i])
            mean = mean if abs(mean) > tiny else np.float32(0)
            square = beta2 * m2[i] + gain2 * slope * slope
            square = square if square > tiny else np.float32(0)
            m1[i], m2[i] = mean, square
            row[i] -= rate * mean / (np.sqrt(square) / root + eps)
            total += row[i] * row[i]
        if unit:
            length = one / max(np.sqrt(total), np.float32(1e-12))
            for i in range(len(row)):
                row[i] *= length
