"""What would a trained network make of the cells, and which genes does a point of its embedding stand for?

A small autoencoder of log-normalized expression. Its decoder is a readout of genes, with its own held-out quality.
n cells, g genes, d embedding, h hidden.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

EARLY_STOPPING_SHARE = 0.05
PATIENCE = 3  # epochs without a better loss on the rows held back
BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """x (n, g) → embedding (n, d) → log-normalized expression (n, g).

    mean, scale : (g,) mean on the fitting rows, and one number: the root of the mean variance of genes
    """

    encoder: nn.Module
    decoder: nn.Module
    mean: torch.Tensor
    scale: float
    epochs: int

    def encode(self, x: np.ndarray) -> np.ndarray:
        """(n, d) float32 from log-normalized expression (n, g)."""
        return _in_blocks(lambda b: self.encoder((b - self.mean) / self.scale), x)

    def decode(self, embeddings: np.ndarray) -> np.ndarray:
        """(n, g) float32 log-normalized expression, ≥ 0, from embeddings (n, d)."""
        return _in_blocks(lambda b: _expression(self.decoder(b), self.mean, self.scale), embeddings)

    def quality(self, x: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        """How well rows of x (n, g) that were not fitted come back: explained variance Σ over cells and genes around
        the fitting mean, and the median over genes of the Pearson correlation (genes that vary on both sides)."""
        truth, back = x[rows], self.decode(self.encode(x[rows]))
        total = ((truth - self.mean.numpy()) ** 2).sum(dtype=np.float64)
        left = ((truth - back) ** 2).sum(dtype=np.float64)
        a, b = truth - truth.mean(0), back - back.mean(0)
        size = np.sqrt((a**2).sum(0) * (b**2).sum(0))
        together = (a * b).sum(0)[size > 0] / size[size > 0]
        return {"explained": float(1 - left / total), "gene_correlation": float(np.median(together))}

    def save_decoder(self, path: Path) -> None:
        """As safetensors: decoder.*, mean (g,), scale (1,)."""
        weights = {f"decoder.{name}": value for name, value in self.decoder.state_dict().items()}
        save_file(weights | {"mean": self.mean, "scale": torch.tensor([self.scale])}, path)


def fit_autoencoder(
    x: np.ndarray,
    rows: np.ndarray,
    seed: int = 0,
    d: int = 64,
    h: int = 256,
    epochs: int = 30,
    batch: int = 128,
) -> Autoencoder:
    """Fit on ``rows`` of x (n, g), log-normalized expression; a seeded 5 % of them say when to stop.

    Squared error after centering and one global scale, AdamW at 1e-3; the weights of the best epoch are kept. At most
    ``epochs``, fewer when the loss on the rows held back has not fallen for three. The same seed, data and number of
    threads give the same weights.
    """
    rng = np.random.default_rng([seed, 2])
    shuffled = rng.permutation(rows)
    held_back = shuffled[: max(1, int(EARLY_STOPPING_SHARE * len(rows)))]
    fitting = np.sort(shuffled[len(held_back) :])
    mean = torch.from_numpy(x[fitting].mean(0))
    scale = float(np.sqrt(x[fitting].var(0).mean()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = nn.Sequential(nn.Linear(x.shape[1], h), nn.GELU(), nn.Linear(h, d))
        decoder = _decoder(d, h, x.shape[1])
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=1e-3)

    def loss(chosen: np.ndarray) -> torch.Tensor:
        target = (torch.from_numpy(x[chosen]) - mean) / scale  # (b, g)
        return ((decoder(encoder(target)) - target) ** 2).mean()

    best, kept, waited, done = np.inf, (encoder.state_dict(), decoder.state_dict()), 0, 0
    while done < epochs and waited < PATIENCE:
        order = rng.permutation(fitting)
        for start in range(0, len(order), batch):
            optimizer.zero_grad()
            loss(order[start : start + batch]).backward()
            optimizer.step()
        with torch.no_grad():
            now = float(loss(held_back))
        if now < best:
            best, waited = now, 0
            kept = copy.deepcopy((encoder.state_dict(), decoder.state_dict()))
        else:
            waited += 1
        done += 1
    encoder.load_state_dict(kept[0])
    decoder.load_state_dict(kept[1])
    return Autoencoder(encoder, decoder, mean, scale, done)


def load_decoder(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The readout that ``save_decoder`` wrote: embeddings (n, d) → log-normalized expression (n, g)."""
    stored = load_file(path)
    mean, scale = stored.pop("mean"), float(stored.pop("scale"))
    weights = {name.removeprefix("decoder."): value for name, value in stored.items()}
    (h, d), g = weights["0.weight"].shape, len(mean)
    decoder = _decoder(d, h, g)
    decoder.load_state_dict(weights)
    return lambda embeddings: _in_blocks(lambda b: _expression(decoder(b), mean, scale), embeddings)


def _decoder(d: int, h: int, g: int) -> nn.Module:
    return nn.Sequential(nn.Linear(d, h), nn.GELU(), nn.Linear(h, g))


def _expression(decoded: torch.Tensor, mean: torch.Tensor, scale: float) -> torch.Tensor:
    return (decoded * scale + mean).clamp_min(0)


def _in_blocks(function: Callable[[torch.Tensor], torch.Tensor], x: np.ndarray) -> np.ndarray:
    blocks = (
        torch.from_numpy(np.ascontiguousarray(x[i : i + BLOCK], dtype=np.float32))
        for i in range(0, len(x), BLOCK)
    )
    with torch.no_grad():
        return torch.cat([function(block) for block in blocks]).numpy()
