"""Which images does an ``.npz`` hold, which cells does a DeepProfiler file? Arrays by name, never a pickle.

Images: ``images`` (n, h, w, c), (n, h, w) or (n, c, h, w) where ``channels`` says so, and optional ``ids``,
``channels`` (c,), ``masks`` (n, h, w), ``labels``, and ``groups`` or ``source_image``, by which the splits are cut.
Every other array of n numbers or words is metadata, withheld like the labels.

DeepProfiler: ``features`` (n, d) and ``locations`` (n, 2) in PLATE/WELL_SITE.npz; its ``metadata`` is a pickle and is
not read.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.corpus.image_files import DTYPES, ImageFault
from autointerp.corpus.image_table import ImageTable, unique_ids
from autointerp.errors import UserError

MAX_BYTES = 16 * 2**30  # of one array, which is held in memory
OWN = ("images", "masks", "ids", "channels")
GROUPS = ("groups", "source_image")
WELL_SITE = re.compile(r"^([A-P]\d{2})[_-]s?(\d+)$")  # as DeepProfiler names its files
BROKEN = (ValueError, OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` that are numbers or words; those that are pickles are left out, and never loaded.

    Raises
    ------
    UserError
        If it is no .npz, is truncated, or declares more than 16 GiB in one array.
    """
    if not path.exists():
        raise UserError(f"No such file: {path}.")
    found: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):
                    continue
                with archive.open(member) as file:
                    shape, dtype = _header(file)
                    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
                    if dtype.hasobject:
                        continue
                    if size > MAX_BYTES:
                        raise UserError(
                            f"{path}: array {member.filename} would take {size / 2**30:,.0f} GiB. "
                            "Write the images as files with a table of paths, or as OME-Zarr."
                        )
                    if size > member.file_size:
                        raise ValueError(f"{member.filename} is shorter than its header says")
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                try:
                    found[name] = arrays[name]
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
    except BROKEN as error:
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path} is truncated or no .npz ({said}). Write it with np.savez.") from error
    return found


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def from_npz(path: Path) -> ImageTable:
    """Images, or the cells of one DeepProfiler file.

    Raises
    ------
    UserError
        If the arrays do not fit together.
    """
    arrays = read_arrays(path)
    if "images" not in arrays and "features" in arrays:
        return from_deepprofiler([path], path.name)
    if "images" not in arrays:
        raise UserError(
            f"{path} has no array 'images'; found {', '.join(map(repr, arrays)) or 'none that is no pickle'}."
        )
    images = arrays["images"]
    channels = tuple(map(str, np.atleast_1d(arrays["channels"]))) if "channels" in arrays else ()
    if images.ndim == 3:
        images = images[:, :, :, None]
    if images.ndim == 4 and channels and images.shape[3] != len(channels) == images.shape[1]:
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.size == 0:
        raise UserError(f"{path}: 'images' has shape {arrays['images'].shape}, not (n, h, w, c).")
    if images.dtype.name not in DTYPES:
        raise UserError(f"{path}: 'images' holds {images.dtype} values, not {', '.join(DTYPES)}.")
    n = len(images)
    for name in ("masks", "ids"):
        if name in arrays and len(arrays[name]) != n:
            raise UserError(f"{path}: {name!r} has {len(arrays[name])} entries, but there are {n} images.")
    columns = {
        name: values
        for name, values in arrays.items()
        if name not in OWN and values.shape == (n,) and values.dtype.kind in "biufUS"
    }
    ids = unique_ids(arrays["ids"], path.name) if "ids" in arrays else np.array([f"{i}" for i in range(n)])
    left_out = sorted(set(arrays) - set(columns) - set(OWN))
    notes = (f"{path.name}: arrays not read: {', '.join(left_out)}.",) if left_out else ()
    masks = arrays.get("masks")

    def read(i: int) -> np.ndarray:
        values = images[i]
        if values.dtype.kind == "f":
            values = values.astype(np.float32)
            if not np.isfinite(values).all():
                raise ImageFault("holds NaN or infinite values")
        return values

    def mask(i: int) -> np.ndarray:
        assert masks is not None
        if masks[i].ndim != 2 or not (masks[i] != 0).any():
            raise ImageFault("has an empty mask")
        return masks[i] != 0

    return ImageTable(
        name=path.name,
        obs=pd.DataFrame(columns, index=pd.Index(ids)),
        files=np.full(n, f"images of {path.name}"),
        rows=np.arange(1, n + 1),
        fingerprint=lambda: _hashed([path]),
        read=read,
        mask=mask if masks is not None else None,
        channels=channels,
        group=next((name for name in GROUPS if name in columns), None),
        notes=notes,
    )


def from_deepprofiler(paths: list[Path], name: str) -> ImageTable:
    """Cells of DeepProfiler files, whose features have numbers for names. Plate, well and site are in the paths."""
    features, frames = [], []
    for path in paths:
        arrays = read_arrays(path)
        if "features" not in arrays or arrays["features"].ndim != 2 or arrays["features"].dtype.kind != "f":
            raise UserError(f"{path} has no features (n, d), as DeepProfiler writes them.")
        values = arrays["features"]
        if not np.isfinite(values).all():
            raise UserError(f"{path}: features hold NaN or infinite values.")
        obs = pd.DataFrame({"Metadata_Plate": path.resolve().parent.name}, index=range(len(values)))
        place = WELL_SITE.match(path.stem)
        if place:
            obs["Metadata_Well"], obs["Metadata_Site"] = place.groups()
        if "locations" in arrays and arrays["locations"].shape == (len(values), 2):
            obs["x"], obs["y"] = arrays["locations"].T
        obs.index = pd.Index([f"{path.parent.name}/{path.stem}#{i}" for i in range(len(values))])
        features.append(values.astype(np.float32))
        frames.append(obs)
    if len({part.shape[1] for part in features}) != 1:
        raise UserError(f"{name}: its files have features of different lengths.")
    made, obs = np.concatenate(features), pd.concat(frames)
    names = np.array([f"Feature_{i}" for i in range(made.shape[1])])
    return ImageTable(
        name=name,
        obs=obs,
        files=np.array([one.rpartition("#")[0] for one in obs.index]),
        rows=np.arange(1, len(obs) + 1),
        fingerprint=lambda: _hashed(paths),
        measured=(names, made),
        arrays={"features": made},
        group="Metadata_Plate" if obs["Metadata_Plate"].nunique() > 1 else None,
        notes=(
            "DeepProfiler's metadata is a pickle and is not read: plate, well and site are from the paths.",
        ),
        warnings=(
            "A network's features have numbers for names: labels can say which are high, not what that means.",
        ),
    )


def _hashed(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
