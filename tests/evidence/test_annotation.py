"""Are annotations counted over explain items, with each category's own markers, and shown only to who reads them?"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from autointerp.corpus.gene_sets import GeneSets
from autointerp.evidence.activations import Activations
from autointerp.evidence.annotation import annotate
from autointerp.evidence.contrast import contrast_all
from tests.tiny_corpus import TinyCorpus

N, G = 240, 30
NAMES = [f"G{i}" for i in range(G)]


def annotated(categories=True, sets=True):
    """Cells of two kinds: B cells express genes 0–4, T cells 5–9. Latent 0 is B, 1 mostly T, 2 neither."""
    rng = np.random.default_rng(0)
    kind = np.where(np.arange(N) % 2, "T", "B")
    x = rng.random((N, G)) * (rng.random((N, G)) < 0.5)
    x[kind == "B", :5] += 2
    x[kind == "T", 5:10] += 2
    active = np.zeros((N, 3), np.float32)
    active[kind == "B", 0] = 1
    active[(kind == "T") & (np.arange(N) % 3 != 0), 1] = 1
    active[:3, 1] = 1
    active[rng.random(N) < 0.3, 2] = 1
    corpus, rows = TinyCorpus(x, NAMES), np.arange(0, N - 60)
    activations = Activations.from_matrix(sparse.csr_matrix(active), N, "given")
    contrasts = contrast_all(corpus, rows, activations.binary(rows), None, "all silent", None, 0)
    members = np.zeros((2, G), np.float32)
    members[0, :6] = members[1, 20:26] = 1
    given = GeneSets(
        "c", np.array(["B set", "other"], dtype=object), sparse.csr_matrix(members), np.array([6, 6])
    )
    made = annotate(
        corpus,
        activations,
        contrasts,
        rows,
        given if sets else None,
        kind.astype(object) if categories else None,
        0,
    )
    return made, kind[rows], active[rows]


def test_counts_are_of_active_explain_items_and_markers_are_the_categorys_own():
    made, kind, active = annotated()
    told = made.of(1, np.array(NAMES), reads_categories=True)
    expected = {name: int(active[kind == name, 1].sum()) for name in "BT"}
    assert dict(told["category_counts"]) == expected
    assert [name for name, _ in told["category_counts"]] == sorted(expected, key=lambda name: -expected[name])
    up = {f.name for f in told["category_contrast"].up}
    assert {"G5", "G6", "G7", "G8", "G9"} <= up
    assert {f.name for f in told["category_contrast"].down} >= {"G0", "G1", "G2", "G3", "G4"}
    assert told["category_contrast"].n_active == int((kind == "T").sum())


def test_only_who_reads_categories_is_shown_them():
    made, _, _ = annotated()
    assert set(made.of(0, np.array(NAMES), reads_categories=False)) == {"enriched"}


def test_what_was_not_asked_for_is_not_there():
    made, _, _ = annotated(categories=False, sets=False)
    assert made.of(0, np.array(NAMES), reads_categories=True) == {}


def test_a_set_of_the_latents_genes_leads():
    made, _, _ = annotated()
    z = dict(zip(made.enrichment.sets[0].tolist(), made.enrichment.z[0].tolist(), strict=True))
    assert z[0] > 1.5 > z[1]
