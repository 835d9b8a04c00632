"""Which scorers are there? By the names that ``--scorers`` takes and the tables carry."""

from __future__ import annotations

from autointerp.score import detection, fuzzing, masked, signature
from autointerp.score.base import Scorer

SCORERS: dict[str, Scorer] = {
    scorer.name: scorer for scorer in (detection.SCORER, masked.SCORER, fuzzing.SCORER, signature.SCORER)
}
