"""How are labels tested? Held-out items go to the judge, for the labels, their shuffled controls and the ceiling."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from autointerp.config import RunConfig
from autointerp.explain.claims import named_features
from autointerp.explain.one_shot import reask_message
from autointerp.judge.base import Judge
from autointerp.judge.ceiling import CeilingJudge
from autointerp.judge.llm import LLMJudge
from autointerp.judge.signature import SignatureJudge, Signatures
from autointerp.labeling import Drain, Labels
from autointerp.llm.session import Session
from autointerp.prepare import Prepared
from autointerp.schema import Answer, Failure, Label, Question, Score, Trials
from autointerp.score import detection
from autointerp.score import signature as signature_score
from autointerp.score.shuffled import RULE_ROUNDS, derangement, sampled_latents

PANEL_FEATURES = 15


@dataclass(frozen=True, eq=False)
class Test:
    """One label before one judge: the label itself, another latent's in its place, or none for the ceiling."""

    judge: Judge
    label: Label
    latent: int  # whose held-out items are asked about
    explainer: str
    control: str = ""
    replicate: int = 0


async def judge_all(
    prepared: Prepared,
    config: RunConfig,
    explainers: Sequence[str],
    labels: Labels,
    session: Session,
    drain: Drain,
) -> list[Trials]:
    """Every judged label in a fixed order: per explainer the labels, then shuffled ones; the ceiling; signatures."""
    tests = _tests(prepared, config, explainers, labels, session) if "detection" in config.scorers else []
    measured = frozenset(map(str, prepared.corpus.feature_names))
    asked: list[tuple[int, Question]] = []
    for number, test in enumerate(tests):
        panel = label_panel(test.label, measured) if test.judge.batch_size else ()
        held_out = prepared.example_sets[test.latent].test
        batches = detection.questions(
            test.label, test.latent, held_out, test.judge.batch_size, config.seed, panel
        )
        asked += [(number, question) for question in batches]
    answers: dict[int, Answer] = {}

    async def one(job: int) -> None:
        number, question = asked[job]
        answers[job] = await tests[number].judge.answer(question)

    def broke(job: int, failure: Failure) -> None:
        answers[job] = Answer.failed(len(asked[job][1].rows), f"{failure.kind}: {failure.message}")

    await drain("score", range(len(asked)), one, broke, session)
    jobs: dict[int, list[int]] = defaultdict(list)
    for job, (number, _) in enumerate(asked):
        jobs[number].append(job)
    judged = [
        detection.trials(
            [asked[job][1] for job in jobs[number]],
            [answers[job] for job in jobs[number]],
            prepared.example_sets[test.latent].test,
            prepared.corpus.groups,
            judge=test.judge.name,
            explainer=test.explainer,
            label_id=test.label.label_id if test.label.title else "",
            control=test.control,
            replicate=test.replicate,
        )
        for number, test in enumerate(tests)
    ]
    if "signature" in config.scorers and not session.deferred:
        judged += _signature_trials(
            prepared, config.seed, [one for name in explainers for one in labels.usable(name)]
        )
    return judged


def _tests(
    prepared: Prepared, config: RunConfig, explainers: Sequence[str], labels: Labels, session: Session
) -> list[Test]:
    corpus = prepared.corpus
    develop = {latent: examples.develop for latent, examples in prepared.example_sets.items()}
    tests: list[Test] = []
    for name in explainers:
        usable = labels.usable(name)
        if not usable:
            continue
        model = session.models.get("judge")
        judge: Judge = (
            LLMJudge(model, corpus, reask_message) if model else SignatureJudge(corpus, develop, usable)
        )
        tests += [Test(judge, label, label.latent, name) for label in usable]
        if "shuffled" in config.controls and not labels.waiting(name):  # the draw is over all labels
            tests += [
                Test(judge, label, latent, name, "shuffled", replicate)
                for replicate, latent, label in _shuffled(prepared, config.seed, usable, model is not None)
            ]
    if "ceiling" in config.controls and develop and not session.deferred:  # it asks nobody
        latents = np.array(sorted(develop))
        with prepared.timed("ceiling"), threadpool_limits(config.threads):
            ceiling = CeilingJudge(corpus, prepared.activations, prepared.contrast_rows, latents, develop)
        for latent in latents.tolist():
            nothing = Label(latent, "ceiling", "", "", "unknown", 0.0, ())
            tests.append(Test(ceiling, nothing, latent, "ceiling", "ceiling"))
    return tests


