"""Which genes belong together, by a collection on disk? GMT files: a line a set, its name, a note, its genes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from autointerp.errors import UserError

LEAST_MEASURED = 0.2  # of a collection's genes; less means another species, case or kind of id
LEAST_GENES, MOST_GENES = 5, 500  # measured genes of a set that is tested


@dataclass(frozen=True, eq=False)
class GeneSets:
    """The sets of a collection that can be tested on a corpus.

    collection : the files' names
    names : (s,) str, unique
    members : (s, g) CSR of ones over the corpus's features
    sizes : (s,) genes of each set in its file, measured or not
    warnings : what the user should know of the match between collection and data
    """

    collection: str
    names: np.ndarray
    members: sparse.csr_matrix
    sizes: np.ndarray
    warnings: tuple[str, ...] = ()


def read_gmt(path: Path) -> dict[str, tuple[str, ...]]:
    """Set name -> its genes, each once, in the file's order.

    UserError names file and line: not readable, fewer than three columns, a name that stands twice.
    """
    found: dict[str, tuple[str, ...]] = {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--gene-sets: {path} cannot be read ({error}).") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, *rest = (part.strip() for part in line.split("\t"))
        genes = tuple(dict.fromkeys(gene for gene in rest[1:] if gene))
        if not name or not genes:
            raise UserError(
                f"--gene-sets: {path}, line {number} is no GMT line (name, note and genes between tabs)."
            )
        if name in found:
            raise UserError(f"--gene-sets: {path}, line {number}: the set {name!r} stands twice.")
        found[name] = genes
    if not found:
        raise UserError(f"--gene-sets: {path} holds no set.")
    return found


def gene_sets(paths: Sequence[Path], features: np.ndarray) -> GeneSets:
    """Match collections to the corpus's feature names (g,), exactly as they are written.

    Sets with fewer than 5 or more than 500 measured genes are not tested; how many those are is said. A set of a second
    file takes the file's name in front where its own is taken.
    """
    place = {str(name): i for i, name in enumerate(features)}
    names: list[str] = []
    columns: list[np.ndarray] = []
    sizes: list[int] = []
    warnings: list[str] = []
    left_out = 0
    for path in paths:
        sets = read_gmt(path)
        all_genes = {gene for genes in sets.values() for gene in genes}
        share = sum(gene in place for gene in all_genes) / len(all_genes)
        if share < LEAST_MEASURED:
            example = next(gene for genes in sets.values() for gene in genes)
            warnings.append(
                f"{path.name}: {share:.0%} of its {len(all_genes):,} genes are among the features (it writes "
                f"{example}, the data {features[0]}): another species, case or kind of id? Its sets say little here."
            )
        for name, genes in sets.items():
            measured = np.array([place[gene] for gene in genes if gene in place], dtype=np.int64)
            if not LEAST_GENES <= len(measured) <= MOST_GENES:
                left_out += 1
                continue
            names.append(name if name not in names else f"{path.stem}: {name}")
            columns.append(measured)
            sizes.append(len(genes))
    if left_out:
        warnings.append(
            f"{left_out:,} of {left_out + len(names):,} gene sets have fewer than {LEAST_GENES} or more than "
            f"{MOST_GENES} measured genes and are not tested."
        )
    indptr = np.concatenate([[0], np.cumsum([len(c) for c in columns])]).astype(np.int64)
    indices = np.concatenate(columns) if columns else np.empty(0, np.int64)
    members = sparse.csr_matrix(
        (np.ones(len(indices), np.float32), indices, indptr), shape=(len(names), len(features))
    )
    return GeneSets(
        ", ".join(path.name for path in paths),
        np.array(names, dtype=object),
        members,
        np.array(sizes),
        tuple(warnings),
    )
