"""What is an explainer? Evidence in, a Label or a typed Failure out; what it may do on the way is the Lab's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy import sparse

from autointerp.schema import Evidence, Failure, Label, ShownItem


@dataclass(frozen=True, eq=False)
class DevelopScore:
    """How well a label tells active develop items from silent ones, by the run's judge; as columns of length ``e``.

    value : AUROC over all develop items that were answered, silent ones of every kind together; None: see ``reason``
    low, high : its 95 % interval over items and prompts, not over donors, None without a value
    by_kind : AUROC against the silent items of one kind, where there are 15
    rows, truth, kinds : (e,) the develop items
    answers : (e,) float, P(active) 0–100, NaN where ``failures`` says why
    prompts : (e,) str, key of the request behind each answer, '' for a rule
    """

    label: Label
    value: float | None
    low: float | None
    high: float | None
    reason: str
    by_kind: Mapping[str, float]
    rows: np.ndarray
    truth: np.ndarray
    kinds: np.ndarray
    answers: np.ndarray
    failures: np.ndarray
    prompts: np.ndarray

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the requests behind it, in the order of asking."""
        return tuple(dict.fromkeys(key for key in self.prompts.tolist() if key))

    @property
    def rank(self) -> float:
        """For choosing the best: a label without a value comes last."""
        return -np.inf if self.value is None else self.value


class Mistake(NamedTuple):
    """A develop item that the judge got wrong, as an explainer is shown it."""

    item: ShownItem
    said: float  # P(active), 0–100


class Mistakes(NamedTuple):
    """The worst of each kind, worst first, and how many there are in all."""

    false_positives: tuple[Mistake, ...]
    n_false_positives: int
    false_negatives: tuple[Mistake, ...]
    n_false_negatives: int


class Comparison(NamedTuple):
    """Is one label better than another on the same develop items? ``p`` is one-sided, of a paired test."""

    difference: float
    p: float


@dataclass(frozen=True, eq=False)
class Measured:
    """Explain items of one latent as they were measured, for an explainer that computes; at most 50,000 of them.

    activations : (n,) float32, 0 where silent
    features : (n, g) CSR, comparable between items, of cells log-normalized expression
    names : (g,) str, all features that a label writer may hear of
    sets : (s, g) CSR of ones, the gene sets of the run's collections; set_names : (s,) str; none without a collection
    """

    activations: np.ndarray
    features: sparse.csr_matrix
    names: np.ndarray
    sets: sparse.csr_matrix
    set_names: np.ndarray


class Lab(Protocol):
    """What an explainer may do for one latent beside reading its evidence: with explain and develop items alone.

    perturbs : whether what an edit does is among the tools
    """

    @property
    def perturbs(self) -> bool: ...

    async def test(self, label: Label) -> DevelopScore:
        """Detection on the develop items by the run's judge, a model or a rule."""
        ...

    def mistakes(self, score: DevelopScore, most: int) -> Mistakes:
        """Up to ``most`` false positives and false negatives, with their cards and a panel of the label's features."""
        ...

    def better(self, new: DevelopScore, old: DevelopScore) -> Comparison:
        """Paired over the develop items that were answered for both."""
        ...

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """What a tool says, in words of its template; also that there is no such tool, or what is wrong with its
        arguments. Tools are those of ``prompts/agent/tools.j2``."""
        ...

    def measured(self) -> Measured:
        """Explain items, active and silent."""
        ...

    def cards(self, places: Sequence[int]) -> list[ShownItem]:
        """Some of the items of ``measured`` as they are shown, without a panel."""
        ...


class Explainer(Protocol):
    """Writes one label from what ``Evidence`` shows, which never holds held-out items.

    reads_categories : whether it is shown the user's annotation, which is withheld from all others
    needs_lab : whether it tries labels out on develop items, so that a judge is needed to write them, or computes on
        explain items
    """

    name: str
    needs_model: bool
    reads_categories: bool
    needs_lab: bool

    async def explain(self, evidence: Evidence, llm: Any, lab: Lab | None) -> Label | Failure:
        """``llm`` is an ``autointerp.llm.client.LLM``, or None for an explainer without a model.

        ``lab`` is for those that need it; it may be None for all others.
        """
        ...
