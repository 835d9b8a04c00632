"""Where does a request to a model go? Told by its name and a base URL; nothing is imported, no network is touched.

How a model is named:

=========================  ==============  ====================================================================
``--model``                ``--base-url``  goes through
=========================  ==============  ====================================================================
``openai/NAME``            no              openai, to api.openai.com (or OPENAI_BASE_URL), as NAME
anything                   yes             openai, to that URL; the name is sent as it stands
``hf:PATH``                ignored         transformers, in this process; PATH is a folder or a name in the hub's cache.
                                           The endpoint's name is a hash of its files: ``local``, ``checkpoint``
``PROVIDER/NAME``          no              litellm
``litellm/PROVIDER/NAME``  no or yes       litellm, to that URL if one is given: ``litellm/openai/NAME`` and
                                           ``litellm/hosted_vllm/NAME`` reach any OpenAI-compatible server
=========================  ==============  ====================================================================
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from autointerp.errors import UserError
from autointerp.llm.checkpoint import PREFIX, find_checkpoint
from autointerp.llm.faults import one_line
from autointerp.llm.prices import Price, price_of

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"
_LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0")


@dataclass(frozen=True, slots=True)
class Route:
    """Where the requests for one model go.

    library : 'openai', 'litellm' or 'local'
    name : the model's name as sent; the folder of a local model
    provider : 'openai', 'anthropic', …; '' where only the URL is known
    endpoint : the name that stands in a request's key; without credentials
    """

    library: str
    name: str
    provider: str
    base_url: str | None
    endpoint: str

    @property
    def price(self) -> Price | None:
        """The list price, None where nobody knows who answers."""
        if self.library == "local":
            return Price(0.0, 0.0, 0.0, "this machine")
        if not self.provider:
            return None
        name = self.name.removeprefix(f"{self.provider}/") if self.library == "litellm" else self.name
        return price_of(name, self.provider)

    @property
    def here(self) -> bool:
        """A server on this machine: it needs no key, and sends no bill."""
        return self.base_url is not None and urlsplit(self.base_url).hostname in _LOCAL

    @property
    def tokens_name(self) -> str:
        """OpenAI's newer models refuse max_tokens; elsewhere some servers do not know max_completion_tokens."""
        return (
            "max_completion_tokens"
            if self.library == "openai" and self.provider == "openai"
            else "max_tokens"
        )


def route(model: str, base_url: str | None = None, endpoint_name: str | None = None) -> Route:
    """Where a model is reached. Imports nothing, touches no network.

    Raises
    ------
    UserError : the model or the URL cannot be meant
    """
    if model.startswith(PREFIX):
        found = find_checkpoint(model.removeprefix(PREFIX))
        return Route("local", str(found.folder), "", None, PREFIX + found.fingerprint)
    if not model.strip() or model.endswith("/"):
        raise UserError(f"model {model!r} has no name. Give PROVIDER/NAME, such as openai/gpt-5-mini.")
    library, name = (
        ("litellm", model.removeprefix("litellm/")) if model.startswith("litellm/") else ("openai", model)
    )
    provider = ""
    if base_url is None and library == "openai":
        if model.startswith("openai/"):
            name, base_url = model.removeprefix("openai/"), os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        else:
            library = "litellm"
    if base_url is None:
        provider = name.split("/", 1)[0] if "/" in name else ""
        if not provider:
            fix = f"Give PROVIDER/NAME, such as openai/{name}, or --base-url."
            raise UserError(f"model {model!r} names no provider. {fix}")
        return Route(library, name, provider, None, endpoint_name or provider)
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(
            f"--base-url {one_line(base_url)!r} is no URL. Give one like http://localhost:8000/v1."
        )
    if parts.hostname == "api.openai.com":
        provider = "openai"
    host = parts.netloc.rsplit("@", 1)[-1]
    public = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
    by_default = "openai" if public == OPENAI_URL else public
    return Route(library, name, provider, base_url, endpoint_name or by_default)
