"""How is one image file read without trusting it? PNG and JPEG whole, TIFF and OME-Zarr by regions; nothing unpickled.

Every fault is an ``ImageFault`` that says what is wrong in a few words; the caller adds the row and the file.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from autointerp.errors import UserError

MAX_PIXELS = 100_000_000  # of one image, or one region, that is read whole
MAX_CHUNK = 100_000_000  # values of one tile or strip
DTYPES = ("uint8", "uint16", "float16", "float32", "float64")
PLAIN, TIFF = (".png", ".jpg", ".jpeg"), (".tif", ".tiff")
SUFFIXES = (*PLAIN, *TIFF)
UPRIGHT, ORIENTATION = 1, 0x0112
MODES = {
    "L": ("gray",),
    "I;16": ("gray",),
    "RGB": ("red", "green", "blue"),
    "RGBA": ("red", "green", "blue", ""),
}
# What readers of broken files raise, as met and as their sources say.
BROKEN = (
    OSError, ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError, EOFError, SyntaxError,
    ArithmeticError, MemoryError, zlib.error, struct.error,
)  # fmt: skip


class ImageFault(ValueError):
    """What is wrong with one image, in a few words."""


class Box(NamedTuple):
    """A region in pixels; it may reach over the border."""

    top: int
    left: int
    height: int
    width: int


class OpenImage(Protocol):
    """One image, whose pixels are read when asked for."""

    shape: tuple[int, int]  # h, w
    n_channels: int
    dtype: np.dtype
    channels: tuple[str, ...]  # names that the file gives, none where it gives none

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """(height, width, c) of a region inside the image."""
        ...


class _Array:
    """An image that was decoded whole."""

    def __init__(self, values: np.ndarray, channels: tuple[str, ...]):
        self.values, self.channels = values, channels
        self.shape, self.n_channels, self.dtype = values.shape[:2], values.shape[2], values.dtype

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        return self.values[top : top + height, left : left + width]


class _Lazy:
    """A zarr array of any order of axes, of which single-entry axes are dropped."""

    def __init__(self, array: Any, axes: str, channels: tuple[str, ...], keep: Any = None):
        self._array, self._axes, self._keep = array, axes, keep  # what must stay open
        size = dict(zip(axes, array.shape, strict=True))
        for axis, extent in size.items():
            if axis not in "YXCS" and extent > 1:
                raise ImageFault(f"has {extent} planes along {axis}: project or choose one, and write that")
        if "Y" not in size or "X" not in size:
            raise ImageFault(f"has axes {axes}, no Y and X")
        if size.get("C", 1) > 1 and size.get("S", 1) > 1:
            raise ImageFault("has both channels and samples")
        self._channel_axis = "S" if size.get("S", 1) > 1 else "C"
        self.shape, self.n_channels = (size["Y"], size["X"]), size.get(self._channel_axis, 1)
        self.dtype, self.channels = np.dtype(array.dtype), channels
        piece = int(np.prod(getattr(array, "chunks", (1,))))
        if piece > MAX_CHUNK:
            raise ImageFault(f"is stored in pieces of {piece:,} values; write smaller tiles")

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        places: dict[str, Any] = {"Y": slice(top, top + height), "X": slice(left, left + width)}
        places[self._channel_axis] = slice(None)
        kept = [axis for axis in self._axes if axis in places]
        values = np.asarray(self._array[tuple(places.get(axis, 0) for axis in self._axes)])
        if len(kept) == 2:
            return values.transpose([kept.index(a) for a in "YX"])[:, :, None]
        return values.transpose([kept.index(a) for a in ("Y", "X", self._channel_axis)])


def read_region(image: OpenImage, box: Box | None) -> np.ndarray:
    """(h, w, c) of a box, padded with 0 where it reaches over the border; of the whole image without one.

    Raises
    ------
    ImageFault
        If the region cannot be decoded, lies outside, is too large, or holds NaN or infinite values.
    """
    h, w = image.shape
    box = box or Box(0, 0, h, w)
    if box.height * box.width > MAX_PIXELS:
        raise ImageFault(f"has {box.height * box.width:,} pixels, more than {MAX_PIXELS:,}")
    top, left = max(0, box.top), max(0, box.left)
    bottom, right = min(h, box.top + box.height), min(w, box.left + box.width)
    if bottom <= top or right <= left:
        raise ImageFault(f"ends at {w} × {h}, before the crop at x {box.left}, y {box.top}")
    try:
        inside = image.read(top, left, bottom - top, right - left)
    except BROKEN as error:
        raise ImageFault(f"cannot be decoded ({_short(error)})") from error
    inside = inside.astype(inside.dtype.newbyteorder("="), copy=False)
    if inside.dtype.kind == "f":
        inside = inside.astype(np.float32)
        if not np.isfinite(inside).all():
            raise ImageFault("holds NaN or infinite values")
    if inside.shape[:2] == (box.height, box.width):
        return inside
    values = np.zeros((box.height, box.width, inside.shape[2]), inside.dtype)
    values[top - box.top : bottom - box.top, left - box.left : right - box.left] = inside
    return values


def open_image(path: Path) -> OpenImage:
    """An image file, whose header is checked now and whose pixels are read later.

    Raises
    ------
    ImageFault
        If it is missing, no image, truncated, too large, rotated, of a palette, or of another number type.
    """
    if not path.exists():
        raise ImageFault("does not exist")
    stamp = path.stat()
    return _opened(path, stamp.st_size, stamp.st_mtime_ns)


@lru_cache(maxsize=8)
def _opened(path: Path, size: int, changed_ns: int) -> OpenImage:
    """Kept for the next crops of the same file, as long as it does not change."""
    if path.is_dir():
        return _checked(_ome_zarr(path))
    if size == 0:
        raise ImageFault("is empty (0 bytes)")
    suffix = path.suffix.lower()
    if suffix in PLAIN:
        return _checked(_plain(path))
    if suffix in TIFF:
        return _checked(_tiff(path, size))
    raise ImageFault(f"is no image that can be read ({', '.join(SUFFIXES)}, OME-Zarr)")


def _checked(image: OpenImage) -> OpenImage:
    if image.dtype.name not in DTYPES:
        raise ImageFault(f"holds {image.dtype} values, not {', '.join(DTYPES)}")
    if 0 in image.shape:
        raise ImageFault(f"has {image.shape[0]} × {image.shape[1]} pixels")
    return image


def _plain(path: Path) -> OpenImage:
    pillow = library("PIL.Image")
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            head = file.read(26)
            with pillow.open(file, formats=("PNG", "JPEG")) as image:
                _upright(image)
                if head[:8] == b"\x89PNG\r\n\x1a\n" and head[24] == 16 and image.mode != "I;16":
                    raise ImageFault("is a color PNG of 16 bits, of which 8 would be lost; write a TIFF")
                image.load()
                values = np.asarray(image)
                names = MODES[image.mode]
    except ImageFault:
        raise
    except (pillow.DecompressionBombWarning, pillow.DecompressionBombError) as error:
        raise ImageFault(f"is a decompression bomb ({_short(error)})") from error
    except BROKEN as error:
        raise ImageFault(f"is truncated or no PNG or JPEG ({_short(error)})") from error
    values = values[:, :, None] if values.ndim == 2 else values
    if names[-1] == "":
        if (values[:, :, -1] != 255).any():
            raise ImageFault("is transparent in places; write it without an alpha channel")
        values, names = values[:, :, :-1], names[:-1]
    return _Array(values, names)


def _upright(image: Any) -> None:
    """Refuse what would be read otherwise than it is shown, or than it was measured."""
    if image.width * image.height > MAX_PIXELS:
        raise ImageFault(
            f"is a decompression bomb: {image.width} × {image.height} pixels, more than {MAX_PIXELS:,}"
        )
    if image.mode in ("P", "PA"):
        raise ImageFault("has a palette, whose numbers are no intensities; write it as gray or RGB")
    if image.mode not in MODES:
        raise ImageFault(f"has mode {image.mode}; write it as 8- or 16-bit gray, or RGB")
    if getattr(image, "n_frames", 1) > 1:
        raise ImageFault(f"has {image.n_frames} frames; write one image a file")
    turned = image.getexif().get(ORIENTATION, UPRIGHT)
    if turned != UPRIGHT:
        raise ImageFault(f"is stored rotated (EXIF orientation {turned}); write it upright")


def _tiff(path: Path, size: int) -> OpenImage:
    tifffile = library("tifffile")
    zarr = library("zarr")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = tifffile.TiffFile(path)
            first = file.pages[0]
            named, foreign = _ome_channels(file.ome_metadata if file.is_ome else None, path.name)
            if foreign:
                raise ImageFault(f"has its planes in other files ({foreign}); write them into one")
            if int(first.photometric) == 3:
                raise ImageFault("has a palette, whose numbers are no intensities; write it as gray or RGB")
            turned = first.tags.get("Orientation")
            if turned is not None and int(turned.value) != UPRIGHT:
                raise ImageFault(f"is stored rotated (orientation {int(turned.value)}); write it upright")
            series = file.series[0]
            for page in series.pages:
                if page is not None and any(
                    start + count > size
                    for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)
                ):
                    raise ImageFault("is truncated: its pixels go on after its end")
            axes = series.axes.replace("I", "Q")
            array = _pixels(tifffile, zarr, path, series)
            if "Q" in axes and "C" not in axes and "S" not in axes:
                axes = axes.replace("Q", "C")  # pages without a name: channels, whose names must be given
    except ImageFault:
        raise
    except (*BROKEN, tifffile.TiffFileError) as error:
        raise ImageFault(f"is truncated or no TIFF ({_short(error)})") from error
    if "S" in axes and int(first.photometric) == 2 and not named:
        named = ("red", "green", "blue")
    lazy = _Lazy(array, axes, named, file)
    if named and len(named) != lazy.n_channels:
        lazy.channels = ()
    return lazy


def _pixels(tifffile: Any, zarr: Any, path: Path, series: Any) -> Any:
    """What can be read by regions: a map of the file where its pixels lie bare, its tiles, or whole planes, once."""
    if series.dataoffset is not None:
        return tifffile.memmap(path, mode="r")
    tiles = zarr.open(series.aszarr(level=0), mode="r")
    in_planes = tiles.chunks[-2:] == tiles.shape[-2:] or tiles.chunks[-3:-1] == tiles.shape[-3:-1]
    if in_planes and MAX_CHUNK >= int(np.prod(tiles.shape)) > 0:
        return np.asarray(tiles[:])
    return tiles


def _ome_channels(xml: str | None, name: str) -> tuple[tuple[str, ...], str]:
    """Names of the first image's channels, where all have one; and another file that the XML points to, or ''."""
    if not xml:
        return (), ""
    import xml.etree.ElementTree as ElementTree

    root = ElementTree.fromstring(xml)
    for element in root.iter():
        other = element.get("FileName") if element.tag.endswith("}UUID") else None
        if other and other != name:
            return (), other
    pixels = next((e for e in root.iter() if e.tag.endswith("}Pixels")), None)
    found = [] if pixels is None else [e.get("Name") for e in pixels if e.tag.endswith("}Channel")]
    return (tuple(map(str, found)) if found and all(found) else ()), ""


