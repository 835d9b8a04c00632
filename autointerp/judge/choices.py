"""How does a rule choose where one must be picked? The item least like the others, the label whose features moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autointerp.corpus.base import Corpus
from autointerp.questions import DOWN, UNCHANGED, UP, Change, Chosen, Directions, Match, best_place
from autointerp.schema import Answer, KeyFeature


def choose(question: Chosen, corpus: Corpus, seed: int) -> Answer:
    """The answer of a rule that reads features and key features alone; equal ones are drawn."""
    if isinstance(question, Match):
        signs = [signs_of(label.key_features) for label in question.labels]
        named = {change.name for change in question.changes}
        if not any(named & set(each) for each in signs):
            return Answer.failed(1, "no label lists a feature that the report names")
        scores = np.array([mean_change(each, question.changes) for each in signs])
    else:
        scores = -likeness(standardized(corpus, question.rows))
    return Answer((best_place(scores, question, seed),), (None,))


def directions(question: Directions) -> Answer:
    """As the label's key features say; what it does not list is unchanged."""
    signs = signs_of(question.label.key_features)
    return Answer(
        tuple(signs.get(name, UNCHANGED) for name in question.features), (None,) * question.n_answers
    )


def signs_of(features: Sequence[KeyFeature]) -> dict[str, float]:
    """Name -> +1 or −1; one that is named again keeps its first direction."""
    signs: dict[str, float] = {}
    for feature in features:
        signs.setdefault(feature.name, UP if feature.direction == "up" else DOWN)
    return signs


def mean_change(signs: Mapping[str, float], changes: Sequence[Change]) -> float:
    """Mean over the named features of sign · change in sd; a feature that is not in the report did not change."""
    return sum(signs.get(change.name, 0.0) * change.in_sd for change in changes) / max(1, len(signs))


def likeness(x: np.ndarray) -> np.ndarray:
    """(o,) mean cosine of each row of x (o, f) with the other rows; a row of zeros is like none."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    unit = np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 0)
    cosines = unit @ unit.T  # (o, o)
    return (cosines.sum(1) - np.diag(cosines)) / (len(x) - 1)


def standardized(corpus: Corpus, rows: np.ndarray) -> np.ndarray:
    """(len(rows), f) z-scores, by the moments on explain, of the features that a supervised reader may use."""
    columns = corpus.probe_features()
    mean, sd = (moment[columns] for moment in corpus.feature_moments())
    x = corpus.features(rows)[:, columns].toarray().astype(np.float64)
    return np.divide(x - mean, sd, out=np.zeros_like(x), where=sd > 0)
