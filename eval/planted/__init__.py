"""Corpora whose latents are known because we planted them, with labels of known quality for each."""

from .cells import Factor, GradedLabel, PlantedCells, load_params, planted_cells

__all__ = ["Factor", "GradedLabel", "PlantedCells", "load_params", "planted_cells"]