def label_panel(label: Label, measured: frozenset[str]) -> tuple[str, ...]:
    """The features that a label names: in its text first, then its key features. It depends on the label alone."""
    named = [name for name, _ in named_features(f"{label.title}. {label.description}", measured)]
    named += [f.name for f in label.key_features if f.name in measured]
    return tuple(dict.fromkeys(named))[:PANEL_FEATURES]


def _shuffled(
    prepared: Prepared, seed: int, labels: list[Label], model_judge: bool
) -> list[tuple[int, int, Label]]:
    """(replicate, latent, the other latent's label): five rounds for a rule, a sample of one round for a model."""
    by_latent = {label.latent: label for label in labels}
    made = []
    for replicate in range(1 if model_judge else RULE_ROUNDS):
        rng = np.random.default_rng([seed, 6, replicate])
        explain = prepared.split.rows("explain")
        given = derangement(labels, prepared.activations, explain, prepared.firing_rates, rng)
        kept = set(sampled_latents(sorted(given), rng)) if model_judge else set(given)
        made += [
            (replicate, latent, by_latent[other]) for latent, other in sorted(given.items()) if latent in kept
        ]
    return made


def _signature_trials(prepared: Prepared, seed: int, labels: Sequence[Label]) -> list[Trials]:
    signatures = Signatures(prepared.corpus)
    test = prepared.split.rows("test")
    made = []
    for label in labels:
        rows, values = prepared.activations.latent(label.latent)
        inside = prepared.split.assignment[rows] == 2
        silent = np.setdiff1d(test, rows[inside], assume_unique=True)
        groups = prepared.corpus.groups
        made.append(
            signature_score.trials(label, signatures, rows[inside], values[inside], silent, groups, seed)
        )
    return made


def score_all(prepared: Prepared, judge: str, labels: Labels, judged: Sequence[Trials]) -> list[Score]:
    """Scores of the labels with the shuffled control beside them, of the ceiling, and the labels without a score.

    ``judge`` is named in the rows of labels that could not be judged.
    """
    split = prepared.split
    test = split.rows("test")
    rates = prepared.activations.n_active(test) / len(test)
    shuffled: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    own: list[Score] = []
    for trials in judged:
        made = detection.scores(trials, float(rates[trials.latent]), split.mode, split.hash)
        if trials.scorer == signature_score.NAME:  # a bare score has no threshold: only its order counts
            made = [s for s in made if (s.metric, s.negatives) == ("auroc", "random")]
        if trials.control == "shuffled":
            for score in made:
                if score.value is not None:
                    shuffled[_place(score)].append(score.value)
        else:
            own += made
    own = [replace(s, shuffled_value=_mean(shuffled.get(_place(s)))) for s in own]
    return own + list(_unscored(prepared, judge, labels.outcomes))


def _unscored(
    prepared: Prepared, judge: str, outcomes: Mapping[tuple[str, int], Label | Failure]
) -> list[Score]:
    """A row with its reason for every label that is not judged and every latent that is not labeled."""
    split = prepared.split
    reasons: dict[tuple[str, int], tuple[str, str]] = {}
    for name in dict.fromkeys(name for name, _ in outcomes):
        for latent, why in enumerate(prepared.reasons):
            if why:
                reasons[name, latent] = (f"not explainable: {why}", "")
    for key, outcome in outcomes.items():
        if isinstance(outcome, Failure):
            reasons[key] = (f"label failed ({outcome.kind})", "")
        elif outcome.abstained:
            reasons[key] = ("abstained", outcome.label_id)
    made = []
    for (name, latent), (reason, label_id) in reasons.items():
        named = (latent, name, label_id, detection.NAME, judge, "auroc", "random", None)
        made.append(Score(*named, reason=reason, split_mode=split.mode, split_hash=split.hash))
    return made


def _place(score: Score) -> tuple[Any, ...]:
    return (score.explainer, score.latent, score.scorer, score.judge, score.metric, score.negatives)


def _mean(values: list[float] | None) -> float | None:
    return float(np.mean(values)) if values else None
