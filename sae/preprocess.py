"""How does an embedding become what a dictionary sees, and back? Centre, scale or whiten, and norm: all fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, NewType

import numpy as np
import torch
from torch import Tensor

from .config import CENTERS, SCALINGS, Center, DictionaryConfig, Scaling
from .rows import Rows, chosen_rows
from .whitening import ROUNDING, Whitening, moments, whitening

Scaled = NewType("Scaled", Tensor)
"""(b, p) float32 in the dictionary's space. Only `Preprocessing.forward` makes one, so the type checker sees
to it that no raw embedding reaches an encoder."""


class Record(NamedTuple):
    """What a preprocessing was fitted on and what it keeps; stored beside the weights.

    rows : number of rows
    controls : how many of them are control rows that decided center or whitening, 0 for none
    components : p, the dimensions of T(x): d, or fewer where whitening drops some
    shrinkage : α of the whitened covariance (`whitening`), 0 where there was no need
    """

    rows: int
    controls: int
    components: int
    shrinkage: float

    @classmethod
    def of(cls, values: dict[str, Any], config: DictionaryConfig) -> Record:
        """From what `Preprocessing.record` gave. ``ValueError`` where a value is missing or impossible."""
        if set(values) != set(cls._fields):
            raise ValueError(f"must hold {', '.join(cls._fields)}, got {', '.join(sorted(values))}")
        made = cls(**values)
        whole = all(type(value) is int and value >= 0 for value in made[:3])
        if not (whole and type(made.shrinkage) in (int, float) and 0 <= made.shrinkage <= 1):
            raise ValueError(f"counts must be whole numbers and shrinkage a share, got {values}")
        fewest = 1 if config.scaling == "whiten" else config.d
        if not fewest <= made.components <= config.d:
            raise ValueError(
                f"components = {made.components} does not fit d = {config.d} and {config.scaling}"
            )
        return made

    def shapes(self, config: DictionaryConfig) -> dict[str, tuple[int, ...]]:
        """What `Preprocessing.arrays` holds, all float32."""
        d, p = config.d, self.components
        if config.scaling == "whiten":
            return {"center": (d,), "whitening": (d, p), "unwhitening": (p, d)}
        return {"center": (d,), "scale": (d,)}


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """T(x) = y / ‖y‖ with ``unit_norm``, else y; y = (x − center) / scale, or (x − center) @ whitening.forward.

    center : (d,) float32: the mean of the rows, that of the controls, or 0
    scale : (d,) float32, > 0; 1 where there is a whitening
    method : ``global`` — scale is one number for all dimensions, so that the mean variance of y is 1: geometry
        is kept. ``dimension`` — each dimension has variance 1. ``whiten`` — the covariance of the controls (of
        all rows where there are none) becomes the identity on the p components that are kept. ``none`` — no
        scale.
    whitening : with ``whiten`` alone
    unit_norm : an item at the center becomes 0

    All is affine but the norm. An item's norm is not part of T(x): what goes back takes it from the item.
    """

    center: Tensor
    scale: Tensor
    method: Scaling
    whitening: Whitening | None = None
    unit_norm: bool = False
    rows: int = 0  # on which it was fitted
    controls: int = 0  # of these, the control rows that decided center or whitening

    def __post_init__(self) -> None:
        if self.method not in SCALINGS:
            raise ValueError(f"unknown scaling {self.method!r}; known are {', '.join(SCALINGS)}")
        if self.center.ndim != 1 or self.center.shape != self.scale.shape:
            shapes = f"{tuple(self.center.shape)} and {tuple(self.scale.shape)}"
            raise ValueError(f"center and scale must both be (d,), got {shapes}")
        finite = torch.isfinite(self.center) & torch.isfinite(self.scale)
        if not bool((finite & (self.scale > 0)).all()):
            raise ValueError("center must be finite, scale finite and positive")
        if (self.whitening is not None) != (self.method == "whiten"):
            raise ValueError(f"scaling {self.method!r} and a whitening, or the lack of one, do not fit")
        if self.whitening is not None:
            forward, back = self.whitening.forward, self.whitening.back
            d, p = len(self.center), forward.shape[-1]
            if forward.shape != (d, p) or back.shape != (p, d) or not 1 <= p <= d:
                shapes = f"{tuple(forward.shape)} and {tuple(back.shape)}"
                raise ValueError(f"a whitening of {d} dimensions is (d, p) and back (p, d), got {shapes}")
            if not bool(torch.isfinite(forward).all() and torch.isfinite(back).all()):
                raise ValueError("a whitening must be finite")

    @classmethod
    def fit(
        cls,
        x: Rows,
        rows: np.ndarray | None = None,
        method: Scaling = "global",
        block_rows: int = 16384,
        *,
        center: Center | None = None,
        unit_norm: bool = False,
        controls: np.ndarray | None = None,
    ) -> Preprocessing:
        """Stream over ``rows`` of x (n, d), all for None; float64 moments.

        center : None for the mean, and for 0 where method is ``none``
        controls : row numbers among ``rows``; used by center ``controls`` and method ``whiten`` alone

        A dimension without variance gets scale 1. ``ValueError`` names the first row that holds NaN or
        infinity; it refuses rows that are all the same, controls that are not among the rows, and center
        ``controls`` without controls.
        """
        if center is None:
            center = "none" if method == "none" else "mean"
        if center not in CENTERS:
            raise ValueError(f"unknown center {center!r}; known are {', '.join(CENTERS)}")
        rows = chosen_rows(x, rows)
        controls = None if controls is None else _among(x, rows, controls)
        if center == "controls" and controls is None:
            raise ValueError(
                "centering on controls needs controls; say which rows they are, or center on the mean"
            )
        count, mean, squares = moments(x, rows, block_rows, full=False)
        std = np.sqrt(squares / count)  # (d,)
        std[std <= ROUNDING * np.abs(mean)] = 0
        if not std.any():
            raise ValueError(f"all {count} rows of the embedding are the same: there is nothing to learn")
        scale, found = np.ones(len(mean)), None
        if method == "dimension":
            scale = np.where(std > 0, std, 1.0)
        elif method == "global":
            scale = np.full(len(mean), np.sqrt((std**2).mean()))
        elif method == "whiten":
            found = whitening(x, rows, controls, block_rows)
        if center == "none":
            mean = np.zeros(len(mean))
        elif center == "controls" and controls is not None:
            mean = moments(x, controls, block_rows, full=False).mean
        used = controls is not None and (center == "controls" or method == "whiten")
        n_controls = len(controls) if controls is not None and used else 0
        held, scaled = torch.from_numpy(mean).float(), torch.from_numpy(scale).float()
        return cls(held, scaled, method, found, unit_norm, count, n_controls)

    @classmethod
    def of_arrays(
        cls, config: DictionaryConfig, record: Record, arrays: dict[str, np.ndarray]
    ) -> Preprocessing:
        """From what `arrays` and `record` gave. ``ValueError`` where a number is impossible."""
        assert config.scaling and config.unit_norm is not None
        held = {name: torch.from_numpy(values) for name, values in arrays.items()}
        scale = held.get("scale", torch.ones(config.d))
        found = None
        if config.scaling == "whiten":
            found = Whitening(held["whitening"], held["unwhitening"], record.shrinkage)
        chosen = config.scaling, found, config.unit_norm, record.rows, record.controls
        return cls(held["center"], scale, *chosen)

    @property
    def width(self) -> int:
        """p, the dimensions of T(x): d, or fewer where whitening drops components."""
        return len(self.center) if self.whitening is None else self.whitening.forward.shape[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array that it consists of, by the name under which it is saved."""
        held = {"center": self.center.numpy()}
        if self.whitening is None:
            return held | {"scale": self.scale.numpy()}
        return held | {
            "whitening": self.whitening.forward.numpy(),
            "unwhitening": self.whitening.back.numpy(),
        }

    def record(self) -> dict[str, int | float]:
        """`Record` as plain values."""
        alpha = 0.0 if self.whitening is None else self.whitening.shrinkage
        return Record(self.rows, self.controls, self.width, alpha)._asdict()

    @property
    def summary(self) -> str:
        """One sentence on what whitening keeps and what controls decided; '' where neither is used."""
        fitted = f"{self.controls:,} control rows" if self.controls else f"{self.rows:,} rows (no controls)"
        if self.whitening is None:
            return f"Embeddings are centered on {fitted}." if self.controls else ""
        kept = f"Whitening keeps {self.width} of {len(self.center)} components, fitted on {fitted}"
        alpha = self.whitening.shrinkage
        if not alpha:
            return f"{kept}."
        target = "that of all rows" if 0 < self.controls < self.rows else "independent dimensions"
        return f"{kept}; so few that their covariance is drawn by {alpha:.2g} towards {target}."

    def forward(self, x: Tensor) -> Scaled:
        """T(x), (b, d) → (b, p)."""
        y = self.linear(x)
        if self.unit_norm:
            y = y / _norms(y).clamp_min(torch.finfo(y.dtype).tiny)
        return Scaled(y)

    def linear(self, x: Tensor) -> Tensor:
        """y, T(x) before the norm, (b, d) → (b, p)."""
        about = x - self.center
        if self.whitening is None:
            return about / self.scale
        return about @ self.whitening.forward.to(about.dtype)  # (b, d) @ (d, p) -> (b, p)

    def norms(self, x: Tensor) -> Tensor:
        """(b, 1), what divides y: ‖y‖ with ``unit_norm``, else 1."""
        return _norms(self.linear(x)) if self.unit_norm else x.new_ones(len(x), 1)

    def inverse(self, scaled: Tensor, like: Tensor | None = None) -> Tensor:
        """T⁻¹, (b, p) → (b, d); components that whitening dropped are at the center.

        like : (b, d), the items whose norms are meant; needed with ``unit_norm``, of no effect without
        """
        if self.unit_norm:
            if like is None:
                raise ValueError("unit norm forgets how long an item was: pass like, the items themselves")
            scaled = scaled * self.norms(like)
        return self._step_back(scaled) + self.center

    def move(self, x: np.ndarray, step: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
        """x + the step (b, p) taken back to the embedding, (b, d) → (b, d) in the dtype of x.

        That is T⁻¹(T(x) + step) with the components that whitening dropped, and with ``unit_norm`` the norm of
        ``like`` (b, d), by default x: the step is multiplied by it. A step of 0 gives x exactly.
        """
        wide = np.result_type(x.dtype, np.float32)
        moved = torch.from_numpy(np.asarray(step, dtype=wide))
        if self.unit_norm:
            moved = moved * self.norms(torch.from_numpy(np.asarray(x if like is None else like, dtype=wide)))
        return (x + self._step_back(moved).numpy()).astype(x.dtype)

    def _step_back(self, y: Tensor) -> Tensor:
        if self.whitening is None:
            return y * self.scale
        return y @ self.whitening.back.to(y.dtype)  # (b, p) @ (p, d) -> (b, d)


def _norms(y: Tensor) -> Tensor:
    return torch.linalg.vector_norm(y, dim=1, keepdim=True)  # (b, 1)


def _among(x: Rows, rows: np.ndarray, controls: np.ndarray) -> np.ndarray:
    """Row numbers of controls, ascending. ``ValueError`` where there are none or one is not among the rows."""
    if not len(controls):
        raise ValueError("controls were given, but none of them is among the rows")
    controls = chosen_rows(x, controls)
    strange = np.setdiff1d(controls, rows)
    if len(strange):
        raise ValueError(f"control row {strange[0]} is not among the rows that the dictionary is fitted on")
    return controls