# Codecs that only compress or rearrange numbers; numcodecs has others, one of which unpickles.
CODECS = frozenset(
    (
        "blosc", "bytes", "gzip", "zlib", "zstd", "lz4", "lzma", "bz2", "delta", "shuffle", "transpose", "crc32c",
        "crc32", "sharding_indexed", "packbits",
    )
)  # fmt: skip


def _ome_zarr(path: Path) -> OpenImage:
    zarr = library("zarr")
    try:
        group = zarr.open_group(str(path), mode="r")
        attributes = dict(group.attrs)
        about = attributes.get("ome", attributes)
        scales = about["multiscales"][0]
        inner = str(scales["datasets"][0]["path"])
        if inner.startswith("/") or ".." in Path(inner).parts:
            raise ImageFault(f"names its pixels {inner!r}, outside itself")
        array = group[inner]
        _known_codecs(array)
        axes = "".join(
            (a["name"] if isinstance(a, dict) else a)[0].upper() for a in scales.get("axes", "tczyx")
        )
        channels = tuple(str(c.get("label", "")) for c in about.get("omero", {}).get("channels", ()))
        lazy = _Lazy(array, axes, channels)
    except ImageFault:
        raise
    except BROKEN as error:
        raise ImageFault(f"is no OME-Zarr image ({_short(error)})") from error
    if len(channels) != lazy.n_channels or not all(channels):
        lazy.channels = ()
    return lazy


def _known_codecs(array: Any) -> None:
    """Refuse a zarr array whose chunks are decoded by more than arithmetic."""
    said = array.metadata.to_dict()
    found = [*(said.get("codecs") or ()), *(said.get("filters") or ()), said.get("compressor")]
    for codec in found:
        name = None if codec is None else codec.get("name", codec.get("id"))
        if name is not None and str(name).rpartition(".")[2] not in CODECS:
            raise ImageFault(
                f"is stored by the codec {name!r}, which is not among those that are safe to read"
            )
        inner = {} if codec is None else codec.get("configuration", {})
        for one in inner.get("codecs", ()) if isinstance(inner, dict) else ():
            if one.get("name") not in CODECS:
                raise ImageFault(f"is stored by the codec {one.get('name')!r}, which is not safe to read")


def library(name: str) -> Any:
    """A module of the ``images`` extra.

    Raises
    ------
    UserError
        If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"Images need {name.partition('.')[0]}. Install it: pip install 'autointerp-bio[images]'."
        ) from error


def _short(error: BaseException) -> str:
    said = " ".join(str(error).split())[:120]
    return said or type(error).__name__
