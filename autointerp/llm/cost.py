"""What can a request cost, before it is sent? A bound that a budget can rely on, and a guess for people."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autointerp.llm.prices import Price
from autointerp.llm.request import Request, Usage

TOKENS_A_MESSAGE = 32  # role names and turn markers of chat templates
TOKENS_A_PROMPT = 256  # what some templates put before it
TILE = 512  # pixels
MOST_TILES = 12  # of an image whose size is not read
# Model name -> (tokens of any image, tokens of a tile of 512 × 512), above what the providers document (2026).
IMAGE_TOKENS = (
    (re.compile("gpt-4o-mini"), 2833, 5667),
    (re.compile("gemini"), 1120, 258),
    (re.compile("claude"), 64, 350),
    (re.compile(""), 3000, 1024),
)
BYTES_A_TOKEN = 3.0  # of gene names and prose, for the guess
SHARE_OF_CAP = 0.25  # of its cap that a reply uses, for the guess


@dataclass(frozen=True, slots=True)
class Bound:
    """What one attempt costs at most. ``cost_usd`` is None where the price is unknown."""

    tokens_in: int
    tokens_out: int
    cost_usd: float | None

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


def bound(request: Request, price: Price | None, max_tokens: int | None = None) -> Bound:
    """What one attempt of a request costs at most: a token is at least one byte of UTF-8.

    Parameters
    ----------
    max_tokens : the cap that is sent, if not the request's own
    """
    tokens_in = TOKENS_A_PROMPT + TOKENS_A_MESSAGE * len(request.messages)
    for message in request.messages:
        tokens_in += _tokens(message.get("content"), request.model)
        tokens_in += sum(_bytes(value) for name, value in message.items() if name not in ("content", "role"))
    if request.schema is not None:
        tokens_in += _bytes(request.schema)
    tokens_in += sum(
        _bytes(request.params[name]) for name in ("tools", "functions") if name in request.params
    )
    tokens_out = request.max_tokens if max_tokens is None else max_tokens
    cost_usd = None
    if price is not None:
        dearest = Price(max(price.input_usd, price.cached_usd or 0.0), price.output_usd)
        cost_usd = dearest.cost_usd(Usage(tokens_in, tokens_out))
    return Bound(tokens_in, tokens_out, cost_usd)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What unanswered requests would cost if each were answered at the first attempt.

    tokens_at_most, usd_at_most : bounds, as a budget reserves them, together
    tokens_about, usd_about : a token for every 3 bytes of prompt, and replies of a quarter of their cap
    unpriced : requests whose price is unknown; they are in no sum of dollars
    """

    requests: int = 0
    tokens_at_most: int = 0
    usd_at_most: float = 0.0
    tokens_about: int = 0
    usd_about: float = 0.0
    unpriced: int = 0

    def __str__(self) -> str:
        if not self.requests:
            return "nothing is left to ask"
        dollars = f"about ${self.usd_about:.2f}, at most ${self.usd_at_most:.2f}"
        if self.unpriced:
            some = "" if self.unpriced == self.requests else f"{dollars}, and {self.unpriced:,} requests "
            dollars = f"{some}at an unknown price"
        return (
            f"{self.requests:,} requests, about {self.tokens_about:,} tokens"
            f" (at most {self.tokens_at_most:,}), {dollars}"
        )


def estimate(asked: Iterable[tuple[Request, Price | None]]) -> Estimate:
    """Count and price requests that are not answered yet."""
    requests = tokens_at_most = unpriced = 0
    tokens_about = usd_at_most = usd_about = 0.0
    for request, price in asked:
        most = bound(request, price)
        likely = Usage(round(most.tokens_in / BYTES_A_TOKEN), round(most.tokens_out * SHARE_OF_CAP))
        requests += 1
        tokens_at_most += most.tokens
        tokens_about += likely.tokens_in + likely.tokens_out
        if price is None or most.cost_usd is None:
            unpriced += 1
        else:
            usd_at_most += most.cost_usd
            usd_about += price.cost_usd(likely) or 0.0
    return Estimate(requests, tokens_at_most, usd_at_most, round(tokens_about), usd_about, unpriced)


def _tokens(content: Any, model: str) -> int:
    if isinstance(content, list | tuple):
        return sum(_tokens(part, model) for part in content)
    if isinstance(content, Mapping) and "image_url" in content:
        return _image_tokens(content["image_url"], model)
    if isinstance(content, Mapping) and content.get("type") == "text":
        return _bytes(content.get("text"))
    return _bytes(content)


def _image_tokens(image: Any, model: str) -> int:
    url = image.get("url", "") if isinstance(image, Mapping) else str(image)
    base, tile = next((base, tile) for name, base, tile in IMAGE_TOKENS if name.search(model.lower()))
    size = _png_size(url)
    if size is None:
        return base + MOST_TILES * tile
    return base + tile * math.ceil(size[0] / TILE) * math.ceil(size[1] / TILE)


def _png_size(url: str) -> tuple[int, int] | None:
    head = url[:100].partition("image/png;base64,")[2][:32]
    try:
        data = base64.b64decode(head)
        return struct.unpack(">II", data[16:24]) if data[12:16] == b"IHDR" else None  # type: ignore[return-value]
    except (binascii.Error, struct.error):
        return None


def _bytes(said: Any) -> int:
    if said is None:
        return 0
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False, default=str)
    return len(text.encode("utf-8", "surrogatepass"))
