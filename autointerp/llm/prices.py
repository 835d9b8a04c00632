"""What does a call cost? Read from the price map that litellm ships, without importing litellm. Unknown is None."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from autointerp.errors import UserError
from autointerp.llm.request import Usage

PRICE_MAP = "model_prices_and_context_window_backup.json"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per token. ``cached_usd`` is for input tokens read from the provider's cache."""

    input_usd: float
    output_usd: float
    cached_usd: float | None = None
    source: str = "given"

    def cost_usd(self, usage: Usage | None) -> float | None:
        """Cost of one call, None where the endpoint does not tell its tokens."""
        if usage is None:
            return None
        cached = min(usage.tokens_cached, usage.tokens_in)
        cached_usd = self.input_usd if self.cached_usd is None else self.cached_usd
        return (
            (usage.tokens_in - cached) * self.input_usd
            + cached * cached_usd
            + usage.tokens_out * self.output_usd
        )


def given_price(in_usd: float | None, out_usd: float | None) -> Price | None:
    """The price that the user gives, in dollars per million tokens; None if none is given.

    Raises
    ------
    UserError : one of the two is missing, or below 0
    """
    if in_usd is None and out_usd is None:
        return None
    if in_usd is None or out_usd is None or min(in_usd, out_usd) < 0:
        raise UserError("--price-in and --price-out go together: dollars per million tokens, 0 or more each.")
    return Price(in_usd * 1e-6, out_usd * 1e-6)


def price_of(model: str, provider: str) -> Price | None:
    """The list price of a provider's model, or None.

    Parameters
    ----------
    model : name without provider, as sent
    provider : 'openai', 'anthropic', …

    Notes
    -----
    An entry whose two prices are 0 says "not known" as often as "free", and counts as unknown.
    """
    prices = _price_map()
    for name in (f"{provider}/{model}", model):
        entry = prices.get(name)
        if not isinstance(entry, dict) or not str(entry.get("litellm_provider", "")).startswith(provider):
            continue
        dollars = [entry.get("input_cost_per_token"), entry.get("output_cost_per_token")]
        if None in dollars or not any(dollars):
            return None
        input_usd, output_usd = (float(one) for one in dollars if one is not None)
        cached = entry.get("cache_read_input_token_cost")
        source = f"litellm {importlib.metadata.version('litellm')}"
        return Price(input_usd, output_usd, None if cached is None else float(cached), source)
    return None


@lru_cache(maxsize=1)
def _price_map() -> dict[str, Any]:
    spec = importlib.util.find_spec("litellm")  # finds the package, does not run it
    if spec is None or spec.origin is None:
        return {}
    path = Path(spec.origin).with_name(PRICE_MAP)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
