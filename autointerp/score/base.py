"""What is a scorer? Where its items come from, how they are asked about, and what the answers are worth.

A scorer is one value of this type, made in a file of its own and listed in ``registry.py``; it never knows whether the
judge is a model or a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from autointerp.corpus.base import Corpus
from autointerp.evidence.activations import Activations
from autointerp.evidence.contrast import Contrasts
from autointerp.evidence.splits import Split
from autointerp.llm.client import LLM
from autointerp.questions import Asked
from autointerp.schema import Answer, ExampleSet, Failure, Label, Question, Score, SplitName, Trials

if TYPE_CHECKING:
    from autointerp.intervene.amplified import Amplifier


class Items(Protocol):
    """What a scorer asks about one latent in one split, as columns of equal length ``e``.

    rows : (e,) int64; activations : (e,) float32; kinds : (e,) str, ``positive`` or a negative kind
    """

    @property
    def rows(self) -> np.ndarray: ...

    @property
    def activations(self) -> np.ndarray: ...

    @property
    def kinds(self) -> np.ndarray: ...

    @property
    def truth(self) -> np.ndarray:
        """(e,) bool."""
        ...


@dataclass(frozen=True, eq=False)
class Material:
    """All that scorers draw their items from.

    contrasts : of explain, against all silent and against the nearest silent items
    attribute : a user's (x (b, d), latent) -> (b, g) worth of each feature for the latent on each item, or None
    amplifier : what amplifying a latent does; None without a dictionary
    """

    corpus: Corpus
    activations: Activations
    example_sets: Mapping[int, ExampleSet]
    contrasts: Sequence[Contrasts]
    split: Split
    seed: int
    attribute: Callable[[np.ndarray, int], np.ndarray] | None = None
    amplifier: Amplifier | None = None


class Reader(Protocol):
    """What answers questions; ``judge.base.Judge`` says more."""

    @property
    def name(self) -> str: ...

    @property
    def batch_size(self) -> int | None: ...

    async def answer(self, question: Asked) -> Answer: ...


@dataclass(frozen=True)
class Scorer:
    """One way to test a label.

    items : (material, latent, split) -> Items, or why there are none
    questions : (label, latent, items, batch_size, seed, panel) -> questions that carry no truth
    trials : (questions, answers, items, groups, judge, explainer, label_id, control, replicate) -> answers beside truth
    scores : (trials, firing rate on test, split mode, split hash) -> every metric
    headline : the negatives of its headline number
    metric : the name of that number
    as_shown : (label, names of measured features) -> the label as the judge gets it
    panel : whether the features that the label names stand beside each item, for judges that read
    on_sample : whether a seeded sample of the latents is asked about, and not all
    controls : of ``shuffled``, ``ceiling``, ``retest``, those that make sense here
    calibrated : whether answers are probabilities, so that a Brier score means something after calibration
    reader : material -> what answers in place of a judge; None: the judge of the run
    asks : (model, corpus) -> what answers where the scorer asks a model itself, in place of a judge
    role : which of the run's models that is: ``judge``, or ``embedding``
    among : where the judge chooses between labels: (material, items, label, latent, all labels of the explainer) ->
        the items that ``questions`` and ``trials`` get, with the labels to choose from, or why there are none
    """

    name: str
    items: Callable[[Material, int, SplitName], Items | Failure]
    questions: Callable[[Label, int, Any, int | None, int, tuple[str, ...]], Sequence[Asked]]
    trials: Callable[..., Trials]
    scores: Callable[[Trials, float, str, str], list[Score]]
    headline: str
    metric: str = "auroc"
    as_shown: Callable[[Label, frozenset[str]], Label] = lambda label, _: label
    panel: bool = False
    on_sample: bool = False
    controls: tuple[str, ...] = ("shuffled",)
    calibrated: bool = True
    reader: Callable[[Material], Reader] | None = None
    asks: Callable[[LLM, Corpus], Reader] | None = None
    role: str = "judge"
    among: Callable[[Material, Any, Label, int, Sequence[Label]], Any | Failure] | None = None

    @property
    def judged(self) -> bool:
        """Whether it is the run's judge that answers, so that another judge answers otherwise."""
        return self.reader is None and self.role == "judge"


def beside_truth(
    asked: Sequence[Question],
    answers: Sequence[Answer],
    items: Items,
    place: np.ndarray,
    groups: np.ndarray | None,
    judge: str,
    explainer: str,
    label_id: str,
    control: str,
    replicate: int,
) -> Trials:
    """Trials of one label from its questions and their answers, in the order in which they were asked.

    place : (q,) where each asked item stands in ``items``; groups : (n,) str of the corpus, or None
    """
    rows = np.concatenate([question.rows for question in asked])
    return answered(
        asked,
        answers,
        (judge, explainer, label_id, control, replicate),
        rows=rows,
        groups=groups[rows] if groups is not None else np.full(len(rows), ""),
        kinds=items.kinds[place],
        activations=items.activations[place],
    )


def answered(
    questions: Sequence[Asked],
    answers: Sequence[Answer],
    whose: tuple[str, str, str, str, int],
    said: Sequence[float] | None = None,
    **columns: np.ndarray,
) -> Trials:
    """Trials of one label, a row a value of its answers, in the order in which they were asked.

    whose : judge, explainer, label_id, control and replicate
    said : (q,) float, NaN where an answer failed, in place of the answers' own values
    columns : (q,) each, the other columns of Trials
    """
    judge, explainer, label_id, control, replicate = whose
    values = [value for answer in answers for value in answer.values]
    own = [np.nan if value is None else value for value in values]
    return Trials(
        latent=questions[0].latent,
        explainer=explainer,
        label_id=label_id,
        scorer=questions[0].scorer,
        judge=judge,
        control=control,
        replicate=replicate,
        answers=np.array(own if said is None else said),
        failures=np.array([failure or "" for answer in answers for failure in answer.failures]),
        prompts=np.array([answer.prompt for answer in answers for _ in answer.values]),
        parse_statuses=np.array([answer.parse_status for answer in answers for _ in answer.values]),
        **columns,
    )
