"""Corpora whose latents are known because we planted them, with labels of known quality for each."""

from .counts import FULL, SMALL, PlantedCells, load_params, planted_cells
from .labels import Factor, GradedLabel, Meaning

__all__ = [
    "FULL",
    "SMALL",
    "Factor",
    "GradedLabel",
    "Meaning",
    "PlantedCells",
    "load_params",
    "planted_cells",
]
