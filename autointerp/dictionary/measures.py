"""What does a dictionary hold? Reconstruction, firing, known concepts and distinctness, measured in one call.

Everything is from protocols §7: what is chosen (latents, thresholds, probes) is chosen on develop items, and what is
reported comes from test items. Concepts are known to this file and the report alone; no prompt sees them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, vstack

from autointerp.evidence.splits import Split

BLOCK_ROWS = 8192
NO_DICTIONARY = "no dictionary: activations were brought"
PROBES = ("raw", "transferred", "refitted")
MEASURES = (  # in the order of the tables
    "fvu", "cosine", "l0", "dead_share", "dense_share",
    "selectivity_average", "selectivity_maximum", "probing_1", "probing_2", "probing_4", "probing_8",
    "coverage", "state_reconstruction", *(f"probe_{name}" for name in PROBES), "distinctness", "redundancy",
)  # fmt: skip
KEY_MEASURES = ("fvu", "selectivity", "coverage", "distinctness")  # what scores never stand without


@dataclass(frozen=True, eq=False)
class Ground:
    """What dictionaries are held against.

    split : explain, develop and test items
    x : (n, d) embeddings, or None where there are only activations
    concepts : (n,) the known concept of each item; missing ones (None, NaN) are left out; None for no concepts
    """

    split: Split
    x: Any
    concepts: np.ndarray | None = None

    def labeled(self, name: str) -> np.ndarray:
        """Rows of a split whose concept is known."""
        from sae.metrics.inputs import known

        assert self.concepts is not None
        rows = self.split.rows(name)
        return rows[known(self.concepts[rows])]


def encode_rows(dictionary: Any, x: Any) -> csr_array:
    """Codes (n, m) of all rows of x (n, d), CSR float32, by blocks."""
    from sae.metrics.inputs import from_codes

    parts = [
        from_codes(dictionary.encode(np.asarray(x[start : start + BLOCK_ROWS])), dictionary.config.m)
        for start in range(0, x.shape[0], BLOCK_ROWS)
    ]
    return csr_array(vstack(parts))


def measure(name: str, codes: Any, ground: Ground, dictionary: Any = None) -> dict[str, pd.DataFrame]:
    """Every measure of one dictionary.

    Parameters
    ----------
    name : stands in the first column of every table
    codes : (n, m) sparse ≥ 0, of all items
    dictionary : without one (activations that were brought) nothing is said of reconstruction

    Returns
    -------
    Tables by name, each tidy with a first column ``dictionary``:

    - ``summary``: measure (of `MEASURES`), value, n, of (what n counts), reason; one row a measure
    - ``firing``, ``redundancy``: per latent, on test items (``dead`` in the summary is by explain items)
    - ``best_selectivity``, ``sparse_probing``, ``coverage``, ``state_reconstruction``, ``reconstruction_probes``:
      per concept, as `sae.metrics` gives them; missing without concepts or (the last) without a dictionary
    """
    from sae.metrics.distinctness import distinctness, redundancy
    from sae.metrics.firing import firing
    from sae.metrics.quality import quality

    codes = csr_array(codes)
    explain, test = ground.split.rows("explain"), ground.split.rows("test")
    on_test = codes[test]
    tables = {"firing": firing(on_test), "redundancy": redundancy(on_test)}
    dead = firing(codes[explain])["dead"]
    said: dict[str, tuple[float, int, str, str]] = {}
    if dictionary is not None:
        found = quality(dictionary, ground.x, test)
        said |= {one: (found[one], len(test), "items", "") for one in ("fvu", "cosine")}
    else:
        said |= dict.fromkeys(("fvu", "cosine"), (np.nan, 0, "items", NO_DICTIONARY))
    m = codes.shape[1]
    said["l0"] = (tables["firing"]["n_active"].sum() / len(test), len(test), "items", "")
    said["dead_share"] = (float(dead.mean()), m, "latents", "")
    said["dense_share"] = (float(tables["firing"]["dense"].mean()), m, "latents", "")
    apart = distinctness(on_test).iloc[0]
    said["distinctness"] = (apart.distinctness, int(apart.varying), "latents", apart.reason)
    varying = tables["redundancy"][tables["redundancy"]["reason"] == ""]
    why = "" if len(varying) else "fewer than two latents vary over these items"
    share = float(varying["redundant"].mean()) if len(varying) else np.nan
    said["redundancy"] = (share, len(varying), "latents", why)
    if ground.concepts is not None:
        tables |= _by_concept(codes, ground, dictionary)
        said |= _over_concepts(tables)
    missing = "no concepts given" if ground.concepts is None else NO_DICTIONARY
    rows = [(one, *said.get(one, (np.nan, 0, "concepts", missing))) for one in MEASURES]
    tables = {"summary": pd.DataFrame(rows, columns=["measure", "value", "n", "of", "reason"])} | tables
    for frame in tables.values():
        frame.insert(0, "dictionary", name)
    return tables


def key_measures(codes: Any, ground: Ground, dictionary: Any) -> dict[str, float]:
    """The `KEY_MEASURES` alone, as in `measure`: selectivity is the average one; NaN where there are no concepts.

    codes : (n, m) sparse ≥ 0, of all items; dictionary : None where activations were brought: no FVU
    """
    from sae.metrics.concepts import best_selectivity
    from sae.metrics.coverage import coverage
    from sae.metrics.distinctness import distinctness
    from sae.metrics.inputs import one_hot
    from sae.metrics.quality import quality

    codes, test = csr_array(codes), ground.split.rows("test")
    found = dict.fromkeys(KEY_MEASURES, float("nan"))
    if dictionary is not None:
        found["fvu"] = float(quality(dictionary, ground.x, test)["fvu"])
    found["distinctness"] = float(distinctness(codes[test]).iloc[0].distinctness)
    if ground.concepts is not None:
        known = (one_hot(ground.concepts), ground.labeled("develop"), ground.labeled("test"))
        best = best_selectivity(codes, *known)
        found["selectivity"] = float(best.loc[best["kind"] == "average", "value"].mean())
        found["coverage"] = float(coverage(codes, *known)["f1"].mean())
    return found


def _by_concept(codes: csr_array, ground: Ground, dictionary: Any) -> dict[str, pd.DataFrame]:
    from sae.metrics.concepts import best_selectivity
    from sae.metrics.coverage import coverage, state_reconstruction
    from sae.metrics.inputs import one_hot
    from sae.metrics.probing import probes_on_reconstructions, sparse_probing

    assert ground.concepts is not None
    concepts = one_hot(ground.concepts)
    develop, test = ground.labeled("develop"), ground.labeled("test")
    tables = {
        "best_selectivity": best_selectivity(codes, concepts, develop, test),
        "sparse_probing": sparse_probing(codes, concepts, develop, test),
        "coverage": coverage(codes, concepts, develop, test),
        "state_reconstruction": state_reconstruction(codes, concepts, develop, test),
    }
    if dictionary is not None:
        rows = np.union1d(develop, test)
        x = np.asarray(ground.x[rows])
        copy = dictionary.decode(dictionary.encode(x), like=x)
        part = {name: mask[rows] for name, mask in concepts.items()}
        places = np.searchsorted(rows, develop), np.searchsorted(rows, test)
        tables["reconstruction_probes"] = probes_on_reconstructions(x, copy, part, *places)
    return tables


def _over_concepts(tables: Mapping[str, pd.DataFrame]) -> dict[str, tuple[float, int, str, str]]:
    """Means over the concepts that could be measured, and how many these are."""
    best, probing = tables["best_selectivity"], tables["sparse_probing"]
    columns = {
        f"selectivity_{kind}": best.loc[best["kind"] == kind, "value"] for kind in ("average", "maximum")
    }
    for size, part in probing.groupby("size"):
        columns[f"probing_{size}"] = part["balanced_accuracy"]
    for name in ("coverage", "state_reconstruction"):
        columns[name] = tables[name]["f1"]
    if "reconstruction_probes" in tables:
        columns |= {f"probe_{name}": tables["reconstruction_probes"][name] for name in PROBES}
    return {
        name: (
            float(values.mean()),
            int(values.count()),
            "concepts",
            "" if values.count() else "no concept could be measured",
        )
        for name, values in columns.items()
    }


def latent_table(name: str, codes: Any, ground: Ground, covariates: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """One row a latent, for those who look for one: how it fires, its twin, its concept, what is technical in it.

    Returns
    -------
    DataFrame of m rows: dictionary, latent, n_active and rate (all items), dead, dense, partner and correlation (the
    latent whose activations go with it most, on test); with concepts: concept (of the highest average selectivity on
    develop), selectivity (there, on test); per covariate ``explained_NAME``: adjusted share of the latent's variance
    over all items, NaN where it has none.
    """
    from sae.metrics.concepts import selectivity
    from sae.metrics.covariates import variance_explained
    from sae.metrics.distinctness import redundancy
    from sae.metrics.firing import firing
    from sae.metrics.inputs import one_hot

    codes = csr_array(codes)
    frame = firing(codes)[["latent", "n_active", "rate", "dead", "dense"]]
    twins = redundancy(codes[ground.split.rows("test")])
    frame[["partner", "correlation"]] = twins[["partner", "correlation"]]
    if ground.concepts is not None:
        names = list(one_hot(ground.concepts))
        by_part = []
        for part in ("develop", "test"):
            rows = ground.labeled(part)
            inside = one_hot(ground.concepts[rows])
            found = selectivity(codes[rows], {c: inside.get(c, np.zeros(len(rows), bool)) for c in names})
            by_part.append(found["average"].to_numpy().reshape(len(names), -1))  # (c, m)
        chosen, tested = by_part
        best = np.where(np.isnan(chosen), -np.inf, chosen).argmax(0)  # (m,)
        some = np.isfinite(chosen).any(0)
        frame["concept"] = np.where(some, np.array(names, dtype=object)[best], "")
        frame["selectivity"] = np.where(some, tested[best, np.arange(len(best))], np.nan)
    if covariates:
        shares = variance_explained(codes, covariates)
        for covariate, part in shares.groupby("covariate", sort=False):
            frame[f"explained_{covariate}"] = part["adjusted"].to_numpy()
    frame.insert(0, "dictionary", name)
    return frame
