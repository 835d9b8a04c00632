"""What do dictionaries have to beat? PCA, ICA, NMF and the embedding's own dimensions, with sparse signed codes.

The fifth baseline, the random dictionary, is `train.untrained`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from .config import DictionaryConfig
from .dictionaries import Loss, SparseCodes, TopK
from .preprocess import Preprocessing, Scaled
from .rows import Rows, blocks

FIT_ROWS = 50_000  # components are estimated on at most so many rows, drawn with the seed
FITTED_ROWS = 4096  # items that NMF encodes at a time
ITERATIONS = 200  # of the coordinate descent that encodes one item with NMF, whatever its neighbours are


class Parts(NamedTuple):
    """A linear code s = A z of centered rows z = T(x) − bias, and its reconstruction ẑ = Mᵀ s.

    analysis : (p, d), A
    synthesis : (p, d), M
    """

    analysis: np.ndarray
    synthesis: np.ndarray


class Twins(TopK, ABC):
    """A linear code whose positive and negative halves are latents of their own, the k largest kept.

    s = A (T(x) − bias) / σ, σ the standard deviation of each component on the fitting rows
    a = TopK([s, −s]), values ≤ 0 set to 0;  x̂ = T⁻¹(Σ_j a_j strength_j w_j + bias)

    Latents 0 … p−1 are the positive halves of the p components, p … 2p−1 their negative halves, so m = 2p.
    At most one twin of a pair is active. `decode` is the linear reconstruction from the components that were
    kept, in the units of the embedding: exact where all are kept and p = d. ``strength`` (m,) undoes the
    standardization and the unit length of w_j.
    """

    strength: Tensor

    def __init__(
        self, config: DictionaryConfig, preprocessing: Preprocessing, bias: Tensor | None = None
    ) -> None:
        super().__init__(config, preprocessing, bias)
        self.register_buffer("strength", torch.ones(config.m))

    @classmethod
    def shapes(cls, config: DictionaryConfig) -> dict[str, tuple[int, ...]]:
        return super().shapes(config) | {"strength": (config.m,)}

    @classmethod
    @abstractmethod
    def fit(cls, x: Rows, config: DictionaryConfig, rows: np.ndarray, preprocessing: Preprocessing) -> Self:
        """Compute the components on ``rows`` of x (n, d); ``config.m`` is the greatest number of latents.

        ``ValueError`` where fewer components than ``config.k`` can be had.
        """

    @classmethod
    def _of(cls, config: DictionaryConfig, preprocessing: Preprocessing, **weights: np.ndarray) -> Self:
        made = cls(config, preprocessing)
        made.load_state_dict({name: torch.from_numpy(held).float() for name, held in weights.items()})
        made.requires_grad_(False)
        return made

    def loss(self, x: Scaled, dead: Tensor) -> Loss:
        raise TypeError(f"{self.config.kind} is computed by `fit`, not trained by steps")

    def _decode(self, indices: Tensor, values: Tensor) -> Tensor:
        return super()._decode(indices, values * self.strength[indices])  # (b, k)


class Linear(Twins):
    """Twins whose components are one analysis and one synthesis of the preprocessed rows."""

    @classmethod
    def fit(cls, x: Rows, config: DictionaryConfig, rows: np.ndarray, preprocessing: Preprocessing) -> Self:
        """From one analysis and synthesis of all rows."""
        scaled = _drawn(x, rows, config.seed, preprocessing)  # (r, d) float64
        bias = scaled.mean(0)
        z = scaled - bias
        parts = cls._parts(z, config)
        p = len(parts.analysis)
        _refuse_few(config, p)
        deviations = (z @ parts.analysis.T).std(0)  # (p,)
        norms = np.linalg.norm(parts.synthesis, axis=1)  # (p,)
        encoder = parts.analysis / _nonzero(deviations)[:, None]
        encoder[deviations == 0] = 0
        decoder = _unit(parts.synthesis)
        strength = deviations * norms
        return cls._of(
            dataclasses.replace(config, m=2 * p),
            preprocessing,
            encoder=np.concatenate([encoder, -encoder]),
            encoder_bias=np.zeros(2 * p),
            decoder=np.concatenate([decoder, -decoder]),
            bias=bias,
            strength=np.concatenate([strength, strength]),
        )

    @classmethod
    @abstractmethod
    def _parts(cls, z: np.ndarray, config: DictionaryConfig) -> Parts:
        """The components of centered rows z (r, d), strongest first where they have an order."""


class PCA(Linear):
    """Principal components of the preprocessed rows: A = M = the leading eigenvectors of their covariance."""

    @classmethod
    def _parts(cls, z: np.ndarray, config: DictionaryConfig) -> Parts:
        values, vectors = np.linalg.eigh(z.T @ z / len(z))  # ascending
        p = _components(values, config.m)
        leading = vectors[:, ::-1][:, :p].T  # (p, d)
        return Parts(leading, leading)


class ICA(Linear):
    """Independent components by FastICA [Hyvärinen and Oja 2000], as scikit-learn computes them.

    A is the unmixing, M the transposed mixing matrix. The components have no order.
    """

    @classmethod
    def _parts(cls, z: np.ndarray, config: DictionaryConfig) -> Parts:
        from sklearn.decomposition import FastICA

        p = _components(np.linalg.eigvalsh(z.T @ z / len(z)), config.m)
        fitted = FastICA(p, whiten="unit-variance", random_state=config.seed, max_iter=1000, tol=1e-3).fit(z)
        return Parts(fitted.components_, fitted.mixing_.T)


class Neurons(Linear):
    """The embedding's own dimensions, all of them whatever ``config.m``: A = M = the identity, m = 2d."""

    @classmethod
    def _parts(cls, z: np.ndarray, config: DictionaryConfig) -> Parts:
        return Parts(np.eye(z.shape[1]), np.eye(z.shape[1]))


