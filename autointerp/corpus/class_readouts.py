"""Which known class would a cell at a point of the embedding belong to? Logistic or kernel probabilities.

Fitted on explain items whose class is known; the penalty or bandwidth of the smallest log loss on develop. Classes
come from a column of obs and reach no prompt. Probabilities are smoothed: p ← (p + 0.001)/Σ.

The kernel is the default. A logistic head is linear before its softmax: a linear edit moves the log-odds of every item
alike, so that held-out items add nothing to what its weights say. It is marked ``linear``: no interval is given of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from autointerp.corpus.kernel_neighbours import MOST_REFERENCES, WIDTHS, References, some_rows
from autointerp.corpus.readouts import MOST_MEASURED, Quality, Readout
from autointerp.errors import UserError

PENALTIES = (0.01, 0.1, 1.0)  # scikit-learn's C
SMOOTHING = 1e-3
LEAST_ITEMS = 10  # explain items of a class
MOST_CLASSES = 200
Read = Callable[[np.ndarray], np.ndarray]


def smoothed(p: np.ndarray) -> np.ndarray:
    """Probabilities (b, c) → (p + 0.001)/Σ."""
    raised = p + SMOOTHING
    return raised / raised.sum(1, keepdims=True)


def class_readout(
    embeddings: np.ndarray,
    classes: np.ndarray,
    explain: np.ndarray,
    develop: np.ndarray,
    column: str,
    how: Literal["logistic", "kernel"] = "kernel",
    seed: int = 0,
) -> Readout:
    """Class probabilities of any point.

    Parameters
    ----------
    embeddings : (n, d); explain, develop : row numbers
    classes : (n,) str, None where it is not known
    column : the column's name, for messages
    how : multinomial logistic regression on standardized dimensions, or a Gaussian kernel on the nearest explain items

    Returns
    -------
    Readout ``classes``: outputs are the classes with at least 10 explain items; quality is balanced accuracy on
    develop, and an AUROC for each class

    Raises
    ------
    UserError
        Where fewer than two or more than 200 classes are left, or develop holds none of them.
    """
    known = np.array([value is not None for value in classes])
    names, counts = np.unique(classes[explain[known[explain]]].astype(str), return_counts=True)
    names = names[counts >= LEAST_ITEMS]
    if not 2 <= len(names) <= MOST_CLASSES:
        raise UserError(
            f"obs[{column!r}] has {len(names)} values with at least {LEAST_ITEMS} explain items; "
            f"classes need 2 to {MOST_CLASSES}. Pass another column with --classes."
        )
    number = {name: i for i, name in enumerate(names.tolist())}
    codes = np.array([-1 if value is None else number.get(str(value), -1) for value in classes])
    fitting = some_rows(explain[codes[explain] >= 0], MOST_REFERENCES, seed)
    measured = some_rows(develop[codes[develop] >= 0], MOST_MEASURED, seed)
    if not len(measured):
        raise UserError(f"obs[{column!r}]: no class that explain items have is among develop items.")
    x, y = np.asarray(embeddings[fitting]), codes[fitting]
    held, truth = np.asarray(embeddings[measured]), codes[measured]
    made = _logistic(x, y) if how == "logistic" else _kernel(x, y, len(names), held)
    losses = [-np.log(read(held)[np.arange(len(truth)), truth]).mean() for _, read in made]
    chosen, read = made[int(np.argmin(losses))]
    share = np.bincount(y, minlength=len(names)) / len(y)
    linear = " (linear: an edit moves the log-odds of all items alike)" if how == "logistic" else ""
    said = f"{how} head on obs[{column!r}], {chosen}{linear}"
    quality = _quality(read(held), truth, len(names))
    spread = np.sqrt(share * (1 - share))
    return Readout("classes", said, names, read, spread, quality, as_they_are, how == "logistic")


def as_they_are(p: np.ndarray) -> np.ndarray:
    """What a class readout reads are proportions already."""
    return p


def _logistic(x: np.ndarray, y: np.ndarray) -> list[tuple[str, Read]]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made: list[tuple[str, Read]] = []
    for c in PENALTIES:
        head = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)).fit(x, y)
        made.append((f"C = {c:g}", _reads(head)))
    return made


def _reads(head: Any) -> Read:
    return lambda points: smoothed(head.predict_proba(np.asarray(points)).astype(np.float64))


def _kernel(x: np.ndarray, y: np.ndarray, n_classes: int, held: np.ndarray) -> list[tuple[str, Read]]:
    references, one_hot = References(x), np.eye(n_classes)[y]
    unit = references.typical_distance(held)

    def at(bandwidth: float) -> Read:
        return lambda points: smoothed(references.average(np.asarray(points), one_hot, bandwidth))

    return [(f"width {width * unit:.3g}", at(width * unit)) for width in WIDTHS]


def _quality(p: np.ndarray, truth: np.ndarray, n_classes: int) -> Quality:
    from sklearn.metrics import roc_auc_score

    present = np.unique(truth)
    best = p.argmax(1)
    recall = [float((best[truth == one] == one).mean()) for one in present]
    each = np.full(n_classes, np.nan)
    for one in present if len(present) > 1 else ():
        each[one] = roc_auc_score(truth == one, p[:, one])
    return Quality("balanced accuracy", float(np.mean(recall)), 1 / len(present), len(truth), "AUROC", each)
