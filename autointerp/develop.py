"""How well does a label do on develop? Detection by the run's judge: for label writers, and for all that chooses.

The items, their order and their batches are those of detection's calibration, so that what is asked here is asked once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.evidence.assemble import strengths
from autointerp.explain.base import Comparison, DevelopScore, Mistake, Mistakes
from autointerp.explain.claims import named_features
from autointerp.explain.one_shot import reask_message
from autointerp.judge.base import Judge
from autointerp.judge.llm import LLMJudge
from autointerp.judge.registry import rule_judge
from autointerp.llm.session import Session
from autointerp.names import JUDGE_FORMS
from autointerp.prepare import Prepared
from autointerp.schema import Answer, Label, Score, ShownItem
from autointerp.score import detection
from autointerp.score.auroc import paired_difference
from autointerp.score.metrics import THRESHOLD, Metrics
from autointerp.together import together

PANEL_FEATURES = 15  # beside the items that a judge reads


def judge_of(
    prepared: Prepared, session: Session, name: str, labels: Sequence[Label] = (), logprobs: bool = False,
    role: str = "judge", form: str = JUDGE_FORMS[0],
) -> Judge:  # fmt: skip
    """The judge of a run: the model that is open in that role, or else the rule of that name.

    labels : those that are judged, which a rule that is fitted may pool over
    form : how a model answers, see ``judge.forms``; a rule has no other way
    """
    model = session.models.get(role)
    if model is not None:
        return LLMJudge(model, prepared.corpus, reask_message, logprobs, form=form)
    develop = {latent: examples.develop for latent, examples in prepared.example_sets.items()}
    return rule_judge(name, prepared.corpus, develop, labels, prepared.config.seed)


def label_panel(label: Label, measured: frozenset[str]) -> tuple[str, ...]:
    """The features that a label names: in its text first, then its key features. It depends on the label alone."""
    named = [name for name, _ in named_features(f"{label.title}. {label.description}", measured)]
    named += [f.name for f in label.key_features if f.name in measured]
    return tuple(dict.fromkeys(named))[:PANEL_FEATURES]


class Develop:
    """Tests labels on the develop items of their latents.

    judge : see ``judge_of``
    """

    def __init__(self, prepared: Prepared, judge: Judge):
        self._prepared, self._judge = prepared, judge
        names, eligible = prepared.corpus.feature_names, prepared.corpus.eligible
        self._measured = frozenset(map(str, names))
        self._shown = frozenset(
            map(str, names[eligible])
        )  # what a label writer may see: nothing that is withheld

    async def test(self, label: Label) -> DevelopScore:
        """Every develop item of the label's latent is asked about.

        Raises
        ------
        Deferred : after all that is asked is wanted; so do UserErrors after all that was on its way has come back
        """
        prepared, examples = self._prepared, self._prepared.example_sets[label.latent].develop
        if not examples.truth.any() or examples.truth.all():
            return _untested(label, "no develop items of both kinds")
        reads = self._judge.batch_size is not None
        panel = label_panel(label, self._measured) if reads else ()
        asked = detection.questions(
            label, label.latent, examples, self._judge.batch_size, prepared.config.seed, panel
        )
        answers: list[Answer] = await together(self._judge.answer(question) for question in asked)
        trials = detection.trials(
            asked,
            answers,
            examples,
            None,  # is there anything to name here? A few develop donors would answer for new ones
            self._judge.name,
            label.explainer,
            label.label_id,
        )
        metrics = Metrics(trials, prepared.split.mode, prepared.split.hash)
        metrics.add_aurocs()
        found = {score.negatives: score for score in metrics.made}
        overall: Score = found.pop("all")
        return DevelopScore(
            label=label,
            value=overall.value,
            low=overall.ci_low,
            high=overall.ci_high,
            reason="" if overall.value is not None else overall.reason,
            by_kind={kind: score.value for kind, score in found.items() if score.value is not None},
            rows=trials.rows,
            truth=trials.truth,
            kinds=trials.kinds,
            answers=trials.answers,
            failures=trials.failures,
            prompts=trials.prompts,
        )

    def mistakes(self, score: DevelopScore, most: int, panel: Sequence[str] = ()) -> Mistakes:
        """The develop items on the wrong side of 50, those that are furthest from it first, equal ones by row.

        panel : names of features shown beside those that the label names
        """
        examples = self._prepared.example_sets[score.label.latent].develop
        greatest = float(examples.activations.max(initial=0.0))
        shown = strengths(examples.activations, greatest).tolist()
        strength = dict(zip(examples.rows.tolist(), shown, strict=True))
        named = [
            n for n in dict.fromkeys((*label_panel(score.label, self._measured), *panel)) if n in self._shown
        ]
        said_yes = score.answers >= THRESHOLD  # False where there is no answer
        said_no = score.answers < THRESHOLD

        def worst(wrong: np.ndarray, falling: bool) -> tuple[Mistake, ...]:
            order = np.lexsort((score.rows, -score.answers if falling else score.answers))
            places = [i for i in order.tolist() if wrong[i]][:most]
            if not places:
                return ()
            rows = score.rows[places]
            cards = self._prepared.corpus.render(rows)
            panels = self._prepared.corpus.panel(rows, named)
            return tuple(
                Mistake(
                    ShownItem("", strength[int(score.rows[i])], str(score.kinds[i]), card, values),
                    float(score.answers[i]),
                )
                for i, card, values in zip(places, cards, panels, strict=True)
            )

        false_positive, false_negative = said_yes & ~score.truth, said_no & score.truth
        return Mistakes(
            worst(false_positive, True),
            int(false_positive.sum()),
            worst(false_negative, False),
            int(false_negative.sum()),
        )

    def better(self, new: DevelopScore, old: DevelopScore) -> Comparison:
        """Paired over the items that were answered for both; no difference where either side of them is empty."""
        order = np.argsort(old.rows, kind="stable")
        place = order[np.searchsorted(old.rows[order], new.rows)] if len(old.rows) else order
        if len(place) != len(new.rows) or not np.array_equal(old.rows[place], new.rows):
            return Comparison(0.0, 1.0)
        kept = ~(np.isnan(new.answers) | np.isnan(old.answers[place]))
        truth = new.truth[kept]
        if truth.all() or not truth.any():
            return Comparison(0.0, 1.0)
        prompts = new.prompts[kept]  # batches hold the same items for every label
        clusters = prompts if (prompts != "").any() else None
        found = paired_difference(truth, new.answers[kept], old.answers[place][kept], clusters)
        return Comparison(found.value, found.p)


def _untested(label: Label, reason: str) -> DevelopScore:
    nothing, empty = np.empty(0), np.empty(0, dtype=str)
    return DevelopScore(
        label,
        None,
        None,
        None,
        reason,
        {},
        np.empty(0, np.int64),
        np.empty(0, bool),
        empty,
        nothing,
        empty,
        empty,
    )
