"""What does a realistic report payload look like? Sixty latents over blood cells, drawn from one seed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autointerp.results.payload import LatentEntry, ReportPayload, ScoreEntry

TYPES = {
    "CD4 T": ("IL7R", "LTB", "CD3D", "LDHB", "TCF7", "CCR7", "MAL", "NOSIP"),
    "CD8 T": ("CD8A", "CD8B", "GZMK", "CCL5", "CD3E", "KLRG1", "LYAR", "CST7"),
    "NK": ("GNLY", "NKG7", "KLRD1", "PRF1", "GZMB", "FGFBP2", "KLRF1", "CTSW"),
    "B": ("CD79A", "MS4A1", "CD74", "HLA-DRA", "CD79B", "IGHM", "TCL1A", "BANK1"),
    "CD14 monocyte": ("LYZ", "S100A8", "S100A9", "CD14", "FCN1", "VCAN", "CST3", "MS4A6A"),
    "CD16 monocyte": ("FCGR3A", "MS4A7", "LST1", "AIF1", "CDKN1C", "RHOC", "IFITM3", "LILRB2"),
    "dendritic": ("FCER1A", "CLEC10A", "HLA-DPB1", "HLA-DQA1", "CD1C", "CPVL", "GPX1", "CLIC2"),
    "platelet": ("PPBP", "PF4", "GNG11", "SPARC", "TUBB1", "CLU", "SDPR", "GP9"),
}
STATES = {
    "interferon response": ("ISG15", "IFI6", "IFIT3", "MX1", "LY6E", "IFI44L"),
    "early activation (AP-1)": ("FOS", "JUN", "DUSP1", "JUNB", "NFKBIA", "CD69"),
    "cycling": ("MKI67", "TOP2A", "STMN1", "TYMS", "TUBA1B", "PCNA"),
    "low complexity": ("MT-CO1", "MT-ND1", "MALAT1", "NEAT1", "MT-CYB", "XIST"),
}
OTHERS = ("TMSB4X", "ACTB", "B2M", "FTL", "VIM", "S100A4", "IL32", "TYROBP", "CCL4", "CD27", "PRDX1", "HLA-B")
CENTERS = dict(
    zip(TYPES, [(-4, 3), (-2, 5), (1, 6), (5, -4), (-5, -5), (-2.5, -7), (0, -5), (6, 4)], strict=True)
)


def pbmc_payload(
    n_latents: int = 60, seed: int = 0, explainers: tuple[str, ...] = ("markers",)
) -> ReportPayload:
    """A payload as ``run`` would make it for 2,700 blood cells."""
    rng = np.random.default_rng(seed)
    share = np.array([0.32, 0.14, 0.12, 0.13, 0.18, 0.06, 0.03, 0.02])
    cell_type = rng.choice(list(TYPES), 2700, p=share / share.sum())
    donor = rng.choice(["donor A", "donor B", "donor C"], 2700)
    xy = np.array([CENTERS[t] for t in cell_type]) + rng.normal(0, 0.75, (2700, 2))
    latents = [
        _latent(number, explainer, np.random.default_rng([seed, number]), cell_type, donor)
        for number in range(n_latents)
        for explainer in explainers
    ]
    payload: ReportPayload = {
        "run": {
            "run_id": "pbmc3k-8f2c11d0",
            "title": "Blood cells, 3k",
            "data_name": "pbmc3k_processed.h5ad",
            "embedding": "X_pca (50)",
            "dictionary": f"TopK, {n_latents} latents, k 16",
            "n_items": 2700,
            "n_features": 13714,
            "splits": {"explain": 1350, "develop": 540, "test": 810},
            "split_mode": "item",
            "split_note": "cells of one donor can be on both sides",
            "model": "",
            "judge": "signature",
            "seed": 0,
            "versions": {"autointerp-bio": "0.1.0", "anndata": "0.12.19", "numpy": "2.4.6"},
            "created": "2025-06-02 14:05",
            "warnings": [
                "No --group column was given: the split is by cell, so scores do not speak about new donors.",
                "The embedding was computed on all cells outside this project and carries test structure.",
            ],
            "command": "autointerp run --data pbmc3k_processed.h5ad --embedding X_pca --model openai/…",
        },
        "summary": [],
        "latents": latents,
        "umap": {"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist(), "name": "X_umap"},
    }
    for explainer in explainers:
        for metric in ("auroc", "balanced_accuracy"):
            for negatives in ("random", "neighbour", "co_firing"):
                payload["summary"].append(_summary(latents, explainer, metric, negatives, n_latents))  # type: ignore
    return payload


def _latent(number: int, explainer: str, rng: np.random.Generator, cell_type: Any, donor: Any) -> LatentEntry:
    family = list(TYPES)[number % len(TYPES)]
    state = list(STATES)[(number // 8) % len(STATES)] if number % 3 == 1 else ""
    genes = (*STATES[state], *TYPES[family][:3]) if state else TYPES[family]
    chance = np.where(cell_type == family, 0.3 if state else 0.8, 0.02)
    active = rng.random(len(cell_type)) < chance
    strength = np.where(active, rng.gamma(2.2, 0.9, len(active)), 0)
    trouble = {7: "abstained", 19: "not explainable", 33: "failed", 41: "not explainable"}.get(number, "")
    reason = {
        "": "",
        "abstained": "no theme common to the strong and the weak examples",
        "not explainable": "fewer than 20 activating cells in explain (11)",
        "failed": "labeling failed: the endpoint gave no usable answer (6 of 10 replies were truncated)",
    }[trouble]
    verdicts = rng.choice(["supported", "contradicted", "not measured"], len(genes), p=[0.86, 0.08, 0.06])
    title = f"{family} cells, {state}" if state else f"{family} cells ({genes[0]}, {genes[1]})"
    rows = np.flatnonzero(active)
    return {
        "latent": number,
        "title": "" if trouble in ("not explainable", "failed") else title,
        "description": ""
        if trouble
        else f"Fires on {family} cells that express {', '.join(genes[:4])}"
        + (f", with a program of {state}." if state else "; silent in the other lineages."),
        "kind": "unknown" if trouble else _kind(state),
        "confidence": None if trouble else float(rng.uniform(0.4, 0.95)),
        "abstained": trouble == "abstained",
        "explainer": explainer,
        "model": "",
        "reason": reason,
        "status": trouble or "scored",
        "firing_rate": float(active.mean()),
        "n_active": int(active.sum()),
        "key_features": []
        if trouble
        else [
            {"name": g, "direction": "down" if i == len(genes) - 1 else "up", "verdict": str(v)}
            for i, (g, v) in enumerate(zip(genes, verdicts, strict=True))
        ],
        "scores": [
            _score(metric, negatives, rng, bool(state), reason)
            for metric in ("auroc", "balanced_accuracy")
            for negatives in ("random", "neighbour", "co_firing")
        ],
        "histogram": dict(
            zip(("counts", "edges"), (a.tolist() for a in np.histogram(strength[active], 24)), strict=True)
        ),
        "breakdown": {
            name: [
                {"value": str(v), "n": int((column == v).sum()), "n_active": int(active[column == v].sum())}
                for v in np.unique(column)
            ]
            for name, column in (("cell type", cell_type), ("donor", donor))
        },
        "contrasts": [
            _contrast(against, genes, rng, scale)
            for against, scale in (("all silent cells", 1.0), ("the 100 nearest silent cells", 0.4))
        ]
        + [
            {
                "against": "silent cells of cluster CCL5/NKG7",
                "n_active": 31,
                "n_silent": 204,
                "null": 0.31,
                "up": [],
                "down": [],
            }
        ],
        "examples": [_example(f"{'ACGT' * 3}{number:02d}{i}-1", 10 - i, genes, rng) for i in range(8)],
        "activations": {"rows": rows.tolist(), "values": strength[rows].tolist()},
    }  # type: ignore[typeddict-item]


def _kind(state: str) -> str:
    return "technical" if state == "low complexity" else "state" if state else "identity"


def _score(metric: str, negatives: str, rng: np.random.Generator, hard: bool, reason: str) -> ScoreEntry:
    middle = {"random": 0.9, "neighbour": 0.66, "co_firing": 0.72}[negatives] - 0.06 * hard
    value = float(np.clip(rng.normal(middle, 0.07), 0.35, 0.99))
    half = float(rng.uniform(0.03, 0.08))
    ceiling = min(0.995, value + float(rng.uniform(0.01, 0.12)))
    return {
        "scorer": "detection",
        "judge": "signature",
        "metric": metric,
        "negatives": negatives,
        "value": None if reason else value,
        "ci_low": value - half,
        "ci_high": min(1.0, value + half * 0.8),
        "ci_method": "logit-DeLong" if metric == "auroc" else "Newcombe",
        "n": 100,
        "n_pos": 50,
        "n_failed": 0,
        "reason": reason,
        "shuffled": float(np.clip(rng.normal(0.5, 0.09), 0.2, 0.8)),
        "ceiling": ceiling,
        "share": (value - 0.5) / (ceiling - 0.5) if ceiling > 0.52 else None,
    }


def _contrast(against: str, genes: tuple[str, ...], rng: np.random.Generator, scale: float) -> Any:
    def line(name: str, sign: int) -> dict[str, Any]:
        high, low = sorted(rng.uniform(0.02, 0.98, 2))[::-1]
        return {
            "name": name,
            "shift": sign * scale * float(rng.uniform(0.4, 2.4)),
            "log2fc": sign * float(rng.uniform(0.5, 4)),
            "share_active": high if sign > 0 else low,
            "share_silent": low if sign > 0 else high,
        }

    up = sorted((line(g, 1) for g in (*genes, *OTHERS)), key=lambda f: -f["shift"])
    down = sorted(
        (line(g, -1) for g in ("RPS27", "CD3D", "LTB", "IL32", "JUNB", "TRAC", "CD7")),
        key=lambda f: f["shift"],
    )
    return {"against": against, "n_active": 164, "n_silent": 1186, "null": 0.22, "up": up, "down": down}


def _example(name: str, strength: int, genes: tuple[str, ...], rng: np.random.Generator) -> Any:
    def text(first: tuple[str, ...]) -> str:
        shown = [*first, *rng.permutation(OTHERS)]
        ranked = " ".join(f"{g} {max(1, 10 - i // 2)}" for i, g in enumerate(shown))
        depth, n_genes = int(rng.integers(1200, 5200)), int(rng.integers(600, 1500))
        return f"{ranked}\ndepth {depth} · genes {n_genes} · mito 2.1 %"

    other = TYPES["CD4 T"] if "IL7R" not in genes else TYPES["NK"]
    return {
        "id": name,
        "strength": strength,
        "text": text(genes),
        "look_alike": {
            "id": name.replace("A", "T", 1),
            "text": text(other),
            "panel": [[g, 0.0] for g in genes[:6]],
        },
        "panel": [[g, round(float(rng.choice([0, rng.uniform(0.5, 4)])), 2)] for g in genes[:6]],
    }


def _summary(
    latents: list[LatentEntry], explainer: str, metric: str, negatives: str, n: int
) -> dict[str, Any]:
    found = [
        s
        for e in latents
        if e["explainer"] == explainer
        for s in e["scores"]
        if (s["metric"], s["negatives"]) == (metric, negatives)
    ]
    values = [s["value"] for s in found if s["value"] is not None]
    mean, median = float(np.mean(values)), float(np.median(values))
    shuffled = float(np.mean([s["shuffled"] for s in found]))  # type: ignore[arg-type]
    ceiling = float(np.mean([s["ceiling"] for s in found]))  # type: ignore[arg-type]
    return {
        "explainer": explainer,
        "scorer": "detection",
        "judge": "signature",
        "metric": metric,
        "negatives": negatives,
        "n_latents": n,
        "n_scored": len(values),
        "mean_all": (sum(values) + 0.5 * (n - len(values))) / n,
        "mean_scored": mean,
        "median": median,
        "shuffled": shuffled,
        "margin": mean - max(0.5, shuffled),
        "ceiling": ceiling if metric == "auroc" else math.nan,
        "share_of_ceiling": (mean - 0.5) / (ceiling - 0.5) if metric == "auroc" else None,
    }
