"""How is a planted crop painted, and where does each factor show? Five channels and exact masks of one cell.

Each factor of ``images.toml`` changes the picture as far as it is active. Its mask holds the pixels that it changes on
purpose, before the optics spread them: the nucleus for its size or outline, the fibers for fibers, the whole crop for
blur and illumination. s side of the crop in pixels, c = 5 channels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")
DNA, ER, RNA, AGP, MITO = range(5)
OPTICS = 0.7  # sd in pixels of every point
BACKGROUND = 0.04  # light where there is no cell
Masks = dict[str, np.ndarray]


class Cell:
    """One crop while it is painted.

    activity : of the factors that are active, > 0; planes : (5, s, s) float64 in about 0 … 1; masks : name -> (s, s)
    bool, of each active factor; body, nucleus : (s, s) bool
    """

    def __init__(self, activity: Mapping[str, float], side: int, rng: np.random.Generator):
        self.activity, self.side, self._rng = activity, side, rng
        self._y, self._x = np.indices((side, side)).astype(float)
        self._unit = side / 64  # sizes below are in pixels of a crop of 64
        self.planes = np.zeros((5, side, side))
        self.masks: Masks = {}
        self._center = (side - 1) / 2 + rng.uniform(-2, 2, 2) * self._unit
        self._outlines()
        self._nuclear()
        self._reticulum()
        self._actin()
        self._golgi()
        self._mitochondria()
        self._holes()
        self._around()

    def _on(self, name: str) -> float:
        return float(self.activity.get(name, 0.0))

    def _mark(self, name: str, mask: np.ndarray) -> None:
        if self._on(name):
            self.masks[name] = mask

    def _disk(self, y: float, x: float, radius: float) -> np.ndarray:
        return np.asarray(np.hypot(self._y - y, self._x - x) < radius * self._unit)

    def _disks(self, where: np.ndarray, n: int, radius: float) -> np.ndarray:
        """(s, s) bool: n disks with their centers in ``where``, cut to it."""
        made = np.zeros_like(where)
        places = np.argwhere(where)
        for i in self._rng.integers(0, len(places), n) if len(places) else ():
            made |= self._disk(places[i][0], places[i][1], radius * self._rng.uniform(0.8, 1.2))
        return made & where

    def _outlines(self) -> None:
        """Body and nucleus, or nuclei."""
        rng, on, unit = self._rng, self._on, self._unit
        radius = rng.normal(18, 1) * (1 + 0.35 * on("spread")) * (1 - 0.3 * min(on("rounded"), 1.5)) * unit
        wobble = 0.1 if not on("rounded") else 0.03
        y, x = self._y - self._center[0], self._x - self._center[1]
        angle, far = np.arctan2(y, x), np.hypot(y, x)
        edge = radius * (1 + wobble * np.sin(rng.integers(2, 5) * angle + rng.uniform(0, 6.3)))
        self.body = far < edge
        self._inside = edge - far  # pixels to the border
        size = (
            rng.normal(6, 0.3) * (1 + 0.45 * on("large_nucleus")) * (1 - 0.35 * min(on("small_nucleus"), 1.5))
        )
        long = 1.1 + 0.9 * on("elongated_nucleus")
        turn = rng.uniform(0, np.pi)
        shift = np.array([np.sin(turn), np.cos(turn)]) * unit * (0.5 * size + 3 if on("binucleate") else 0)
        if on("binucleate"):
            size *= 0.85
        self.nucleus = np.zeros_like(self.body)
        for sign in (1, -1) if on("binucleate") else (1,):
            a, b = y - sign * shift[0], x - sign * shift[1]
            tilt = turn + (np.pi / 2 if on("binucleate") else 0)
            along, across = b * np.cos(tilt) + a * np.sin(tilt), a * np.cos(tilt) - b * np.sin(tilt)
            self.nucleus |= np.hypot(along / np.sqrt(long), across * np.sqrt(long)) < size * unit
        for name in ("large_nucleus", "small_nucleus", "elongated_nucleus", "binucleate"):
            self._mark(name, self.nucleus)
        self.body |= self.nucleus
        for name in ("spread", "rounded"):
            self._mark(name, self.body)
        self.cytoplasm = self.body & ~self.nucleus
        self._away = ndimage.distance_transform_edt(~self.nucleus)  # pixels from the nucleus

    def _nuclear(self) -> None:
        """DNA, with spots where the chromatin is speckled; RNA with its nucleoli."""
        inner = ndimage.binary_erosion(self.nucleus, iterations=1)
        self.planes[DNA] += 0.55 * self.nucleus * self._uneven(0.06)
        if self._on("speckled_nucleus"):
            spots = self._disks(inner, 6, 1.4)
            self.planes[DNA] += 0.4 * self._on("speckled_nucleus") * spots
            self._mark("speckled_nucleus", spots)
        dense = 1 + 0.5 * self._on("rounded")
        self.planes[RNA] += (0.25 * dense * self.cytoplasm + 0.12 * self.nucleus) * self._uneven(0.1)
        large = self._on("large_nucleoli")
        nucleoli = self._disks(inner, 3, 2.4) if large else self._disks(inner, 2, 1.1)
        self.planes[RNA] += (0.2 + 0.35 * large) * nucleoli
        self._mark("large_nucleoli", nucleoli)

    def _reticulum(self) -> None:
        dense = 1 + 0.5 * self._on("rounded")
        fading = 0.5 + 0.5 * np.exp(-self._away / (8 * self._unit))
        self.planes[ER] += 0.32 * dense * self.cytoplasm * fading * self._uneven(0.1)
        ring = self.cytoplasm & (self._away <= 2.6 * self._unit)
        self.planes[ER] += 0.45 * self._on("er_ring") * ring
        self._mark("er_ring", ring)
        if self._on("er_patchy"):
            patches = self._disks(self.cytoplasm & (self._away > 4 * self._unit), 5, 3.2)
            self.planes[ER] += 0.4 * self._on("er_patchy") * patches
            self._mark("er_patchy", patches)

    def _actin(self) -> None:
        rim = self.body & (self._inside <= 2.5 * self._unit)
        self.planes[AGP] += 0.12 * self.body * self._uneven(0.1) + 0.08 * rim
        self.planes[AGP] += 0.45 * self._on("actin_cortex") * rim
        self._mark("actin_cortex", rim)
        turn, phase = self._rng.uniform(0, np.pi), self._rng.uniform(0, 6.3)
        across = self._y * np.cos(turn) + self._x * np.sin(turn)
        fibers = self.body & (np.sin(across * 2 * np.pi / (6 * self._unit) + phase) > 0.3)
        self.planes[AGP] += 0.35 * self._on("actin_fibers") * fibers
        self._mark("actin_fibers", fibers)

    def _golgi(self) -> None:
        if self._on("golgi_scattered"):
            bodies = self._disks(self.cytoplasm & (self._away > 2 * self._unit), 12, 1.3)
            strength = 0.25 + 0.3 * self._on("golgi_scattered")
        else:
            near = self.cytoplasm & (self._away > 2 * self._unit) & (self._away < 7 * self._unit)
            bodies = self._disks(near, 1, 3.4 if self._on("golgi_bright") else 1.8)
            strength = 0.25 + 0.4 * self._on("golgi_bright")
        self.planes[AGP] += strength * bodies
        self._mark("golgi_bright", bodies)
        self._mark("golgi_scattered", bodies)

    def _mitochondria(self) -> None:
        self.planes[MITO] += 0.15 * self.cytoplasm * self._uneven(0.25)
        if self._on("mito_fragments"):
            dots = self._disks(self.cytoplasm, 22, 1.2)
            self.planes[MITO] += 0.45 * self._on("mito_fragments") * dots
            self._mark("mito_fragments", dots)
        if self._on("mito_network"):
            threads = np.zeros_like(self.body)
            for angle in self._rng.uniform(0, 2 * np.pi, 8):
                bend, steps = self._rng.normal(0, 0.05), np.arange(0, 32, 0.4)
                heading = angle + bend * steps
                y = self._center[0] + np.cumsum(np.sin(heading)) * 0.4 * self._unit
                x = self._center[1] + np.cumsum(np.cos(heading)) * 0.4 * self._unit
                place = np.rint([y, x]).astype(int)
                place = place[:, ((place >= 0) & (place < self.side)).all(0)]
                threads[place[0], place[1]] = True
            threads = ndimage.binary_dilation(threads) & self.cytoplasm
            self.planes[MITO] += 0.4 * self._on("mito_network") * threads
            self._mark("mito_network", threads)

    def _holes(self) -> None:
        if self._on("vacuoles"):
            holes = self._disks(self.cytoplasm & (self._inside > 3 * self._unit), 5, 2.8)
            left = 1 - min(0.75 * self._on("vacuoles"), 0.95)
            self.planes[ER : AGP + 1, holes] *= left
            self._mark("vacuoles", holes)

    def _around(self) -> None:
        """Neighbors and debris, outside the cell."""
        if self._on("clumped"):
            others = np.zeros_like(self.body)
            start = self._rng.uniform(0, 2 * np.pi)
            far = float(np.sqrt(self.body.sum() / np.pi)) + 13 * self._unit
            for angle in start + np.array([0.0, 2.1, 4.2]):
                y, x = self._center[0] + far * np.sin(angle), self._center[1] + far * np.cos(angle)
                outside = ~self.body & ~others
                body, core = self._disk(y, x, 15) & outside, self._disk(y, x, 6) & outside
                for channel, level in ((ER, 0.25), (RNA, 0.25), (AGP, 0.15), (MITO, 0.15)):
                    self.planes[channel] += level * (body & ~core)
                self.planes[DNA] += 0.55 * core
                others |= body
            self._mark("clumped", others)
        if self._on("debris"):
            free = ~ndimage.binary_dilation(self.body, iterations=2)
            free[:2], free[-2:], free[:, :2], free[:, -2:] = False, False, False, False
            specks = self._disks(free, 3, 1.8)
            self.planes += 0.7 * self._on("debris") * specks
            self._mark("debris", specks)

    def _uneven(self, sd: float) -> np.ndarray:
        """(s, s) smooth noise around 1."""
        noise = ndimage.gaussian_filter(self._rng.normal(size=(self.side, self.side)), 1.5)
        return np.asarray(1 + sd * noise / noise.std())

    def exposed(self, gain: np.ndarray, noise: float) -> np.ndarray:
        """(s, s, 5) uint8: through the optics, with bleed-through, uneven light, a gain (5,) and noise."""
        everywhere = np.ones((self.side, self.side), bool)
        planes = self.planes * gain[:, None, None]
        if self._on("bleed_through"):
            planes[MITO] += 0.45 * self._on("bleed_through") * planes[DNA]
            self._mark("bleed_through", self.nucleus)
        sd = OPTICS * self._unit + 1.6 * self._on("blur") * self._unit
        planes = ndimage.gaussian_filter(planes, (0, sd, sd)) + BACKGROUND
        self._mark("blur", everywhere)
        if self._on("illumination"):
            turn = self._rng.uniform(0, 2 * np.pi)
            slope = (self._y * np.sin(turn) + self._x * np.cos(turn)) / self.side  # about −1 … 1
            slope -= slope.mean()
            planes = planes * (1 + 1.1 * self._on("illumination") * slope).clip(0.1)
            self._mark("illumination", everywhere)
        planes = planes + self._rng.normal(0, noise, planes.shape)
        return (255 * planes.clip(0, 1)).round().astype(np.uint8).transpose(1, 2, 0)
