"""Which cells have a known truth? Counts drawn from a few planted factors, each with labels from right to wrong.

n cells, g genes, f factors, d embedding. All parameters, factors and labels: ``params.toml``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.linalg import eigsh

HERE = Path(__file__).parent
GRADES = ("oracle", "paraphrase", "too_broad", "too_narrow", "near_miss", "wrong")
EMBEDDING = "X_planted"


@dataclass(frozen=True, slots=True)
class GradedLabel:
    """One label of a factor and how good it is, by construction."""

    grade: str  # of GRADES
    title: str
    description: str
    up: tuple[str, ...]
    down: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Factor:
    """A planted cause of expression."""

    name: str
    kind: str  # 'identity', 'state', 'technical': a label's kind
    up: tuple[str, ...]
    down: tuple[str, ...]
    labels: tuple[GradedLabel, ...]

    def graded(self, grade: str) -> tuple[GradedLabel, ...]:
        return tuple(label for label in self.labels if label.grade == grade)

    @property
    def oracle(self) -> GradedLabel:
        (label,) = self.graded("oracle")
        return label


@dataclass(frozen=True, eq=False)
class PlantedCells:
    """Cells and the truth about them.

    adata : (n, g) float32 CSR raw counts, whole numbers; obs donor, batch, cell_type; obsm X_pca and X_planted (n, d)
    activity : (n, f) float32 >= 0, exactly 0 where a factor is silent
    effects : (f, g) float32, change of log expected expression per unit of activity; the signed gene mask is its sign
    """

    adata: ad.AnnData
    activity: np.ndarray
    effects: np.ndarray
    factors: tuple[Factor, ...]

    def factor(self, name: str) -> int:
        """Column of a factor in ``activity``."""
        return [factor.name for factor in self.factors].index(name)


def load_params(path: Path = HERE / "params.toml") -> dict[str, Any]:
    """The committed parameters."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def planted_cells(params: dict[str, Any] | None = None, seed: int = 0) -> PlantedCells:
    """Draw the corpus; the same params and seed give the same cells.

    log share = base + type and lineage genes + activity @ effects + donor + batch, normalized over genes;
    counts ~ negative binomial(depth · share, θ), depth log-normal.
    """
    params = load_params() if params is None else params
    p, rng = params["cells"], np.random.default_rng(seed)
    factors = tuple(_factor(f) for f in params["factors"])
    genes = gene_names(params)
    effects = _effects(params, genes)

    types = params["types"]
    shares = np.array([t["share"] for t in types])
    kind = rng.choice(len(types), p["n_cells"], p=shares / shares.sum())  # (n,)
    donor = rng.integers(0, p["n_donors"], p["n_cells"])
    batch = donor % p["n_batches"]
    activity = _activity(params, kind, donor, rng)

    log_rate = _base(params, genes, rng) + _type_effects(params, genes)[kind]  # (n, g)
    log_rate += activity @ effects  # (n, f) @ (f, g)
    log_rate += rng.normal(0, p["donor_sd"], (p["n_donors"], len(genes)))[donor]
    log_rate += rng.normal(0, p["batch_sd"], (p["n_batches"], len(genes)))[batch]
    share = np.exp(log_rate)
    share /= share.sum(1, keepdims=True)
    depth = p["depth_median"] * np.exp(rng.normal(0, p["depth_sd"], p["n_cells"]))
    theta = p["dispersion"]
    counts = rng.poisson(rng.gamma(theta, share * depth[:, None] / theta))  # (n, g)

    width = len(str(p["n_cells"] - 1))
    obs = pd.DataFrame(
        {
            "donor": pd.Categorical([f"donor_{d:02d}" for d in donor]),
            "batch": pd.Categorical([f"batch_{b}" for b in batch]),
            "cell_type": pd.Categorical([types[t]["name"] for t in kind]),
        },
        index=[f"cell_{i:0{width}d}" for i in range(p["n_cells"])],
    )
    adata = ad.AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=pd.DataFrame(index=genes))
    adata.obsm["X_pca"], adata.obsm[EMBEDDING] = _embed(params["embedding"], counts, activity, rng)
    return PlantedCells(adata, activity.astype(np.float32), effects.astype(np.float32), factors)


