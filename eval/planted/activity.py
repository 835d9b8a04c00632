"""Which factors are active in which cells, and how strongly? n cells, f factors, o donors."""

from __future__ import annotations

from typing import Any

import numpy as np

NOT_CARRIED = (
    "depth",
    "ambient",
    "doublet",
)  # technical factors that a doublet's second cell does not bring along


def draw_types(params: dict[str, Any], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Type and donor of every cell, both (n,) int. With ``type_concentration`` the types' shares vary over donors."""
    p = params["cells"]
    shares = np.array([t["share"] for t in params["types"]])
    shares /= shares.sum()
    kind = rng.choice(len(shares), p["n_cells"], p=shares)
    donor = rng.integers(0, p["n_donors"], p["n_cells"])
    if "type_concentration" in p:
        by_donor = rng.dirichlet(shares * p["type_concentration"], p["n_donors"])  # (o, types)
        bounds = by_donor.cumsum(1)[:, :-1]
        kind = (rng.random(p["n_cells"])[:, None] > bounds[donor]).sum(1)
    return kind, donor


def draw_activity(
    params: dict[str, Any], kind: np.ndarray, donor: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(n, f): positive with mean 1 where active, else exactly 0; Gamma or log-normal."""
    p, names = params["cells"], [f["name"] for f in params["factors"]]
    columns: list[np.ndarray] = []
    for given in params["factors"]:
        active = _active(params, given, kind, donor, dict(zip(names, columns, strict=False)), rng)
        if "activity_shape" in p:
            strength = rng.gamma(p["activity_shape"], 1 / p["activity_shape"], len(kind))
        else:
            strength = np.exp(rng.normal(-(p["activity_sd"] ** 2) / 2, p["activity_sd"], len(kind)))
        columns.append(np.where(active, strength, 0.0))
    return np.column_stack(columns)


def _active(
    params: dict[str, Any],
    given: dict[str, Any],
    kind: np.ndarray,
    donor: np.ndarray,
    earlier: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """(n,) bool. ``earlier`` holds the activity of the factors that are drawn already."""
    p, types = params["cells"], [t["name"] for t in params["types"]]
    if "type" in given or "types" in given:
        wanted = given.get("types", [given.get("type")])
        return np.isin(kind, [types.index(name) for name in wanted])
    if "with" in given:
        other = earlier[given["with"]] > 0
        first = next(f["prevalence"] for f in params["factors"] if f["name"] == given["with"])
        together, apart = conditional_rates(first, given["prevalence"], given["phi"])
        return rng.random(len(kind)) < np.where(other, together, apart)
    c = given.get("donor_concentration", p["donor_concentration"])
    if "prevalence_by_batch" in given:
        mean = np.array(given["prevalence_by_batch"])[np.arange(p["n_donors"]) % p["n_batches"]]  # (o,)
    else:
        mean = given["prevalence"]
    drawn, rate = rng.random(len(kind)), rng.beta(mean * c, (1 - mean) * c, p["n_donors"])[donor]
    eligible = np.ones(len(kind), dtype=bool)
    for lineages in [given["doublet_of"]] if "doublet_of" in given else []:
        eligible &= np.any([earlier[lineage] > 0 for lineage in lineages], axis=0)
    for excluded in given.get("excludes", ()):
        eligible &= earlier[excluded] == 0
    return eligible & (drawn < rate / eligible.mean())


def conditional_rates(first: float, second: float, phi: float) -> tuple[float, float]:
    """P(second | first) and P(second | not first) at which two events of these rates have Pearson correlation phi.

    P(both) = first · second + phi · √(first (1 − first) second (1 − second)).

    Raises
    ------
    ValueError
        If no two events of these rates are so correlated.
    """
    both = first * second + phi * np.sqrt(first * (1 - first) * second * (1 - second))
    together, apart = both / first, (second - both) / (1 - first)
    if not (-1e-9 <= together <= 1 + 1e-9 and -1e-9 <= apart <= 1 + 1e-9):
        raise ValueError(f"rates {first} and {second} cannot have correlation {phi}")
    return float(together), float(apart)


def second_cells(
    params: dict[str, Any],
    activity: np.ndarray,
    donor: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """(n,) row of the second cell of each doublet, −1 elsewhere: of the same donor and the other lineage, one that is
    itself neither a doublet nor excluded from being one."""
    names = [f["name"] for f in params["factors"]]
    partner = np.full(len(activity), -1)
    for column, given in enumerate(params["factors"]):
        if given.get("technical") != "doublet":
            continue
        lineages = [activity[:, names.index(lineage)] > 0 for lineage in given["doublet_of"]]
        barred = [column, *(names.index(excluded) for excluded in given.get("excludes", ()))]
        single = (activity[:, barred] == 0).all(1)
        for cell in np.flatnonzero(activity[:, column] > 0):
            other = lineages[1] if lineages[0][cell] else lineages[0]
            pool = np.flatnonzero(single & other & (donor == donor[cell]))
            pool = pool if len(pool) else np.flatnonzero(single & other)
            partner[cell] = rng.choice(pool)
    return partner


def with_second_cells(
    params: dict[str, Any], activity: np.ndarray, depth: np.ndarray, partner: np.ndarray
) -> np.ndarray:
    """(n, f) activity of what the droplets hold: in doublets the mean of both cells, weighted by their depth (n,).

    A factor that is active in either cell is active in the doublet, so two identities can be.
    """
    carried = [f.get("technical") not in NOT_CARRIED for f in params["factors"]]
    rows = np.flatnonzero(partner >= 0)
    own = (depth[rows] / (depth[rows] + depth[partner[rows]]))[:, None]
    mixed = activity.copy()
    mixed[rows] = np.where(
        carried, own * activity[rows] + (1 - own) * activity[partner[rows]], activity[rows]
    )
    return mixed
