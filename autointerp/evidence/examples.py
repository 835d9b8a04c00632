"""Which items stand for a latent in each split? Quantile positives and verified silent items of recorded kinds."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from autointerp.evidence.activations import Activations
from autointerp.evidence.neighbours import Space
from autointerp.evidence.splits import Split
from autointerp.schema import POSITIVE, SPLITS, Examples, ExampleSet

MIN_EXPLAIN, MIN_TEST, MAX_FIRING_RATE = 20, 10, 0.5
QUANTILES, EXPLAIN_POSITIVES = 10, 40
TEST_POSITIVES, LEAST_PER_STRATUM = 50, 3
RANDOM_NEGATIVES, OTHER_NEGATIVES = 50, 15
MOST_LOOKED_THROUGH = (
    50_000  # items of a split among which silent ones are drawn; of more a seeded sample, one for all
)


def why_not_explainable(n_explain_active: int, n_test_active: int, firing_rate: float) -> str:
    """The reason, or '' where a latent can be labeled and scored (protocols, section 2)."""
    if n_explain_active + n_test_active == 0:
        return "dead: fires on no explain or test item"
    if n_explain_active < MIN_EXPLAIN:
        return f"fires on {n_explain_active} explain items, fewer than {MIN_EXPLAIN}"
    if n_test_active < MIN_TEST:
        return f"fires on {n_test_active} test items, fewer than {MIN_TEST}"
    if firing_rate > MAX_FIRING_RATE:
        return f"fires on {firing_rate:.0%} of items, more than half"
    return ""


class ExampleSampler:
    """Draws the ExampleSet of any latent; the draw depends on (seed, latent) alone, never on order.

    Parameters
    ----------
    embeddings : (n, d), for ``neighbour`` negatives
    partners : (m, p) latents by falling co-activation Jaccard, −1 for none, for ``co_firing`` negatives
    categories : (n,) str or None, for ``same_category`` negatives
    groups : (n,) str or None, for ``same_group`` negatives, where a split holds more than one group
    similar : (m, p) latents by falling cosine of decoder rows, −1 for none, for ``decoder_similar`` negatives; or None
    """

    def __init__(
        self,
        activations: Activations,
        split: Split,
        embeddings: np.ndarray,
        partners: np.ndarray,
        seed: int,
        categories: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        similar: np.ndarray | None = None,
    ):
        self.activations, self.split, self.seed = activations, split, seed
        self.partners, self.similar = partners, similar
        self.categories, self.groups = categories, groups
        self._pools = {name: self._pool(name) for name in SPLITS}
        self._grouped = {
            name: groups is not None and len(np.unique(groups[rows])) > 1
            for name, rows in self._pools.items()
        }
        self._spaces = {name: Space(embeddings, rows) for name, rows in self._pools.items()}

    def sample(self, latent: int) -> ExampleSet:
        """Explain: 4 of each of 10 quantiles. Develop and test: up to 50 in strata, all negative kinds."""
        rows, values = self.activations.latent(latent)
        parts = {}
        for name in SPLITS:
            rng = np.random.default_rng([self.seed, latent, crc32(f"examples:{name}".encode())])
            parts[name] = self._examples(latent, rows, values, name, rng)
        groups = {}
        if self.groups is not None and self.split.mode != "item":
            groups = {name: self.groups[part.rows] for name, part in parts.items()}
        return ExampleSet(
            latent,
            parts["explain"],
            parts["develop"],
            parts["test"],
            self.split.mode,
            self.split.hash,
            groups,
        )

    def _pool(self, name: str) -> np.ndarray:
        """Items of a split, rising, in which every latent's silent ones are looked for."""
        rows = self.split.rows(name)
        if len(rows) <= MOST_LOOKED_THROUGH:
            return rows
        rng = np.random.default_rng([self.seed, crc32(f"silent:{name}".encode())])
        return np.sort(rng.choice(rows, MOST_LOOKED_THROUGH, replace=False))

    def _examples(
        self, latent: int, active_rows: np.ndarray, values: np.ndarray, name: str, rng: np.random.Generator
    ) -> Examples:
        inside = self.split.assignment[active_rows] == SPLITS.index(name)
        active, strength = active_rows[inside], values[inside]
        if name == "explain":
            chosen, strata = draw_strata(strength, EXPLAIN_POSITIVES, QUANTILES, rng)
        else:
            n_strata = max(1, min(QUANTILES, len(active) // LEAST_PER_STRATUM))
            chosen, strata = draw_strata(strength, TEST_POSITIVES, n_strata, rng)
        negatives = self._negatives(latent, active, active[chosen], name, rng)
        rows = np.concatenate([active[chosen], *negatives.values()])
        kinds = np.concatenate(
            [np.full(len(chosen), POSITIVE), *(np.full(len(r), kind) for kind, r in negatives.items())]
        )
        n_silent = len(rows) - len(chosen)
        return Examples(
            rows=rows.astype(np.int64),
            activations=np.concatenate([strength[chosen], np.zeros(n_silent, dtype=np.float32)]),
            kinds=kinds.astype("U16"),
            strata=np.concatenate([strata, np.full(n_silent, -1)]).astype(np.int16),
        )

    def _negatives(
        self, latent: int, active: np.ndarray, positives: np.ndarray, name: str, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Distinct silent rows of each kind; ``random`` is drawn first, so that it is a fair sample."""
        pool, space = self._pools[name], self._spaces[name]
        free = np.ones(len(pool), bool)  # silent and not yet drawn
        free[_places(active, pool)] = False
        found: dict[str, np.ndarray] = {}

        def draw(kind: str, rows: np.ndarray) -> None:
            found[kind] = rows
            free[_places(rows, pool)] = False

        silent = pool[free]
        wanted = min(RANDOM_NEGATIVES, max(30, len(positives)))
        draw("random", np.sort(rng.choice(silent, min(wanted, len(silent)), replace=False)))
        if name == "explain":  # entry i is the look-alike of positive i
            draw("neighbour", space.nearest_silent(positives, pool[free], len(positives)))
        else:
            dealt = rng.permutation(positives)
            draw("neighbour", space.nearest_silent(dealt, pool[free], OTHER_NEGATIVES))
        draw("co_firing", self._active_for(self.partners[latent], name, active, found, rng))
        if self.similar is not None:
            draw("decoder_similar", self._active_for(self.similar[latent], name, active, found, rng))
        if self.categories is not None and len(positives):
            left = pool[free]
            names, counts = np.unique(self.categories[positives], return_counts=True)
            same = left[self.categories[left] == names[np.argmax(counts)]]
            draw("same_category", np.sort(rng.choice(same, min(OTHER_NEGATIVES, len(same)), replace=False)))
        if self._grouped[name] and len(positives):
            draw("same_group", self._same_group(positives, pool[free], rng))
        return found

    def _active_for(
        self,
        others: np.ndarray,
        name: str,
        active: np.ndarray,
        found: dict[str, np.ndarray],
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Rows of the split, neither active nor found, that are active for the first of the other latents; then for
        the next."""
        taken = np.concatenate([active, *found.values()])
        chosen = np.empty(0, dtype=np.int64)
        for other in others:
            if other < 0 or len(chosen) >= OTHER_NEGATIVES:
                break
            rows = self.activations.latent(int(other))[0]
            rows = rows[self.split.assignment[rows] == SPLITS.index(name)]
            here = np.setdiff1d(rows, np.concatenate([taken, chosen]))
            take = min(OTHER_NEGATIVES - len(chosen), len(here))
            chosen = np.concatenate([chosen, np.sort(rng.choice(here, take, replace=False))])
        return chosen

    def _same_group(self, positives: np.ndarray, left: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Silent rows of the positives' groups, in the positives' proportions: donor or plate tells them not apart."""
        assert self.groups is not None
        wanted = rng.choice(self.groups[positives], OTHER_NEGATIVES)
        found = [np.empty(0, dtype=np.int64)]
        for group, count in zip(*np.unique(wanted, return_counts=True), strict=True):
            same = left[self.groups[left] == group]
            found.append(rng.choice(same, min(int(count), len(same)), replace=False))
        return np.sort(np.concatenate(found))


def _places(rows: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Where in ``among`` (p,), rising, those of the rows are that are there."""
    places = np.searchsorted(among, rows)
    places[places == len(among)] = 0
    return places[among[places] == rows] if len(among) else places[:0]


def draw_strata(
    values: np.ndarray, count: int, n_strata: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``count`` of the values evenly over ``n_strata`` equal-count quantile bins.

    Returns
    -------
    positions (≤ count,) rising by strength, and the stratum of each (0 weakest). All values where there are no more
    than ``count``.
    """
    order = np.lexsort((np.arange(len(values)), values))
    bins = np.array_split(order, n_strata)
    quota = [count // n_strata + (i < count % n_strata) for i in range(n_strata)]
    drawn, strata = [], []
    for stratum, (members, take) in enumerate(zip(bins, quota, strict=True)):
        kept = members
        if len(values) > count:
            kept = members[np.sort(rng.choice(len(members), min(take, len(members)), replace=False))]
        drawn.append(kept)
        strata.append(np.full(len(kept), stratum))
    return np.concatenate(drawn).astype(np.int64), np.concatenate(strata)
