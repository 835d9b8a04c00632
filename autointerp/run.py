"""How does a run go? Prepare, label, score, report: the only place that knows all stages.

A run is a pure function of its config, the data and the ledger of answers: running again is resuming.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from autointerp.confidences import confidence_frame, reliability_rows
from autointerp.config import RunConfig
from autointerp.dictionary.controls import (
    dictionary_controls,
    measures_of,
    own_controls,
    refuse_controls,
    scored,
    scored_control,
    want_controls,
)
from autointerp.drain import drain
from autointerp.errors import UserError
from autointerp.former import judge_former, plans
from autointerp.judging import Judged, judge_all
from autointerp.labeler import LABEL, asked_places
from autointerp.labeling import Labels, label_all, labels_frame, make_explainers
from autointerp.llm.batch import Imported, Part
from autointerp.llm.budget import BudgetSpent
from autointerp.llm.cost import Estimate
from autointerp.llm.loop import run_async
from autointerp.llm.prices import given_price
from autointerp.llm.session import Session
from autointerp.llm.wanted import Wanted
from autointerp.prepare import Prepared, Progress, no_progress
from autointerp.results import tables
from autointerp.results.comparisons import comparison_table
from autointerp.results.dictionary_comparisons import Scored, dictionary_comparisons, dictionary_table
from autointerp.results.steps import steps_frame
from autointerp.run_record import check_directory, versions, write_record, write_spent
from autointerp.schema import Failure
from autointerp.score.families import redundancy_families
from autointerp.scoring import score_all


class Run:
    """One run in its directory. Each stage asks for the ones before it; what cache and ledger hold costs nothing.

    Parameters
    ----------
    data : an AnnData in place of ``config.data``
    progress : called with (stage, done, total, note)
    deferred : ask no model; what the ledger does not answer waits, see ``wanted_requests``
    prepared : in place of one made from config and data

    Raises
    ------
    UserError
        Where the input cannot be used, the directory holds a run of other data, or a model cannot be reached.
    """

    def __init__(
        self,
        config: RunConfig,
        progress: Progress = no_progress,
        data: Any = None,
        deferred: bool = False,
        prepared: Prepared | None = None,
    ):
        self.config, self.progress, self.deferred = config, progress, deferred
        self.wanted = Wanted()
        self.stopped_at = ""  # how far a stage came that was stopped
        self.labels_wait = False  # whether labels were among the wanted requests
        self.budget_stopped: BudgetSpent | None = None
        self.asks_again = self.leaves_record = False
        refuse_controls(config)
        self.explainers = make_explainers(config.all_explainers, config)
        self.asked = tuple(make_explainers(config.explainers, config))  # by name; the rest are controls alone
        self.label_places = asked_places(config, self.explainers)
        self.roles = config.scoring_roles | {role: place.model for role, place in self.label_places.items()}
        self.prepared = prepared or Prepared(config, progress, data)
        self.prepared.notes += own_controls(config)
        self.run_id = config.identity(self.prepared.fingerprint, self.prepared.brought_fingerprint)
        self.directory = config.out or Path("runs") / f"{config.data.stem}-{self.run_id}"
        self.prepared.cache = self.directory / "cache"
        self.ledger = self.directory / (config.ledger or "ledger.sqlite")
        self.prepared.warnings += check_directory(self.directory, self.prepared.fingerprint, self.run_id)
        self._check_models()

    def check(self) -> None:
        """Raise what would stop the stages later, and gather the warnings, before anything takes long or costs."""
        self.prepared.check()

    # -- stages: each writes its files and run.json ---------------------------------------------------------------

    def fit(self) -> None:
        """Corpus, split and dictionary."""
        _ = self.prepared.split
        self._write_run_json("started")  # so that an interrupted run can be named and resumed
        if self.config.activations is None:
            _ = self.prepared.fitted
        self._write_run_json("fit")

    def encode(self) -> None:
        """Activations on disk, and which latents can be explained."""
        self.fit()
        _ = self.prepared.reasons
        self._write_run_json("encode")

    def label(self) -> pd.DataFrame:
        """Labels of every explainer: labels.csv, which is returned."""
        self.encode()
        tables.write_csv(self.labels_table, self.directory / "labels.csv")
        steps = steps_frame(self.run_id, self.prepared.dictionary_name, self.labels.outcomes)
        if len(steps):
            tables.write_csv(steps, self.directory / "steps.csv")
        self._write_run_json("label")
        return self.labels_table

    def score(self) -> pd.DataFrame:
        """Trials and scores on held-out items: scores.csv, which is returned, trials.parquet and latents.h5ad."""
        from autointerp.results.latents import write_latents_file

        self.label()
        trials = tables.trials_frame(self.run_id, self.prepared.corpus.ids, self.judged.trials)
        tables.write_parquet(trials, self.directory / "trials.parquet")
        tables.write_csv(self.scores, self.directory / "scores.csv")
        tables.write_csv(self.confidence, self.directory / "confidence.csv")
        tables.write_csv(self.comparisons, self.directory / "comparisons.csv")
        if self.dictionaries:
            tables.write_csv(self.dictionaries_table, self.directory / "dictionaries.csv")
        with self.prepared.timed("latents.h5ad"):
            write_latents_file(
                self.directory / "latents.h5ad",
                self.prepared.activations.csr,
                self.prepared.corpus.obs,
                self.prepared.corpus.obsm_arrays(),
                self.labels_table,
                self.scores,
                {
                    "run_id": self.run_id,
                    "dictionary": self.prepared.dictionary_name,
                    "config": self.config.to_json(),
                },
            )
        self._write_run_json("score")
        return self.scores

    def report(self) -> Path:
        """The page for people: report/index.html, whose path is returned."""
        from autointerp.reporting import report_payload
        from autointerp.results.intervention_card import turned_latents
        from autointerp.results.report import write_report

        self.score()
        with self.prepared.timed("report"):
            payload = report_payload(
                self.run_id, self.config, self.prepared, self.labels, self.labels_table, self.scores, self.summary,
                self.comparisons, self.dictionaries_table, self.warnings, versions(),
                f"autointerp report {self.directory}", turned_latents(self.directory / "interventions"),
                self.confidence, self.reliability,
            )  # fmt: skip
            path = write_report(payload, self.directory / "report")
        self._write_run_json("report")
        return path

    # -- requests that wait for a batch ---------------------------------------------------------------------------

    def wanted_requests(self) -> Wanted:
        """Every request that can be reached now and has no answer; of a deferred run only."""
        self.encode()
        _ = self.judged
        self.labels_wait = any(map(self.labels.waiting, self.explainers)) | want_controls(self)
        return self.wanted

    def export(self, path: Path) -> list[Part]:
        """Write them as OpenAI batch files, whose parts are returned; none if nothing is left to ask."""
        self.wanted_requests()
        return run_async(self._within(_now(lambda session: session.export(path))))

    def take(self, path: Path, source: str = "") -> Imported:
        """Read a file of replies into the ledger. ``source`` says who answered."""
        self.wanted_requests()
        return run_async(self._within(_now(lambda session: session.take(path, source))))

    def estimate(self) -> Estimate:
        """What a live run would ask now, and what that would cost. It also asks for what has failed."""
        self.asks_again, self.leaves_record = True, (self.directory / "run.json").exists()  # counts only
        self.wanted_requests()
        return run_async(self._within(_now(lambda session: session.estimate())))

    # -- results --------------------------------------------------------------------------------------------------

    @cached_property
    def labels(self) -> Labels:
        _ = self.prepared.example_sets, self.prepared.contrasts
        with self.prepared.timed("label"):
            return run_async(
                self._within(lambda s: label_all(self.prepared, self.explainers, s, self._drain))
            )

    @cached_property
    def labels_table(self) -> pd.DataFrame:
        """As in labels.csv."""
        return labels_frame(self.run_id, self.prepared, self.explainers, self.labels, self.families)

    @cached_property
    def judged(self) -> Judged:
        """Every judged label, its controls among them."""
        labels, names, c = self.labels, list(self.explainers), self.config
        plan = plans(c)[0]
        with self.prepared.timed("score"), threadpool_limits(1):  # many small products
            now = run_async(
                self._within(lambda s: judge_all(self.prepared, plan, names, labels, s, self._drain))
            )
            if self.deferred or not c.former:
                return now
            before = run_async(judge_former(self.prepared, c, names, labels, self.ledger, self._drain))
            return now.beside(before)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """As in scores.csv."""
        judged, c = self.judged, self.config
        with self.prepared.timed("score"), threadpool_limits(1):
            scores = score_all(self.prepared, plans(c), self.labels, judged)
        return tables.scores_frame(self.run_id, self.prepared.dictionary_name, scores)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Scores over all latents, see ``results.tables.summarize``."""
        return tables.summarize(self.scores, self.labels_table, self.families)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """As in comparisons.csv: labels, and this dictionary, against their controls."""
        controls = self.config.label_controls
        only = tuple(name for name in controls if name not in self.asked)
        mine = (self.scores, self.labels_table, self.summary, self.families)
        rows = dictionary_comparisons(self.dictionaries, self.asked, self.config.seed)
        with self.prepared.timed("compare"):
            return comparison_table(*mine, controls, only, rows)

    @cached_property
    def confidence(self) -> pd.DataFrame:
        """As in confidence.csv: what develop items say of each label, and how likely it is to pass on test."""
        c, named = self.config, (self.run_id, self.prepared.dictionary_name, list(self.explainers))
        families = self.families
        with self.prepared.timed("confidence"), threadpool_limits(1):
            return confidence_frame(*named, self.labels, self.judged, plans(c), families, c.seed)

    @cached_property
    def reliability(self) -> list[dict[str, Any]]:
        """What test items say of these confidences."""
        return reliability_rows(self.confidence, self.scores, self.families)

    @cached_property
    def families(self) -> np.ndarray:
        """(m,) of twins, see ``score.families``."""
        with self.prepared.timed("compare"):
            return redundancy_families(self.prepared.activations.csr[self.prepared.contrast_rows])

    @cached_property
    def measures(self) -> dict[str, float]:
        """What the dictionary holds, see ``dictionary.measures.key_measures``; NaN for what cannot be measured."""
        return measures_of(self.prepared)

    @cached_property
    def dictionaries(self) -> list[Scored]:
        """This dictionary, then its controls, with what their labels score; none where no control was asked for."""
        kinds = dictionary_controls(self.config)
        return [scored(self), *(scored_control(self, kind) for kind in kinds)] if kinds else []

    @cached_property
    def dictionaries_table(self) -> pd.DataFrame:
        """As in dictionaries.csv; no rows where no dictionary control was asked for."""
        return dictionary_table(self.dictionaries, self.asked)

    @property
    def warnings(self) -> list[str]:
        return list(dict.fromkeys(self.prepared.corpus.warnings + self.prepared.warnings))

    @property
    def notes(self) -> list[str]:
        return list(dict.fromkeys(self.prepared.corpus.notes + self.prepared.notes))

    # -- the loop -------------------------------------------------------------------------------------------------

    def _session(self) -> Session:
        c = self.config
        return Session(
            c.scoring_roles, self.ledger, elsewhere=self.label_places,
            base_url=c.base_url, endpoint_name=c.endpoint_name, own_urls=c.own_urls, concurrency=c.concurrency,
            budget_usd=c.budget_usd, budget_tokens=c.budget_tokens, allow_unpriced=c.allow_unpriced,
            price=given_price(c.price_in, c.price_out), works=c.works,
            deferred=self.deferred, wanted=self.wanted, asks_again=self.asks_again, stopped=self.budget_stopped,
        )  # fmt: skip

    async def _within(self, stage: Callable[[Session], Awaitable[Any]]) -> Any:
        session = self._session()
        try:
            async with session:
                made = await stage(session)
                self.prepared.warnings += session.ignored()
        finally:
            self.note_spent()
        # An answer that cost too much also stops the stages after its own.
        self.budget_stopped = session.stopped
        if self.budget_stopped is not None:
            self.prepared.warnings.append(f"Nothing more is sent: {self.budget_stopped}")
        return made

    async def _drain(
        self,
        stage: str,
        jobs: Sequence[Any],
        one: Callable[[Any], Awaitable[None]],
        broke: Callable[[Any, Failure], None],
        session: Session,
    ) -> None:
        """Run all jobs with as many workers as requests may be in flight; the first UserError stops them all."""
        so_far = 0

        def told(done: int) -> None:
            nonlocal so_far
            so_far = done
            self.progress(stage, done, len(jobs), session.spent())

        try:
            bugs = await drain(jobs, one, broke, session.workers, told)
        except UserError:
            self.stopped_at = f"{stage}: {so_far:,} of {len(jobs):,} done, {session.spent()}"
            raise
        if bugs:
            self.prepared.warnings.append(
                f"{len(bugs)} of {len(jobs)} jobs of stage '{stage}' broke on a bug, the first on {bugs[0]}. "
                "They count as failed; please report it."
            )

    # -- checks and records ---------------------------------------------------------------------------------------

    def _check_models(self) -> None:
        """Refuse a missing key, an unknown provider or an unknown price before anything is computed."""
        unpriced = self._session().check()
        if unpriced and not self.config.allow_unpriced:
            raise UserError(
                f"The price of {', '.join(unpriced)} is unknown. Check the model's name, give --price-in and"
                " --price-out (dollars per million tokens), or pass --allow-unpriced."
            )
        writers = [place.model for role, place in self.label_places.items() if role.startswith(LABEL)]
        if self.config.model in writers and self.config.model == self.roles.get("judge"):
            self.prepared.warnings.append(
                f"The judge is the labeling model ({self.config.model}): it may favour its own wording. "
                "Pass --judge with another model."
            )

    def _write_run_json(self, stage: str) -> None:
        if not self.leaves_record:
            write_record(self, stage)

    def note_spent(self) -> None:
        """What a stage spent stands in run.json also where the stage was stopped."""
        write_spent(self)


def _now(done: Callable[[Session], Any]) -> Callable[[Session], Awaitable[Any]]:
    """What is done at once in an open session, as a stage."""

    async def stage(session: Session) -> Any:
        return done(session)

    return stage