class NMF(Twins):
    """Non-negative matrix factorization [Lee and Seung 1999] of the positive and negative halves of z.

    [z⁺, z⁻] ≈ a H with a ≥ 0 (m,) and H ≥ 0 (m, 2d), z = T(x) − bias. Codes are non-negative as they are, so
    that m latents are m components without twins. An item's code is its least-squares fit with H held, each
    component in units of its standard deviation on the fitting rows, the k largest kept. ``encoder`` is H
    (m, 2d) in those units; strength_j w_j = H_j⁺ − H_j⁻, so that `decode` is the linear reconstruction.
    """

    def __init__(
        self, config: DictionaryConfig, preprocessing: Preprocessing, bias: Tensor | None = None
    ) -> None:
        super().__init__(config, preprocessing, bias)
        self.encoder = torch.nn.Parameter(torch.zeros(config.m, 2 * preprocessing.width))

    @classmethod
    def shapes(cls, config: DictionaryConfig) -> dict[str, tuple[int, ...]]:
        return super().shapes(config) | {"encoder": (config.m, 2 * config.d)}

    @classmethod
    def fit(cls, x: Rows, config: DictionaryConfig, rows: np.ndarray, preprocessing: Preprocessing) -> Self:
        """As for the others; m is at most 2d and at most the number of rows."""
        from sklearn.decomposition import NMF as Factorization

        scaled = _drawn(x, rows, config.seed, preprocessing)
        bias = scaled.mean(0)
        halves = _halves(scaled - bias)  # (r, 2d)
        m = min(config.m, halves.shape[1], len(halves))
        _refuse_few(config, m)
        model = Factorization(m, init="nndsvda", random_state=config.seed, max_iter=ITERATIONS, tol=0)
        codes = model.fit_transform(halves)  # (r, m)
        encoder = model.components_ * codes.std(0)[:, None]  # (m, 2d)
        moves = encoder[:, : scaled.shape[1]] - encoder[:, scaled.shape[1] :]  # (m, p)
        return cls._of(
            dataclasses.replace(config, m=m),
            preprocessing,
            encoder=encoder,
            encoder_bias=np.zeros(m),
            decoder=_unit(moves),
            bias=bias,
            strength=np.linalg.norm(moves, axis=1),
        )

    @torch.no_grad()
    def encode(self, x: np.ndarray) -> SparseCodes:
        """As for the others; what a component is worth is a fit, no product with the encoder."""
        x = self._checked(x)
        indices = np.empty((len(x), self.config.k), np.int64)
        values = np.empty((len(x), self.config.k), np.float32)
        for start in range(0, len(x), FITTED_ROWS):
            part = slice(start, start + FITTED_ROWS)
            scaled = self.preprocessing.forward(torch.from_numpy(x[part].astype(np.float32)))
            chosen, latents = self._pre(scaled).topk(self.config.k)  # (b, m) -> (b, k)
            values[part], indices[part] = chosen.relu(), latents
        return SparseCodes(indices, values)

    def _pre(self, x: Scaled) -> Tensor:
        from sklearn.decomposition import non_negative_factorization

        if not len(x):
            return torch.zeros(0, self.config.m)
        halves = _halves((x - self.bias).double().numpy())  # (b, 2d)
        h = self.encoder.double().numpy()
        codes, *_ = non_negative_factorization(
            halves, H=h, n_components=len(h), init="custom", update_H=False, tol=0, max_iter=ITERATIONS
        )
        return torch.from_numpy(codes).float()  # (b, m)


def _drawn(x: Rows, rows: np.ndarray, seed: int, preprocessing: Preprocessing) -> np.ndarray:
    """At most FIT_ROWS of the rows, preprocessed, float64."""
    if len(rows) > FIT_ROWS:
        rows = np.sort(np.random.default_rng([seed, 2]).choice(rows, FIT_ROWS, replace=False))
    held = np.concatenate([values.astype(np.float32) for _, values in blocks(x, rows, 1 << 14)])
    return preprocessing.forward(torch.from_numpy(held)).double().numpy()


def _components(variances: np.ndarray, m: int) -> int:
    """How many components: half of the latents, at most the rank."""
    return min(m // 2, int((variances > 1e-9 * variances.max()).sum()))


def _refuse_few(config: DictionaryConfig, components: int) -> None:
    if config.k > components:
        raise ValueError(f"k = {config.k} active latents per item exceeds the {components} components")


def _halves(z: np.ndarray) -> np.ndarray:
    """[z⁺, z⁻], (b, d) → (b, 2d)."""
    return np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], axis=1)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows (m, d) at unit length; a row of zeros, which never acts, becomes the first axis."""
    norms = np.linalg.norm(rows, axis=1)
    made = rows / _nonzero(norms)[:, None]
    made[norms == 0, 0] = 1
    return made


def _nonzero(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, 1.0)
