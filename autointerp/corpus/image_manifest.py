"""Which images does a table or a folder name? Rows of paths and metadata; nothing outside the root is read unasked.

A table (CSV, parquet, or the obs of an AnnData) has a row an item:

- ``path``, or one file a channel: ``path_DNA``, or CellProfiler's ``FileName_DNA`` with ``PathName_DNA``;
- optional ``x`` and ``y``, the crop's center in pixels (the side is ``--crop-size``), ``id``, and ``mask`` with
  ``object`` (label images; the object's number, else all that is not 0);
- every other column, ``Metadata_…`` by convention, is metadata: withheld from prompts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from autointerp.corpus.image_files import SUFFIXES, Box, ImageFault, open_image, read_region
from autointerp.corpus.image_table import Bad, ImageTable, unique_ids
from autointerp.errors import UserError

NO_VALUE = ("", "nan", "None", "NaN")


def is_manifest(frame: pd.DataFrame) -> bool:
    """Whether a table names images."""
    return bool(_sources(frame))


def from_folder(folder: Path, allow_outside: bool) -> ImageTable:
    """All images under a folder, by path; ``folder`` in obs is where each lies below it."""
    found = sorted(_images_below(folder))
    if not found:
        raise UserError(f"{folder} holds no images ({', '.join(SUFFIXES)}).")
    inside = [path.relative_to(folder) for path in found]
    frame = pd.DataFrame(
        {"path": [p.as_posix() for p in inside], "folder": [p.parent.as_posix() for p in inside]}
    )
    frame.insert(0, "id", frame["path"])
    return from_table(frame, folder, folder.name, None, allow_outside)


def _images_below(folder: Path) -> Iterable[Path]:
    for place, folders, files in os.walk(folder):
        stores = [name for name in folders if name.endswith(".zarr")]
        folders[:] = [name for name in folders if not name.endswith(".zarr")]
        for name in (*stores, *files):
            if name.endswith(".zarr") or Path(name).suffix.lower() in SUFFIXES:
                yield Path(place) / name


def read_table(path: Path) -> pd.DataFrame:
    """A CSV (also compressed) or parquet table.

    Raises
    ------
    UserError
        If it cannot be read as one.
    """
    import pyarrow

    try:
        if path.suffix in (".parquet", ".pq"):
            return pd.read_parquet(path)
        return pd.read_csv(path, low_memory=False, sep="\t" if ".tsv" in path.suffixes else ",")
    except (
        ValueError,
        OSError,
        EOFError,
        pyarrow.ArrowException,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
    ) as error:
        raise UserError(f"{path} cannot be read as a table: {' '.join(str(error).split())[:160]}.") from error


def from_table(
    frame: pd.DataFrame, root: Path, name: str, crop_size: int | None, allow_outside: bool
) -> ImageTable:
    """The images that a table names.

    root : what relative paths start from, and what nothing may lie outside of
    crop_size : side of the square around x, y

    Raises
    ------
    UserError
        Where the table as a whole cannot be used; rows are judged by ``checked``.
    """
    sources = _sources(frame)
    boxes = _boxes(frame, name, crop_size)
    paths: list[list[Path]] = []  # a row: one file, or one a channel
    masks: list[Path] | None = [] if "mask" in frame else None
    files, bad = [], []
    for i in range(len(frame)):
        said = [[str(frame[column].iat[i]) for column in columns] for columns in sources.values()]
        shown = ", ".join("/".join(parts) for parts in said)
        files.append(shown if len(shown) <= 200 else f"{shown[:200]}…")
        found = [_inside(root, parts, allow_outside) for parts in said]
        if masks is not None:
            found.append(_inside(root, [str(frame["mask"].iat[i])], allow_outside))
        if boxes is not None and boxes[i] is None:
            found.append((root, "has no x or y"))
        why = next((problem for _, problem in found if problem), "")
        if why:
            bad.append(Bad(i + 1, files[-1], why))
        paths.append([path for path, _ in found[: len(said)]])
        if masks is not None:
            masks.append(found[len(said)][0])
    channels = tuple(sources) if len(sources) > 1 else ()
    objects = frame["object"].to_numpy() if "object" in frame else None

    def read(i: int) -> np.ndarray:
        planes = [_region(path, boxes[i] if boxes else None) for path in paths[i]]
        if len(planes) == 1:
            return planes[0]
        if any(p.shape != (*planes[0].shape[:2], 1) or p.dtype != planes[0].dtype for p in planes):
            raise ImageFault("has one file a channel, which must be gray, of one size and of one number type")
        return np.concatenate(planes, axis=2)

    def mask(i: int) -> np.ndarray:
        assert masks is not None
        drawn = _region(masks[i], boxes[i] if boxes else None)
        if drawn.shape[2] != 1:
            raise ImageFault(f"has a mask with {drawn.shape[2]} channels")
        inside = drawn[:, :, 0] == objects[i] if objects is not None else drawn[:, :, 0] != 0
        if not inside.any():
            raise ImageFault("has a mask without a pixel of the object")
        return inside

    used = {column for columns in sources.values() for column in columns} | {"mask", "object", "id"}
    obs = frame.drop(columns=[c for c in used if c in frame])
    obs.index = pd.Index(_ids(frame, files, boxes, name))
    bad_rows = {b.row - 1 for b in bad}
    usable = [i for i in range(len(frame)) if i not in bad_rows]

    def fingerprint() -> str:
        digest = hashlib.sha256(frame.to_csv().encode())
        opened = {p for i in usable for p in (*paths[i], *(masks[i : i + 1] if masks else ()))}
        for path in sorted(opened):
            digest.update(_hash(path))
        return digest.hexdigest()

    if usable and len(sources) == 1:
        channels = _named(paths[usable[0]][0])
    reaching = _reaching(boxes, paths, usable)
    notes = () if not reaching else (f"{reaching} crops reach over the border and are padded with 0 there.",)
    return ImageTable(
        name=name, obs=obs, files=np.array(files), rows=np.arange(1, len(frame) + 1), fingerprint=fingerprint,
        read=read, mask=mask if masks is not None else None, channels=channels, bad=tuple(bad), notes=notes,
    )  # fmt: skip


def _sources(frame: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Channel (or '') -> the columns whose parts make its path."""
    if "path" in frame:
        return {"": ("path",)}
    found: dict[str, tuple[str, ...]] = {
        str(c).removeprefix("path_"): (str(c),)
        for c in frame
        if str(c).startswith("path_") and frame[c].dtype.kind not in "biuf"
    }
    for column in frame:
        channel = str(column).removeprefix("FileName_")
        if channel != str(column):
            place = f"PathName_{channel}"
            found[channel] = ((place,) if place in frame else ()) + (str(column),)
    return found


