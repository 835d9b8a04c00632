"""Which latents fire on which items, and how strongly? Sparse both ways, never dense."""

from __future__ import annotations

import hashlib
import itertools
import zipfile
from pathlib import Path

import numpy as np
from scipy import sparse

from autointerp.errors import UserError
from autointerp.evidence.by_latent import by_latent, row_blocks


class Activations:
    """Latent activations (n, m): CSR by item and CSC by latent. Active is > 0, silent is exactly 0.

    Parameters
    ----------
    csr : (n, m) CSR float32 without stored zeros, indices sorted; its arrays may be memory-mapped
    csc : the same by latent, where it is there already
    """

    def __init__(self, csr: sparse.csr_matrix, csc: sparse.csc_matrix | None = None):
        if len(csr.data) and not (csr.data.min() > 0 and csr.data.max() < np.inf):
            raise UserError("Activations must be finite and >= 0, with zeros left out of the sparse matrix.")
        self.csr = csr
        self.csc = csr.tocsc() if csc is None else csc
        self.shape: tuple[int, int] = csr.shape

    @classmethod
    def open(cls, directory: Path) -> Activations:
        """Memory-map what ``sae.encode_to_disk`` wrote: indptr.npy, indices.npy, values.npy, meta.json.

        Many activations are sorted by latent on disk, once, in the same directory.
        """
        import json

        meta = json.loads((directory / "meta.json").read_text())
        indptr, indices, values = (
            np.load(directory / f"{name}.npy", mmap_mode="r") for name in ("indptr", "indices", "values")
        )
        csr = sparse.csr_matrix((values, indices, indptr), shape=(meta["n"], meta["m"]), copy=False)
        return cls(csr, by_latent(csr, directory))

    @classmethod
    def from_matrix(cls, matrix: object, n_items: int, source: str) -> Activations:
        """From a user's array or sparse matrix (n, m)."""
        try:
            csr = sparse.csr_matrix(matrix, dtype=np.float32, copy=True)  # the caller's matrix stays as it is
        except (TypeError, ValueError) as error:
            raise UserError(f"Activations {source!r} are no matrix of numbers: {error}.") from error
        csr.sum_duplicates()
        if csr.shape[0] != n_items:
            raise UserError(
                f"Activations {source!r} have {csr.shape[0]} rows, but there are {n_items} items."
            )
        if not np.isfinite(csr.data).all():
            raise UserError(f"Activations {source!r} hold NaN or infinite values. Encode these items again.")
        if len(csr.data) and csr.data.min() < 0:
            raise UserError(
                f"Activations {source!r} fall below zero (minimum {csr.data.min():.3g}). "
                "Split signed codes into a positive and a negative latent each."
            )
        csr.eliminate_zeros()
        return cls(csr)

    def fingerprint(self) -> str:
        """sha256 of the sparse arrays."""
        digest = hashlib.sha256(str(self.shape).encode())
        for part in (self.csr.indptr, self.csr.indices, self.csr.data):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def latent(self, latent: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows on which it fires, rising, and its values there, both (e,)."""
        start, stop = self.csc.indptr[latent], self.csc.indptr[latent + 1]
        return self.csc.indices[start:stop].astype(np.int64), self.csc.data[start:stop]

    def n_active(self, rows: np.ndarray | None = None) -> np.ndarray:
        """(m,) how many of the rows (default: all) each latent fires on."""
        if rows is None:
            return np.diff(self.csc.indptr).astype(np.int64)
        inside = np.zeros(self.shape[0], bool)
        inside[rows] = True
        counts = np.zeros(self.shape[1], np.int64)
        bounds = row_blocks(self.csr.indptr)
        for start, stop in itertools.pairwise(bounds):
            offsets = self.csr.indptr[start : stop + 1]
            entries = np.repeat(inside[start:stop], np.diff(offsets))
            counts += np.bincount(
                self.csr.indices[offsets[0] : offsets[-1]][entries], minlength=self.shape[1]
            )
        return counts

    def binary(self, rows: np.ndarray) -> sparse.csr_matrix:
        """(len(rows), m) CSR float32 of ones where active."""
        part = self.csr[rows]
        return sparse.csr_matrix((np.ones_like(part.data), part.indices, part.indptr), shape=part.shape)


def read_activations(source: str, n_items: int) -> Activations:
    """From ``FILE.npz``: scipy's ``save_npz`` (CSR or CSC), CSR arrays ``indptr, indices, values, shape``, or one
    dense array ``activations``."""
    path = Path(source)
    if not path.exists():
        raise UserError(f"No such file: {path}. Pass --activations with an .npz file or an obsm key.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            stored = {name: archive[name] for name in archive.files}
    except (ValueError, AttributeError, TypeError, zipfile.BadZipFile, OSError) as error:
        raise UserError(
            f"{path} is not an .npz of plain arrays. Write it with scipy.sparse.save_npz or np.savez."
        ) from error
    if {"indptr", "indices", "shape"} <= stored.keys() and stored.keys() & {"data", "values"}:
        matrix = _compressed(path, stored)
    elif "activations" in stored:
        matrix = stored["activations"]
    else:
        raise UserError(
            f"{path} holds {sorted(stored)}; expected a CSR matrix (scipy.sparse.save_npz) "
            "or one array called 'activations'."
        )
    return Activations.from_matrix(matrix, n_items, source)


def _compressed(path: Path, stored: dict[str, np.ndarray]) -> sparse.csr_matrix:
    kind = stored["format"].item() if "format" in stored else "csr"
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    makers = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}
    if kind not in makers:
        raise UserError(f"{path} holds a matrix of format {kind!r}; save matrix.tocsr() instead.")
    values = stored["data"] if "data" in stored else stored["values"]
    try:
        matrix = makers[kind]((values, stored["indices"], stored["indptr"]), shape=tuple(stored["shape"]))
        matrix.check_format(full_check=True)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} holds no valid sparse matrix: {error}.") from error
    return matrix.tocsr()
