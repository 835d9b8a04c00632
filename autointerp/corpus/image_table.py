"""What is a set of images before it is a corpus? Ids, metadata and a way to read each; bad ones named or left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from autointerp.corpus.image_files import ImageFault
from autointerp.errors import UserError, unknown_name

NAMED = 20  # bad rows that a warning names
TOLD_EVERY = 1000


class Bad(NamedTuple):
    """A row that cannot be used: its number from 1, its file, and why."""

    row: int
    file: str
    why: str

    def __str__(self) -> str:
        return f"row {self.row} ({self.file}): {self.why}"


@dataclass(frozen=True, eq=False)
class ImageTable:
    """n items, whose pixels are read one at a time, or which have measured features and no pixels.

    name : of the source; obs : (n) rows, indexed by unique ids
    read : i -> (h, w, c) uint8, uint16 or float32; None without pixels. Raises ImageFault
    mask : i -> (h, w) bool of the object, or None where there are no masks
    files : (n,) what a fault names; rows : (n,) numbers in the source, from 1
    channels : names, read or given; () unknown
    measured : names (g,) and values (n, g) that stand in the source
    arrays : other arrays (n, d), for ``--embedder``
    group : obs column that cuts the splits where the user names none
    fingerprint : sha256 of all that is read
    bad : rows known to be bad before anything is decoded
    """

    name: str
    obs: pd.DataFrame
    files: np.ndarray
    rows: np.ndarray
    fingerprint: Callable[[], str]
    read: Callable[[int], np.ndarray] | None = None
    mask: Callable[[int], np.ndarray] | None = None
    channels: tuple[str, ...] = ()
    measured: tuple[np.ndarray, np.ndarray] | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    group: str | None = None
    bad: tuple[Bad, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.obs)

    def at(self, places: np.ndarray) -> ImageTable:
        """Some of the items."""
        read, mask = self.read, self.mask
        return replace(
            self,
            obs=self.obs.iloc[places],
            files=self.files[places],
            rows=self.rows[places],
            read=None if read is None else lambda i: read(int(places[i])),
            mask=None if mask is None else lambda i: mask(int(places[i])),
            measured=None if self.measured is None else (self.measured[0], self.measured[1][places]),
            arrays={name: values[places] for name, values in self.arrays.items()},
        )


def checked(
    table: ImageTable,
    channels: tuple[str, ...] | None,
    skip_bad: bool,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[ImageTable, tuple[Bad, ...]]:
    """Every image is decoded once; what cannot be used is refused, or left out and counted.

    channels : names that the user gives, over those that files have

    Raises
    ------
    UserError
        Naming the first bad row and its file, unless ``skip_bad``; or if nothing is left.
    """
    kinds: dict[int, tuple[str, int]] = {}
    bad = list(table.bad)
    known = {b.row for b in bad}
    read = table.read
    for i in range(len(table)):
        if read is None:
            break
        number, file = int(table.rows[i]), str(table.files[i])
        if number in known:
            continue
        try:
            image = read(i)
            if table.mask is not None and table.mask(i).shape != image.shape[:2]:
                raise ImageFault(f"has a mask of {table.mask(i).shape}, but {image.shape[:2]} pixels")
        except ImageFault as fault:
            bad.append(Bad(number, file, str(fault)))
            continue
        kinds[i] = (image.dtype.name, image.shape[2])
        if (i + 1) % TOLD_EVERY == 0:
            told(i + 1, len(table))
    if kinds:
        (dtype, c), _ = Counter(kinds.values()).most_common(1)[0]
        for i, kind in kinds.items():
            if kind != (dtype, c):
                why = f"holds {kind[0]} with {kind[1]} channels, where most hold {dtype} with {c}"
                bad.append(Bad(int(table.rows[i]), str(table.files[i]), why))
        table = replace(table, channels=_channel_names(table, channels, c))
    bad.sort()
    if bad and not skip_bad:
        more = f" {len(bad) - 1} more rows cannot be used." if len(bad) > 1 else ""
        raise UserError(
            f"{table.name}, {bad[0]}.{more} Mend the source, or pass --skip-bad to leave them out."
        )
    left = np.flatnonzero(~np.isin(table.rows, [b.row for b in bad]))
    if len(left) == 0:
        first = f" First: {bad[0]}." if bad else ""
        raise UserError(f"{table.name} has no image that can be used.{first}")
    if bad:
        table = table.at(left)
        named = "; ".join(map(str, bad[:NAMED]))
        rest = f"; {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        counted = f"{len(bad)} of {len(left) + len(bad)} images cannot be used and are left out"
        said = f"{counted} (skipped.csv): {named}{rest}."
        table = replace(table, warnings=(*table.warnings, said))
    return table, tuple(bad)


def list_bad(bad: tuple[Bad, ...], path: Path) -> None:
    """Every row that was left out, its file and why, as CSV."""
    from autointerp.results.tables import safe_cell

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [(b.row, safe_cell(b.file), safe_cell(b.why)) for b in bad]
    pd.DataFrame(rows, columns=["row", "file", "why"]).to_csv(path, index=False)


def _channel_names(table: ImageTable, given: tuple[str, ...] | None, c: int) -> tuple[str, ...]:
    if given:
        if len(given) != c:
            raise UserError(
                f"--channels names {len(given)} channels ({', '.join(given)}), but the images have {c}."
            )
        if len(set(given)) != len(given):
            raise UserError(f"--channels {', '.join(given)}: every channel needs a name of its own.")
        return given
    if len(table.channels) == c:
        return table.channels
    if table.channels:
        raise UserError(
            f"{table.name} names {len(table.channels)} channels ({', '.join(table.channels)}), but its images "
            f"have {c}. Pass --channels with {c} names."
        )
    return ()


def unique_ids(ids: np.ndarray, name: str) -> np.ndarray:
    """(n,) str as they stand; UserError where one stands twice."""
    ids = np.asarray(ids).astype(str)
    found, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise UserError(
            f"{name}: {int((counts > 1).sum())} ids stand more than once (first: {found[counts > 1][0]!r})."
        )
    return ids


def need_column(frame: pd.DataFrame, column: str, name: str, fix: str) -> None:
    """UserError where a table lacks a column."""
    if column not in frame.columns:
        raise unknown_name(f"{name} has no column", column, frame.columns, fix)
