"""What decides a dictionary, besides the data? Its kind, its size and how it is trained."""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

TRAINED = ("topk", "batchtopk", "matryoshka", "relu", "relu_tied", "jumprelu", "p_anneal", "icfl")
KINDS = (*TRAINED, "pca", "ica", "nmf", "neurons", "random")
SCALINGS = ("global", "dimension", "whiten", "none")
CENTERS = ("mean", "controls", "none")
Scaling = Literal["global", "dimension", "whiten", "none"]
Center = Literal["mean", "controls", "none"]
MOST_LR = 5e-3  # see `DictionaryConfig.resolved`
WHITENED = ("icfl",)  # kinds that whiten, center on controls and take unit norm unless told otherwise


@dataclass(frozen=True, slots=True)
class DictionaryConfig:
    """Everything that changes a dictionary, save the data. `resolved` replaces each ``None`` by a number.

    ``ValueError``, one line, where a value is impossible.
    """

    d: int  # embedding dimension
    m: int  # latents
    k: int  # greatest number of active latents per item; the mean, within 10 %, where it varies
    kind: str = "topk"
    scaling: Scaling | None = None  # None becomes global, or what the kind is known for
    center: Center | None = None  # what is subtracted; `fit` replaces None
    unit_norm: bool | None = None  # whether each item is divided by its norm, last; None becomes False
    seed: int = 0
    lr: float | None = None  # peak of Adam's learning rate
    batch_size: int | None = None  # rows
    steps: int | None = None  # optimizer steps
    aux_k: int | None = None  # dead latents that reconstruct the residual of one item; 0 turns AuxK off
    aux_coef: float = 1 / 32
    dead_after: int | None = None  # rows without firing until a latent counts as dead
    held_back: float = 0.05  # share of the rows that training never sees, for early stopping
    warmup: float = 0.05  # share of the steps with a rising learning rate
    decay: float = 0.5  # share of the steps, the last ones, with a falling learning rate
    grad_clip: float = 1.0  # greatest norm of the whole gradient

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of dictionary {self.kind!r}; known are {', '.join(KINDS)}")
        if self.scaling is None:
            object.__setattr__(self, "scaling", "whiten" if self.kind in WHITENED else "global")
        if self.scaling not in SCALINGS:
            raise ValueError(f"unknown scaling {self.scaling!r}; known are {', '.join(SCALINGS)}")
        if self.center is not None and self.center not in CENTERS:
            raise ValueError(f"unknown center {self.center!r}; known are {', '.join(CENTERS)}")
        if self.unit_norm is None:
            object.__setattr__(self, "unit_norm", self.kind in WHITENED)
        if not isinstance(self.unit_norm, bool):
            raise ValueError(f"unit_norm must be true or false, got {self.unit_norm!r}")
        for name in ("d", "m", "k", "seed", "batch_size", "steps", "aux_k", "dead_after"):
            value = getattr(self, name)
            optional = name in ("batch_size", "steps", "aux_k", "dead_after")
            if isinstance(value, np.integer):
                value = int(value)
                object.__setattr__(self, name, value)
            if isinstance(value, bool) or not (isinstance(value, int) or (value is None and optional)):
                raise ValueError(f"{name} must be a whole number, got {value!r}")
            least = 0 if name in ("seed", "aux_k") else 1
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if self.k > self.m:
            raise ValueError(f"k = {self.k} active latents per item exceeds m = {self.m} latents")
        if self.k > self.d:
            raise ValueError(f"k = {self.k} active latents per item exceeds d = {self.d} dimensions")
        if self.kind == "icfl" and 2 * self.k > self.d:
            raise ValueError(
                f"kind icfl takes k of at most d/2 = {self.d / 2:g} active latents, got {self.k}"
            )
        for name in ("held_back", "warmup", "decay", "aux_coef", "grad_clip", "lr"):
            value = getattr(self, name)
            if isinstance(value, np.floating):
                value = float(value)
                object.__setattr__(self, name, value)
            if isinstance(value, bool) or not (
                isinstance(value, int | float) or (value is None and name == "lr")
            ):
                raise ValueError(f"{name} must be a number, got {value!r}")
        for name in ("held_back", "warmup", "decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be a share in [0, 1), got {getattr(self, name)}")
        if self.warmup + self.decay > 1:
            raise ValueError(f"warmup + decay must be at most 1, got {self.warmup} + {self.decay}")
        for name in ("lr", "aux_coef", "grad_clip"):
            value = getattr(self, name)
            enough = value is None or value > 0 or (name == "aux_coef" and value == 0)
            if not enough or not math.isfinite(value or 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")

    def centered(self, has_controls: bool) -> DictionaryConfig:
        """The same with ``center`` decided.

        It becomes the mean; the controls for a kind that whitens, where there are any; nothing where scaling
        is ``none``.
        """
        if self.center is not None:
            return self
        if self.scaling == "none":
            return dataclasses.replace(self, center="none")
        on_controls = self.kind in WHITENED and has_controls
        return dataclasses.replace(self, center="controls" if on_controls else "mean")

    def resolved(self, n: int) -> DictionaryConfig:
        """The same with every ``None`` replaced, for training on ``n`` rows.

        Figures: TopK 128/8 on 50 components of 1,800 blood cells, three seeds, coverage / distinctness / FVU.
        Rows per batch are n / 32, from 32 to 4,096: small batches cost less and find more (n / 8: 0.609 / 92.8
        / 0.209; n / 32: 0.635 / 92.7 / 0.208). The learning rate falls with √m [arXiv 2406.04093], twice that
        paper's; at most 0.005 (here 0.628 / 96.4 / 0.206; 0.003 is the line above). At least 3,000 steps
        however small the data (at n / 8, 1,500: 0.614 / 89.2 / 0.211), at least three passes however large; overfitting
        is left to the held-back rows. AuxK takes d / 2 latents [arXiv 2406.04093]; at this size none is dead,
        with or without it.
        """
        aux_k = _power_of_two(max(self.d / 2, 1)) if self.aux_k is None else self.aux_k
        batch_size = self.batch_size or min(max(_power_of_two(max(n / 32, 1)), 32), 4096)
        return dataclasses.replace(
            self.centered(has_controls=False),
            batch_size=batch_size,
            steps=self.steps or max(3000, math.ceil(3 * n / batch_size)),
            lr=self.lr or min(4e-4 * math.sqrt(2**14 / self.m), MOST_LR),
            aux_k=min(aux_k, self.m),
            dead_after=self.dead_after or min(max(2 * n, 20 * batch_size), 1_000_000),
        )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DictionaryConfig:
        """Refuses fields that it does not know, and names those that are missing."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            close = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"unknown field {unknown[0]!r}{hint}")
        missing = [name for name in ("d", "m", "k") if name not in values]
        if missing:
            raise ValueError(f"missing field {missing[0]!r}")
        return cls(**values)


class Size(NamedTuple):
    """How large a dictionary, and why.

    m : latents
    k : greatest number of active latents per item
    reason : one sentence to print
    """

    m: int
    k: int
    reason: str


def default_size(
    n: int, d: int, latents: int | Literal["auto"] = "auto", k: int | Literal["auto"] = "auto"
) -> Size:
    """k = clip(d / 6, 4, 32), m = clip(n·k / 160, 32, 16384), both rounded down to powers of two.

    n : items of the data; those that the dictionary is fitted on (explain) are about half of them
    d : embedding dimension; an automatic k never exceeds it
    latents, k : the user's own choice instead

    ``ValueError`` where n, d, m or k is not positive, k > m or k > d.
    """
    if n <= 0 or d <= 0:
        raise ValueError(f"a dictionary needs items and dimensions, got {n} items of {d} dimensions")
    data = f"{n:,} items of {d} dimensions"
    if k == "auto":
        chosen_k = min(_power_of_two(min(max(d / 6, 4), 32)), _power_of_two(d))
        if latents != "auto" and latents > 0:
            chosen_k = min(chosen_k, latents)
        why_k = f"k = {chosen_k} active per item (d/6 = {d / 6:.1f}, kept within 4 and 32)"
    else:
        chosen_k, why_k = k, f"k = {k} active per item (as asked)"
    if latents == "auto":
        wanted = n * chosen_k / 160
        m = _power_of_two(min(max(wanted, 32), 16384))
        why_m = f"m = {m} latents (n·k/160 = {wanted:,.0f}, kept within 32 and 16,384)"
    else:
        m, why_m = latents, f"m = {latents} latents (as asked)"
    DictionaryConfig(d=d, m=m, k=chosen_k)  # refuses what is impossible
    rounded = "" if latents != "auto" and k != "auto" else ", rounded down to powers of two"
    return Size(m, chosen_k, f"For {data}: {why_m} and {why_k}{rounded}.")


def _power_of_two(value: float) -> int:
    """The greatest power of two that is at most ``value`` ≥ 1."""
    return 2 ** math.floor(math.log2(value))
