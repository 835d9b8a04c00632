"""Which rows are controls, and which group does each row belong to?"""

import pytest

from autointerp.corpus.cells import CellCorpus
from autointerp.evidence.splits import split_items
from tests.corpus.small_cells import N, small_cells

SPLIT_NAMES = ("explain", "develop", "test")


@pytest.fixture
def adata():
    return small_cells()


def test_controls_belong_to_no_group(adata):
    corpus = CellCorpus(adata, group="donor", control="treatment=DMSO")
    dmso = (adata.obs["treatment"] == "DMSO").to_numpy()
    assert corpus.is_control.tolist() == dmso.tolist()
    assert set(corpus.groups[dmso]) == {""}
    assert corpus.groups[~dmso].tolist() == adata.obs["donor"][~dmso].tolist()


def test_controls_keep_their_own_groups(adata):
    adata.obs["plate"] = [f"p{i % 3}" for i in range(N)]
    corpus = CellCorpus(adata, group="donor", control="treatment=DMSO", control_group="plate")
    dmso = corpus.is_control
    assert set(corpus.groups[dmso]) == {"control:p0", "control:p1", "control:p2"}
    assert not any(group.startswith("control:") for group in corpus.groups[~dmso])


def test_one_group_of_controls_is_cut_by_item(adata):
    adata.obs["plate"] = "p0"
    corpus = CellCorpus(adata, group="donor", control="treatment=DMSO", control_group="plate")
    assert set(corpus.groups[corpus.is_control]) == {""}
    split = split_items(N, corpus.groups, 0)
    for name in SPLIT_NAMES:
        assert corpus.is_control[split.rows(name)].any()


def test_every_split_has_controls(adata):
    adata.obs["plate"] = [f"p{i // 4 % 7}" for i in range(N)]
    for control_group in (None, "plate"):
        corpus = CellCorpus(adata, group="donor", control="treatment=DMSO", control_group=control_group)
        split = split_items(N, corpus.groups, 3)
        assert split.mode == "group"
        for name in SPLIT_NAMES:
            assert corpus.is_control[split.rows(name)].sum() >= 3


def test_without_a_group_there_are_none(adata):
    corpus = CellCorpus(adata, control="treatment=DMSO")
    assert corpus.groups is None
    assert corpus.is_control.sum() == N // 4
