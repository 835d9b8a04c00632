"""Which images have a known truth? Crops of painted five-channel cells, factors planted by well, exact masks.

n crops, f factors, s side in pixels, c = 5 channels. ``images.toml`` holds the parameters, ``painter`` draws.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.evidence.regions import names
from eval.heatmaps import patch_shares
from eval.planted.labels import Factor, factors_of
from eval.planted.painter import CHANNELS, Cell

IMAGES = Path(__file__).parent / "images.toml"
PATCH = 8  # side in pixels
SHOWS = 0.25  # of the patch that a mask covers most
WHOLE = ("blur", "illumination")  # factors whose mask is the whole crop


@dataclass(frozen=True, eq=False)
class PlantedImages:
    """Crops and the truth about them.

    images : (n, s, s, 5) uint8; bodies : (n, s, s) bool, the cell in the middle
    activity : (n, f) float32 >= 0, exactly 0 where a factor is silent
    masks : (n, f, s, s) bool, where each active factor shows; nothing where it is silent, nor of debris or neighbors
        in the odd crop that has no room for them
    obs : n rows of plate, well and treatment
    """

    images: np.ndarray
    bodies: np.ndarray
    activity: np.ndarray
    masks: np.ndarray
    obs: pd.DataFrame
    factors: tuple[Factor, ...]

    def factor(self, name: str) -> int:
        """Column of a factor in ``activity`` and ``masks``."""
        return [factor.name for factor in self.factors].index(name)

    def patches(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), p, f) float32, in reading order: activity × the share of each 8 × 8 patch that a mask covers."""
        side = self.images.shape[1] // PATCH
        shares = patch_shares(self.masks[rows], side, side).reshape(len(rows), -1, side * side)
        return np.asarray((shares * self.activity[rows][:, :, None]).transpose(0, 2, 1), dtype=np.float32)

    def shown_by(self, factors: Sequence[str], row: int) -> frozenset[str]:
        """Patches, ``r1c2``, where one of these factors shows: covered at least a quarter as much as its first one."""
        side = self.images.shape[1] // PATCH
        masks = self.masks[row, [self.factor(name) for name in factors]]
        covered = patch_shares(masks, side, side).reshape(len(factors), -1)  # (factors, p)
        own = (covered >= SHOWS * covered.max(1, keepdims=True)) & (covered > 0)
        return frozenset(np.array(names(side * side))[own.any(0)].tolist())

    def write(self, folder: Path) -> tuple[Path, Path]:
        """As a user would bring them: ``images.npz``, and the activity as ``activations.npz``. Returns both paths."""
        folder.mkdir(parents=True, exist_ok=True)
        images, activations = folder / "images.npz", folder / "activations.npz"
        metadata = {name: self.obs[name].to_numpy(dtype=str) for name in self.obs}
        np.savez_compressed(
            images,
            images=self.images,
            masks=self.bodies,
            channels=np.array(CHANNELS),
            ids=self.obs.index.to_numpy(dtype=str),
            **metadata,
        )
        np.savez_compressed(activations, activations=self.activity)
        return images, activations


def load_image_params(path: Path = IMAGES) -> dict[str, Any]:
    """The committed parameters."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def planted_images(params: dict[str, Any] | None = None, seed: int = 0) -> PlantedImages:
    """Paint the corpus; the same params and seed give the same pixels.

    Every plate has one well of each treatment, in an order of its own, and control wells.
    """
    params = load_image_params() if params is None else params
    p, rng = params["images"], np.random.default_rng([seed, 22])
    obs = _plates(p, rng)
    activity = _activity(params, obs.treatment.to_numpy(dtype=str), rng)
    names = [f["name"] for f in params["factors"]]
    gains = np.exp(rng.normal(0, p["plate_gain_sd"], (p["n_plates"], len(CHANNELS))))
    plates = obs.plate.astype("category").cat.codes.to_numpy()
    n, side = len(obs), p["side"]
    images = np.zeros((n, side, side, len(CHANNELS)), np.uint8)
    bodies = np.zeros((n, side, side), bool)
    masks = np.zeros((n, len(names), side, side), bool)
    for i in range(n):
        active = {names[j]: float(activity[i, j]) for j in np.flatnonzero(activity[i])}
        cell = Cell(active, side, np.random.default_rng([seed, 23, i]))
        images[i] = cell.exposed(gains[plates[i]], p["noise"])
        bodies[i] = cell.body
        for name, mask in cell.masks.items():
            masks[i, names.index(name)] = mask
    return PlantedImages(images, bodies, activity, masks, obs, factors_of(params))


def _plates(p: dict[str, Any], rng: np.random.Generator) -> pd.DataFrame:
    treated = list(p["treatments"])
    wells = treated + [p["control"]] * (p["wells_per_plate"] - len(treated))
    rows = []
    for plate in range(p["n_plates"]):
        for well, treatment in enumerate(rng.permutation(wells).tolist()):
            rows += [(f"P{plate + 1:02}", f"P{plate + 1:02}-W{well + 1:02}", treatment)] * p["crops_per_well"]
    made = pd.DataFrame(rows, columns=["plate", "well", "treatment"])
    return made.set_index(pd.Index([f"crop{i:05}" for i in range(len(made))]))


def _activity(params: dict[str, Any], treatment: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, f) float32: log-normal with mean 1 where active, else 0."""
    p, names = params["images"], [f["name"] for f in params["factors"]]
    rates = np.array([[f.get("base", p["base"]) for f in params["factors"]]]).repeat(len(treatment), 0)
    for name, raised in p["treatments"].items():
        rates[np.ix_(treatment == name, [names.index(one) for one in raised])] = p["raised"]
    active = rng.random(rates.shape) < rates
    for pair in p["exclusive"]:
        first, second = (names.index(one) for one in pair)
        both = active[:, first] & active[:, second]
        keeps = rng.random(len(active)) < 0.5
        active[both & keeps, second] = False
        active[both & ~keeps, first] = False
    sd = p["activity_sd"]
    strength = np.exp(rng.normal(-(sd**2) / 2, sd, active.shape))
    return np.where(active, strength, 0).astype(np.float32)
