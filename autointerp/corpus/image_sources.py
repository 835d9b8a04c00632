"""Where do images come from? A folder, a table, arrays or an AnnData become one ImageTable, as do profiles alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.corpus.anndata_store import _hash_path as hash_path
from autointerp.corpus.anndata_store import open_parts
from autointerp.corpus.image_arrays import from_deepprofiler, from_npz
from autointerp.corpus.image_files import SUFFIXES
from autointerp.corpus.image_manifest import from_folder, from_table, is_manifest, read_table
from autointerp.corpus.image_table import ImageTable, unique_ids
from autointerp.errors import UserError

TABLES = (".csv", ".gz", ".parquet", ".pq", ".tsv")
METADATA = ("Metadata_", "Image_Metadata_")


def open_images(path: Path, crop_size: int | None = None, allow_outside: bool = False) -> ImageTable:
    """What ``--images`` names.

    Raises
    ------
    UserError
        If it is missing, or nothing of the kinds above.
    """
    if not path.exists():
        raise UserError(
            f"No such file: {path}. Pass --images with a folder, a table (.csv, .parquet), an .npz or an .h5ad."
        )
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return from_npz(path)
    if suffix == ".h5ad" or (path.is_dir() and (path / "obs").is_dir()):
        return _from_anndata(path, crop_size, allow_outside)
    if path.is_dir() and suffix != ".zarr":
        deep = sorted(path.rglob("*.npz"))
        has_images = any(p.suffix.lower() in (*SUFFIXES, ".zarr") for p in path.rglob("*"))
        if deep and not has_images:
            return from_deepprofiler(deep, path.name)
        return from_folder(path, allow_outside)
    if suffix in TABLES:
        frame = read_table(path)
        if len(frame) == 0:
            raise UserError(f"{path} has no rows.")
        if is_manifest(frame):
            return from_table(frame, path.parent, path.name, crop_size, allow_outside)
        return _from_profile(frame, path.name, lambda: hash_path(path))
    if suffix in (*SUFFIXES, ".zarr"):
        raise UserError(
            f"{path} is one image. Pass --images with a table of its crops: columns path, x, y, and --crop-size PIXELS."
        )
    raise UserError(
        f"{path}: --images takes a folder, a table ({', '.join(TABLES)}), an .npz or an .h5ad, not {suffix or 'this'}."
    )


def _from_profile(frame: pd.DataFrame, name: str, fingerprint: Any) -> ImageTable:
    """A table of measured features, as CellProfiler and pycytominer write them: no pixels."""
    is_metadata = [str(c).startswith(METADATA) or frame[c].dtype.kind not in "iuf" for c in frame]
    measured = frame.loc[:, [not m for m in is_metadata]]
    if measured.shape[1] == 0:
        raise UserError(
            f"{name} names no images (a column path, path_CHANNEL or FileName_CHANNEL) and holds no measured features."
        )
    if measured.columns.duplicated().any():
        raise UserError(
            f"{name} has the column {measured.columns[measured.columns.duplicated()][0]!r} twice."
        )
    obs = frame.loc[:, is_metadata].copy()
    own = next((c for c in ("id", "Metadata_id", "Metadata_Id") if c in obs), None)
    plate, well = (
        next((c for c in obs if str(c).endswith(f"Metadata_{w}")), None) for w in ("Plate", "Well")
    )
    if own is not None:
        ids = unique_ids(obs[own].to_numpy(), name)
    else:
        said = (
            (obs[plate].astype(str) + "/" + obs[well].astype(str)).tolist()
            if plate is not None and well is not None
            else ["row"] * len(obs)
        )
        repeated = len(set(said)) < len(said)
        ids = np.array([f"{one} {i + 1}" if repeated else one for i, one in enumerate(said)])
    obs.index = pd.Index(ids)
    values = measured.to_numpy(np.float64)
    values[~np.isfinite(values)] = np.nan
    unmeasured = int(np.isnan(values).sum())
    notes = [f"{name}: {values.shape[1]} measured features of {len(obs)} rows, no pixels."]
    if unmeasured:
        notes.append(f"{unmeasured} values are missing or infinite; they count as the mean of their feature.")
    return ImageTable(
        name=name,
        obs=obs,
        files=np.full(len(obs), name),
        rows=np.arange(1, len(obs) + 1),
        fingerprint=fingerprint,
        measured=(measured.columns.astype(str).to_numpy(dtype=str), values),
        arrays={"features": values.astype(np.float32)},
        group=str(plate) if plate is not None else None,
        notes=tuple(notes),
    )


def _from_anndata(path: Path, crop_size: int | None, allow_outside: bool) -> ImageTable:
    """Images that obs points to, or X as measured features; obsm can be the embedding."""
    from dataclasses import replace

    parts = open_parts(path)
    obs = parts.obs.copy()
    ids = unique_ids(obs.index.to_numpy(), path.name)
    arrays = {key: np.asarray(parts.obsm(key)) for key in parts.obsm_keys}
    if is_manifest(obs):
        frame = obs.assign(id=ids) if "id" not in obs else obs
        table = from_table(frame.reset_index(drop=True), path.parent, path.name, crop_size, allow_outside)
        pixels = table.fingerprint
        return replace(table, arrays=arrays, fingerprint=lambda: pixels() + parts.fingerprint())
    matrix = parts.matrix("X")
    if matrix is None:
        raise UserError(f"{path}: obs names no images (a column path or path_CHANNEL) and there is no X.")
    values = matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)
    measured = pd.DataFrame(values, columns=parts.var.index.astype(str))
    meta = obs.add_prefix("Metadata_") if not all(str(c).startswith(METADATA) for c in obs) else obs
    table = _from_profile(
        pd.concat([meta.reset_index(drop=True), measured], axis=1).assign(Metadata_id=ids),
        path.name,
        parts.fingerprint,
    )
    return replace(table, arrays={**table.arrays, **arrays}, obs=obs.set_axis(pd.Index(ids)))
