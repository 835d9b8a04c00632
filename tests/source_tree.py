"""Which files of ours are there, and what does each import? Read without importing anything, for the tests of rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
INSTALLED = ("autointerp", "sae")
PACKAGES = (*INSTALLED, "eval")


@dataclass(frozen=True)
class Import:
    """One imported module, by its absolute name."""

    target: str
    line: int
    relative: bool
    nested: bool  # inside a function: paid for when it is called
    typing_only: bool  # under ``if TYPE_CHECKING``: never loaded

    @property
    def root(self) -> str:
        """The first part of its name."""
        return self.target.partition(".")[0]


def sources(*folders: str) -> dict[str, str]:
    """Path relative to the repository -> text, of every Python file in these folders."""
    return {
        path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
    }


def module_name(path: str) -> str:
    """``autointerp/llm/policy.py`` -> ``autointerp.llm.policy``; a package is named without ``__init__``."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(path: str, text: str) -> list[Import]:
    """Every import of a file, at the top or nested, including ``import_module("…")`` of a written-out name."""
    package = module_name(path) if path.endswith("__init__.py") else module_name(path).rpartition(".")[0]
    return list(_walk(ast.parse(text), package, nested=False, typing_only=False))


def _walk(node: ast.AST, package: str, nested: bool, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, False, nested, typing_only)
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            if child.level:
                above = package.split(".")[: len(package.split(".")) - child.level + 1]
                base = ".".join([*above, *filter(None, [child.module])])
            for alias in child.names:  # ``from a import b`` may load a.b
                yield Import(f"{base}.{alias.name}", child.lineno, child.level > 0, nested, typing_only)
        elif isinstance(child, ast.Call) and _called(child.func) in ("import_module", "__import__"):
            if (
                child.args
                and isinstance(child.args[0], ast.Constant)
                and isinstance(child.args[0].value, str)
            ):
                yield Import(child.args[0].value, child.lineno, False, nested, typing_only)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.body:
                yield from _walk(ast.Module([statement], []), package, nested, True)
            for statement in child.orelse:
                yield from _walk(ast.Module([statement], []), package, nested, typing_only)
            continue
        inside = nested or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, package, inside, typing_only)


def _called(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def is_within(target: str, *modules: str) -> bool:
    """Is the imported name one of these modules, or inside one?"""
    return any(target == m or target.startswith(m + ".") for m in modules)
