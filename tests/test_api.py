"""Does the Python API do what its docstring shows?"""

import doctest

import pytest

from autointerp import api


def test_the_five_lines_of_the_docstring_run(tmp_path):
    pytest.importorskip("scanpy")
    result = doctest.testmod(api, extraglobs={"folder": tmp_path / "run"}, report=True)
    assert result.attempted >= 7
    assert result.failed == 0


def test_latents_are_not_written_beside_other_cells(tmp_path):
    scanpy = pytest.importorskip("scanpy")
    adata = scanpy.datasets.pbmc68k_reduced()
    run = api.start(adata, embedding="X_pca", out=tmp_path / "run")
    with pytest.raises(ValueError, match="ids differ"):
        api.add_latents(run, adata[:100].copy())
