"""What in a cell is how it was measured, or where in its cycle it is? Covariates by which an artifact is called one.

Shares of counts in % are those of scanpy's quality control: mitochondrial, ribosomal, hemoglobin genes. Scores of S and
G2M are the mean log-normalized expression of the phase's genes [Tirosh et al. 2016] less that of genes of like mean
expression, 50 from each of the bins (25 in all) that hold one of them, as in scanpy's ``score_genes_cell_cycle``.
"""

from __future__ import annotations

import re

import numpy as np
from scipy import sparse

from autointerp.corpus.expression import Expression
from autointerp.corpus.gene_statistics import MITOCHONDRIAL

SHARES = {
    "% mitochondrial": MITOCHONDRIAL,
    "% ribosomal": re.compile(r"^RP[SL]\d|^RPLP\d|^RPSA$", re.IGNORECASE),
    "% hemoglobin": re.compile(r"^HB[ABDEGMQZ]\d?(?:-[A-Z0-9]+)?$", re.IGNORECASE),
}
PHASES = {
    "S phase score": (
        "MCM5", "PCNA", "TYMS", "FEN1", "MCM2", "MCM4", "RRM1", "UNG", "GINS2", "MCM6", "CDCA7", "DTL", "PRIM1",
        "UHRF1", "MLF1IP", "HELLS", "RFC2", "RPA2", "NASP", "RAD51AP1", "GMNN", "WDR76", "SLBP", "CCNE2", "UBR7",
        "POLD3", "MSH2", "ATAD2", "RAD51", "RRM2", "CDC45", "CDC6", "EXO1", "TIPIN", "DSCC1", "BLM", "CASP8AP2",
        "USP1", "CLSPN", "POLA1", "CHAF1B", "BRIP1", "E2F8",
    ),
    "G2M phase score": (
        "HMGB2", "CDK1", "NUSAP1", "UBE2C", "BIRC5", "TPX2", "TOP2A", "NDC80", "CKS2", "NUF2", "CKS1B", "MKI67",
        "TMPO", "CENPF", "TACC3", "FAM64A", "SMC4", "CCNB2", "CKAP2L", "CKAP2", "AURKB", "BUB1", "KIF11", "ANP32E",
        "TUBB4B", "GTSE1", "KIF20B", "HJURP", "CDCA3", "HN1", "CDC20", "TTK", "CDC25C", "KIF2C", "RANGAP1",
        "NCAPD2", "DLGAP5", "CDCA2", "CDCA8", "ECT2", "KIF23", "HMMR", "AURKA", "PSRC1", "ANLN", "LBR", "CKAP5",
        "CENPE", "CTCF", "NEK2", "G2E3", "GAS2L3", "CBX5", "CENPA",
    ),
}  # fmt: skip
BLOCK_ROWS = 8192
LEAST_GENES = 10  # of a phase; fewer say little of it
BINS, CONTROLS = 25, 50


def technical_covariates(
    expression: Expression, names: np.ndarray, mean_expression: np.ndarray, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Name -> (len(rows),) float64, of those that the matrix can tell.

    Depth and shares need counts; a share is left out where none of its genes is measured, a phase with fewer than ten.

    names : (g,) gene symbols; mean_expression : (g,) on explain, by which genes are alike
    """
    place = {gene.upper(): i for i, gene in reversed(list(enumerate(map(str, names))))}
    phases = {}
    for name, genes in PHASES.items():
        columns = np.array(sorted({place[gene] for gene in genes if gene in place}), dtype=np.int64)
        others = _alike(columns, mean_expression)
        if len(columns) >= LEAST_GENES and len(others):
            phases[name] = columns, others
    shares = {
        name: np.array([bool(pattern.match(gene)) for gene in names]) for name, pattern in SHARES.items()
    }
    shares = {name: inside.astype(np.float64) for name, inside in shares.items() if inside.any()}
    blocks = [rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS)] or [rows]
    told = [_told(expression, block, shares, phases) for block in blocks]
    return {name: np.concatenate([block[name] for block in told]) for name in told[0]}


def _told(
    expression: Expression,
    rows: np.ndarray,
    shares: dict[str, np.ndarray],
    phases: dict[str, tuple[np.ndarray, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Of a block of rows. shares : name -> (g,) ones of its genes; phases : name -> its columns, those of like genes"""
    found: dict[str, np.ndarray] = {}
    raw = expression.raw(rows)
    if expression.kind == "counts":
        depth = np.asarray(raw.sum(1), dtype=np.float64).ravel()
        found["total counts"] = depth
        found["genes detected"] = _detected(raw)
        for name, inside in shares.items():
            part = np.asarray(raw @ inside).ravel()
            found[name] = 100 * np.divide(part, depth, out=np.zeros(len(rows)), where=depth > 0)
    else:
        found["genes detected"] = _detected(raw)
    values = expression.log_normalized(rows)
    for name, (columns, others) in phases.items():
        own, alike = (values[:, part].astype(np.float64).mean(1) for part in (columns, others))
        found[name] = np.asarray(own - alike).ravel()
    return found


def _detected(raw: sparse.csr_matrix) -> np.ndarray:
    return np.asarray((raw > 0).astype(np.float64).sum(1)).ravel()


def _alike(columns: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Genes (…,) outside of ``columns`` of like mean expression: 50 drawn from the bin, one of 25, of each of them."""
    rng = np.random.default_rng(0)
    bins = np.argsort(np.argsort(mean, kind="stable"), kind="stable") * BINS // len(mean)
    drawn: set[int] = set()
    for b in np.unique(bins[columns]):
        inside = np.flatnonzero(bins == b)
        drawn |= set(rng.permutation(inside)[:CONTROLS].tolist())
    return np.array(sorted(drawn - set(columns.tolist())), dtype=np.int64)
