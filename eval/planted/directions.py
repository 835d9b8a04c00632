"""Along which directions are planted factors edited? A dictionary with a latent for each factor, of three kinds.

==========  ===========================================================================================================
oracle      how the embedding changes with the factor's activity: least squares on the activities of all factors
fitted      of each factor the latent of a dictionary fitted on explain that tells its cells best there (F1)
isotropic   random unit rows, as those of an untrained dictionary
==========  ===========================================================================================================

The encoder is the same for all: a linear discriminant a factor, firing as often as the factor is active. n cells,
f factors, d embedding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import sae

KINDS = ("oracle", "fitted", "isotropic")
RIDGE = 1e-3  # of the within covariance, times its mean variance


def write_dictionary(
    x: np.ndarray, active: np.ndarray, rows: np.ndarray, kind: str, seed: int, path: Path
) -> Path:
    """Save a dictionary whose latent j stands for factor j.

    x : (n, d) embedding; active : (n, f) ≥ 0 activities; rows : explain, on which everything is fitted
    """
    import torch

    f = active.shape[1]
    w_enc, b_enc = discriminants(x[rows], active[rows])
    slopes = responses(x[rows], active[rows])  # (f, d)
    made = sae.untrained(
        x, sae.DictionaryConfig(d=x.shape[1], m=f, k=min(8, f), kind="relu", scaling="none", seed=seed), rows=rows
    )  # fmt: skip
    unit = np.linalg.norm(slopes, axis=1) * mean_where_active(active[rows])  # how far a factor moves a cell
    fired = np.maximum(x[rows] @ w_enc.T + b_enc, 0)  # (n, d) @ (d, f) -> (n, f)
    scale = unit / np.maximum(mean_where_active(fired), 1e-12)
    rng = np.random.default_rng([seed, 12])
    if kind == "fitted":
        directions = best_latents(x, active, rows, seed)
    elif kind == "isotropic":
        directions = rng.normal(size=(f, x.shape[1]))
    else:
        directions = slopes
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    parts = {
        "encoder": w_enc * scale[:, None], "encoder_bias": b_enc * scale, "decoder": directions,
        "bias": np.zeros(x.shape[1]),
    }  # fmt: skip
    weights = made.state_dict() | {k: torch.from_numpy(v.astype(np.float32)) for k, v in parts.items()}
    made.load_state_dict(weights)
    return sae.save(made, path)


def responses(x: np.ndarray, active: np.ndarray) -> np.ndarray:
    """(f, d): change of the embedding x (n, d) per unit of each activity (n, f), the others held; least squares."""
    design = np.column_stack([np.ones(len(active)), active]).astype(np.float64)
    return np.linalg.lstsq(design, x.astype(np.float64), rcond=None)[0][1:]


def discriminants(x: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear discriminants w (f, d) and thresholds b (f,): w·x + b > 0 for as many cells as the factor is active in.

    w = Σ⁻¹ (mean of active − mean of silent cells), Σ the covariance of x (n, d) with a small ridge.
    """
    x = x.astype(np.float64)
    covariance = np.cov(x.T)
    covariance += RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    on = active > 0
    difference = np.stack([x[column].mean(0) - x[~column].mean(0) for column in on.T])
    w = np.linalg.solve(covariance, difference.T).T  # (f, d)
    score = x @ w.T  # (n, f)
    b = -np.array([np.quantile(score[:, j], 1 - on[:, j].mean()) for j in range(on.shape[1])])
    return w, b


def best_latents(x: np.ndarray, active: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """(f, d) rows, in the embedding's own units, of the latents of a fitted TopK that tell each factor's explain cells
    best."""
    size = sae.default_size(len(x), x.shape[1])
    config = sae.DictionaryConfig(d=x.shape[1], m=size.m, k=size.k, seed=seed)
    dictionary = sae.fit(x, config, rows=rows).dictionary
    codes = dictionary.encode(x[rows])
    fires = np.zeros((len(rows), dictionary.config.m), dtype=np.float32)
    np.put_along_axis(fires, codes.indices, (codes.values > 0).astype(np.float32), 1)
    on = (active[rows] > 0).astype(np.float32)
    both = on.T @ fires  # (f, n) @ (n, m) -> (f, m)
    f1 = 2 * both / np.maximum(on.sum(0)[:, None] + fires.sum(0), 1)
    origin = np.zeros((1, x.shape[1]), dtype=np.float32)
    return np.concatenate([dictionary.edit(origin, int(best), 1.0) for best in f1.argmax(1)]) - origin


def mean_where_active(values: np.ndarray) -> np.ndarray:
    """(f,) mean of the positive values of each column (n, f); 0 where there is none."""
    return values.sum(0) / np.maximum((values > 0).sum(0), 1)
