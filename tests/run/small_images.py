"""Which images are small enough for an end-to-end test? 200 crops of four drawn kinds from ten photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np

KINDS = ("zeta-disk", "zeta-ring", "zeta-stripes", "zeta-dim")  # labels: never in a prompt
N, SIDE = 200, 12


def small_images(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (200, 12, 12, 3) uint8, kinds (200,), photos (200,)."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    kinds = rng.integers(0, 4, N)
    made = np.zeros((N, SIDE, SIDE, 3))
    for i, kind in enumerate(kinds):
        radius = np.hypot(y - rng.normal(0, 0.7), x - rng.normal(0, 0.7))
        size = rng.uniform(3, 5)
        drawn = [
            radius < size,
            (radius < size) & (radius > size - 2),
            (radius < 5) & (np.round(x + rng.integers(0, 4)) % 4 < 2),
            (radius < size) * 0.35,
        ][kind]
        color = np.eye(3)[kind % 3] * 0.6 + 0.3
        made[i] = drawn[:, :, None] * color * rng.uniform(0.8, 1) * 200
    noise = rng.normal(20, 6, made.shape)
    photos = np.array([f"secret_photo_{p}" for p in rng.integers(0, 10, N)])
    return (made + noise).clip(0, 255).astype(np.uint8), np.array(KINDS)[kinds], photos


def planted_activations(seed: int = 0) -> np.ndarray:
    """(200, 4), one latent a kind: active on nearly all of its crops and on no others."""
    rng = np.random.default_rng([seed, 1])
    _, kinds, _ = small_images(seed)
    return (kinds[:, None] == np.array(KINDS)) * (rng.random((N, 4)) < 0.95) * rng.uniform(0.5, 1, (N, 4))


def write_images(path: Path, seed: int = 0) -> Path:
    images, kinds, photos = small_images(seed)
    np.savez_compressed(path, images=images, labels=kinds, source_image=photos)
    return path
