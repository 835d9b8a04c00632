"""Which image files does a reader meet that it must not trust? One of each kind, and good ones beside them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

SIDE = 12


def pixels(seed: int = 0, channels: int = 3, dtype: str = "uint8") -> np.ndarray:
    """(12, 12, c) of noise."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.random((SIDE, SIDE, channels)).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, (SIDE, SIDE, channels), dtype=dtype, endpoint=True)


def good(path: Path, seed: int = 0) -> None:
    Image.fromarray(pixels(seed)).save(path)


def truncated(path: Path) -> None:
    good(path)
    path.write_bytes(path.read_bytes()[:200])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("no image at all, but a name that says so")


def bomb(path: Path) -> None:
    """A PNG of a kilobyte whose header says 60,000 × 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100_000))), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def palette(path: Path) -> None:
    Image.fromarray(pixels()).convert("P").save(path)


def rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels()).save(path, exif=exif)


def transparent(path: Path) -> None:
    Image.fromarray(np.dstack([pixels(), np.full((SIDE, SIDE), 7, np.uint8)])).save(path)


def one_bit(path: Path) -> None:
    Image.fromarray(pixels(channels=1)[:, :, 0] > 99).save(path)


def sixteen_bit_gray(path: Path) -> None:
    Image.fromarray(pixels(channels=1, dtype="uint16")[:, :, 0]).save(path)


def sixteen_bit_color(path: Path) -> None:
    """Pillow would read it as 8 bits without a word."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels(dtype="uint16"))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def cmyk(path: Path) -> None:
    Image.fromarray(pixels()).convert("CMYK").save(path, format="JPEG")


def float_tiff(path: Path) -> None:
    tifffile.imwrite(path, pixels(dtype="float32"), photometric="rgb")


def nan_tiff(path: Path) -> None:
    values = pixels(dtype="float32")
    values[3, 4, 0] = np.nan
    tifffile.imwrite(path, values, photometric="rgb")


def complex_tiff(path: Path) -> None:
    tifffile.imwrite(path, pixels(channels=1)[:, :, 0].astype(np.complex64), photometric="minisblack")


def truncated_tiff(path: Path) -> None:
    tifffile.imwrite(path, pixels(), photometric="rgb")
    path.write_bytes(path.read_bytes()[:-100])


def planes_of_time(path: Path) -> None:
    values = np.stack([pixels(channels=1)[:, :, 0]] * 5)
    tifffile.imwrite(path, values, photometric="minisblack", metadata={"axes": "TYX"}, ome=True)


def planes_elsewhere(path: Path) -> None:
    """An OME-TIFF whose XML points to a file outside of its folder."""
    tifffile.imwrite(path, pixels(channels=1)[:, :, 0], photometric="minisblack")
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="12" SizeY="12" SizeC="1" SizeZ="1" '
        'SizeT="1"><Channel ID="Channel:0:0" Name="DNA"/><TiffData IFD="0" PlaneCount="1"><UUID '
        'FileName="../../secret.tif">urn:uuid:1</UUID></TiffData></Pixels></Image></OME>'
    )
    tifffile.imwrite(
        path, pixels(channels=1)[:, :, 0], photometric="minisblack", description=xml, metadata=None
    )


HOSTILE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "truncated": (".png", truncated, "is truncated or no PNG or JPEG"),
    "zero bytes": (".png", empty, "is empty (0 bytes)"),
    "text": (".jpg", text, "is truncated or no PNG or JPEG"),
    "bomb": (".png", bomb, "decompression bomb"),
    "palette": (".png", palette, "has a palette"),
    "EXIF rotation": (".jpg", rotated, "EXIF orientation 6"),
    "transparency": (".png", transparent, "is transparent in places"),
    "one bit": (".png", one_bit, "has mode 1"),
    "16-bit gray": (".png", sixteen_bit_gray, "holds uint16 with 1 channels, where most hold uint8 with 3"),
    "16-bit color": (".png", sixteen_bit_color, "is a color PNG of 16 bits"),
    "CMYK": (".jpg", cmyk, "has mode CMYK"),
    "float": (".tif", float_tiff, "holds float32 with 3 channels, where most hold uint8 with 3"),
    "NaN": (".tif", nan_tiff, "holds NaN or infinite values"),
    "complex": (".tif", complex_tiff, "holds complex64 values"),
    "truncated TIFF": (".tif", truncated_tiff, "is truncated"),
    "zero-byte TIFF": (".tif", empty, "is empty (0 bytes)"),
    "text as TIFF": (".tif", text, "is truncated or no TIFF"),
    "time series": (".ome.tif", planes_of_time, "has 5 planes along T"),
    "planes in other files": (".ome.tif", planes_elsewhere, "has its planes in other files (../../secret.tif)"),
}  # fmt: skip
