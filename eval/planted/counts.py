"""Which cells have a known truth? Counts drawn from planted factors, whose labels go from right to wrong.

n cells, g genes, f factors, d embedding. One generator, two parameter files: ``params.toml`` (6 factors, for fast
tests) and ``full.toml`` (43 factors).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.linalg import eigsh

from eval.planted.activity import draw_activity, draw_types, second_cells, with_second_cells
from eval.planted.labels import Factor, factors_of, gene_mask

HERE = Path(__file__).parent
SMALL, FULL = HERE / "params.toml", HERE / "full.toml"
EMBEDDING = "X_planted"
BLOCK = 4000  # cells whose counts are drawn at once; more than this and the memory is felt
MIXTURES = ("ambient", "doublet")  # factors that mix profiles instead of raising log expression


@dataclass(frozen=True, eq=False)
class PlantedCells:
    """Cells and the truth about them.

    adata : (n, g) float32 CSR raw counts, whole numbers; obs donor, batch, cell_type; obsm X_pca and X_planted (n, d)
        if the parameters have an [embedding]
    activity : (n, f) float32 >= 0, exactly 0 where a factor is silent; in doublets the mean of both cells
    effects : (f, g) float32, change of log expected expression per unit of activity (nominal for ambient RNA and
        doublets, which mix profiles); the signed gene mask is its sign
    """

    adata: ad.AnnData
    activity: np.ndarray
    effects: np.ndarray
    factors: tuple[Factor, ...]

    def factor(self, name: str) -> int:
        """Column of a factor in ``activity``."""
        return [factor.name for factor in self.factors].index(name)

    def shown_by(self, factors: Sequence[str], row: int) -> frozenset[str]:
        """Genes that rise with these factors, in any cell."""
        return frozenset(gene for factor in self.factors if factor.name in factors for gene in factor.up)


def load_params(path: Path = SMALL) -> dict[str, Any]:
    """The committed parameters, by default of the small corpus."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def planted_cells(params: dict[str, Any] | None = None, seed: int = 0) -> PlantedCells:
    """Draw the corpus; the same params and seed give the same cells.

    log share = base + type and lineage genes + activity @ effects + donor + batch, normalized over genes;
    counts ~ negative binomial(depth · share, θ), depth log-normal. Of cells with ambient RNA a part of the share is
    the ambient profile's; to a doublet the second cell's depth · share is added.
    """
    params = load_params() if params is None else params
    p, rng = params["cells"], np.random.default_rng(seed)
    genes = gene_names(params)
    effects = _effects(params, genes, rng)
    kind, donor = draw_types(params, rng)
    batch = donor % p["n_batches"]
    activity = draw_activity(params, kind, donor, rng)  # (n, f) of each first cell

    base, by_type = _base(params, genes, effects, rng), _type_effects(params, genes)
    linear = effects * [[f.get("technical") not in MIXTURES] for f in params["factors"]]
    by_donor = rng.normal(0, p["donor_sd"], (p["n_donors"], len(genes)))
    by_batch = rng.normal(0, p["batch_sd"], (p["n_batches"], len(genes)))
    depth = p["depth_median"] * np.exp(rng.normal(0, p["depth_sd"], p["n_cells"]))

    def share(rows: np.ndarray) -> np.ndarray:
        """(b, g) of these cells, alone in their droplet."""
        log_rate = base + by_type[kind[rows]] + activity[rows] @ linear + by_donor[donor[rows]]
        odds = np.exp(log_rate + by_batch[batch[rows]])
        return odds / odds.sum(1, keepdims=True)

    for j, given in enumerate(params["factors"]):
        if given.get("technical") == "depth":
            depth *= np.exp(-given["depth_effect"] * activity[:, j])
    partner = second_cells(params, activity, donor, rng)
    soup = _ambient(params, effects, activity, share)
    theta, drawn = p["dispersion"], []
    for rows in np.split(np.arange(p["n_cells"]), range(BLOCK, p["n_cells"], BLOCK)):
        own = share(rows)
        if soup is not None:
            foreign, profile = soup
            own += foreign[rows, None] * (profile - own)
        rate = own * depth[rows, None]
        double = partner[rows] >= 0
        rate[double] += share(partner[rows[double]]) * depth[partner[rows[double]], None]
        drawn.append(sparse.csr_matrix(rng.poisson(rng.gamma(theta, rate / theta)).astype(np.float32)))
    counts = sparse.vstack(drawn, format="csr")  # (n, g)
    activity = with_second_cells(params, activity, depth, partner)

    adata = ad.AnnData(counts, obs=_obs(params, kind, donor, batch), var=pd.DataFrame(index=genes))
    if "embedding" in params:
        adata.obsm["X_pca"], adata.obsm[EMBEDDING] = _embed(
            params["embedding"], counts.toarray().astype(np.int64), activity, rng
        )
    return PlantedCells(adata, activity.astype(np.float32), effects.astype(np.float32), factors_of(params))


