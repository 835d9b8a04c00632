"""Are the latents of nearest direction found, by blocks as at once?"""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from autointerp.evidence import decoder_similar
from autointerp.evidence.decoder_similar import similar_latents


@pytest.mark.parametrize("block", [1024, 7])
def test_the_nearest_are_those_of_all_cosines(monkeypatch, block):
    monkeypatch.setattr(decoder_similar, "BLOCK_LATENTS", block)
    rows = np.random.default_rng(0).normal(size=(50, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = cosine_similarity(rows)
    np.fill_diagonal(cosine, -1)
    found = similar_latents(rows, 5)
    assert found.tolist() == np.argsort(-cosine, 1)[:, :5].tolist()


def test_opposite_and_right_angled_directions_are_not_similar():
    rows = np.array([[1.0, 0], [-1, 0], [0, 1], [0.8, 0.6]])
    assert similar_latents(rows, 3).tolist() == [[3, -1, -1], [-1, -1, -1], [3, -1, -1], [0, 2, -1]]
