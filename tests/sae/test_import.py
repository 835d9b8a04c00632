"""`import sae` is light, and heavy libraries stay out until they are needed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_import_loads_no_heavy_library():
    heavy = ["scipy", "sklearn", "safetensors", "numba", "anndata", "pandas", "autointerp", "torch._dynamo"]
    code = f"import sys, sae; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_public_names_exist():
    import sae

    assert all(hasattr(sae, name) for name in sae.__all__)
