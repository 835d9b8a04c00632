"""What does a model say between the lines? The mean of the numbers it might have written, by their log-probabilities.

A stated probability is the likeliest of a few round numbers: 80, 85, 90. Where an endpoint gives the log-probabilities
of the alternatives at that place, their mean is finer and breaks ties [Liu et al. 2023, G-Eval, arXiv 2303.16634].
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from autointerp.llm.request import Reply

ALTERNATIVES = 10
PARAMS = {"logprobs": True, "top_logprobs": ALTERNATIVES}
OBJECT = re.compile(r"\{[^{}]*\}")
ITEM, NUMBER = re.compile(r'"item"\s*:\s*(\d+)'), re.compile(r'"probability"\s*:\s*(\d+(?:\.\d+)?)')
WRITTEN = re.compile(r"\s*(\d+(?:\.\d+)?)$")


def expected(reply: Reply, values: Sequence[float | None]) -> list[float | None]:
    """Stated probabilities (0–100) of items 1 … n with each replaced by its expectation, where that can be read.

    Σ p·v / Σ p over the alternatives v at the number's place that are numbers from 0 to 100. It stays as stated where
    the reply has no log-probabilities, or the number is not one token of its own.
    """
    content = (reply.logprobs or {}).get("content") or []
    tokens = [str(entry.get("token", "")) for entry in content]
    if not content or "".join(tokens) != reply.text:
        return list(values)
    ends = list(accumulate(len(token) for token in tokens))
    by_place = {end: (token, entry) for end, token, entry in zip(ends, tokens, content, strict=True)}
    found = list(values)
    for told in OBJECT.finditer(reply.text):
        item, number = ITEM.search(told[0]), NUMBER.search(told[0])
        if item is None or number is None or not 1 <= int(item[1]) <= len(found):
            continue
        place = int(item[1]) - 1
        token, entry = by_place.get(told.start() + number.end(), ("", {}))
        if found[place] == float(number[1]) and token.strip() == number[1]:
            found[place] = _mean(token, entry)
    return found


def _mean(token: str, entry: Mapping[str, Any]) -> float:
    weights = {token.strip(): math.exp(float(entry["logprob"]))}
    for other in entry.get("top_logprobs") or []:
        written = WRITTEN.match(str(other["token"]))
        if written and float(written[1]) <= 100:
            weights.setdefault(written[1], math.exp(float(other["logprob"])))
    total = sum(weights.values())
    return (
        sum(weight * float(number) for number, weight in weights.items()) / total
        if total > 0
        else float(token)
    )
