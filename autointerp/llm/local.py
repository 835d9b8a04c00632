"""What does a model on this machine write, and how likely does it find a text? transformers, in process, batched.

Each row of a batch has its own cap, stops, temperature and random numbers, so that what it writes depends on its own
ask alone, up to the rounding of the arithmetic: padding is masked. Nothing of a checkpoint's code is ever run.
"""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autointerp.errors import UserError
from autointerp.llm.checkpoint import find_checkpoint, missing_extra
from autointerp.llm.faults import one_line
from autointerp.llm.local_rows import Ask, Rows

PLAIN_STOPS = ("\nUser:", "\nSystem:")  # where a model without a chat template goes on with turns of others
_open: weakref.WeakValueDictionary[str, LocalModel] = weakref.WeakValueDictionary()
_opening = threading.Lock()


@dataclass(frozen=True, slots=True)
class Written:
    """What came of an Ask. ``finish_reason`` is 'stop' or 'length'; ``logprobs`` in the words of OpenAI."""

    text: str
    finish_reason: str
    tokens_out: int
    logprobs: dict[str, Any] | None = None


class LocalModel:
    """A causal language model with its tokenizer. One thread at a time computes with it; the others wait.

    fingerprint : of its files, see ``checkpoint``
    longest : tokens of prompt and reply together at most; None where the model does not say
    """

    def __init__(self, model: Any, tokenizer: Any, fingerprint: str = "") -> None:
        config = model.config.get_text_config()
        self.fingerprint = fingerprint
        self.longest: int | None = getattr(config, "max_position_embeddings", None)
        self._model, self._tokenizer = model, tokenizer
        self._lock = threading.Lock()
        ends = model.generation_config.eos_token_id
        ends = list(ends) if isinstance(ends, list | tuple) else [ends]
        self._ends = sorted({end for end in (*ends, tokenizer.eos_token_id) if end is not None})
        self._pad = next((i for i in (tokenizer.pad_token_id, *self._ends) if i is not None), 0)
        # A checkpoint's own sampling defaults (temperature, repetition penalty …) would apply unseen.
        model.generation_config = type(model.generation_config)(
            eos_token_id=self._ends or None, pad_token_id=self._pad, do_sample=False
        )

    @classmethod
    def open(cls, path: str, device: str | None = None) -> LocalModel:
        """Load a checkpoint, or hand out the one already loaded from the same files.

        Parameters
        ----------
        path : a folder, or a name in the hub's cache; nothing is fetched
        device : by default the GPU if there is one, else the CPU. On a GPU weights keep their precision, on a CPU
            they become float32

        Raises
        ------
        UserError : transformers is missing, or this is no causal language model with weights as safetensors
        """
        checkpoint = find_checkpoint(path)
        torch, transformers = _libraries()
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        with _opening:
            key = f"{checkpoint.fingerprint} {device}"
            opened = _open.get(key)
            if opened is None:
                model, tokenizer = _load(torch, transformers, checkpoint.folder, device)
                opened = _open[key] = cls(model, tokenizer, checkpoint.fingerprint)
            return opened

    @property
    def has_template(self) -> bool:
        return bool(self._tokenizer.chat_template)

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Chat messages as the text that the model continues.

        By the tokenizer's chat template; without one as 'User: …' paragraphs that end in 'Assistant:'. Special tokens
        inside a message are taken apart, so that data cannot end its turn and speak as another role.
        """
        turns = [{"role": m["role"], "content": self._defused(m["content"])} for m in messages]
        if not self.has_template:
            return "".join(f"{t['role'].capitalize()}: {t['content']}\n\n" for t in turns) + "Assistant:"
        try:
            return self._templated(turns)
        except Exception as error:
            if (
                type(error).__module__.startswith("jinja2")
                and turns[0]["role"] == "system"
                and len(turns) > 1
            ):
                said = f"{turns[0]['content']}\n\n{turns[1]['content']}"  # the model knows no system role
                return self._templated([{"role": "user", "content": said}, *turns[2:]])
            raise

    def tokens(self, messages: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
        """Chat messages as token ids, up to where the reply begins."""
        return tuple(self._encoded(self.render(messages), special=not self.has_template)["input_ids"])

    def generate(self, asks: Sequence[Ask]) -> list[Written]:
        """Write all replies, in one batch."""
        torch, _ = _libraries()
        device = self._model.device
        longest = max(len(ask.prompt) for ask in asks)
        ids = torch.full((len(asks), longest), self._pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, ask in enumerate(asks):
            ids[row, longest - len(ask.prompt) :] = torch.tensor(ask.prompt)
            mask[row, longest - len(ask.prompt) :] = 1
        rows = Rows(torch, asks, longest, self._ends, self._decoded)
        with self._lock, torch.inference_mode():
            self._model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                max_new_tokens=max(ask.max_tokens for ask in asks),
                logits_processor=[rows.choose],
                stopping_criteria=[rows.ended],
            )
        return [self._written(ask, tokens, said) for ask, tokens, said in rows.results()]

    def log_probability(self, prefix: str, text: str) -> float:
        """log p(text | prefix) under the model, in nats, summed over the tokens of the text."""
        return float(self.token_log_probabilities([(prefix, text)])[0].sum())

    def token_log_probabilities(self, pairs: Sequence[tuple[str, str]], batch: int = 8) -> list[np.ndarray]:
        """log p of each token of each text, given its prefix and the tokens before it.

        Parameters
        ----------
        pairs : (prefix, text); both are read as they stand, so a chat's prefix comes from ``render``
        batch : texts at once

        Returns
        -------
        One (tokens,) array for each pair, in nats. A token that holds the end of the prefix and the start of the text
        counts as the text's. Where the prefix is empty, the first token is given the token that begins a sequence.

        Raises
        ------
        ValueError : a text is empty, or prefix and text are longer than the model reads
        """
        torch, _ = _libraries()
        spans = [self._span(prefix, text) for prefix, text in pairs]
        found: list[np.ndarray] = [np.empty(0)] * len(spans)
        order = sorted(range(len(spans)), key=lambda i: len(spans[i][0]))  # alike in length: little padding
        partial = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        for first in range(0, len(order), batch):
            chunk = order[first : first + batch]
            longest = max(len(spans[i][0]) for i in chunk)
            kept = min(spans[i][1] for i in chunk) - 1 if partial else 0  # else (b, t, v) floats at once
            ids = torch.full((len(chunk), longest), self._pad, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, i in enumerate(chunk):  # padded right: a causal model never looks there
                ids[row, : len(spans[i][0])] = torch.tensor(spans[i][0])
                mask[row, : len(spans[i][0])] = 1
            ids, mask = ids.to(self._model.device), mask.to(self._model.device)
            extra = {"logits_to_keep": longest - kept} if partial else {}
            with self._lock, torch.inference_mode():
                logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False, **extra).logits
                for row, i in enumerate(chunk):
                    start, end = spans[i][1], len(spans[i][0])
                    before = logits[row, start - 1 - kept : end - 1 - kept].float()  # (tokens, v)
                    logp = torch.log_softmax(before, -1).gather(1, ids[row, start:end, None])[:, 0]
                    found[i] = logp.cpu().numpy().astype(np.float64)
        return found

    def likelihoods(self, before: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> list[np.ndarray]:
        """log p of each token of each text as the reply to chat messages, in nats; special tokens are taken apart."""
        prefix = self.render(before)
        return self.token_log_probabilities([(prefix, self._defused(text)) for text in texts])

    def embedding(self, text: str) -> tuple[np.ndarray, int]:
        """The vector of a text: the mean of the last layer's states (after its norm) over all tokens, and their number.

        Raises
        ------
        ValueError : the text is longer than the model reads
        """
        torch, _ = _libraries()
        ids = list(self._encoded(self._defused(text), special=True)["input_ids"])
        if self.longest and len(ids) > self.longest:
            raise ValueError(f"the text is {len(ids)} tokens, the model reads {self.longest}")
        with self._lock, torch.inference_mode():
            given = torch.tensor([ids], device=self._model.device)
            states = self._model(input_ids=given, use_cache=False, output_hidden_states=True).hidden_states[
                -1
            ]
            return states[0].float().mean(0).cpu().numpy(), len(ids)  # (t, hidden) -> (hidden,)

    def _span(self, prefix: str, text: str) -> tuple[list[int], int]:
        """Token ids of prefix and text together, and where the text's begin."""
        if not text:
            raise ValueError("the text is empty")
        bos = self._tokenizer.bos_token
        begun = bool(bos) and prefix.startswith(bos)
        both = self._encoded(prefix + text, special=not begun, return_offsets_mapping=True)
        ids, ends = list(both["input_ids"]), [end for _, end in both["offset_mapping"]]
        start = next(i for i, end in enumerate(ends) if end > len(prefix))
        stop = (
            max(i for i, end in enumerate(ends) if end > len(prefix)) + 1
        )  # not a token that ends sequences
        ids = ids[:stop]
        if start == 0:
            begin = self._tokenizer.bos_token_id
            ids, start = [self._pad if begin is None else begin, *ids], 1
        if self.longest and len(ids) > self.longest:
            raise ValueError(f"prefix and text are {len(ids)} tokens, the model reads {self.longest}")
        return ids, start

    def _encoded(self, text: str, *, special: bool, **more: Any) -> Any:
        return self._tokenizer(text, add_special_tokens=special, **more)

    def _decoded(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _templated(self, turns: list[dict[str, str]]) -> str:
        return self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)

    def _defused(self, content: Any) -> str:
        if not isinstance(content, str):
            content = "\n".join(part["text"] for part in content or ())
        for token in self._tokenizer.all_special_tokens:
            if len(token) > 1 and token in content:
                content = content.replace(token, f"{token[0]} {token[1:]}")
        return content

    def _written(self, ask: Ask, tokens: list[int], said: list[Any]) -> Written:
        text = self._decoded(tokens)
        cuts = [at for at in map(text.find, ask.stop) if at >= 0]
        ended = bool(cuts) or (bool(tokens) and tokens[-1] in self._ends)
        text = text[: min(cuts)] if cuts else text
        logprobs = None if ask.top_logprobs is None else {"content": [self._logprob(*one) for one in said]}
        return Written(text, "stop" if ended else "length", len(tokens), logprobs)

    def _logprob(self, token: int, logp: float, top: list[tuple[int, float]]) -> dict[str, Any]:
        def said(i: int, value: float) -> dict[str, Any]:
            return {"token": self._tokenizer.decode([i]), "logprob": value, "bytes": None}

        return {**said(token, logp), "top_logprobs": [said(*one) for one in top]}


def check_libraries() -> None:
    """Raise the UserError that names the extra, if transformers is missing."""
    _libraries()


def _libraries() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError:
        raise missing_extra() from None
    return torch, transformers


def _load(torch: Any, transformers: Any, folder: Any, device: str) -> tuple[Any, Any]:
    from safetensors import SafetensorError

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    safely = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **safely)
        model, loaded = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            use_safetensors=True,
            dtype="auto" if device != "cpu" else torch.float32,
            output_loading_info=True,
            **safely,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{folder} does not load as a causal language model: {one_line(str(error))}"
        ) from error
    if loaded["missing_keys"]:  # transformers would go on with random numbers in their place
        lacking = sorted(loaded["missing_keys"])
        raise UserError(
            f"{folder} lacks the weights {lacking[0]}, {len(lacking)} in all: it is no causal model."
        )
    if not tokenizer.is_fast:
        raise UserError(
            f"{folder} has no tokenizer.json. Save its tokenizer again with a recent transformers."
        )
    return model.to(device).eval(), tokenizer
