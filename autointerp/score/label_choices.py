"""Which labels stand beside the one that is tested, where a judge must choose? Those of other families and titles.

At least two of four are decoder-similar: of the four latents whose directions are nearest among those that are labeled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.schema import Failure, Label

NEAREST, LEAST_NEAR = 4, 2
SEEN = "not scored (seen)"


@dataclass(frozen=True, eq=False)
class Candidates:
    """Labels that may stand beside the one that is tested: those of the nearest latents, and the others."""

    near: tuple[Label, ...]
    far: tuple[Label, ...]


def candidates(
    label: Label, latent: int, labels: Sequence[Label], families: np.ndarray, decoder: np.ndarray, least: int
) -> Candidates | Failure:
    """Of other families and titles than the label and than the latent that is asked about, no title twice.

    Parameters
    ----------
    label : the one that is tested; another latent's in the shuffled control
    labels : of all latents, by the same explainer
    families : (m,) int; decoder : (m, p) unit rows
    least : how many are needed

    Returns
    -------
    Candidates, or a Failure: the label's writer has seen what edits do, or there are too few labels
    """
    if label.saw_edits:
        return Failure("seen", SEEN)
    titles = {_title(label), *(_title(one) for one in labels if one.latent == latent)}
    own = {int(families[latent]), int(families[label.latent])}
    found: list[Label] = []
    cosine = decoder @ decoder[latent]  # (m, p) @ (p,) -> (m,)
    for one in sorted(labels, key=lambda one: (-float(cosine[one.latent]), one.latent)):
        if int(families[one.latent]) in own or _title(one) in titles or one.saw_edits:
            continue
        titles.add(_title(one))
        found.append(one)
    if len(found) < least:
        return Failure(
            "choices",
            f"{len(found)} labels of other families and titles, fewer than the {least} to choose from",
        )
    return Candidates(tuple(found[:NEAREST]), tuple(found[NEAREST:]))


def drawn(among: Candidates, n: int, rng: np.random.Generator) -> list[Label]:
    """``n`` of them: two among the nearest, the others among all that are left; one alone is as often near as far."""
    n_near = LEAST_NEAR if n > 1 else int(rng.integers(2)) if among.far else 1
    near = rng.permutation(len(among.near)).tolist()
    rest = [*(among.near[i] for i in near[n_near:]), *among.far] if n > 1 else list(among.far)
    others = rng.permutation(len(rest))[: n - n_near].tolist()
    return [*(among.near[i] for i in near[:n_near]), *(rest[i] for i in others)]


def _title(label: Label) -> str:
    return label.title.strip().lower()
