"""Which scorers are there? By the names that ``--scorers`` takes and the tables carry."""

from __future__ import annotations

from autointerp.score import (
    detection,
    direction,
    embedding,
    fuzzing,
    gain,
    intruder,
    masked,
    match,
    signature,
    simulation,
    surprisal,
)
from autointerp.score.base import Scorer

_FILES = (detection, masked, fuzzing, simulation, intruder, embedding, surprisal, signature)
SCORERS: dict[str, Scorer] = {
    scorer.name: scorer
    for scorer in (*(file.SCORER for file in _FILES), *match.ALL, *direction.ALL, *gain.ALL)
}
