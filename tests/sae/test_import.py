"""`import sae` is light, and heavy libraries stay out until they are needed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_S = 0.3  # beyond torch's own import


def said_by(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_loads_no_heavy_library():
    heavy = ["scipy", "sklearn", "safetensors", "numba", "anndata", "pandas", "autointerp", "torch._dynamo"]
    assert said_by(f"import sys, sae; print([name for name in {heavy} if name in sys.modules])") == "[]"


def test_import_costs_little_beyond_torch():
    """Processor seconds of all threads, which do not grow when others use the machine; of three, one suffices."""
    code = "import time, torch; start = time.process_time(); import sae; print(time.process_time() - start)"
    assert any(float(said_by(code)) < MOST_S for _ in range(3))


def test_all_public_names_exist():
    import sae

    assert all(hasattr(sae, name) for name in sae.__all__)
