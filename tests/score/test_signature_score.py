"""Is the uncalibrated baseline drawn fairly and scored by the label's features alone?"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from autointerp.judge.signature import SignatureReader, Signatures
from autointerp.schema import POSITIVE
from autointerp.score import signature
from tests.tiny_corpus import TinyCorpus, label

RNG = np.random.default_rng(0)
X = np.abs(RNG.normal(2, 1, (1000, 3)))
X[:300, 0] += 1
CORPUS = TinyCorpus(X, ["A", "B", "C"])
ACTIVE, SILENT = np.arange(250), np.arange(300, 1000)
STRENGTHS = np.linspace(0.1, 3, 250).astype(np.float32)


def trials(given, seed=0, active=ACTIVE, silent=SILENT, groups=None):
    strengths = STRENGTHS[: len(active)]
    sides = signature.drawn(given.latent, active, strengths, silent, seed)
    asked = signature.questions(given, given.latent, sides, None, seed)
    answers = [asyncio.run(SignatureReader(CORPUS).answer(question)) for question in asked]
    return signature.trials(asked, answers, sides, groups, "signature", given.explainer, given.label_id)


def test_two_hundred_a_side_each_with_its_score():
    given = label(5, up="A", down="B")
    found = trials(given)
    assert (found.truth.sum(), (~found.truth).sum()) == (200, 200)
    assert len(set(found.rows.tolist())) == 400
    assert np.isin(found.rows[found.truth], ACTIVE).all()
    assert np.isin(found.rows[~found.truth], SILENT).all()
    assert set(found.kinds) == {POSITIVE, "random"}
    assert found.activations[found.truth] == pytest.approx(STRENGTHS[found.rows[found.truth]])
    assert found.answers == pytest.approx(Signatures(CORPUS).scores(given.key_features, found.rows))
    (auroc,) = signature.scores(found, 0.3, "item", "h")
    assert (auroc.metric, auroc.negatives) == ("auroc", "random")
    assert auroc.value == pytest.approx(roc_auc_score(found.truth, X[found.rows] @ weights([1, -1, 0])))


def weights(signs):
    return np.array(signs) / X.astype(np.float32).std(0)


def test_fewer_items_are_all_used():
    found = trials(label(5, up="A"), active=ACTIVE[:30], silent=SILENT[:40])
    assert sorted(found.rows.tolist()) == [*range(30), *range(300, 340)]


def test_the_draw_depends_on_seed_and_latent():
    rows = [tuple(trials(label(j, up="A"), seed).rows) for seed, j in ((0, 5), (0, 5), (1, 5), (0, 6))]
    assert rows[0] == rows[1]
    assert len(set(rows)) == 3


def test_groups_travel_and_unmeasured_labels_fail():
    groups = np.array([f"d{i % 4}" for i in range(1000)])
    found = trials(label(5, up="nowhere"), groups=groups)
    assert np.isnan(found.answers).all()
    assert set(found.failures) == {"no key feature of the label is measured"}
    assert np.array_equal(found.groups, groups[found.rows])
