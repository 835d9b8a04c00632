"""How do the latents become an AnnData that scanpy reads? Items × latents, sparse, with what is known.

Slots written: ``X`` float32 CSR activations; ``obs`` and ``obsm`` as given; ``var`` (index: the number of
the latent as text) with the columns of the latents' table and ``name``; ``uns`` as given. h5ad cannot hold
everything that Python can: what it cannot is written as JSON text or under another name, and
``uns['autointerp_sanitized']`` lists each case.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from autointerp.results.atomic import whole_file

if TYPE_CHECKING:
    from anndata import AnnData

RECORD = "autointerp_sanitized"
_SLASH = "∕"  # division slash: reads the same, is no path separator


def latents_anndata(
    activations_csr: sparse.csr_matrix | sparse.csr_array,
    obs: pd.DataFrame,
    obsm: Mapping[str, Any],
    latents: pd.DataFrame,
    uns: Mapping[str, Any],
) -> AnnData:
    """Items × latents as AnnData; ``sc.pl.umap(adata, color='12')`` colors by latent 12.

    Parameters
    ----------
    activations_csr
        (n, m), ≥ 0; never made dense
    obs
        (n, …) what is known of the items
    obsm
        name → (n, …) arrays, dense or sparse, or DataFrames
    latents
        indexed by latent, any of the m in any order, each once; a ``title`` column and whatever else is
        known. Latents that it leaves out stay in ``var`` with missing values
    uns
        anything; what h5ad cannot hold is rewritten by :func:`write_latents`

    Returns
    -------
    AnnData (n, m): ``var_names`` are '0' … 'm−1', ``var['name']`` is '12: title' or '12'.

    Raises
    ------
    ValueError
        shapes disagree, or a latent stands twice or lies outside 0 … m−1
    """
    import anndata

    n, m = activations_csr.shape
    if len(obs) != n:
        raise ValueError(f"activations have {n} items, obs has {len(obs)}")
    numbers = latents.index.to_numpy()
    if not latents.index.is_unique or not np.isin(numbers, np.arange(m)).all():
        raise ValueError(f"latents must be distinct numbers within 0 … {m - 1}")
    var = latents.reindex(np.arange(m))
    titles = var["title"].fillna("").astype(str) if "title" in var else pd.Series("", index=var.index)
    var["name"] = [f"{i}: {title}" if title else str(i) for i, title in zip(var.index, titles, strict=True)]
    var.index = pd.Index(var.index.astype(str), name="latent")
    return anndata.AnnData(
        X=sparse.csr_matrix(activations_csr, dtype=np.float32),
        obs=obs.copy(),
        var=var,
        obsm={key: value if _is_kept(value) else np.asarray(value) for key, value in obsm.items()},
        uns=dict(uns),
    )


def write_latents(adata: AnnData, path: Path) -> None:
    """Write an h5ad, whole or not at all; ``adata`` itself is not changed.

    The file is made in memory (compressed, smaller than the activations that are there already), because
    HDF5 on a full disk goes on to crash the interpreter when it exits.

    Rewritten and listed in ``uns['autointerp_sanitized']``: keys that hold '/' or are no text, ``uns`` values
    that h5ad cannot hold (as JSON text), columns of mixed types (as text; None and NaN stay missing).

    Raises
    ------
    UserError
        the disk is full
    """
    import anndata
    import h5py

    record: list[str] = []
    taken: set[str] = set()
    clean = anndata.AnnData(
        X=adata.X,
        obs=_plain_frame(adata.obs, "obs", record),
        var=_plain_frame(adata.var, "var", record),
        obsm={
            (name := _plain_key(key, "obsm", taken, record)): _plain_frame(value, f"obsm[{name!r}]", record)
            if isinstance(value, pd.DataFrame)
            else value
            for key, value in adata.obsm.items()
        },
        uns=_plain_mapping(adata.uns, "uns", record),
    )
    clean.uns[RECORD] = np.array(record, dtype=object) if record else np.empty(0, dtype="U1")
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        anndata.io.write_elem(file, "/", clean, dataset_kwargs={"compression": "gzip"})
    with whole_file(Path(path)) as part:
        part.write_bytes(image.getbuffer())


def _is_kept(value: Any) -> bool:
    """Is this in obsm as it is? numpy would wrap a sparse matrix whole into one object."""
    return sparse.issparse(value) or isinstance(value, pd.DataFrame)


def _plain_frame(frame: pd.DataFrame, where: str, record: list[str]) -> pd.DataFrame:
    taken: set[str] = set()
    names = [_plain_key(name, where, taken, record) for name in frame.columns]
    columns = {
        name: _plain_column(frame.iloc[:, i], f"{where}[{name!r}]", record) for i, name in enumerate(names)
    }
    index = pd.Index(frame.index.astype(str), name=None)
    if frame.index.name is not None:
        label = str(frame.index.name).replace("/", _SLASH)
        index.name = label if label not in taken and label != "_index" else None
    return pd.DataFrame({name: column.set_axis(index) for name, column in columns.items()}, index=index)


def _plain_column(column: pd.Series, where: str, record: list[str]) -> pd.Series:
    """Objects become booleans, numbers or text if they are all of one kind, else text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = column.cat.categories
        if categories.dtype.kind in "biuf" or all(isinstance(c, str) for c in categories):
            return column
        record.append(f"{where}: categories as text")
        return column.astype(object).map(lambda v: None if _missing(v) else _text(v)).astype("category")
    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind in "mM":
        record.append(f"{where}: times as ISO text")
        return column.map(lambda t: None if pd.isna(t) else t.isoformat()).astype("category")
    if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
        return column
    there = column[~column.map(_missing)]
    if len(there) == 0:
        return pd.Series(np.nan, index=column.index, dtype=np.float64)
    if all(isinstance(v, bool | np.bool_) for v in there):
        return column.astype("boolean") if len(there) < len(column) else column.astype(bool)
    if all(isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in there):
        return pd.to_numeric(column)
    if not all(isinstance(v, str) for v in there):
        record.append(f"{where}: mixed types as text")
    text = column.map(lambda v: None if _missing(v) else _text(v))
    return text.astype("category") if len(there) < len(column) else text.astype(object)


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def _text(value: Any) -> str:
    return _json(value) if isinstance(value, list | tuple | dict) else str(value)


