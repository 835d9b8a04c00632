"""How does a file under ``prompts/`` become a prompt? Strictly: no variable is missing, no data leaves its fence.

Prompts are not HTML, so nothing is escaped by itself; whatever comes from a user's data passes the filter ``fenced``
(a block of its own) or ``inline`` (a few words on one line). A test holds every template to that.
"""

from __future__ import annotations

import hashlib
import re
import traceback
import unicodedata
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.pictures import marked

if TYPE_CHECKING:
    import jinja2

    from autointerp.schema import Rendering

FENCE_CHARS = 20_000
INLINE_CHARS = 200
_PLAIN = re.compile(r"[\n\t -~]*")
_HARMLESS = re.compile(r"[A-Za-z0-9_.:,;/()+%-]*")  # as most names are: nothing in it is ever changed
_ORIGIN = "prompts/"  # how a template is named in messages


class TemplateError(Exception):
    """A template is missing, names what it was not given, or is not Jinja: a bug of ours, never the user's."""


def escape(text: object, max_chars: int, one_line: bool = False) -> str:
    """Text of which no tag, control token or invisible character is left; what is cut off is counted."""
    if isinstance(text, str) and len(text) <= max_chars and _HARMLESS.fullmatch(text):
        return text
    kept = re.sub(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", "\n", str(text))
    if not _PLAIN.fullmatch(kept):
        kept = "".join(
            c for c in kept if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co")
        )
    if one_line:
        kept = " ".join(kept.split())
    more = len(kept) - max_chars
    kept = kept[:max_chars].replace("&", "&amp;")
    kept = re.sub("[<\uff1c\ufe64]", "&lt;", kept)  # the full-width forms become < and > in some tokenizers
    kept = re.sub("[>\uff1e\ufe65]", "&gt;", kept)
    kept = re.sub(r"\[(?=/?[A-Z_]{3,}\])", "&#91;", kept)  # [INST] and its kin are control tokens
    return kept + (f"… [{more} more characters]" if more > 0 else "")


def fence(text: object, tag: str = "data", max_chars: int = FENCE_CHARS) -> str:
    """Untrusted text between ``<data>`` and ``</data>``, each on a line of its own; nothing inside can close it."""
    return f"<{tag}>\n{escape(text, max_chars)}\n</{tag}>"


def inline(text: object, max_chars: int = INLINE_CHARS) -> str:
    """Untrusted text that stands within a line: a gene name, an id, a title."""
    return escape(text, max_chars, one_line=True)


def pictures(rendering: Rendering) -> str:
    """The pictures of an item, as ``pictures.marked`` writes them; '' where it has none."""
    return marked(rendering.images)


def prompts_root() -> Traversable:
    """Where the templates are: inside the installed package, or beside pyproject.toml in a checkout."""
    packaged = resources.files("autointerp") / "_prompts"
    if packaged.is_dir():
        return packaged
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").is_file() and (checkout / "prompts").is_dir():
        return checkout / "prompts"
    raise TemplateError("the installation holds no prompts: install autointerp-bio again")


def names(root: Traversable | None = None) -> list[str]:
    """All templates, as ``render`` names them."""

    def walk(folder: Traversable, prefix: str) -> list[str]:
        found = []
        for entry in folder.iterdir():
            if entry.is_dir():
                found += walk(entry, f"{prefix}{entry.name}/")
            elif entry.name.endswith(".j2"):
                found.append(prefix + entry.name)
        return found

    return sorted(walk(root or prompts_root(), ""))


def source(name: str, root: Traversable | None = None) -> str:
    """The text of one template."""
    top = root or prompts_root()
    parts = name.split("/")
    file = top.joinpath(*parts)
    if not set(parts).isdisjoint(("", ".", "..")) or not name.endswith(".j2") or not file.is_file():
        raise TemplateError(f"no template {name!r}; found {', '.join(names(top)) or 'none'}")
    return file.read_text(encoding="utf-8")


def environment(root: Traversable | None = None) -> jinja2.Environment:
    """The one Jinja environment of this project, reading from ``root`` (by default, from ``prompts_root``)."""
    import jinja2

    top = root or prompts_root()

    def load(name: str) -> tuple[str, str, None]:
        return source(name, top), _ORIGIN + name, None

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        autoescape=False,
    )
    made.filters |= {"fenced": fence, "inline": inline, "pictures": pictures}
    return made


@cache
def _environment() -> jinja2.Environment:
    return environment()


def render(name: str, /, **variables: Any) -> str:
    """The prompt that ``prompts/<name>`` makes of the variables, e.g. ``render("explain/one_shot.j2", noun="cell")``.

    Raises
    ------
    TemplateError
        Naming the template, the line and what is missing.
    """
    return render_with(_environment(), name, variables)


def render_with(env: jinja2.Environment, name: str, variables: dict[str, Any]) -> str:
    """As ``render``, in an environment of another root."""
    import jinja2

    try:
        return env.get_template(name).render(variables)
    except jinja2.UndefinedError as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(_ORIGIN)]
        place = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else _ORIGIN + name
        given = ", ".join(sorted(variables)) or "nothing"
        raise TemplateError(f"{place}: {error.message}; {name} was given {given}") from error
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(
            f"{error.filename or _ORIGIN + name}, line {error.lineno}: {error.message}"
        ) from error


def prompt_hash(name: str, root: Traversable | None = None) -> str:
    """sha256 over the template and all that it includes, imports or extends: changes whenever the prompt can."""
    import jinja2
    from jinja2 import meta

    syntax = jinja2.Environment()
    sources: dict[str, str] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in sources:
            continue
        sources[current] = source(current, root)
        for other in meta.find_referenced_templates(syntax.parse(sources[current])):
            if other is None:
                raise TemplateError(
                    f"{_ORIGIN}{current} includes a file whose name is computed; write the name out"
                )
            waiting.append(other)
    digest = hashlib.sha256()
    for current in sorted(sources):
        digest.update(f"{current}\0{sources[current]}\0".encode())
    return digest.hexdigest()
