"""What is ready before anything is labeled? Corpus, split, dictionary, activations, examples and contrasts of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from autointerp.config import RunConfig
from autointerp.corpus.gene_sets import gene_sets, read_gmt
from autointerp.dictionary.choice import brought_dictionary, dictionary_size
from autointerp.encoded import activations_of, dictionary_of
from autointerp.errors import UserError
from autointerp.evidence.activations import Activations
from autointerp.evidence.annotation import Annotation, annotate
from autointerp.evidence.assemble import assemble
from autointerp.evidence.contrast import Contrasts, contrast_all
from autointerp.evidence.examples import EXPLAIN_POSITIVES, ExampleSampler, why_not_explainable
from autointerp.evidence.matched import matched_sides
from autointerp.evidence.metadata import Asked, asked, check_columns
from autointerp.evidence.ontology import read_ontology
from autointerp.evidence.related import Kin, kin_of
from autointerp.evidence.splits import Split, split_items
from autointerp.intervene.held_out import held_out_features
from autointerp.labeler import heard_columns
from autointerp.names import DICTIONARIES
from autointerp.opened import check_modality, open_corpus
from autointerp.schema import Evidence, ExampleSet
from autointerp.timing import Timings

if TYPE_CHECKING:
    from autointerp.evidence.wider import Wider

Progress = Callable[[str, int, int, str], None]  # stage, done, total, note
CONTRAST_ROWS = (
    50_000  # contrasts and the ceiling are estimated on at most so many explain rows, drawn with the seed
)


def no_progress(stage: str, done: int, total: int, note: str = "") -> None:
    """For those who do not watch."""


class Prepared:
    """Everything that follows from config and data alone; each part is made when first asked for, and timed.

    Parameters
    ----------
    data : an AnnData in place of ``config.data``

    ``cache`` is the folder for the dictionary and the activations, content-addressed: deletable, rebuilt when needed.
    """

    def __init__(self, config: RunConfig, progress: Progress = no_progress, data: Any = None):
        self.config, self.progress, self._data = config, progress, data
        self.cache = Path("cache")
        self._clock = Timings()
        self.timings = self._clock.seconds
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.amplifier: Any = None  # of judging, for all judges of a run

    def beside(self, config: RunConfig, progress: Progress) -> Prepared:
        """Another dictionary on the same items and split, which are not read again."""
        made = Prepared(config, progress, self._data)
        made.corpus, made.fingerprint, made.split = self.corpus, self.fingerprint, self.split
        return made

    @cached_property
    def corpus(self) -> Any:  # CellCorpus or ImageCorpus
        with self.timed("read data"):
            corpus = open_corpus(self.config, self._data, self.progress)
        return corpus

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the data."""
        with self.timed("fingerprint data"):
            return self.corpus.fingerprint()

    @property
    def brought_fingerprint(self) -> str:
        """sha256 of a brought activations file or dictionary, '' where there is none; obsm is part of the data."""
        source = self.config.activations
        file = Path(source) if source is not None and source.endswith(".npz") else None
        if self.config.dictionary != "topk" and self.config.activations is None:
            file = Path(self.config.dictionary) / "weights.safetensors"
        if file is None or not file.is_file():
            return ""
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()

    @cached_property
    def split(self) -> Split:
        corpus = self.corpus
        split = split_items(len(corpus), corpus.groups, self.config.seed)
        if split.mode == "item":
            why = (
                "No --group given"
                if self.config.group is None
                else f"obs[{self.config.group!r}] has one value for all {corpus.noun}s"
            )
            self.warnings.append(
                f"{why}: split by {corpus.noun}, so {corpus.noun}s of one donor or batch can be on both sides "
                "(split_mode=item)."
            )
        if corpus.embedded_outside and self.config.activations is None:
            self.notes.append(
                f"Embedding {self.config.embedding!r} was computed outside: if all {corpus.noun}s went into its "
                "fitting, it carries structure of the test split."
            )
        with self.timed("measure"), threadpool_limits(1):
            corpus.measure(self.cache, self.progress)
        with self.timed("fit features"), threadpool_limits(self.config.threads):
            self.progress("fit features", 0, 1, corpus.to_fit)
            corpus.fit_on(split.rows("explain"))
            if self.config.held_out_features:
                corpus.withhold(held_out_features(corpus.feature_names, self.config.seed))
            self.progress("fit features", 1, 1, "")
        return split

    @cached_property
    def fitted(self) -> tuple[Any, dict[str, float]]:
        """The dictionary, and its quality on the rows held back from training ({} where it was brought)."""
        dictionary, quality = dictionary_of(self)
        if dictionary.preprocessing.summary:
            self.notes.append(dictionary.preprocessing.summary)
        return dictionary, quality

    def check(self) -> None:
        """Refuse what is brought or asked for where it cannot be used, before anything is fitted; cut the splits."""
        c, corpus = self.config, self.corpus
        if c.center == "controls" and c.control is None:
            raise UserError("--center controls: which rows are controls? Pass --control COLUMN=VALUE.")
        if "top_set" in c.all_explainers and not c.gene_sets:
            raise UserError("Explainer top_set names gene sets. Pass --gene-sets FILE.gmt.")
        if "majority" in c.all_explainers and c.category is None:
            raise UserError("Explainer majority names annotations. Pass --category COLUMN to a new run.")
        check_modality(c, corpus)
        for path in c.gene_sets:
            read_gmt(path)
        if c.ontology:
            read_ontology(c.ontology)
        check_columns(corpus.obs, c.covariates, c.show_metadata)
        if c.activations is not None:
            _ = self.activations
        else:
            d = corpus.dimension
            if c.dictionary not in DICTIONARIES:
                if d is not None and c.embedding != "pca":
                    brought_dictionary(self.config, d)
            elif d is not None:
                dictionary_size(self.config, len(corpus), d)
        _ = self.split

    @cached_property
    def activations(self) -> Activations:
        return activations_of(self)

    @cached_property
    def reasons(self) -> list[str]:
        """(m,) why a latent is not explainable, '' where it is."""
        explain, test = (self.activations.n_active(self.split.rows(name)) for name in ("explain", "test"))
        rates = self.firing_rates
        return [
            why_not_explainable(int(a), int(b), float(r))
            for a, b, r in zip(explain, test, rates, strict=True)
        ]

    @cached_property
    def firing_rates(self) -> np.ndarray:
        """(m,) over all items."""
        return self.activations.n_active() / self.activations.shape[0]

    @cached_property
    def chosen(self) -> list[int]:
        """The latents to label: all that are explainable, or a seeded sample of ``max_latents`` of them."""
        explainable = [latent for latent, reason in enumerate(self.reasons) if not reason]
        most = self.config.max_latents
        if most is None or most >= len(explainable):
            return explainable
        rng = np.random.default_rng([self.config.seed, 4])
        return sorted(rng.permutation(explainable)[:most].tolist())  # a larger sample holds the smaller one

    @cached_property
    def contrast_rows(self) -> np.ndarray:
        explain = self.split.rows("explain")
        if len(explain) <= CONTRAST_ROWS:
            return explain
        rng = np.random.default_rng([self.config.seed, 5])
        return np.sort(rng.choice(explain, CONTRAST_ROWS, replace=False))

    @cached_property
    def kin(self) -> Kin:
        """Which latents fire together, and which point one way."""
        decoder = None if self.config.activations else self.fitted[0].w_dec
        return kin_of(self.activations.binary(self.split.rows("explain")), decoder)

    @cached_property
    def example_sets(self) -> dict[int, ExampleSet]:
        """Of every chosen latent."""
        activations, corpus = self.activations, self.corpus
        with self.timed("examples"), threadpool_limits(1):
            sampler = ExampleSampler(
                activations,
                self.split,
                self._space(),
                self.kin.together,
                self.config.seed,
                corpus.categories,
                corpus.groups,
                self.kin.similar,
            )
            sets = {}
            for done, latent in enumerate(self.chosen, start=1):
                sets[latent] = sampler.sample(latent)
                self.progress("examples", done, len(self.chosen), "")
        return sets

    @cached_property
    def contrasts(self) -> tuple[Contrasts, Contrasts]:
        """Against all silent and against the nearest silent explain items."""
        with self.timed("contrasts"):
            rows, seed = self.contrast_rows, self.config.seed
            groups = (
                None if self.split.mode == "item" or self.corpus.groups is None else self.corpus.groups[rows]
            )
            self.progress("contrasts", 0, 2, "against all silent")
            active = self.activations.binary(rows)
            overall = contrast_all(self.corpus, rows, active, None, "all silent", groups, seed)
            self.progress("contrasts", 1, 2, "against the nearest silent")
            with threadpool_limits(1):
                near = matched_sides(self.activations, self._space(), rows, seed)
            matched = contrast_all(self.corpus, rows, *near, "nearest silent", None, seed)
            self.progress("contrasts", 2, 2, "")
        return overall, matched

    @cached_property
    def annotation(self) -> Annotation:
        """Enriched gene sets, and the commonest categories for the explainer that reads them."""
        corpus, c = self.corpus, self.config
        sets = gene_sets(c.gene_sets, corpus.feature_names) if c.gene_sets else None
        self.warnings += sets.warnings if sets else ()
        categories = corpus.categories if "majority" in c.all_explainers else None
        with self.timed("gene sets"):
            return annotate(
                corpus, self.activations, self.contrasts[0], self.contrast_rows, sets, categories, c.seed
            )

    @cached_property
    def asked(self) -> Asked:
        """What of the user's columns label writers may hear."""
        c = self.config
        covariates, shown = heard_columns(c)
        if shown:
            self.notes.append(f"Label writers that ask a model are shown the values of {', '.join(shown)}.")
        cut = self.split.mode != "item"
        return asked(self.corpus.obs, c.group, self.corpus.groups, covariates, shown, cut)

    @cached_property
    def wider(self) -> Wider:
        """What only explainers hear that ask a model: of all latents that can be explained, so that what is told of one
        does not depend on how many are labeled."""
        from autointerp.evidence.wider import widen

        explainable = [latent for latent, reason in enumerate(self.reasons) if not reason]
        examples = [self.example_sets[latent].explain.rows for latent in self.chosen]
        with self.timed("wider evidence"), threadpool_limits(1):
            self.progress("wider evidence", 0, 1, "clusters, covariates, kin")
            made = widen(
                self.corpus,
                self.activations,
                self.contrast_rows,
                explainable,
                np.concatenate(examples) if examples else np.empty(0, np.int64),
                self.contrasts[0],
                self.kin,
                self.asked,
                self.config.seed,
            )
            self.progress("wider evidence", 1, 1, "")
        return made

    def evidence(
        self,
        latent: int,
        shown: int = EXPLAIN_POSITIVES,
        reads_categories: bool = False,
        wide: bool = False,
        titles: Mapping[int, str] | None = None,
    ) -> Evidence:
        """What an explainer may see of one chosen latent.

        shown : how many activating items are rendered; reads_categories : whether it is shown the user's annotation
        wide : whether it is told all that ``wider`` holds; titles : labels of other latents, of an earlier pass
        """
        n_explain, n_active = len(self.split.rows("explain")), int(self._explain_counts[latent])
        examples, names = self.example_sets[latent].explain, self.corpus.feature_names
        overall = self.wider.overall if wide else self.contrasts[0]
        contrasts = [overall.of(latent, names), self.contrasts[1].of(latent, names)]
        more: dict[str, Any] = {}
        lineage: list[str] = []
        if wide:
            contrasts += self.wider.contrasts(latent, names)
            lineage = self.wider.lineage(latent)
            more = self.wider.of(latent, examples, names, titles or {})
        made = assemble(self.corpus, latent, examples, contrasts, n_active, n_explain, shown, lineage)
        return replace(made, **more, **self.annotation.of(latent, names, reads_categories))

    @cached_property
    def _explain_counts(self) -> np.ndarray:
        return self.activations.n_active(self.split.rows("explain"))

    @property
    def dictionary_name(self) -> str:
        """As it stands in the tables: the kind and size, or where the activations come from."""
        if self.config.activations is not None:
            return f"activations:{Path(self.config.activations).name}"
        config = self.fitted[0].config
        return f"{config.kind}-{config.m}-k{config.k}"

    def _space(self) -> np.ndarray:
        """Where items are near each other: the embedding."""
        return self.corpus.embeddings

    def timed(self, stage: str) -> AbstractContextManager[None]:
        """A context whose wall time is added to ``timings[stage]``, in seconds, without that of stages inside it."""
        return self._clock.stage(stage)