def gene_names(params: dict[str, Any]) -> list[str]:
    """Every gene that a type, factor or label names, then symbols without a role, up to n_genes; sorted."""
    named = {g for lineage in params["lineages"].values() for g in lineage["genes"]}
    for holder in (
        *params["types"],
        *params["factors"],
        *(x for f in params["factors"] for x in f["labels"]),
    ):
        named |= {*holder.get("genes", ()), *holder.get("up", ()), *holder.get("down", ())}
    lines = (HERE / "symbols.txt").read_text(encoding="utf-8").splitlines()
    others = [line for line in lines if not line.startswith("#") and line not in named]
    missing = params["cells"]["n_genes"] - len(named)
    if not 0 <= missing <= len(others):
        raise ValueError(
            f"n_genes must lie in {len(named)} … {len(named) + len(others)}, got {params['cells']['n_genes']}"
        )
    return sorted(named) + sorted(others[:missing])


def _factor(given: dict[str, Any]) -> Factor:
    labels = tuple(
        GradedLabel(x["grade"], x["title"], x["description"], tuple(x["up"]), tuple(x["down"]))
        for x in given["labels"]
    )
    return Factor(given["name"], given["kind"], tuple(given["up"]), tuple(given["down"]), labels)


def _effects(params: dict[str, Any], genes: list[str]) -> np.ndarray:
    """(f, g) signed."""
    names = np.array(genes)
    rows = [
        f["effect"] * (np.isin(names, f["up"]) * 1.0 - np.isin(names, f["down"])) for f in params["factors"]
    ]
    return np.array(rows)


def _type_effects(params: dict[str, Any], genes: list[str]) -> np.ndarray:
    """(types, g): markers of the types that are no factor, and those that a lineage shares."""
    names, out = np.array(genes), np.zeros((len(params["types"]), len(genes)))
    for row, given in zip(out, params["types"], strict=True):
        sources = [given] if "genes" in given else []
        sources += [params["lineages"][given["lineage"]]] if "lineage" in given else []
        for source in sources:
            row += source["effect"] * np.isin(names, source["genes"])
    return out


def _base(params: dict[str, Any], genes: list[str], rng: np.random.Generator) -> np.ndarray:
    """(g,) log expression where every factor is silent: markers low, genes that fall and MT- genes high."""
    p, names = params["cells"], np.array(genes)
    falling = [g for f in params["factors"] for g in f["down"]]
    marker = (_effects(params, genes) > 0).any(0) | (_type_effects(params, genes) > 0).any(0)
    steady = np.isin(names, falling) | np.char.startswith(names, "MT-")
    base = rng.normal(0, p["base_sd"], len(genes))
    base = np.where(marker, rng.normal(p["marker_base"], p["marker_base_sd"], len(genes)), base)
    return np.where(steady, rng.normal(p["steady_base"], p["marker_base_sd"], len(genes)), base)


def _activity(
    params: dict[str, Any], kind: np.ndarray, donor: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(n, f): Gamma with mean 1 where active, else 0. An identity is active in its type, a program by donor."""
    p, names = params["cells"], [t["name"] for t in params["types"]]
    columns = []
    for given in params["factors"]:
        if "type" in given:
            active = kind == names.index(given["type"])
        else:
            mean, c = given["prevalence"], p["donor_concentration"]
            active = rng.random(len(kind)) < rng.beta(mean * c, (1 - mean) * c, p["n_donors"])[donor]
        strength = rng.gamma(p["activity_shape"], 1 / p["activity_shape"], len(kind))
        columns.append(np.where(active, strength, 0.0))
    return np.column_stack(columns)


def _embed(
    p: dict[str, Any], counts: np.ndarray, activity: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """PCs of log-normalized counts (n, n_pcs), and the same rotated into (n, d) plus activity @ directions plus noise.

    The second stands for a good foundation model: what it knows of the factors is linear and noisy, in a superposition
    with the leading components.
    """
    logged = np.log1p(counts / np.maximum(counts.sum(1, keepdims=True), 1) * np.median(counts.sum(1)))
    centered = logged - logged.mean(0)  # (n, g)
    gram = centered.T @ centered  # (g, g)
    axes = eigsh(gram, p["n_pcs"], v0=np.ones(len(gram)))[1][:, ::-1]  # (g, n_pcs), largest first
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    pcs = centered @ axes
    pcs /= np.sqrt(pcs.var(0).sum())
    rotation = np.linalg.qr(rng.normal(size=(p["n_dims"], p["n_dims"])))[0][: p["n_pcs"]]  # (n_pcs, d)
    directions = rng.normal(size=(activity.shape[1], p["n_dims"]))
    directions *= p["factor_strength"] / np.linalg.norm(directions, axis=1, keepdims=True)
    mixed = pcs @ rotation + activity @ directions + rng.normal(0, p["noise_sd"], (len(pcs), p["n_dims"]))
    return pcs.astype(np.float32), mixed.astype(np.float32)