def _obs(params: dict[str, Any], kind: np.ndarray, donor: np.ndarray, batch: np.ndarray) -> pd.DataFrame:
    width = len(str(len(kind) - 1))
    return pd.DataFrame(
        {
            "donor": pd.Categorical([f"donor_{d:02d}" for d in donor]),
            "batch": pd.Categorical([f"batch_{b}" for b in batch]),
            "cell_type": pd.Categorical([params["types"][t]["name"] for t in kind]),
        },
        index=[f"cell_{i:0{width}d}" for i in range(len(kind))],
    )


def _ambient(
    params: dict[str, Any],
    effects: np.ndarray,
    activity: np.ndarray,
    share: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray] | None:
    """Which part of each cell's profile is ambient (n,) ≤ 0.9, and the ambient profile (g,): the mean over 600 cells
    with the factor's genes raised."""
    for j, given in enumerate(params["factors"]):
        if given.get("technical") == "ambient":
            rows = np.linspace(0, len(activity) - 1, min(600, len(activity))).astype(int)
            profile = share(rows).mean(0) * np.exp(given["ambient_rise"] * (effects[j] > 0))
            return np.minimum(given["effect"] * activity[:, j], 0.9), profile / profile.sum()
    return None


def gene_names(params: dict[str, Any]) -> list[str]:
    """Every gene that a type, factor or label names, then symbols without a role, up to n_genes; sorted."""
    named = {g for lineage in params.get("lineages", {}).values() for g in lineage["genes"]}
    for holder in (
        *params["types"],
        *params["factors"],
        *(x for f in params["factors"] for x in f.get("labels", ())),
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


def _effects(params: dict[str, Any], genes: list[str], rng: np.random.Generator) -> np.ndarray:
    """(f, g) signed; the genes of a factor differ if ``loading_sd`` is set."""
    names, rows = np.array(genes), []
    for f in params["factors"]:
        up, down = gene_mask(params, f)
        row = f["effect"] * (np.isin(names, up) * 1.0 - np.isin(names, down))
        if "loading_sd" in params["cells"]:
            row *= np.exp(rng.normal(0, params["cells"]["loading_sd"], len(genes)))
        rows.append(row)
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


def _base(
    params: dict[str, Any], genes: list[str], effects: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(g,) log expression where every factor is silent: markers low, genes that fall and MT- genes high."""
    p, names = params["cells"], np.array(genes)
    falling = [g for f in params["factors"] for g in f.get("down", ())]
    marker = (effects > 0).any(0) | (_type_effects(params, genes) > 0).any(0)
    steady = np.isin(names, falling) | np.char.startswith(names, "MT-")
    base = rng.normal(0, p["base_sd"], len(genes))
    base = np.where(marker, rng.normal(p["marker_base"], p["marker_base_sd"], len(genes)), base)
    return np.where(steady, rng.normal(p["steady_base"], p["marker_base_sd"], len(genes)), base)


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
