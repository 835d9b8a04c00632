"""How is an AnnData opened without reading more of it than needed? From h5ad, zarr, or memory, element by element."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from autointerp.errors import UserError

IN_MEMORY_BYTES = 2 * 2**30  # a larger matrix stays on disk and is read by blocks


@dataclass(frozen=True, eq=False)
class AnnDataParts:
    """What a corpus needs of an AnnData: annotation in memory, matrices read when asked for."""

    obs: pd.DataFrame
    var: pd.DataFrame
    raw_var: pd.DataFrame | None
    obsm_keys: tuple[str, ...]  # without awkward arrays (immune receptors), which are no embedding
    layer_keys: tuple[str, ...]
    matrix: Callable[[str], Any]  # 'X', 'raw', or a layer's name
    obsm: Callable[[str], Any]
    fingerprint: Callable[[], str]


def open_parts(path: Path, backed: bool | None = None) -> AnnDataParts:
    """Open ``.h5ad`` or ``.zarr``; ``backed`` None keeps matrices above 2 GiB on disk.

    Raises
    ------
    UserError
        If the file is missing, unreadable, or not an AnnData.
    """
    if not path.exists():
        raise UserError(f"No such file: {path}. Pass --data with an .h5ad file or a .zarr folder.")
    if path.is_dir() or path.suffix == ".zarr":
        import zarr

        try:
            store: Any = zarr.open_group(str(path), mode="r")
        except (zarr.errors.GroupNotFoundError, FileNotFoundError, ValueError) as error:
            raise UserError(f"{path} is not a zarr group. Write one with adata.write_zarr(...).") from error
    else:
        import h5py

        if not h5py.is_hdf5(path):
            raise UserError(
                f"{path} is not an .h5ad file (no HDF5 signature). Write one with adata.write_h5ad(...)."
            )
        try:
            store = h5py.File(path, "r")
        except OSError as error:
            raise UserError(
                f"{path} cannot be opened: {error}. It may be truncated; copy it again."
            ) from error
    missing = [name for name in ("obs", "var") if name not in store]
    if missing:
        raise UserError(
            f"{path} has no {', '.join(missing)}: not an AnnData. Write it with adata.write_h5ad(...)."
        )
    if store["obs"].attrs.get("encoding-type") != "dataframe":
        import anndata

        read = anndata.read_zarr if path.is_dir() else anndata.read_h5ad
        with (
            warnings.catch_warnings()
        ):  # written before anndata 0.7; how it is stored is not the reader's concern
            warnings.simplefilter("ignore", FutureWarning)
            return from_anndata(read(path))
    return _parts_of(store, backed, lambda: _hash_path(path))


def _parts_of(store: Any, backed: bool | None, fingerprint: Callable[[], str]) -> AnnDataParts:
    from anndata.io import read_elem, sparse_dataset

    def matrix(name: str) -> Any:
        if name == "X" and ("X" not in store or store["X"].attrs.get("encoding-type") == "null"):
            return None
        element = store["X"] if name == "X" else store["raw/X"] if name == "raw" else store["layers"][name]
        is_sparse = "data" in element if hasattr(element, "keys") else False
        n_bytes = (
            8 * element["data"].shape[0]
            if is_sparse
            else element.dtype.itemsize * int(np.prod(element.shape))
        )
        on_disk = n_bytes > IN_MEMORY_BYTES if backed is None else backed
        if on_disk and is_sparse:
            return _readable_by_rows(sparse_dataset(element))
        return element if on_disk else read_elem(element)

    obsm: Any = store.get("obsm", {})
    return AnnDataParts(
        obs=read_elem(store["obs"]),
        var=read_elem(store["var"]),
        raw_var=read_elem(store["raw/var"]) if "raw" in store and "var" in store["raw"] else None,
        obsm_keys=tuple(k for k in obsm if obsm[k].attrs.get("encoding-type") != "awkward-array"),
        layer_keys=tuple(store["layers"].keys()) if "layers" in store else (),
        matrix=matrix,
        obsm=lambda key: read_elem(obsm[key]),
        fingerprint=fingerprint,
    )


def from_anndata(adata: Any) -> AnnDataParts:
    """The same of an AnnData in memory (or opened with ``backed='r'``)."""

    def matrix(name: str) -> Any:
        return _readable_by_rows(
            adata.X if name == "X" else adata.raw.X if name == "raw" else adata.layers[name]
        )

    obsm_keys = tuple(key for key, value in adata.obsm.items() if not _is_ragged(value))

    def fingerprint() -> str:
        digest = hashlib.sha256()
        for names in (adata.obs_names, adata.var_names):
            digest.update("\n".join(map(str, names)).encode())
        matrices = [adata.X, None if adata.raw is None else adata.raw.X]
        matrices += [adata.layers[key] for key in sorted(adata.layers.keys())]
        matrices += [adata.obsm[key] for key in sorted(obsm_keys)]
        for array in matrices:
            digest.update(b"|")
            if array is not None:
                _hash_array(digest, array)
        for frame in (adata.obs, adata.var) if adata.raw is None else (adata.obs, adata.var, adata.raw.var):
            digest.update(frame.to_csv().encode())
        return digest.hexdigest()

    return AnnDataParts(
        obs=adata.obs,
        var=adata.var,
        raw_var=adata.raw.var if adata.raw is not None else None,
        obsm_keys=obsm_keys,
        layer_keys=tuple(adata.layers.keys()),
        matrix=matrix,
        obsm=lambda key: adata.obsm[key],
        fingerprint=fingerprint,
    )


def _is_ragged(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "awkward"


def _readable_by_rows(matrix: Any) -> Any:
    """The same, but in memory where it is a CSC matrix on disk, which cannot be read by rows."""
    on_disk = hasattr(matrix, "to_memory") and not sparse.issparse(matrix)
    return matrix.to_memory().tocsr() if on_disk and matrix.format == "csc" else matrix


def _hash_array(digest: Any, array: Any) -> None:
    if sparse.issparse(array):
        for part in (array.indptr, array.indices, array.data):
            digest.update(np.ascontiguousarray(part).tobytes())
    elif isinstance(array, pd.DataFrame):
        digest.update(array.to_csv().encode())
    else:
        for start in range(0, array.shape[0], 4096):
            block = array[start : start + 4096]
            if sparse.issparse(block):
                _hash_array(digest, block)
            else:
                digest.update(np.ascontiguousarray(block).tobytes())


def _hash_path(path: Path) -> str:
    """sha256 of a file, or of all files of a folder with their names."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for member in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(str(member.relative_to(path)).encode())
        with member.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
