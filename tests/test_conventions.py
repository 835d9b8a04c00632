"""Do all files keep the house rules that a reader relies on? Docstrings, size, names, errors, declared imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions

import pytest

from tests.source_tree import INSTALLED, PACKAGES, REPOSITORY, imports, sources

MAX_LINES = 400
CATCHES_ALL = {  # file -> why it may catch every exception
    "autointerp/drain.py": "records type, message and latent, and goes on with the other latents",
}
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler"}
DISTRIBUTIONS = {  # where packages_distributions cannot know, because an extra is not installed
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tifffile": "tifffile",
    "transformers": "transformers",
}
WORK = "work"
HOME_PATH = re.compile(r"(?<![\w.])/(?:home/\w|Users/\w|root\b|work/\w)")

OURS = sources(*PACKAGES)
ALL = OURS | sources("tests")


def _tree(path: str) -> ast.Module:
    return ast.parse(ALL[path])


@pytest.mark.parametrize("path", OURS)
def test_what_is_public_has_a_docstring(path):
    tree = _tree(path)
    if not tree.body:  # an empty __init__.py
        return
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    bare = [] if ast.get_docstring(tree) else ["the module"]
    if path.startswith(INSTALLED):  # eval's functions are nobody's API
        bare += [f"{node.name}, line {node.lineno}" for node in public if not ast.get_docstring(node)]
    assert not bare, f"{path} has no docstring for {'; '.join(bare)}"


@pytest.mark.parametrize("path", ALL)
def test_a_file_holds_one_idea(path):
    lines = ALL[path].count("\n")
    assert lines <= MAX_LINES, f"{path} has {lines} lines: split it by idea"
    stem = path.rpartition("/")[2].removesuffix(".py")
    assert stem not in EMPTY_NAMES, f"{path}: name it after what it holds"


@pytest.mark.parametrize("path", OURS)
def test_only_the_run_loop_catches_everything(path):
    broad = [
        node.lineno
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or re.search(r"\b(Base)?Exception\b", ast.unparse(node.type)))
        and not _reraises(node)
    ]
    assert not broad or path in CATCHES_ALL, f"{path} catches everything in line {broad}: name the exceptions"


def _reraises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


@pytest.mark.parametrize("path", sources(*INSTALLED))
def test_every_import_is_declared(path):
    """At the top of a file only what is always installed; what an extra brings, inside the function that needs it."""
    always, extras = _declared()
    for found in imports(path, ALL[path]):
        if found.relative or found.root in PACKAGES or found.root in sys.stdlib_module_names:
            continue
        known = DISTRIBUTIONS.get(found.root, found.root)
        given_by = {_plain(name) for name in (known, *_owners().get(found.root, []))}
        allowed = always | extras if found.nested or found.typing_only else always
        assert given_by & allowed, (
            f"{path}:{found.line} imports {found.target}, not declared in pyproject.toml"
        )


@cache
def _declared() -> tuple[set[str], set[str]]:
    """What is always installed, and what the extras for users bring."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return _names(project["dependencies"]), _names(
        d for name in extras if name != "dev" for d in extras[name]
    )


@cache
def _owners() -> Mapping[str, list[str]]:
    return packages_distributions()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _names(requirements) -> set[str]:
    return {_plain(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}


def test_no_file_names_somebodys_home():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = REPOSITORY / name
        if not path.is_file() or path == REPOSITORY / "tests" / "test_conventions.py":
            continue
        content = path.read_bytes()
        if b"\0" in content[:8192]:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if HOME_PATH.search(line):
                found.append(f"{name}:{number}: {line.strip()[:80]}")
    assert found == []


@pytest.mark.parametrize("line", ["/home/ann/x", "in /Users/ann", '"/root/x"', f"/{WORK}/x"])
def test_a_home_path_is_seen(line):
    assert HOME_PATH.search(line)


@pytest.mark.parametrize("line", [f"../{WORK}/x", "network/rooted", "https://a.b/home/x", "/rooted"])
def test_other_paths_are_not(line):
    assert not HOME_PATH.search(line)
