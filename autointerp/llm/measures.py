"""What else can a model be asked than to talk? The vector of a text, and how likely it finds a text.

Both are Requests like any other, told apart by ``params["kind"]``, so that ledger, keys, budget, retries and batch
files hold for them, and the keys of chat requests are what they were:

=====================  ==========================================================================================
``embedding``          sent to ``/v1/embeddings``; of ``hf:`` the mean of the last layer's states over the tokens.
                       The reply's text is the vector, base64 of little-endian float32
``log_probability``    log p of the assistant's message after those before it, in nats; of ``hf:`` alone. The reply's
                       text is that message, its ``logprobs`` are those of its tokens. In a batch file it is a chat
                       request with ``"kind": "log_probability"``, and the reply a completion with logprobs
=====================  ==========================================================================================
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autointerp.llm.request import Reply

EMBEDDING, LOG_PROBABILITY = "embedding", "log_probability"


def embedding_of(text: str) -> dict[str, Any]:
    """The fields of the Request for a text's vector. Raises ValueError for an empty text."""
    if not text.strip():
        raise ValueError("an empty text has no vector")
    return {**_no_reply(EMBEDDING), "messages": ({"role": "user", "content": text},)}


def log_probability_of(text: str, after: str) -> dict[str, Any]:
    """The fields of the Request for log p(text | after); ``after`` is a user's message."""
    if not text:
        raise ValueError("the text is empty")
    said = ({"role": "user", "content": after}, {"role": "assistant", "content": text})
    return {**_no_reply(LOG_PROBABILITY), "messages": said}


def _no_reply(kind: str) -> dict[str, Any]:
    return {"max_tokens": 0, "params": {"kind": kind}}


def packed(vector: Any) -> str:
    """A vector as the text of a Reply: numbers, or base64 of float32 as it came.

    Raises
    ------
    ValueError, TypeError : it is neither, empty, or not finite
    """
    try:
        raw = base64.b64decode(vector, validate=True) if isinstance(vector, str) else None
    except binascii.Error as error:
        raise ValueError(f"the vector is no base64: {error}") from None
    found = np.asarray(vector, dtype="<f4") if raw is None else np.frombuffer(raw, dtype="<f4")
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all():
        raise ValueError(f"an embedding of shape {found.shape} is no vector of finite numbers")
    return base64.b64encode(found.tobytes()).decode("ascii")


def vector_of(reply: Reply) -> np.ndarray:
    """(d,) float64, the vector in an answer to ``embedding_of``."""
    return np.frombuffer(base64.b64decode(reply.text), dtype="<f4").astype(np.float64)


def nats_of(reply: Reply) -> float | None:
    """Summed log-probability of the tokens in an answer to ``log_probability_of``; None where it holds none."""
    said: Sequence[Mapping[str, Any]] = (reply.logprobs or {}).get("content") or ()
    total = math.fsum(float(token["logprob"]) for token in said)
    return total if said and math.isfinite(total) else None
