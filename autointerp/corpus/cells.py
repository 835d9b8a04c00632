"""What are the items when they are cells? CellCorpus: an AnnData with an embedding, read carefully."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from autointerp.corpus.anndata_store import AnnDataParts, from_anndata, open_parts
from autointerp.corpus.annotation import column_of, control_rows, groups_of
from autointerp.corpus.base import Part
from autointerp.corpus.cell_cards import card_parts, cell_cards
from autointerp.corpus.expression import Expression, MatrixKind, detect_kind
from autointerp.corpus.gene_statistics import MITOCHONDRIAL, GeneStatistics, gene_statistics
from autointerp.corpus.pca import expression_pca, variable_genes
from autointerp.corpus.technical import technical_covariates
from autointerp.errors import UserError, unknown_name
from autointerp.schema import Rendering

ENSEMBL = re.compile(r"^ENS[A-Z]*G\d{6,}(\.\d+)?$")
SYMBOL_COLUMNS = (
    "gene_symbols",
    "gene_symbol",
    "symbol",
    "gene_name",
    "gene_names",
    "feature_name",
    "gene_short_name",
)

KEPT_CARDS = 50_000


class CellCorpus:
    """Cells of an AnnData: see the ``Corpus`` protocol for what each attribute means.

    Parameters
    ----------
    source : path of an ``.h5ad`` or ``.zarr``, or an AnnData
    embedding : key of obsm, path of an ``.npy`` (n, d), or ``pca`` (fitted on explain cells)
    layer : layer to read instead of ``.X``
    matrix : ``auto`` or the kind of values: ``counts``, ``lognorm``, ``scaled``
    gene_symbols : column of var with gene symbols
    group, control, control_group : obs column that cuts the splits; ``COLUMN=VALUE`` of control rows; their own column
    category : obs column for ``same_category`` negatives (withheld from prompts)
    """

    noun = "cell"
    feature_noun = "gene"
    zero_is_absent = True

    def __init__(
        self,
        source: str | Path | Any,
        *,
        embedding: str = "pca",
        pca_components: int = 50,
        layer: str | None = None,
        matrix: str = "auto",
        gene_symbols: str | None = None,
        group: str | None = None,
        control: str | None = None,
        control_group: str | None = None,
        category: str | None = None,
        backed: bool | None = None,
    ):
        parts = open_parts(Path(source), backed) if isinstance(source, (str, Path)) else from_anndata(source)
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self._parts = parts
        self.obs = parts.obs
        self.ids = _unique_ids(parts.obs)
        self.expression, var = self._open_expression(parts, layer, matrix)
        if self.expression.shape[0] != len(self.ids):
            raise UserError(
                f"The matrix has {self.expression.shape[0]} rows but obs has {len(self.ids)} cells."
            )
        self.feature_names = self._symbols(var, gene_symbols)
        self.categories = column_of(self.obs, self.ids, category, "--category")
        self.is_control = control_rows(self.obs, self.ids, control)
        self.groups = groups_of(self.obs, self.ids, group, self.is_control, control_group)
        self._embedding_key, self._pca_components = embedding, pca_components
        self._embeddings = None if embedding == "pca" else self._read_embedding(parts, embedding)
        self._statistics: GeneStatistics | None = None
        self._shown: GeneStatistics | None = None  # less what is withheld
        self._covariates: dict[str, np.ndarray] | None = None
        self._markable: dict[int, tuple[Part, ...]] = {}
        self._cards: dict[int, Rendering] = {}  # many latents show the same cells

    def __len__(self) -> int:
        return len(self.ids)

    def fingerprint(self) -> str:
        """sha256 of the data file, and of the embedding's where that is a file of its own."""
        digest = self._parts.fingerprint()
        path = Path(self._embedding_key)
        if path.suffix == ".npy" and path.exists():
            with path.open("rb") as file:
                digest += hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(digest.encode()).hexdigest()

    def fit_on(self, explain_rows: np.ndarray) -> None:
        """Gene statistics, and the PCA embedding where asked for, from explain cells only."""
        self._statistics = gene_statistics(self.expression, self.feature_names, explain_rows)
        self._markable.clear()
        self._cards.clear()
        if self._embedding_key == "pca":
            self._embeddings = expression_pca(
                self.expression, self._statistics, explain_rows, self._pca_components
            )
            self.notes.append(
                f"Embedding: {self._embeddings.shape[1]} principal components fitted on explain cells."
            )

    def withhold(self, features: np.ndarray) -> None:
        """Keep features (g,) bool from all that a label writer sees: they are in no contrast, enrichment, panel of the
        strongest features or card. ``statistics``, the embedding, ``features`` and readouts keep them."""
        whole = self.statistics
        self._shown = replace(
            whole, eligible=whole.eligible & ~features, informative=whole.informative & ~features
        )
        self._markable.clear()
        self._cards.clear()

    @property
    def shown_statistics(self) -> GeneStatistics:
        """``statistics`` in which no withheld feature is eligible or informative."""
        return self._shown or self.statistics

    def measure(self, cache: Path, progress: Any) -> None:
        """Nothing: the matrix is what was measured."""

    @property
    def embedded_outside(self) -> bool:
        """Whether the embedding was computed before, by who knows which cells."""
        return self._embedding_key != "pca"

    @property
    def dimension(self) -> int:
        """Of the embedding; of PCA, at most."""
        return self._pca_components if self._embeddings is None else self._embeddings.shape[1]

    @property
    def to_fit(self) -> str:
        """What ``fit_on`` does, for people who wait."""
        return "gene statistics" + (" and PCA" if self._embeddings is None else "")

    @property
    def statistics(self) -> GeneStatistics:
        if self._statistics is None:
            raise RuntimeError("fit_on(explain_rows) must be called first")
        return self._statistics

    @property
    def embeddings(self) -> np.ndarray:
        if self._embeddings is None:
            raise RuntimeError(
                "fit_on(explain_rows) must be called first: the embedding is fitted on explain cells"
            )
        return self._embeddings

    @property
    def eligible(self) -> np.ndarray:
        return self.shown_statistics.eligible

    def features(self, rows: np.ndarray) -> sparse.csr_matrix:
        return self.expression.log_normalized(rows)

    def blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, sparse.csr_matrix]]:
        return self.expression.blocks(rows)

    def feature_moments(self) -> tuple[np.ndarray, np.ndarray]:
        return self.statistics.mean, self.statistics.sd

    def probe_features(self) -> np.ndarray:
        """The 2,000 most variable genes, those that cards leave out among them."""
        return variable_genes(self.statistics, self.statistics.variable)

    def covariates(self) -> dict[str, np.ndarray]:
        """Depth (total counts, where there are counts), genes detected, and % mitochondrial, each (n,)."""
        if self._covariates is None:
            n = len(self)
            detected, mito = np.zeros(n), np.zeros(n)
            is_mito = np.array([bool(MITOCHONDRIAL.match(name)) for name in self.feature_names])
            for start in range(0, n, 2048):
                rows = np.arange(start, min(start + 2048, n))
                block = self.expression.raw(rows)
                detected[rows] = np.asarray((block > 0).sum(1)).ravel()
                mito[rows] = block @ is_mito.astype(np.float32)
            found: dict[str, np.ndarray] = {}
            if self.expression.kind == "counts":
                depth = self.expression.depth
                found["total counts"] = depth
                found["genes detected"] = detected
                found["% mitochondrial"] = 100 * np.divide(mito, depth, out=np.zeros(n), where=depth > 0)
            else:
                found["genes detected"] = detected
            self._covariates = found
        return self._covariates

    def technical(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """How cells were measured, and where they are in their cycle, each (len(rows),): see ``corpus.technical``."""
        return technical_covariates(self.expression, self.feature_names, self.statistics.mean, rows)

    def render(self, rows: np.ndarray, marks: Sequence[Sequence[str]] | None = None) -> list[Rendering]:
        if marks is not None:
            return self._cards_of(rows, marks)
        new = np.array(
            [row for row in dict.fromkeys(rows.tolist()) if row not in self._cards], dtype=np.int64
        )
        if len(self._cards) + len(new) > KEPT_CARDS:
            self._cards.clear()
            new = np.unique(rows)
        self._cards |= dict(zip(new.tolist(), self._cards_of(new), strict=True))
        return [self._cards[row] for row in rows.tolist()]

    def _cards_of(self, rows: np.ndarray, marks: Sequence[Sequence[str]] | None = None) -> list[Rendering]:
        covariates = self.covariates()
        return cell_cards(self.expression, self.shown_statistics, self.feature_names, covariates, rows, marks)

    def markable(self, rows: np.ndarray) -> list[tuple[Part, ...]]:
        """The genes on each cell's card; kept, since many latents ask for the same cells."""
        new = np.array([row for row in rows.tolist() if row not in self._markable], dtype=np.int64)
        made = card_parts(self.expression, self.shown_statistics, self.feature_names, new)
        self._markable |= dict(zip(new.tolist(), made, strict=True))
        return [self._markable[row] for row in rows.tolist()]

    def panel(self, rows: np.ndarray, names: Sequence[str]) -> list[tuple[tuple[str, float], ...]]:
        """Log-normalized values of named genes, zeros included; names that are not measured are left out."""
        index = self.feature_index
        known = [name for name in names if name in index]
        values = self.features(rows)[:, [index[name] for name in known]].toarray()
        return [
            tuple((name, round(float(v), 2)) for name, v in zip(known, row, strict=True)) for row in values
        ]

    @cached_property
    def feature_index(self) -> dict[str, int]:
        """Column number of each gene name."""
        return {str(name): i for i, name in enumerate(self.feature_names)}

    def obsm(self, key: str) -> Any:
        if key not in self._parts.obsm_keys:
            raise unknown_name("obsm has no key", key, self._parts.obsm_keys)
        return self._parts.obsm(key)

    def obsm_arrays(self) -> dict[str, Any]:
        """All of obsm, as it was brought."""
        return {key: self._parts.obsm(key) for key in self._parts.obsm_keys}

    def planar_embedding(self) -> tuple[str, np.ndarray] | None:
        """A two-dimensional map for people: the first of X_umap, X_tsne, or another key like them."""
        for key in sorted(self._parts.obsm_keys, key=lambda k: (k != "X_umap", k)):
            if "umap" in key.lower() or "tsne" in key.lower():
                values = np.asarray(self._parts.obsm(key), dtype=np.float32)
                if values.ndim == 2 and values.shape[1] >= 2:
                    return key, values[:, :2]
        return None

    # -- reading and checking -------------------------------------------------------------------------------------

    def _open_expression(
        self, parts: AnnDataParts, layer: str | None, kind: str
    ) -> tuple[Expression, pd.DataFrame]:
        if layer is not None:
            if layer not in parts.layer_keys:
                raise unknown_name(
                    "layers has no key", layer, parts.layer_keys, "Pass one of them with --layer."
                )
            name = layer
        else:
            name = "X"
        matrix, var = parts.matrix(name), parts.var
        if matrix is None:
            raise UserError("The AnnData has no X. Pass --layer NAME for the layer that holds expression.")
        seen = detect_kind(matrix) if kind == "auto" else _checked_kind(kind)
        if seen == "scaled" and kind == "auto" and layer is None and parts.raw_var is not None:
            matrix, var, name = parts.matrix("raw"), parts.raw_var, ".raw"
            seen = detect_kind(matrix)
            self.notes.append("X is scaled (values below zero): reading .raw instead.")
        self.notes.append(f"Expression: {name} read as {seen}{'' if kind != 'auto' else ' (detected)'}.")
        if seen == "scaled":
            self.warnings.append(
                "The expression matrix is scaled: gene cards and contrasts are weaker than from counts. "
                "Pass --layer NAME with counts if the file has them."
            )
        return Expression(matrix, seen), var

    def _symbols(self, var: pd.DataFrame, column: str | None) -> np.ndarray:
        if column is not None and column not in var.columns:
            raise unknown_name(
                "var has no column", column, var.columns, "Pass one of them with --gene-symbols."
            )
        names = pd.Series(var.index.astype(str), index=var.index)
        if column is None:
            ensembl = names.str.match(ENSEMBL).mean() > 0.5
            column = next((c for c in SYMBOL_COLUMNS if c in var.columns), None) if ensembl else None
            if column is not None:
                self.notes.append(f"var_names are Ensembl ids: gene symbols read from var[{column!r}].")
            elif ensembl:
                self.warnings.append(
                    "var_names are Ensembl ids and no symbol column was found: labels will name ids. "
                    f"Pass --gene-symbols COLUMN; var has {', '.join(map(repr, var.columns)) or 'no columns'}."
                )
        if column is not None:
            symbols = var[column].astype(object)
            names = names.where(symbols.isna() | (symbols.astype(str).str.strip() == ""), symbols.astype(str))
        unique, n_numbered = _numbered(names.to_numpy(dtype=str))
        if n_numbered:
            self.notes.append(f"{n_numbered} repeated gene names were numbered (NAME-1, NAME-2).")
        return unique

    def _read_embedding(self, parts: AnnDataParts, key: str) -> np.ndarray:
        if key.endswith(".npy"):
            if not Path(key).exists():
                raise UserError(
                    f"No such file: {key}. Pass --embedding with an .npy file, an obsm key, or pca."
                )
            try:
                values: Any = np.load(key, mmap_mode="r", allow_pickle=False)
            except (ValueError, OSError) as error:
                raise UserError(f"{key} is not an .npy array of numbers. Write it with np.save.") from error
        elif key not in parts.obsm_keys:
            raise unknown_name(
                "obsm has no key", key, [*parts.obsm_keys, "pca"], "Pass one of them with --embedding."
            )
        else:
            values = parts.obsm(key)
        values = values.toarray() if sparse.issparse(values) else np.asanyarray(values)
        if values.ndim != 2 or values.shape[0] != len(self):
            raise UserError(
                f"Embedding {key!r} has shape {values.shape}, but there are {len(self)} cells (rows). "
                "Embed these cells, or pass another --embedding."
            )
        if values.dtype.kind not in "fiub":
            raise UserError(f"Embedding {key!r} holds {values.dtype}, not numbers. Pass another --embedding.")
        for start in range(0, len(self), 65536):
            bad = ~np.isfinite(values[start : start + 65536]).all(1)
            if bad.any():
                row = start + int(np.flatnonzero(bad)[0])
                raise UserError(
                    f"Embedding {key!r} has NaN or infinite values, first in row {row} (cell {self.ids[row]}). "
                    "Drop these cells or embed them again."
                )
        return values if isinstance(values, np.memmap) else np.ascontiguousarray(values, dtype=np.float32)


def _unique_ids(obs: pd.DataFrame) -> np.ndarray:
    ids = obs.index.astype(str).to_numpy(dtype=str)
    repeated = obs.index[obs.index.duplicated()]
    if len(repeated):
        raise UserError(
            f"{len(repeated)} cell ids stand more than once in obs_names (first: {repeated[0]!r}). "
            "Run adata.obs_names_make_unique() and write the file again."
        )
    return ids


def _numbered(names: np.ndarray) -> tuple[np.ndarray, int]:
    """Repeated names as NAME-1, NAME-2 …, past those that are taken, and how many were numbered."""
    taken, last, unique = set(names.tolist()), dict.fromkeys(names.tolist(), -1), []
    for name in names.tolist():
        last[name] += 1
        numbered = name
        while last[name] and (numbered := f"{name}-{last[name]}") in taken:
            last[name] += 1
        taken.add(numbered)
        unique.append(numbered)
    return np.array(unique), int((np.array(unique) != names).sum())


def _checked_kind(kind: str) -> MatrixKind:
    if kind not in ("counts", "lognorm", "scaled"):
        raise unknown_name("no matrix kind", kind, ("auto", "counts", "lognorm", "scaled"))
    return kind  # type: ignore[return-value]