def _plain_mapping(mapping: Mapping[Any, Any], where: str, record: list[str]) -> dict[str, Any]:
    taken: set[str] = set()
    plain: dict[str, Any] = {}
    for key, value in mapping.items():
        name = _plain_key(key, where, taken, record)
        plain[name] = _plain_value(value, f"{where}[{name!r}]", record)
    return plain


def _plain_value(value: Any, where: str, record: list[str]) -> Any:
    if isinstance(value, Mapping):
        return _plain_mapping(value, where, record)
    if isinstance(value, pd.DataFrame):
        return _plain_frame(value, where, record)
    if isinstance(value, str | bool | int | float | np.bool_ | np.number) or sparse.issparse(value):
        return value
    if isinstance(value, np.ndarray) and (value.dtype.kind in "biufcUS" or value.dtype.names):
        return value
    items = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(items, list) and items:
        for kind in (str, bool, int, float):
            if all(type(item) is kind for item in items):
                return np.array(items, dtype=object if kind is str else None)
    record.append(f"{where}: {type(value).__name__} as JSON")
    return _json(value)


def _plain_key(key: Any, where: str, taken: set[str], record: list[str]) -> str:
    """Text without '/', distinct from those taken."""
    name = str(key).replace("/", _SLASH) or "_"
    while name in taken or name == "_index":
        name += "_"
    taken.add(name)
    if name != key:
        record.append(f"{where}: key {key!r} as {name!r}")
    return name


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_json_default)


def _json_default(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic | pd.Series | pd.Index):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return str(value)
