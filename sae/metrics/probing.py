"""Can a concept be read? From few latents (sparse probing), and from reconstructions as well as from x itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .inputs import Concepts, masks, one_class, sparse, table, two_parts

SIZES = (1, 2, 4, 8)
ITERATIONS = 2000


class Probe(NamedTuple):
    """Balanced logistic regression: the concept is predicted where x · direction > cut.

    direction : (p,) in the space of the features
    cut : x · direction of an item on the border
    """

    direction: np.ndarray
    cut: float

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Signed log-odds (r,) of the concept, both classes weighing the same."""
        return features @ self.direction - self.cut  # (r, p) @ (p,)


def fit_probe(features: np.ndarray, truth: np.ndarray) -> Probe:
    """L2 logistic regression (scikit-learn, C = 1, classes weighed equally) on features (r, p) and truth (r,) bool.

    Features are centered and divided by *one* number, the root mean variance: units do not matter, and
    dimensions of little variance are not blown up.
    """
    from sklearn.linear_model import LogisticRegression

    mean = features.mean(0)
    scale = float(np.sqrt(features.var(0).mean())) or 1.0
    model = LogisticRegression(class_weight="balanced", max_iter=ITERATIONS)
    model.fit((features - mean) / scale, truth)
    direction = model.coef_[0] / scale  # (p,)
    return Probe(direction, float(mean @ direction - model.intercept_[0]))


def ranked(codes: Any, truth: np.ndarray, signed: bool = False) -> np.ndarray:
    """Latents by |mean(z | c) − mean(z | not c)| [arXiv 2305.01610], largest first; those with 0 are left out.

    signed : only latents that are larger inside the concept
    """
    gap = codes[truth.nonzero()[0]].mean(0) - codes[(~truth).nonzero()[0]].mean(0)  # (m,)
    gap = np.asarray(gap).ravel() if signed else np.abs(np.asarray(gap)).ravel()
    order = np.argsort(-gap, kind="stable")
    return order[gap[order] > 0]


def sparse_probing(
    codes: Any, concepts: Concepts, train: np.ndarray, test: np.ndarray, sizes: tuple[int, ...] = SIZES
) -> pd.DataFrame:
    """Probes on the 1, 2, 4, 8 latents that differ most (protocols §7; arXiv 2305.01610).

    Latents are ranked by |mean(z | c) − mean(z | not c)| and the probe (`fit_probe`) is fitted on rows
    ``train``; everything reported is from rows ``test``.

    codes : (n, m) sparse, ≥ 0
    concepts : name -> (n,) bool

    Returns
    -------
    DataFrame of c·(sizes) rows: concept, size, used (fewer where fewer latents differ), latents (numbers, best
    first), balanced_accuracy, f1, auroc, n_train and n_test (items with the concept), reason.
    """
    from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

    matrix = sparse(codes)
    names, inside = masks(concepts, matrix.shape[0])
    train, test = two_parts(matrix, train, test)
    first, second = matrix[train], matrix[test]
    rows = []
    for name, mask in zip(names, inside, strict=True):
        counts = int(mask[train].sum()), int(mask[test].sum())
        reason = _unmeasured(mask, train, test)
        order = np.array([], dtype=int) if reason else ranked(first, mask[train])[: max(sizes)]
        if not reason and not len(order):
            reason = "no latent differs between items with and without the concept"
        for size in sizes:
            if reason:
                rows.append((name, size, 0, "", *[np.nan] * 3, *counts, reason))
                continue
            latents = order[:size]
            probe = fit_probe(first[:, latents].toarray(), mask[train])
            scores = probe.scores(second[:, latents].toarray())
            truth = mask[test]
            measured = (
                balanced_accuracy_score(truth, scores > 0),
                f1_score(truth, scores > 0),
                roc_auc_score(truth, scores),
            )
            rows.append((name, size, len(latents), " ".join(map(str, latents)), *measured, *counts, ""))
    return table(
        (
            *("concept", "size", "used", "latents", "balanced_accuracy", "f1", "auroc"),
            *("n_train", "n_test", "reason"),
        ),
        rows,
    )


def probes_on_reconstructions(
    x: np.ndarray, reconstructed: np.ndarray, concepts: Concepts, train: np.ndarray, test: np.ndarray
) -> pd.DataFrame:
    """How much of what a linear probe reads from x is left in x̂ (protocols §7)? Balanced accuracy on rows ``test``.

    raw : probe fitted on x, tested on x
    transferred : the same probe, tested on x̂: what is kept where it was
    refitted : probe fitted on x̂, tested on x̂: what is kept anywhere

    x, reconstructed : (n, d), the same space

    Returns
    -------
    DataFrame of c rows: concept, raw, transferred, refitted, n_train and n_test (items with the concept), reason.
    """
    from sklearn.metrics import balanced_accuracy_score

    x, reconstructed = np.asarray(x, np.float64), np.asarray(reconstructed, np.float64)
    if x.shape != reconstructed.shape:
        raise ValueError(f"x is {x.shape}, its reconstruction {reconstructed.shape}; they must be alike")
    names, inside = masks(concepts, len(x))
    train, test = two_parts(sparse(np.zeros((len(x), 1))), train, test)
    rows = []
    for name, mask in zip(names, inside, strict=True):
        counts = int(mask[train].sum()), int(mask[test].sum())
        reason = _unmeasured(mask, train, test)
        if reason:
            rows.append((name, *[np.nan] * 3, *counts, reason))
            continue
        on_x, on_copy = fit_probe(x[train], mask[train]), fit_probe(reconstructed[train], mask[train])
        scores = (
            on_x.scores(x[test]),
            on_x.scores(reconstructed[test]),
            on_copy.scores(reconstructed[test]),
        )
        accuracies = [balanced_accuracy_score(mask[test], score > 0) for score in scores]
        rows.append((name, *accuracies, *counts, ""))
    return table(("concept", "raw", "transferred", "refitted", "n_train", "n_test", "reason"), rows)


def probe_directions(x: np.ndarray, concepts: Concepts, train: np.ndarray) -> dict[str, np.ndarray]:
    """Unit direction (d,) of the probe of each concept, fitted on rows ``train`` of x (n, d).

    A concept with one class there has no direction and no entry; `absorption` names it as one without a probe.
    """
    x = np.asarray(x, np.float64)
    names, inside = masks(concepts, len(x))
    found = {}
    for name, mask in zip(names, inside, strict=True):
        if not one_class(mask[train], "training"):
            direction = fit_probe(x[train], mask[train]).direction
            found[str(name)] = direction / max(float(np.linalg.norm(direction)), 1e-300)
    return found


def _unmeasured(mask: np.ndarray, train: np.ndarray, test: np.ndarray) -> str:
    return one_class(mask[train], "training") or one_class(mask[test], "test")
