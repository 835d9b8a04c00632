"""How does a template become one HTML file that needs no network? Style and script inside, nothing else allowed."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup


def render_page(template: str, styles: Sequence[str], scripts: Sequence[str], **fields: Any) -> bytes:
    """The page as UTF-8 bytes; lone surrogates become '?'.

    Parameters
    ----------
    template, styles, scripts : file names under ``results/templates``. The template gets ``style``, ``script``,
        their hashes ``style_hash``, ``script_hash`` for its content security policy, and ``scripted``
    fields : what else it names; autoescaped unless they are Markup. The filters ``number``, ``count`` and ``small``
        write figures
    """
    style = "".join(_template(name) for name in styles)
    script = '(() => {\n"use strict";\n' + "".join(_template(name) for name in scripts) + "})();\n"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=number, count=_count, small=small)
    page = environment.get_template(template).render(
        style=Markup(style),
        script=Markup(script),
        style_hash=_source_hash(style),
        script_hash=_source_hash(script),
        scripted=bool(scripts),
        **fields,
    )
    return page.encode("utf-8", errors="replace")


def finite(value: float | None) -> float | None:
    """The value, or None for what is not there: None, NaN, infinity."""
    return float(value) if value is not None and math.isfinite(value) else None


def _template(name: str) -> str:
    return (files("autointerp.results") / "templates" / name).read_text(encoding="utf-8")


def _source_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """Fixed decimals with a true minus; a dash for what is not there."""
    said = finite(value)
    if said is None:
        return "–"
    text = f"{said:+.{digits}f}" if sign else f"{said:.{digits}f}"
    return text.replace("-", "−")


def _count(value: int) -> str:
    return f"{value:,}"


def small(value: float | None) -> str:
    """A p- or q-value: two digits, or that it is under 0.0001."""
    said = finite(value)
    if said is None:
        return "–"
    return "< 0.0001" if said < 1e-4 else f"{said:.2g}"
