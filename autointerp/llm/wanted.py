"""Which requests wait for an answer? Kept in the order of asking, compressed in a temporary file."""

from __future__ import annotations

import json
import tempfile
import weakref
import zlib
from collections.abc import Iterator, MutableMapping
from dataclasses import fields
from typing import IO, Any

from autointerp.errors import UserError
from autointerp.llm.request import Request

STORED = tuple(field.name for field in fields(Request))


class Wanted(MutableMapping[str, Request]):
    """Key -> request. Memory holds the keys and places in the file, some 250 bytes a request, and no prompt.

    The file has no name, so it is gone with the process, however that ends. A full disk is a UserError.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._places: dict[str, tuple[int, int]] = {}  # key -> start, length
        self._end = 0

    def __setitem__(self, key: str, request: Request) -> None:
        said = {name: getattr(request, name) for name in STORED}
        packed = zlib.compress(json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass"), 3)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115
                weakref.finalize(self, self._file.close)
            self._file.seek(self._end)
            self._file.write(packed)
            self._file.flush()
        except OSError as error:
            raise UserError(
                f"Requests that wait cannot be kept in {tempfile.gettempdir()}: {error.strerror}. "
                "Free space there, or set TMPDIR to a folder with more."
            ) from error
        self._places[key] = (self._end, len(packed))
        self._end += len(packed)

    def __getitem__(self, key: str) -> Request:
        start, length = self._places[key]
        assert self._file is not None
        self._file.seek(start)
        said: dict[str, Any] = json.loads(
            zlib.decompress(self._file.read(length)).decode("utf-8", "surrogatepass")
        )
        return Request(**said)

    def __delitem__(self, key: str) -> None:
        del self._places[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
