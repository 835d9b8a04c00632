"""Do a label's key features alone tell active items from silent ones? A rule judge; no language model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from scipy.special import expit

from autointerp.corpus.base import Corpus
from autointerp.evidence.regions import part_noun
from autointerp.judge.choices import choose, directions
from autointerp.questions import NOT_SAID, Asked, Directions, Gain, most
from autointerp.schema import Answer, Examples, KeyFeature, Label, Question

LEAST_SLOPE = (
    0.05  # the order of scores is always kept: a judge must not learn on develop to read a label backwards
)
LEAST_DEVELOP_POSITIVES = 10
RIDGE = 1e-3
MAX_STEPS = 100


class Signatures:
    """Signed mean z-score of a label's key features, per item; means and deviations are those of explain."""

    def __init__(self, corpus: Corpus):
        self._corpus = corpus
        self._index = {str(name): i for i, name in enumerate(corpus.feature_names)}
        self._mean, self._sd = corpus.feature_moments()

    def scores(self, features: Sequence[KeyFeature], rows: np.ndarray) -> np.ndarray | None:
        """(len(rows),) mean over measured features f of sign(f)·(x_f − μ_f)/σ_f; None where none is measured.

        ``features`` up count +1, down −1; one that is named again keeps its first direction; those that never vary on
        explain are left out.
        """
        signs: dict[int, float] = {}
        for f in features:
            column = self._index.get(f.name)
            if column is not None and self._sd[column] > 0:
                signs.setdefault(column, 1.0 if f.direction == "up" else -1.0)
        if not signs:
            return None
        columns = np.array(list(signs))
        share = np.array(list(signs.values())) / self._sd[columns] / len(columns)  # (f,)
        weight = np.zeros(len(self._mean))
        weight[columns] = share
        return self._corpus.features(rows) @ weight - (self._mean[columns] * share).sum()


class SignatureReader:
    """Answers with the bare scores, of any size: an order and no probabilities. For the scorer ``signature``."""

    name = "signature"
    batch_size = None

    def __init__(self, corpus: Corpus):
        self._signatures = Signatures(corpus)

    async def answer(self, question: Asked) -> Answer:
        """Scores, or the same failure for every item where no key feature is measured."""
        if not isinstance(question, Question):
            return Answer.failed(question.n_answers, "bare scores are about items alone")
        scores = self._signatures.scores(question.label.key_features, question.rows)
        if scores is None:
            return Answer.failed(len(question.rows), "no key feature of the label is measured")
        return Answer(tuple(float(v) for v in scores), (None,) * len(scores))


class SignatureJudge:
    """P = 100·logistic(a + b·score), a and b ≥ 0.05 fitted per latent on develop items with balanced class weights;
    a strength, 0–10, is 10·logistic of the same; of marks, their share among the label's key features; choices and
    directions: ``choices``.

    Under 10 develop positives the fit is pooled over the latents that have more.

    Parameters
    ----------
    develop : Examples of each latent's develop split (never test)
    labels : the labels whose own fits make up the pooled one
    seed : draws among options that are equally good
    """

    name = "signature"
    batch_size = None

    def __init__(
        self, corpus: Corpus, develop: Mapping[int, Examples], labels: Sequence[Label], seed: int = 0
    ):
        self._signatures = Signatures(corpus)
        self._corpus, self._seed = corpus, seed
        self._develop, self._labels = develop, labels

    @cached_property
    def _pooled(self) -> tuple[float, float]:
        """Medians over the labels with enough develop positives."""
        develop = self._develop
        fits = [
            self._fit(label, develop[label.latent])
            for label in self._labels
            if label.latent in develop and _enough(develop[label.latent])
        ]
        pooled = [fit for fit in fits if fit is not None]
        a, b = np.median(np.array(pooled), axis=0) if pooled else (0.0, 1.0)
        return float(a), float(b)

    async def answer(self, question: Asked) -> Answer:
        if isinstance(question, Directions):
            return directions(question)
        if isinstance(question, Gain):
            return Answer.failed(question.n_answers, NOT_SAID)
        if not isinstance(question, Question):
            return choose(question, self._corpus, self._seed)
        scores = self._signatures.scores(question.label.key_features, question.rows)
        if scores is None:
            return Answer.failed(
                len(question.rows),
                "the label lists no measured feature for a rule to read; a model can judge it (--judge)",
            )
        if question.marks:
            if part_noun(self._corpus) != self._corpus.feature_noun:
                why = f"a rule sees no {part_noun(self._corpus)}s of a picture; a model can judge them (--judge)"
                return Answer.failed(len(question.rows), why)
            return marked_share(question)
        examples = self._develop[question.latent]
        fit = self._fit(question.label, examples) if _enough(examples) else None
        a, b = fit if fit is not None else self._pooled
        values = most(question) * expit(a + b * scores)
        return Answer(tuple(float(v) for v in values), (None,) * len(values))

    def _fit(self, label: Label, examples: Examples) -> tuple[float, float] | None:
        scores = self._signatures.scores(label.key_features, examples.rows)
        return None if scores is None else fit_logistic(scores, examples.truth)


def marked_share(question: Question) -> Answer:
    """P that marks are true = 100 · the share of them that the label lists as higher."""
    rising = {f.name for f in question.label.key_features if f.direction == "up"}
    shares = [100 * sum(name in rising for name in marks) / len(marks) for marks in question.marks]
    return Answer(tuple(shares), (None,) * len(shares))


def _enough(examples: Examples) -> bool:
    positives = int(examples.truth.sum())
    return positives >= LEAST_DEVELOP_POSITIVES and positives < len(examples)


def fit_logistic(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(a, b) of logistic(a + b·score) with both classes weighing the same, a light ridge on b, and b ≥ 0.05.

    Newton's method; the loss is convex, so where the best b lies below 0.05 it is 0.05 and a is fitted beside it.

    scores : (e,) float; truth : (e,) bool, both values among them
    """
    a, b = _newton(scores, truth, None)
    return (a, b) if b >= LEAST_SLOPE else _newton(scores, truth, LEAST_SLOPE)


def _newton(scores: np.ndarray, truth: np.ndarray, slope: float | None) -> tuple[float, float]:
    weights = np.where(truth, 0.5 / max(1, int(truth.sum())), 0.5 / max(1, int((~truth).sum())))
    a, b = 0.0, 0.0 if slope is None else slope

    def loss(a: float, b: float) -> float:
        margin = np.where(truth, 1.0, -1.0) * (a + b * scores)
        return float((weights * np.logaddexp(0, -margin)).sum() + 0.5 * RIDGE * b**2)

    current = loss(a, b)
    for _ in range(MAX_STEPS):
        p = expit(a + b * scores)
        residual, curvature = weights * (p - truth), weights * p * (1 - p) + 1e-12
        ga, gb = residual.sum(), (residual * scores).sum() + RIDGE * b
        haa, hab, hbb = curvature.sum(), (curvature * scores).sum(), (curvature * scores**2).sum() + RIDGE
        if slope is None:
            det = haa * hbb - hab * hab
            da, db = (hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det
        else:
            da, db = ga / haa, 0.0
        step = 1.0
        while (tried := loss(a - step * da, b - step * db)) > current and step > 1e-6:
            step /= 2
        if current - tried < 1e-12:
            break
        a, b, current = a - step * da, b - step * db, tried
    return float(a), float(b)
