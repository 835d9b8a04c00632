"""Can a dictionary do without an encoder? Iterative codebook feature learning: codes by matching pursuit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import select
from .config import DictionaryConfig
from .dictionaries import Loss, SparseCodes, TopK
from .preprocess import Preprocessing, Scaled
from .varying import spread

PICKS = 5  # L, columns picked at once
REDRAW_EVERY = 100  # steps
NEAR = 0.9  # cosine from which on two columns are taken for one
RCOND = 1e-4  # of the columns picked together, singular values under RCOND times the largest count as 0
SAFE = 1e-6  # least determinant of a Gram matrix of at most 5 unit columns that Cholesky may solve


class Round(NamedTuple):
    """One round of matching pursuit over b items.

    picked : (b, L) int64, distinct within a row
    values : (b, L) float64, of any sign
    left : (b, d) float64, what is not explained after this round
    """

    picked: Tensor
    values: Tensor
    left: Tensor


class ICFL(TopK):
    """Iterative codebook feature learning [arXiv 2412.16247]: a codebook W without an encoder.

    Codes, by matching pursuit in J rounds of L picks: x₁ = T(x) − b; in round t the L rows w of W with the
    largest signed ⟨w, x_t⟩; z_t = least squares of x_t on them alone; x_{t+1} = x_t − Wᵀ z_t; z = Σ z_t. A row
    picked in two rounds has the sum of its coefficients. L = min(5, k), J = k // L, k ≤ d / 2: an item has at
    most J·L ≤ k active latents.

    Training descends ‖T(x) − Wᵀ z − b‖² over the batch's variance by W and b with z held, by the loop's Adam;
    rows keep unit length. Every 100 steps, of each pair of rows with cosine > 0.9 the later is drawn anew on
    the sphere, from (seed, step). There is no AuxK, and nothing revives a latent that dies.

    **Negative coefficients.** Rows are picked by their signed product, so a coefficient below 0 is a correction
    within least squares. Training descends with the signed z. Codes given out are ≥ 0: an item with a negative
    coefficient is fitted again on the rows that it picked, by non-negative least squares; all others have z.
    On PCA of sorted blood cells 0–2 % of the mass of z is negative, in 0–43 % of the items, and fitting these
    again moves FVU by about 0.001 at most; leaving the negative values out adds up to 0.016, and 72–95 % of twin
    latents for them would be dead (``eval/bench/results/icfl_signs.csv``).

    Parameters: decoder (m, d), W, with unit rows; bias (d,), b.
    """

    def __init__(
        self, config: DictionaryConfig, preprocessing: Preprocessing, bias: Tensor | None = None
    ) -> None:
        """``ValueError`` where k exceeds half of the components that whitening keeps."""
        super().__init__(config, preprocessing, bias)
        if 2 * config.k > preprocessing.width:
            raise ValueError(
                f"kind icfl takes k of at most half of the {preprocessing.width} components that whitening "
                f"keeps, got {config.k}"
            )
        del self.encoder, self.encoder_bias

    @classmethod
    def shapes(cls, config: DictionaryConfig) -> dict[str, tuple[int, ...]]:
        return {"decoder": (config.m, config.d), "bias": (config.d,)}

    @property
    def w_enc(self) -> Tensor:
        """(m, d): rows are picked by their product with themselves."""
        return self.decoder

    @torch.no_grad()
    def encode(self, x: np.ndarray) -> SparseCodes:
        x, m, k = self._checked(x), self.config.m, self.config.k
        indices = np.empty((len(x), k), np.int64)
        values = np.empty((len(x), k), np.float32)
        step = select.block_rows(2 * m)  # products and dense codes
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            rows = torch.from_numpy(x[part].astype(np.float32))
            scaled = Scaled(self.preprocessing.forward(rows).to(self.bias.device))
            picked, coefficients = self.signed(scaled)
            z = self.decoder.new_zeros(len(scaled), m).scatter_add_(1, picked, coefficients)  # (b, m)
            for item in (z < 0).any(1).nonzero()[:, 0].tolist():
                own = picked[item].unique()  # (≤ k,)
                z[item, own] = refitted(self.decoder[own], scaled[item] - self.bias)
            chosen, latents = z.topk(k)
            values[part], indices[part] = chosen.relu().cpu(), latents.cpu()
        return SparseCodes(indices, values)

    @torch.no_grad()
    def signed(self, x: Scaled) -> tuple[Tensor, Tensor]:
        """Preprocessed rows (b, d) → rows of W that were picked and their coefficients, both (b, J·L).

        Coefficients have any sign; a latent may stand in a row more than once, once for each round.
        """
        rounds = pursue(x - self.bias, self.decoder, *shares(self.config.k))
        picked = torch.cat([r.picked for r in rounds], 1)
        return picked, torch.cat([r.values for r in rounds], 1).to(self.decoder.dtype)

    def loss(self, x: Scaled, dead: Tensor) -> Loss:
        """Squared error over the batch's variance, the codes held; ``dead`` is not looked at."""
        picked, values = self.signed(x)
        error = x - self._decode(picked, values)  # (b, d)
        return Loss(error.square().sum() / spread(x), picked, values)

    @torch.no_grad()
    def after_step(self, step: int) -> Tensor | None:
        """Every 100 steps, rows of W that come too near to earlier ones are drawn anew."""
        if step % REDRAW_EVERY:
            return None
        return redraw(self.decoder, np.random.default_rng([self.config.seed, 3, step]))


