"""What does iterative codebook feature learning say, one item and one column at a time? Slow, in float64.

Written from the algorithm alone, for `test_icfl` to hold `sae.icfl` against. ``w`` (d, m) holds unit columns.
"""

import math

import numpy as np

RCOND = 1e-4  # smaller singular values, as shares of the largest, are 0: columns so alike count as one


def pursuit(x, w, b, rounds, picks):
    """One item (d,) → for each round the picked columns, their coefficients, and what is left, (d,)."""
    left, said = x - b, []
    for _ in range(rounds):
        products = [sum(w[i, j] * left[i] for i in range(len(left))) for j in range(w.shape[1])]
        picked = sorted(range(len(products)), key=lambda j: -products[j])[:picks]
        values = np.linalg.lstsq(w[:, picked], left, rcond=RCOND)[0]
        left = left - w[:, picked] @ values
        said.append((picked, values, left))
    return said


def code(said, m):
    """The sum of all rounds as a dense signed code (m,)."""
    z = np.zeros(m)
    for picked, values, _ in said:
        for j, value in zip(picked, values, strict=True):
            z[j] += value
    return z


def gradient(x, z, w, b):
    """By w and b, of Σ‖x − W z − b‖² over Σ‖x − x̄‖², for items x (n, d) with codes z (n, m) held."""
    by_w, by_b, variance = np.zeros_like(w), np.zeros_like(b), 0.0
    mean = x.mean(0)
    for item, its_code in zip(x, z, strict=True):
        error = item - w @ its_code - b
        by_w -= 2 * np.outer(error, its_code)
        by_b -= 2 * error
        variance += ((item - mean) ** 2).sum()
    return by_w / variance, by_b / variance


def redraw(w, seed, step):
    """Of each pair of columns with a cosine above 0.9 the later is drawn anew; returns w and which they are."""
    w, m = w.copy(), w.shape[1]
    later = sorted({j for j in range(m) for i in range(j) if w[:, i] @ w[:, j] > 0.9})
    rng = np.random.default_rng([seed, 3, step])
    for j in later:
        drawn = rng.standard_normal(len(w))
        w[:, j] = drawn / math.sqrt((drawn**2).sum())
    return w, later


class Adam:
    """For one array; `forget` the moments of columns that were drawn anew."""

    def __init__(self, like):
        self.first, self.second = np.zeros_like(like), np.zeros_like(like)

    def step(self, at, gradient, step, lr):
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        mean, square = self.first / (1 - 0.9**step), self.second / (1 - 0.999**step)
        return at - lr * mean / (np.sqrt(square) + 1e-8)

    def forget(self, columns):
        self.first[:, columns] = 0
        self.second[:, columns] = 0


def train(x, w, b, rounds, picks, lr, seed, batches):
    """Steps 1, 2 … over batches of row numbers, with a clipped gradient and unit columns → w, b, redrawn."""
    by_w, by_b, redrawn = Adam(w), Adam(b), []
    for step, rows in enumerate(batches, 1):
        codes = [code(pursuit(item, w, b, rounds, picks), w.shape[1]) for item in x[rows]]
        grad_w, grad_b = gradient(x[rows], np.array(codes), w, b)
        grad_w = grad_w - w * (w * grad_w).sum(0)  # what only changes the length of a column
        shrink = min(1.0, 1 / math.sqrt((grad_w**2).sum() + (grad_b**2).sum()))
        w, b = by_w.step(w, shrink * grad_w, step, lr), by_b.step(b, shrink * grad_b, step, lr)
        w = w / np.sqrt((w**2).sum(0))
        if step % 100 == 0:
            w, later = redraw(w, seed, step)
            by_w.forget(later)
            redrawn += later
    return w, b, redrawn
