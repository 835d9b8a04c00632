"""How far do a label's key features alone carry? AUROC of their signed mean z-score over held-out items, uncalibrated.

No judge and no prompt: the baseline beside every judged score.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np

from autointerp.judge.signature import Signatures
from autointerp.schema import POSITIVE, Label, Trials

NAME = "signature"
MOST_PER_SIDE = 200


def trials(
    label: Label,
    signatures: Signatures,
    active: np.ndarray,
    strengths: np.ndarray,
    silent: np.ndarray,
    groups: np.ndarray | None,
    seed: int,
) -> Trials:
    """Up to 200 active and 200 silent test items, drawn by (seed, latent), each with its score.

    active, silent : test rows; strengths : activation of each active row. Negatives are of kind ``random``: a draw
    from all silent test items.
    """
    rng = np.random.default_rng([seed, label.latent, crc32(NAME.encode())])
    chosen = np.sort(rng.choice(len(active), min(MOST_PER_SIDE, len(active)), replace=False))
    others = np.sort(rng.choice(silent, min(MOST_PER_SIDE, len(silent)), replace=False))
    rows = np.concatenate([active[chosen], others])
    found = signatures.scores(label.key_features, rows)
    failure = "" if found is not None else "no key feature of the label is measured"
    n = len(rows)
    return Trials(
        latent=label.latent,
        explainer=label.explainer,
        label_id=label.label_id,
        scorer=NAME,
        judge=NAME,
        control="",
        replicate=0,
        rows=rows,
        groups=groups[rows] if groups is not None else np.full(n, ""),
        kinds=np.array([POSITIVE] * len(chosen) + ["random"] * len(others)),
        activations=np.concatenate([strengths[chosen], np.zeros(len(others), dtype=np.float32)]),
        answers=found if found is not None else np.full(n, np.nan),
        failures=np.full(n, failure),
        prompts=np.full(n, ""),
    )
