"""Who may import what? The rules that keep the parts apart, held against every import of every file.

The rules themselves are tested on planted violations at the end.
"""

from __future__ import annotations

import ast
import fnmatch
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_tree import INSTALLED, REPOSITORY, Import, imports, is_within, sources

SAE_ANYWHERE = {"torch", "numpy"}
SAE_IN_FUNCTIONS = {"scipy", "sklearn", "safetensors", "numba"}
# Measures give tidy frames. What `import sae` loads must stay without pandas: tests/sae/test_import.py runs it.
SAE_PANDAS = "sae/metrics/*.py"
OWNERS = {  # library -> the only files that load it
    "litellm": ("autointerp/llm/providers.py",),
    "openai": ("autointerp/llm/providers.py",),
    "tenacity": ("autointerp/llm/policy.py",),
    "sqlite3": ("autointerp/llm/ledger.py",),
    "jinja2": ("autointerp/templates.py", "autointerp/results/html_page.py"),
    "anndata": ("autointerp/corpus/*.py", "autointerp/results/anndata.py"),
}
FORBIDDEN = {  # files -> what they must not import, not even for types
    "autointerp/schema*.py": ("autointerp", "sae", "eval"),
    "autointerp/errors.py": ("autointerp", "sae", "eval"),
    "autointerp/explain/*.py": ("autointerp.score", "autointerp.results", "autointerp.run"),
    "autointerp/score/*.py": ("autointerp.explain", "autointerp.results", "autointerp.run"),
    "autointerp/*.py": ("eval", "tests"),
    "sae/*.py": ("autointerp", "eval", "tests"),
}
PASSED_ON = {"autointerp/schema.py": "autointerp.schema_evidence"}  # the other half of the same values
MAY_PRINT = ("autointerp/cli*.py", "autointerp/cli/*.py")
HEAVY = (
    "torch",
    "litellm",
    "openai",
    "anndata",
    "scanpy",
    "sklearn",
    "numba",
    "pandas",
    "matplotlib",
    "pyarrow",
)


def _fits(path: str, *patterns: str) -> bool:
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)  # here * crosses folders


def _sae_breach(path: str, found: Import) -> str | None:
    if found.root == "sae" and not found.relative:
        return "siblings are imported relatively"
    if found.relative or found.root in sys.stdlib_module_names or found.root in SAE_ANYWHERE:
        return None
    if found.root in SAE_IN_FUNCTIONS:
        return None if found.nested or found.typing_only else "only inside the functions that need it"
    if found.root == "pandas":
        return None if _fits(path, SAE_PANDAS) else f"only {SAE_PANDAS} may"
    return "not among what sae may import"


def breaches(files: dict[str, str]) -> list[str]:
    """Every import and print of these files (path -> text) that breaks a rule, one line each."""
    said = []
    for path, text in files.items():
        for found in imports(path, text):
            place = f"{path}:{found.line} imports {found.target}"
            for pattern, targets in FORBIDDEN.items():
                passed_on = path in PASSED_ON and is_within(found.target, PASSED_ON[path])
                if _fits(path, pattern) and is_within(found.target, *targets) and not passed_on:
                    said.append(f"{place}: never from {pattern}")
            if path.startswith("sae/") and (reason := _sae_breach(path, found)):
                said.append(f"{place}: {reason}")
            owners = OWNERS.get(found.root)
            if owners and not found.typing_only and not _fits(path, *owners):
                said.append(f"{place}: only {' and '.join(owners)} may")
        if not _fits(path, *MAY_PRINT):
            said += [f"{path}:{line} prints; log it instead" for line in _prints(text)]
    return said


def _prints(text: str) -> list[int]:
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    spoken = {"print", "rich.print", "pprint", "typer.echo", "typer.secho", "click.echo"}
    spoken |= {"sys.stdout.write", "sys.stderr.write", "Console", "rich.console.Console"}
    return [call.lineno for call in calls if ast.unparse(call.func) in spoken]


def test_every_import_keeps_to_the_seams():
    files = sources(*INSTALLED)
    assert "autointerp/schema.py" in files
    assert breaches(files) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sae/train.py", "from autointerp.errors import UserError"),
        ("sae/train.py", "import sae.encode"),
        ("sae/train.py", "import scipy.sparse"),
        ("sae/train.py", "def f():\n    import anndata"),
        ("sae/train.py", "def f():\n    import pandas"),
        ("sae/io.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import autointerp.schema"),
        ("autointerp/schema.py", "from autointerp.errors import UserError"),
        ("autointerp/errors.py", "from . import schema"),
        ("autointerp/explain/agent.py", "from autointerp.score.detection import ask"),
        ("autointerp/explain/agent.py", "from ..score import detection"),
        ("autointerp/explain/agent.py", "from .. import run"),
        ("autointerp/score/detection.py", "def f():\n    from autointerp import explain"),
        ("autointerp/score/deep/er.py", "import autointerp.results.tables"),
        ("autointerp/run.py", "import eval.leaderboard"),
        ("autointerp/run.py", "from importlib import import_module\nimport_module('eval.planted')"),
        ("autointerp/llm/batch.py", "import litellm"),
        ("autointerp/llm/providers.py", "import tenacity"),
        ("autointerp/results/tables.py", "def f():\n    from anndata import AnnData"),
        ("autointerp/explain/one_shot.py", "from jinja2 import Template"),
        ("autointerp/run.py", "try:\n    import sqlite3\nexcept ImportError:\n    pass"),
        ("autointerp/run.py", "print('done')"),
        ("autointerp/run.py", "import sys\nsys.stdout.write('done')"),
    ],
)
def test_a_planted_breach_is_seen(path, text):
    assert len(breaches({path: text})) >= 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sae/train.py", "import torch\nfrom .encode import encode\ndef f():\n    import scipy.sparse"),
        ("sae/metrics/quality.py", "from ..encode import encode"),
        ("sae/metrics/coverage.py", "import pandas as pd"),
        (
            "autointerp/evidence/activations.py",
            "from sae.encode import encode\nfrom autointerp.schema import Label",
        ),
        ("autointerp/run.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import anndata"),
        ("autointerp/corpus/cells.py", "import anndata"),
        ("autointerp/results/html_page.py", "from jinja2 import Environment"),
        ("autointerp/cli.py", "print('done')"),
        (
            "autointerp/explain/one_shot.py",
            "from autointerp.llm.request import Request\nfrom . import baselines",
        ),
    ],
)
def test_what_the_rules_allow_passes(path, text):
    assert breaches({path: text}) == []


def _measured(code: str, cwd: Path) -> dict:
    """Run code in a fresh interpreter: CPU seconds since it started, and which heavy libraries it loaded."""
    report = (
        "import sys, time, json; _began = time.process_time()\n"
        f"{code}\n"
        "_seconds = time.process_time() - _began\n"
        f"_loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print(json.dumps({'seconds': _seconds, 'loaded': _loaded}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", report], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


HELP = """
import runpy
sys.argv = ["autointerp", "--help"]
try:
    runpy.run_module("autointerp", run_name="__main__")
except SystemExit as stop:
    assert not stop.code, stop.code
"""


@pytest.mark.parametrize("code", ["import autointerp; autointerp.__version__", HELP], ids=["import", "help"])
def test_starting_is_quick_and_loads_nothing_heavy(code):
    """Under 0.3 s of CPU time after the interpreter is up (the best of three: the first may compile)."""
    runs = [_measured(code, REPOSITORY) for _ in range(3)]
    assert runs[0]["loaded"] == []
    assert min(run["seconds"] for run in runs) < 0.3
