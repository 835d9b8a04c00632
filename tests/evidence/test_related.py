"""Are the latents told of those that fire together or point one way, with what is known of them?"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from autointerp.evidence.coactivation import jaccard, partners
from autointerp.evidence.contrast import contrast_all
from autointerp.evidence.decoder_similar import similar_latents
from autointerp.evidence.related import Kin
from tests.evidence.planted_items import feature_table


def made(with_decoder=True):
    rng = np.random.default_rng(0)
    table = feature_table()
    active = rng.random((300, 8)) < 0.1
    active[:, 1] = active[:, 0] ^ (rng.random(300) < 0.05)
    table.values[active[:, 1], 4] += 4
    decoder = rng.normal(size=(8, 16))
    decoder[5] = decoder[0] + 0.3 * decoder[5]
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    binary = sparse.csr_matrix(active.astype(np.float32))
    contrasts = contrast_all(table, np.arange(300), binary, None, "all silent", None, 0)
    kin = Kin(
        *partners(binary),
        *((similar_latents(decoder), decoder) if with_decoder else (None, None)),
        active.mean(0),
    )
    return kin, contrasts, table, active, decoder


def test_the_strongest_of_each_kind_are_told():
    kin, contrasts, table, active, decoder = made()
    first, *rest = kin.of(0, contrasts, table.feature_names, {1: "A title"})
    assert (first.latent, first.how, first.title) == (1, "together", "A title")
    rows = [np.flatnonzero(active[:, j]) for j in (0, 1)]
    assert abs(first.value - jaccard(*rows)) < 1e-6
    assert first.firing_rate == active[:, 1].mean() and first.features[0] == "F4"
    (near,) = [one for one in rest if one.how == "direction" and one.value > 0.8]
    assert near.latent == 5 and abs(near.value - decoder[0] @ decoder[5]) < 1e-9 and near.title == ""
    values = {
        how: [one.value for one in (first, *rest) if one.how == how] for how in ("together", "direction")
    }
    assert all(v == sorted(v, reverse=True) and len(v) <= 3 for v in values.values())


def test_without_a_dictionary_only_firing_is_told():
    kin, contrasts, table, *_ = made(with_decoder=False)
    assert {one.how for one in kin.of(0, contrasts, table.feature_names, {})} == {"together"}
