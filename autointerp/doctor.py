"""Is this installation whole? What ``autointerp doctor`` finds: packages, prompts, keys by name, and name clashes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from autointerp import templates

CORE = (
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "anndata",
    "jinja2",
    "openai",
    "litellm",
    "tenacity",
)
EXTRAS = {
    "scanpy": "cells",
    "zarr": "cells",
    "matplotlib": "plots",
    "transformers": "local",
    "scikit-image": "images",
}
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "MISTRAL_API_KEY", "OPENROUTER_API_KEY")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check."""

    ok: bool
    what: str


def diagnose() -> list[Finding]:
    """All findings; ``ok`` is False only where something does not work."""
    found = [Finding(sys.version_info >= (3, 11), f"python {sys.version.split()[0]} (3.11 or newer)")]
    found += [_package(name) for name in CORE]
    for name, extra in EXTRAS.items():
        try:
            found.append(Finding(True, f"{name} {metadata.version(name)} [{extra}]"))
        except metadata.PackageNotFoundError:
            found.append(
                Finding(True, f"{name} not installed: pip install 'autointerp-bio[{extra}]' where needed")
            )
    found.append(_prompts())
    found.append(_sae_owner())
    for name in KEYS:
        found.append(Finding(True, f"{name} {'set' if os.environ.get(name) else 'not set'}"))
    return found


def _package(name: str) -> Finding:
    try:
        return Finding(True, f"{name} {metadata.version(name)}")
    except metadata.PackageNotFoundError:
        return Finding(False, f"{name} is missing: pip install autointerp-bio")


def _prompts() -> Finding:
    try:
        return Finding(True, f"{len(templates.names())} prompt templates")
    except templates.TemplateError as error:
        return Finding(False, str(error))


def _sae_owner() -> Finding:
    """Another distribution may own the import name ``sae`` and shadow ours."""
    here = Path(__file__).resolve().parent.parent / "sae"
    spec = find_spec("sae")
    at = Path(spec.origin).resolve().parent if spec and spec.origin else None
    if at != here:
        return Finding(False, f"import sae finds {at}, not {here}: uninstall the other package called sae")
    owners = sorted({*metadata.packages_distributions().get("sae", [])} - {"autointerp-bio"})
    if owners:
        return Finding(
            False, f"the import name sae is also owned by {', '.join(owners)}: uninstall one of them"
        )
    return Finding(True, f"import sae is ours ({here})")
