"""Are partners those of the highest Jaccard by counting sets?"""

import numpy as np
import pytest
from scipy import sparse

from autointerp.evidence import coactivation
from autointerp.evidence.coactivation import jaccard, partners

RNG = np.random.default_rng(0)
FIRES = RNG.random((80, 20)) < RNG.uniform(0.02, 0.4, 20)
FIRES[:, 4] = False
FIRES[:, 6] = FIRES[:, 5]


def naive(fires, most):
    sets = [set(np.flatnonzero(column)) for column in fires.T]
    for j, own in enumerate(sets):
        scored = [(len(own & o) / len(own | o), i) for i, o in enumerate(sets) if i != j and own & o]
        yield sorted(scored, key=lambda s: (-s[0], s[1]))[:most]


@pytest.mark.parametrize("most", [1, 3, 30])
@pytest.mark.parametrize("block", [1, 7, 512])
def test_partners_are_those_of_counted_sets(monkeypatch, most, block):
    monkeypatch.setattr(coactivation, "BLOCK_LATENTS", block)
    found, strength = partners(sparse.csr_matrix(FIRES.astype(np.float32)), most)
    assert found.shape == strength.shape == (20, most)
    for j, want in enumerate(naive(FIRES, most)):
        n = len(want)
        np.testing.assert_allclose(strength[j, :n], [s for s, _ in want], rtol=1e-6)
        assert found[j, :n].tolist() == [i for _, i in want]
        assert (found[j, n:] == -1).all() and (strength[j, n:] == 0).all()


def test_twins_are_each_others_first_partner():
    found, strength = partners(sparse.csr_matrix(FIRES.astype(np.float32)))
    assert (found[5, 0], found[6, 0]) == (6, 5)
    assert strength[5, 0] == strength[6, 0] == 1


def test_a_dead_latent_has_no_partner_and_is_nobodys():
    found, _ = partners(sparse.csr_matrix(FIRES.astype(np.float32)))
    assert (found[4] == -1).all()
    assert not (found == 4).any()


def test_jaccard_of_row_numbers():
    assert jaccard(np.array([1, 2, 3]), np.array([2, 3, 4, 9])) == 2 / 5
    assert jaccard(np.array([1]), np.array([2])) == 0
    assert jaccard(np.array([], int), np.array([], int)) == 0
