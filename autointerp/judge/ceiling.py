"""What could a label at best convey? A supervised reader of the same items: a ridge probe from features to active.

It ignores the label, so it is a control and no judge of labels (protocols, section 6: ``ceiling``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import expit

from autointerp.corpus.base import Corpus
from autointerp.evidence.activations import Activations
from autointerp.judge.signature import fit_logistic
from autointerp.questions import Asked
from autointerp.schema import Answer, Examples, Question
from autointerp.score.auroc import auroc

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # in units of the mean feature variance × n


class CeilingJudge:
    """Ridge from a reader's features to active/silent for all latents, by one factorization.

    Fitted on explain rows; one penalty for all latents, of the highest mean AUROC on the develop examples; answers are
    100·logistic(a + b·score), fitted per latent on develop.

    Parameters
    ----------
    rows : explain rows to fit on
    latents : those that will be asked about
    develop : develop Examples of each of them
    """

    name = "ceiling"
    batch_size = None

    def __init__(
        self,
        corpus: Corpus,
        activations: Activations,
        rows: np.ndarray,
        latents: np.ndarray,
        develop: Mapping[int, Examples],
    ):
        self._corpus, self._develop = corpus, develop
        self._columns = corpus.probe_features()
        self._place = {int(latent): i for i, latent in enumerate(latents)}
        g = len(self._columns)
        gram, cross = np.zeros((g, g)), np.zeros((g, len(latents)))
        total, active_total = np.zeros(g), np.zeros(len(latents))
        for positions, block in corpus.blocks(rows):
            x = block[:, self._columns].toarray().astype(np.float64)  # (b, g)
            y = activations.binary(rows[positions])[:, latents]  # (b, l) sparse
            gram += x.T @ x
            cross += (y.T @ x).T
            total += x.sum(0)
            active_total += np.asarray(y.sum(0)).ravel()
        n = len(rows)
        self._mean = total / n
        gram -= n * np.outer(self._mean, self._mean)
        cross -= np.outer(self._mean, active_total)
        values, vectors = np.linalg.eigh(gram)  # one factorization for all latents and penalties
        values = np.maximum(values, 0)
        rotated = vectors.T @ cross  # (g, l)
        self.penalty, self.develop_auroc = 0.0, -1.0
        for penalty in PENALTIES:
            shrunk = rotated / (values + penalty * values.sum() / max(1, g))[:, None]
            weights = (vectors @ shrunk).astype(np.float32)
            achieved = self._mean_auroc(weights)
            if achieved > self.develop_auroc:
                self._weights, self.penalty, self.develop_auroc = weights, penalty, achieved

    async def answer(self, question: Asked) -> Answer:
        if not isinstance(question, Question):
            return Answer.failed(question.n_answers, "a probe answers about items alone")
        examples = self._develop[question.latent]
        truth = examples.truth
        scores = self._scores(question.latent, question.rows, self._weights)
        a, b = 0.0, 1.0
        if truth.any() and not truth.all():
            a, b = fit_logistic(self._scores(question.latent, examples.rows, self._weights), truth)
        values = 100 * expit(a + b * scores)
        return Answer(tuple(float(v) for v in values), (None,) * len(values))

    def _scores(self, latent: int, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        weight = weights[:, self._place[latent]]
        full = np.zeros(len(self._corpus.feature_names), dtype=np.float64)
        full[self._columns] = weight
        scores = self._corpus.features(rows) @ full - self._mean @ weight
        return 10 * scores  # a unit for which the logistic fit is well scaled

    def _mean_auroc(self, weights: np.ndarray) -> float:
        achieved = []
        for latent in self._place:
            examples = self._develop[latent]
            if examples.truth.any() and not examples.truth.all():
                achieved.append(auroc(examples.truth, self._scores(latent, examples.rows, weights)))
        return float(np.mean(achieved)) if achieved else 0.0
