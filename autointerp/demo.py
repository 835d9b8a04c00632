"""Which cells does the demo label? 700 blood cells in ten annotated types, in the package scanpy itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from autointerp.errors import UserError


def demo_cells() -> Path:
    """The AnnData file.

    Raises
    ------
    UserError
        Where scanpy is not installed, or its example data are not there.
    """
    found = find_spec("scanpy")
    if found is None or found.origin is None:
        raise UserError("The demo's cells come with scanpy. Install it: pip install 'autointerp-bio[cells]'.")
    cells = Path(found.origin).parent / "datasets" / "10x_pbmc68k_reduced.h5ad"
    if not cells.exists():
        raise UserError(f"scanpy's example data is not at {cells}. Install scanpy again.")
    return cells
