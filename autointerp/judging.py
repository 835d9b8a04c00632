"""How are labels tested? Held-out items go to the judge, for the labels, their controls and the ceiling."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from autointerp.amplifying import amplifier_of
from autointerp.controls import CALIBRATION, LABEL_CONTROLS, OWN, Bench, Test, ceiling
from autointerp.develop import judge_of, label_panel
from autointerp.evidence.attribution import load_attribute
from autointerp.evidence.regions import Regions
from autointerp.labeling import Drain, Labels
from autointerp.llm.session import Session
from autointerp.names import JUDGE_FORMS, judge_named
from autointerp.prepare import Prepared
from autointerp.questions import Asked
from autointerp.schema import WAITING, Answer, Failure, Label, Score, SplitName, Trials
from autointerp.score.base import Items, Material, Reader, Scorer
from autointerp.score.registry import SCORERS
from autointerp.score.shuffled import sampled_latents

NO_REGIONS = (
    "Fuzzing marks measurements on the cards of images, not regions: these need patch tokens (--embedder hf:PATH) "
    "and a dictionary, not --activations."
)


@dataclass(frozen=True)
class Plan:
    """One judge and what it is asked for.

    judge : a model, or a rule of ``judge.registry``
    scorers, controls : by name
    calibrate : whether a model is also asked about develop items; a rule always is
    logprobs : whether a model's probabilities are read from log-probabilities, where its endpoint gives them
    form : how a model answers about items, one of ``names.JUDGE_FORMS``
    settled : of an earlier command: nothing is sent, and labels with an unanswered question are left out
    """

    judge: str
    scorers: tuple[str, ...]
    controls: tuple[str, ...] = ()
    calibrate: bool = False
    logprobs: bool = False
    settled: bool = False
    form: str = JUDGE_FORMS[0]

    @property
    def name(self) -> str:
        """Of the judge, as in the tables."""
        return judge_named(self.judge, self.form)


class Judged(NamedTuple):
    """All trials in a fixed order, and the labels about which nothing could be asked, each with its reason.

    asked : (explainer, judge) -> keys of the requests about its labels, without those about controls
    """

    trials: list[Trials]
    unasked: list[Score]
    asked: Mapping[tuple[str, str], frozenset[str]] = MappingProxyType({})

    def beside(self, others: Sequence[Judged]) -> Judged:
        """With those of other judges after them."""
        trials = [*self.trials, *(t for other in others for t in other.trials)]
        asked = dict(self.asked)
        for other in others:
            asked |= {place: keys | asked.get(place, frozenset()) for place, keys in other.asked.items()}
        return Judged(trials, [*self.unasked, *(s for other in others for s in other.unasked)], asked)


async def judge_all(
    prepared: Prepared, plan: Plan, explainers: Sequence[str], labels: Labels, session: Session, drain: Drain
) -> Judged:
    """Per scorer and explainer the labels, then shuffled ones; after them the scorer's ceiling."""
    material = material_of(prepared)
    drawn = _Drawn(material)
    measured = frozenset(map(str, prepared.corpus.feature_names))
    tests, unasked = [], []
    for test in _tests(prepared, plan, material, explainers, labels, session):
        found = drawn.items(test)
        if not isinstance(found, Failure):
            tests.append(test)
        elif test.control == OWN:
            unasked.append(_unasked(test, found, prepared))
    asked: list[tuple[int, Asked]] = []
    for number, test in enumerate(tests):
        shown = test.scorer.as_shown(test.label, measured)
        reads = test.scorer.panel and test.judge.batch_size is not None
        panel = label_panel(shown, measured) if reads else ()
        batches = test.scorer.questions(
            shown, test.latent, drawn.items(test), test.judge.batch_size, prepared.config.seed, panel
        )
        asked += [(number, question) for question in batches]
    answers: dict[int, Answer] = {}
    waiting: set[int] = set()

    async def one(job: int) -> None:
        number, question = asked[job]
        answers[job] = await tests[number].judge.answer(question)

    def broke(job: int, failure: Failure) -> None:
        number, question = asked[job]
        answers[job] = Answer.failed(question.n_answers, f"{failure.kind}: {failure.message}")
        if failure.kind == WAITING:
            waiting.add(number)

    await drain("score", range(len(asked)), one, broke, session)
    jobs: dict[int, list[int]] = defaultdict(list)
    for job, (number, _) in enumerate(asked):
        jobs[number].append(job)
    judged = [
        test.scorer.trials(
            [asked[job][1] for job in jobs[number]],
            [answers[job] for job in jobs[number]],
            drawn.items(test),
            prepared.corpus.groups,
            judge=test.judge.name,
            explainer=test.explainer,
            label_id=test.label.label_id if test.label.title else "",
            control=test.control,
            replicate=test.replicate,
        )
        for number, test in enumerate(tests)
        if not (plan.settled and number in waiting)
    ]
    requests: dict[tuple[str, str], set[str]] = defaultdict(set)
    for job, answer in answers.items():
        test = tests[asked[job][0]]
        if test.control == OWN and answer.keys:
            requests[test.explainer, test.judge.name].update(answer.keys)
    left_out = sum(tests[number].control == OWN for number in waiting)
    if plan.settled and left_out:
        prepared.notes.append(
            f"{plan.name} has not answered all about {left_out} labels and is not asked again: no rows of it there."
        )
    keys = {place: frozenset(found) for place, found in requests.items()}
    return Judged(judged, [] if plan.settled else unasked, keys)


