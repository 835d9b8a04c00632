"""Are GMT collections read as they are, matched to the data's features, and refused where they are none?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autointerp.corpus.gene_sets import gene_sets, read_gmt
from autointerp.errors import UserError

FEATURES = np.array([f"G{i}" for i in range(40)], dtype=object)


def gmt(tmp_path: Path, text: str, name: str = "sets.gmt") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def line(name: str, genes: list[str]) -> str:
    return "\t".join([name, "a note", *genes]) + "\n"


def test_sets_become_rows_over_the_features(tmp_path):
    path = gmt(
        tmp_path, line("A", ["G3", "G1", "G1", "X9", "G5", "G7", "G9"]) + "\n" + line("B", ["G0", "G2"])
    )
    sets = gene_sets([path], FEATURES)
    assert sets.names.tolist() == ["A"]
    assert sets.sizes.tolist() == [6]
    assert sets.members.toarray()[0].nonzero()[0].tolist() == [1, 3, 5, 7, 9]
    assert any("1 of 2 gene sets have fewer than 5 or more than 500" in warning for warning in sets.warnings)


def test_a_collection_of_another_species_is_a_warning(tmp_path):
    path = gmt(tmp_path, line("A", [f"g{i}" for i in range(40)]))
    sets = gene_sets([path], FEATURES)
    assert len(sets.names) == 0
    assert "0% of its 40 genes are among the features (it writes g0, the data G0)" in sets.warnings[0]


def test_two_collections_with_the_same_name_of_a_set_keep_both(tmp_path):
    genes = [f"G{i}" for i in range(6)]
    paths = [gmt(tmp_path, line("A", genes), name) for name in ("one.gmt", "two.gmt")]
    assert gene_sets(paths, FEATURES).names.tolist() == ["A", "two: A"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A\tnote\n", "line 1 is no GMT line"),
        ("A\tn\tG1\nA\tn\tG2\n", "line 2: the set 'A' stands twice"),
        ("\n", "holds no set"),
    ],
)
def test_what_is_no_collection_is_refused_with_its_line(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        read_gmt(gmt(tmp_path, text))


def test_what_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "b.gmt").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.gmt", tmp_path / "b.gmt", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_gmt(path)
