"""What of an encode that was stopped can be relied on? Its whole blocks, by a journal with their checksums."""

from __future__ import annotations

import json
import logging
import os
import shutil
import zlib
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

FORMAT = 1
JOURNAL = "blocks.jsonl"
COLUMNS: dict[str, np.dtype[Any]] = {
    "indptr": np.dtype(np.int64),
    "indices": np.dtype(np.int32),
    "values": np.dtype(np.float32),
}
_log = logging.getLogger(__name__)


class _Block(NamedTuple):
    """Rows and entries up to the end of a block, and the checksum of what it adds to the three columns."""

    rows: int
    nnz: int
    crc32: int


class Partial:
    """A CSR matrix on disk that grows by blocks of rows: indptr.npy, indices.npy, values.npy and a journal.

    A block stands in the journal once its bytes have been handed to the operating system. Opening a folder
    keeps the longest run of blocks whose bytes fit the journal, and cuts off what comes after.

    made_from : what the codes depend on; a folder of another one is emptied, with a warning in the log
    """

    def __init__(self, folder: Path, made_from: dict[str, Any]) -> None:
        self.folder = folder
        self._head = _line({"format": FORMAT, **made_from})
        self._blocks: list[_Block] = []
        self._open = ExitStack()

    def __enter__(self) -> Partial:
        why = self._continue() if self.folder.exists() else ""
        if why is not None:
            self.start_anew(why)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def n_rows(self) -> int:
        """Rows that are whole."""
        return self._blocks[-1].rows if self._blocks else 0

    def last_block(self) -> slice | None:
        """The rows of the last block."""
        if not self._blocks:
            return None
        return slice(self._blocks[-2].rows if len(self._blocks) > 1 else 0, self.n_rows)

    def ends_with(self, counts: np.ndarray, indices: np.ndarray, values: np.ndarray) -> bool:
        """Whether the last block holds these rows, bit for bit."""
        before = self._blocks[-2] if len(self._blocks) > 1 else _Block(0, 0, 0)
        return self._blocks[-1] == _added(before, counts, indices, values)[0]

    def start_anew(self, why: str) -> None:
        """Throw away what is there."""
        self._open.close()
        if why:
            _log.warning("%s cannot be continued (%s): encoding starts anew", self.folder, why)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._blocks = []
        self._columns = {name: self._file(f"{name}.npy", "wb") for name in COLUMNS}
        self._headers()
        self._columns["indptr"].write(np.zeros(1, np.int64).tobytes())
        self._journal = self._file(JOURNAL, "wb")
        self._journal.write(self._head)

    def append(self, counts: np.ndarray, indices: np.ndarray, values: np.ndarray) -> None:
        """The rows that follow: entries in each (b,), and what `csr` gives of them (nnz,)."""
        before = self._blocks[-1] if self._blocks else _Block(0, 0, 0)
        block, sections = _added(before, counts, indices, values)
        for name, section in sections.items():
            self._columns[name].write(section)
            self._columns[name].flush()
        self._journal.write(_line(block._asdict()))
        self._journal.flush()
        self._blocks.append(block)

    def finish(self) -> None:
        """Write the lengths into the headers; without the journal, the files are then those of a matrix."""
        self._headers()
        for file in self._columns.values():
            file.flush()

    def _continue(self) -> str | None:
        """Open what an earlier call left, at its last whole block; why not, where that is impossible."""
        try:
            head, *lines = (self.folder / JOURNAL).read_bytes().splitlines(keepends=True)
            if head != self._head:
                return "it was made of another dictionary, another source or other blocks"
            self._columns = {name: self._file(f"{name}.npy", "r+b") for name in COLUMNS}
        except (OSError, ValueError) as error:
            return f"it has no beginning: {error}"
        whole = len(head)
        starts = self._headers()
        for line in lines:
            block = _journaled(line)
            if block is None or not self._holds(block, starts):
                break
            self._blocks.append(block)
            whole += len(line)
        if not self._blocks:
            return "no block of it is whole"
        ends = _lengths(self._blocks[-1])
        for name, file in self._columns.items():
            file.truncate(starts[name] + ends[name] * COLUMNS[name].itemsize)
            file.seek(0, os.SEEK_END)
        self._journal = self._file(JOURNAL, "r+b")
        self._journal.truncate(whole)
        self._journal.seek(0, os.SEEK_END)
        return None

    def _holds(self, block: _Block, starts: dict[str, int]) -> bool:
        """Whether the columns hold what the journal says of the block after those that are known."""
        before = _lengths(self._blocks[-1] if self._blocks else _Block(0, 0, 0))
        ends, crc = _lengths(block), 0
        for name, file in self._columns.items():
            size = COLUMNS[name].itemsize
            if not before[name] <= ends[name]:
                return False
            file.seek(starts[name] + before[name] * size)
            crc = zlib.crc32(file.read((ends[name] - before[name]) * size), crc)
        return crc == block.crc32

    def _file(self, name: str, mode: str) -> BinaryIO:
        return cast(BinaryIO, self._open.enter_context(open(self.folder / name, mode)))

    def _headers(self) -> dict[str, int]:
        """Write each header with the length so far, and return where the data start, in bytes.

        Numpy leaves room in a header for any length, so that the data do not move.
        """
        ends = _lengths(self._blocks[-1] if self._blocks else _Block(0, 0, 0))
        starts = {}
        for name, file in self._columns.items():
            file.seek(0)
            described = {"descr": COLUMNS[name].str, "fortran_order": False, "shape": (ends[name],)}
            np.lib.format.write_array_header_1_0(file, described)
            starts[name] = file.tell()
        return starts


def _added(
    before: _Block, counts: np.ndarray, indices: np.ndarray, values: np.ndarray
) -> tuple[_Block, dict[str, bytes]]:
    """The block that follows ``before``, and its bytes in each column."""
    offsets = before.nnz + np.cumsum(counts)
    arrays = {"indptr": offsets, "indices": indices, "values": values}
    sections = {name: arrays[name].astype(dtype).tobytes() for name, dtype in COLUMNS.items()}
    crc = 0
    for section in sections.values():
        crc = zlib.crc32(section, crc)
    return _Block(before.rows + len(counts), before.nnz + len(indices), crc), sections


def _lengths(block: _Block) -> dict[str, int]:
    """Entries of each column at the end of a block."""
    return {"indptr": block.rows + 1, "indices": block.nnz, "values": block.nnz}


def _line(said: dict[str, Any]) -> bytes:
    return (json.dumps(said, sort_keys=True) + "\n").encode()


def _journaled(line: bytes) -> _Block | None:
    """What one line of the journal says; None where it is torn."""
    try:
        said = json.loads(line)
        block = _Block(int(said["rows"]), int(said["nnz"]), int(said["crc32"]))
    except (ValueError, KeyError, TypeError):
        return None
    return block if line.endswith(b"\n") else None