def _inside(root: Path, parts: list[str], allow_outside: bool) -> tuple[Path, str]:
    """The file that parts of a path name, and what is wrong with it, or ''."""
    if parts[-1].strip() in NO_VALUE:
        return root, "names no file"
    if any("\0" in part for part in parts):
        return root, "has a path with a null byte"
    path = root.joinpath(*(p for p in parts if p.strip() not in NO_VALUE))
    if not allow_outside and not path.resolve().is_relative_to(root.resolve()):
        return path, f"lies outside {root}, which --allow-outside would permit"
    if not path.exists():
        return path, "does not exist"
    links_out = path.is_dir() and not allow_outside and _links_out(path)
    return path, "holds a link out of itself, which --allow-outside would permit" if links_out else ""


@lru_cache(maxsize=1024)
def _links_out(store: Path) -> bool:
    """Whether a folder, such as an OME-Zarr, has a member that lies elsewhere."""
    root = store.resolve()
    members = (Path(place) / name for place, folders, files in os.walk(store) for name in (*folders, *files))
    return any(m.is_symlink() and not m.resolve().is_relative_to(root) for m in members)


def _boxes(frame: pd.DataFrame, name: str, crop_size: int | None) -> list[Box | None] | None:
    """The square around each x, y; None of a row without; None for whole images."""
    if ("x" in frame) != ("y" in frame):
        raise UserError(
            f"{name} has only one of the columns x and y. Give both, or neither for whole images."
        )
    if "x" not in frame:
        return None
    if crop_size is None:
        raise UserError(
            f"{name} has x and y, the centers of crops: how wide are they? Pass --crop-size PIXELS."
        )
    x, y = (pd.to_numeric(frame[c], errors="coerce").to_numpy(float) for c in ("x", "y"))
    half, there = crop_size // 2, np.isfinite(x) & np.isfinite(y) & (np.abs(x) < 1e9) & (np.abs(y) < 1e9)
    return [
        Box(round(b) - half, round(a) - half, crop_size, crop_size) if known else None
        for a, b, known in zip(x, y, there, strict=True)
    ]


def _region(path: Path, box: Box | None) -> np.ndarray:
    return read_region(open_image(path), box)


def _named(path: Path) -> tuple[str, ...]:
    """The channels that the first file names; if it is broken, ``checked`` says so."""
    try:
        return open_image(path).channels
    except ImageFault:
        return ()


def _reaching(boxes: list[Box | None] | None, paths: list[list[Path]], usable: list[int]) -> int:
    """How many crops reach over the border of a file that can be read."""
    count = 0
    for i in usable if boxes is not None else ():
        box = boxes[i] if boxes is not None else None
        try:
            h, w = open_image(paths[i][0]).shape
        except ImageFault:
            continue
        count += box is not None and (
            box.top < 0 or box.left < 0 or box.top + box.height > h or box.left + box.width > w
        )
    return int(count)


def _ids(frame: pd.DataFrame, files: list[str], boxes: list[Box | None] | None, name: str) -> np.ndarray:
    """As the column ``id`` has them, else by file and place, numbered where these are not unique."""
    if "id" in frame:
        return unique_ids(frame["id"].to_numpy(), name)
    said = [
        file if boxes is None or boxes[i] is None else f"{file}@{frame['x'].iat[i]:g},{frame['y'].iat[i]:g}"
        for i, file in enumerate(files)
    ]
    seen: dict[str, int] = {}
    for one in said:
        seen[one] = seen.get(one, 0) + 1
    return np.array([one if seen[one] == 1 else f"{one}#{i + 1}" for i, one in enumerate(said)])


def _hash(path: Path) -> bytes:
    """sha256 of a file, or of all files of an OME-Zarr with their names."""
    digest = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    for member in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(str(member.relative_to(path)).encode())
        with member.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.digest()
