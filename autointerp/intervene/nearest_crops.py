"""What does an edited image embedding look like? As the nearest real crops do: their measurements, and their classes.

Pixels decoded from an embedding are nearly blind to biology [arXiv 2412.16247, App. A]; real crops are not. None is of
the group (well, plate, photo) of the crop that was edited: only crops of groups without explain crops are edited.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autointerp.corpus.base import Corpus
from autointerp.corpus.readouts import Readout, neighbour_genes
from autointerp.errors import UserError

NAME = "images"


def nearest_crops(corpus: Corpus, explain: np.ndarray, develop: np.ndarray, seed: int = 0) -> Readout:
    """Kernel-weighted mean of the measurements, in sd, of the nearest explain crops; see ``readouts.neighbour_genes``.

    develop : rows that the kernel's width is chosen on, ``apart`` from explain. σ cannot be measured on z-scores, which
    are no parts of a whole.
    """
    columns = corpus.probe_features()
    return replace(neighbour_genes(corpus, explain, develop, columns, seed), name=NAME, proportions=None)


def apart(corpus: Corpus, explain: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Those of ``rows`` that are of a group with no explain item; control rows that were cut one by one are left out.

    Raises
    ------
    UserError
        Where there are no groups, or none is left.
    """
    if corpus.groups is None:
        raise UserError(
            f"Edits are read from the nearest {corpus.noun}s of other wells or photos: which are they? "
            "Start a run with --group COLUMN."
        )
    groups = corpus.groups[rows]
    kept = rows[~np.isin(groups, corpus.groups[explain]) & (groups != "")]
    if len(kept) == 0:
        raise UserError(
            f"Every {corpus.noun} has explain {corpus.noun}s in its group, so that edits of it would be read from its "
            "own group. Start a run with a --group of more values."
        )
    return kept
