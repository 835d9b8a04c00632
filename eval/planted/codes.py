"""Does a dictionary find what is there? Embeddings made of known directions, known sparse codes and noise.

n items, d embedding, t true directions. All parameters: ``codes.toml``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
DESIGNS = ("sparse", "nested", "anisotropic")


@dataclass(frozen=True, eq=False)
class PlantedCodes:
    """Embeddings and the truth about them: x = codes @ atoms + noise.

    x : (n, d) float32; the last rows are the controls, if there are any
    codes : (n, t) float32 ≥ 0, exactly 0 where a factor is silent, and in all controls
    atoms : (t, d) float32, unit rows
    controls : (n,) bool, rows of noise alone
    parent : (t,) int, the factor without which this one is never active, −1 for none
    """

    x: np.ndarray
    codes: np.ndarray
    atoms: np.ndarray
    controls: np.ndarray
    parent: np.ndarray

    @property
    def l0(self) -> float:
        """Mean number of active factors among the rows that are no controls."""
        return float((self.codes[~self.controls] > 0).sum(1).mean())


def parameters(design: str, **changed: Any) -> dict[str, Any]:
    """The committed parameters of a design, for tests some of them changed."""
    values = tomllib.loads((HERE / "codes.toml").read_text(encoding="utf-8"))[design]
    unknown = set(changed) - set(values)
    if unknown:
        raise ValueError(f"{design} has no parameter {sorted(unknown)[0]!r}; it has {', '.join(values)}")
    return values | changed


def planted_codes(design: str, seed: int = 0, **changed: Any) -> PlantedCodes:
    """Draw one design of `DESIGNS`; the same arguments give the same bytes.

    Atoms are uniform on the sphere. Factors are active independently of each other (``sparse``,
    ``anisotropic``), or a child only where its parent is (``nested``). Strengths are log-normal.
    """
    held = parameters(design, **changed)
    rng = np.random.default_rng([seed, DESIGNS.index(design)])
    n, d = held["n"], held["d"]
    active, parent = _nested(rng, held) if design == "nested" else _independent(rng, held)
    atoms = rng.normal(size=(len(parent), d))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = active * np.exp(held["strength_sd"] * rng.normal(size=active.shape))  # (n, t)
    signal = codes @ atoms  # (n, d)
    total = held["noise_share"] * signal.var(0).sum()
    rows = n + held["n_controls"]
    noise = rng.normal(size=(rows, d)) @ _root_covariance(rng, d, total, held["noise_spread"])
    codes = np.concatenate([codes, np.zeros((rows - n, len(parent)))])
    noise[:n] += signal
    controls = np.arange(rows) >= n
    return PlantedCodes(
        noise.astype(np.float32), codes.astype(np.float32), atoms.astype(np.float32), controls, parent
    )


def mean_max_cosine(atoms: np.ndarray, directions: np.ndarray) -> float:
    """Mean over true atoms (t, d) of the largest cosine with a learned direction (m, d), of any length."""
    unit = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    return float((atoms @ unit.T).max(1).mean())


def _independent(rng: np.random.Generator, held: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(n, t) bool, which factors are active; and that none has a parent."""
    t = held["atoms"]
    rates = np.exp(held["rate_sd"] * rng.normal(size=t))
    rates = np.minimum(rates / rates.mean() * held["mean_active"] / t, 0.5)
    return rng.random((held["n"], t)) < rates, np.full(t, -1)


def _nested(rng: np.random.Generator, held: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Parents first, then the children of the first parent, of the second …"""
    n, parents, children = held["n"], held["parents"], held["children"]
    on = rng.random((n, parents)) < held["parent_rate"]
    which = (rng.random((n, parents)) * children / held["child_given_parent"]).astype(int)  # ≥ children: none
    young = on[:, :, None] & (which[:, :, None] == np.arange(children))  # (n, parents, children)
    parent = np.concatenate([np.full(parents, -1), np.repeat(np.arange(parents), children)])
    return np.concatenate([on, young.reshape(n, -1)], axis=1), parent


def _root_covariance(rng: np.random.Generator, d: int, total: float, spread: float) -> np.ndarray:
    """(d, d) with r rᵀ of trace ``total`` and log-spaced eigenvalues, largest / smallest = ``spread``."""
    values = np.geomspace(1.0, spread, d)
    values *= total / values.sum()
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return axes * np.sqrt(values) @ axes.T
