"""What would a label of another latent score? The ``shuffled`` control: a derangement of labels between families."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from autointerp.evidence.activations import Activations
from autointerp.evidence.coactivation import jaccard
from autointerp.schema import Label

MAX_JACCARD = 0.1
CANDIDATES = 40
RULE_ROUNDS = 5  # derangements for judges without a model
MODEL_SHARE, MODEL_LEAST = 0.25, 50


def derangement(
    labels: Sequence[Label],
    activations: Activations,
    rows: np.ndarray,
    firing: np.ndarray,
    rng: np.random.Generator,
) -> dict[int, int]:
    """Which other latent's label each latent gets: latent -> latent.

    The other label is of another family (Jaccard of active explain items < 0.1), has another title and lies in the
    same tertile of firing rate; each label is given once. Latents for which no such label is left are not in the
    result.

    Parameters
    ----------
    labels : one per latent, none abstained
    rows : explain rows
    firing : (m,) firing rate of each latent
    """
    given: dict[int, int] = {}
    if len(labels) < 2:
        return given
    inside = np.zeros(activations.shape[0], dtype=bool)
    inside[rows] = True
    latents = np.array([label.latent for label in labels])
    titles = {label.latent: label.title.strip().lower() for label in labels}
    fired = {
        latent: active[inside[active]]
        for latent in latents.tolist()
        for active in [activations.latent(latent)[0]]
    }
    by_rate = latents[np.lexsort((latents, firing[latents]))]
    for tertile in np.array_split(by_rate, 3):
        allowed = np.zeros((len(tertile), len(tertile)), dtype=bool)
        for i, latent in enumerate(tertile.tolist()):
            for j in rng.permutation(len(tertile))[:CANDIDATES].tolist():
                other = int(tertile[j])
                if titles[latent] != titles[other] and jaccard(fired[latent], fired[other]) < MAX_JACCARD:
                    allowed[i, j] = True
        order = rng.permutation(len(tertile))  # the matching takes what comes first: let the seed decide
        matched = maximum_bipartite_matching(sparse.csr_matrix(allowed[:, order]), perm_type="column")
        for i, j in enumerate(matched):
            if j >= 0:
                given[int(tertile[i])] = int(tertile[order[j]])
    return given


def sampled_latents(latents: Sequence[int], rng: np.random.Generator) -> list[int]:
    """With a model as judge the control is asked for a random quarter of the latents, at least 50."""
    count = sample_size(len(latents))
    return sorted(rng.choice(np.array(latents), count, replace=False).tolist()) if latents else []


def sample_size(n: int) -> int:
    """How many of n latents a control is asked for that costs."""
    return min(n, max(MODEL_LEAST, int(np.ceil(MODEL_SHARE * n))))