def shares(k: int) -> tuple[int, int]:
    """(J, L): how many rounds, and how many picks in each."""
    picks = min(PICKS, k)
    return k // picks, picks


def pursue(x: Tensor, w: Tensor, rounds: int, picks: int) -> list[Round]:
    """Batched orthogonal matching pursuit of centered rows x (b, d) by unit rows w (m, d).

    Products with all of w are in the precision of w, all else in float64.
    """
    left, made = x.double(), []
    for _ in range(rounds):
        picked = (left.to(w.dtype) @ w.T).topk(picks).indices  # (b, d) @ (d, m) -> (b, L)
        columns = w[picked].double()  # (b, L, d)
        values = least_squares(columns, left)
        left = left - torch.einsum("bl,bld->bd", values, columns)
        made.append(Round(picked, values, left))
    return made


def least_squares(columns: Tensor, x: Tensor) -> Tensor:
    """argmin ‖x − Σ_l z_l c_l‖ of each item, of the least norm where columns are (nearly) dependent.

    columns : (b, L, d) float64, of unit length, L ≤ 5
    x : (b, d) float64
    returns : (b, L); as ``numpy.linalg.lstsq(columns.T, x, rcond=RCOND)`` to 1e-6 of the largest

    Normal equations by Cholesky. The least eigenvalue of a Gram matrix of L ≤ 5 unit columns is at least its
    determinant / 2.5, so that above SAFE no singular value is under RCOND; the others by eigenvectors.
    """
    gram = columns @ columns.transpose(1, 2)  # (b, L, L)
    products = torch.einsum("bld,bd->bl", columns, x)[:, :, None]  # (b, L, 1)
    lower, failed = torch.linalg.cholesky_ex(gram)
    safe = (failed == 0) & (lower.diagonal(dim1=1, dim2=2).prod(1).square() > SAFE)
    solved = products.new_zeros(products.shape)
    solved[safe] = torch.cholesky_solve(products[safe], lower[safe])
    if not bool(safe.all()):
        eigenvalues, vectors = torch.linalg.eigh(gram[~safe])  # ascending
        kept = eigenvalues > RCOND**2 * eigenvalues[:, -1:]
        inverse = torch.where(kept, 1 / eigenvalues, 0.0)[:, :, None]  # (·, L, 1)
        solved[~safe] = vectors @ (inverse * (vectors.transpose(1, 2) @ products[~safe]))
    return solved[:, :, 0]


def refitted(columns: Tensor, x: Tensor) -> Tensor:
    """argmin ‖x − Σ_l z_l c_l‖ over z ≥ 0 for one item: columns (l, d), x (d,) → (l,) of their dtype."""
    from scipy.optimize import nnls

    values, _ = nnls(columns.double().cpu().numpy().T, x.double().cpu().numpy(), maxiter=100 * len(columns))
    return torch.from_numpy(values).to(columns)


def redraw(w: Tensor, rng: np.random.Generator) -> Tensor | None:
    """Draw anew, in place, each row of w (m, d) whose cosine with an earlier one exceeds NEAR.

    Rows are of unit length. Returns the numbers of those drawn, ascending; None where there are none.
    """
    m, d = w.shape
    step = select.block_rows(m)
    near = [
        ((w[start : start + step] @ w.T).tril(start - 1) > NEAR).any(1)  # (·, m): with earlier rows alone
        for start in range(0, m, step)
    ]
    again = torch.cat(near).nonzero()[:, 0]
    if not len(again):
        return None
    drawn = rng.standard_normal((len(again), d))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    w[again] = torch.from_numpy(drawn).to(w)
    return again