def material_of(prepared: Prepared) -> Material:
    """What scorers draw their items from, of a run. Marks on images stand on regions where their patches are known."""
    if "fuzzing" in prepared.config.scorers and prepared.config.images is not None:
        mark_regions(prepared)
    return Material(
        prepared.corpus,
        prepared.activations,
        prepared.example_sets,
        prepared.contrasts,
        prepared.split,
        prepared.config.seed,
        load_attribute(prepared.config.attribute) if prepared.config.attribute else None,
        amplifier_of(prepared),
    )


def regions_of(prepared: Prepared) -> Regions | None:
    """Those of a vision model's patches under the run's own dictionary, the same at every call."""
    corpus, c = prepared.corpus, prepared.config
    if c.images is None or not c.embedding.startswith("hf:") or c.activations is not None:
        return None
    found: Regions | None = corpus.part_activations
    return Regions(corpus, prepared.fitted[0]) if found is None else found


def mark_regions(prepared: Prepared) -> None:
    """Let marks of an image run stand on patches; without patch tokens or a dictionary they stay on measurements."""
    prepared.corpus.part_activations = regions_of(prepared)
    if prepared.corpus.part_activations is None and NO_REGIONS not in prepared.notes:
        prepared.notes.append(NO_REGIONS)


class _Drawn:
    """Items of every (scorer, latent, split), drawn when first asked for."""

    def __init__(self, material: Material):
        self._material = material
        self._found: dict[tuple[str, int, SplitName], Items | Failure] = {}
        self._chosen: dict[tuple[str, int, str], Items | Failure] = {}

    def items(self, test: Test) -> Items | Failure:
        """Those of a scorer whose judge chooses between labels hold them, and are of this one test."""
        found, among = self._of_latent(test), test.scorer.among
        if among is None or isinstance(found, Failure):
            return found
        key = (test.scorer.name, test.latent, test.label.label_id)
        if key not in self._chosen:
            self._chosen[key] = among(self._material, found, test.label, test.latent, test.labels)
        return self._chosen[key]

    def _of_latent(self, test: Test) -> Items | Failure:
        key = (test.scorer.name, test.latent, test.split)
        if key not in self._found:
            self._found[key] = test.scorer.items(self._material, test.latent, test.split)
        return self._found[key]


def _tests(
    prepared: Prepared,
    plan: Plan,
    material: Material,
    explainers: Sequence[str],
    labels: Labels,
    session: Session,
) -> list[Test]:
    asks_nothing = session.deferred and not plan.settled  # only what must be asked counts there
    tests: list[Test] = []
    for scorer in (SCORERS[name] for name in plan.scorers):
        for name in explainers:
            usable = labels.usable(name)
            if usable and not (scorer.reader and asks_nothing):
                bench = _bench(prepared, plan, material, scorer, name, usable, session)
                tests += _tests_of(bench, plan, labels.waiting(name))
        if "ceiling" in plan.controls and "ceiling" in scorer.controls and not asks_nothing:
            tests += ceiling(prepared, scorer)
    return tests


def _bench(
    prepared: Prepared,
    plan: Plan,
    material: Material,
    scorer: Scorer,
    explainer: str,
    usable: Sequence[Label],
    session: Session,
) -> Bench:
    judge: Reader
    if scorer.reader is not None:
        judge = scorer.reader(material)
    elif scorer.asks is not None:
        judge = scorer.asks(session.models[scorer.role], prepared.corpus)
    else:
        judge = judge_of(prepared, session, plan.judge, usable, plan.logprobs, form=plan.form)
    free = scorer.reader is not None or ("judge" not in session.models and scorer.asks is None)
    return Bench(prepared, scorer, judge, explainer, usable, free)


def _tests_of(bench: Bench, plan: Plan, waiting: bool) -> list[Test]:
    labels = bench.labels
    if bench.scorer.on_sample:
        sampled = sample_of(bench.prepared)
        labels = [label for label in labels if label.latent in sampled]
    tests = [bench.of(label, label.latent) for label in labels]
    for name, made in LABEL_CONTROLS.items():
        if name in plan.controls and name in bench.scorer.controls and not waiting:  # drawn over all labels
            tests += made(bench)
    if bench.scorer.calibrated and (bench.free or plan.calibrate):
        tests += [
            bench.of(label, label.latent, control=CALIBRATION, split="develop") for label in bench.labels
        ]
    return tests


def sample_of(prepared: Prepared) -> frozenset[int]:
    """The latents that a scorer on a sample asks about: a seeded quarter of those that are labeled, at least 50."""
    rng = np.random.default_rng([prepared.config.seed, 8])
    return frozenset(sampled_latents(prepared.chosen, rng))


def _unasked(test: Test, failure: Failure, prepared: Prepared) -> Score:
    """The headline of a label about which there is nothing to ask."""
    split = prepared.split
    named = (test.latent, test.explainer, test.label.label_id, test.scorer.name, test.judge.name)
    return Score(
        *named, test.scorer.metric, test.scorer.headline, None, reason=failure.message, split_mode=split.mode,
        split_hash=split.hash,
    )  # fmt: skip
