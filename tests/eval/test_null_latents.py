"""Do latents that mean nothing mean nothing, and is what is flagged counted over all of them?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from autointerp.evidence.activations import Activations
from eval.null_latents import (
    NOISE,
    PERMUTED,
    REAL,
    UNFILTERED,
    main,
    noise,
    permuted,
    summary,
    write_markdown,
)


def test_permuted_activations_are_the_same_rows_within_each_group():
    rng = np.random.default_rng(0)
    codes = sparse.random(300, 8, 0.2, "csr", dtype=np.float32, rng=rng)
    groups = rng.choice(["a", "b", "c"], 300)
    made = permuted(Activations(codes), groups, seed=1)
    assert (made != codes).nnz > 0
    for group in "abc":
        rows = np.flatnonzero(groups == group)
        before, after = (sorted(map(tuple, matrix[rows].toarray().tolist())) for matrix in (codes, made))
        assert before == after
    free = permuted(Activations(codes), None, seed=1)
    assert np.allclose(np.sort(free.toarray(), 0), np.sort(codes.toarray(), 0))
    assert (permuted(Activations(codes), groups, seed=1) != made).nnz == 0


def test_noise_is_independent_of_everything():
    drawn = noise(2000, seed=0)
    assert drawn.shape == (2000, 50) and drawn.dtype == np.float32
    assert np.abs(np.cov(drawn.T) - np.eye(50)).max() < 0.15


def labels() -> pd.DataFrame:
    """20 real labels at 0.60, 0.61 … 0.79; of 10 permuted latents 4 abstain, 1 is not tested, 3 are unsupported."""
    real = [(False, "supported", 0.6 + 0.01 * i) for i in range(20)]
    nothing = [(True, "", np.nan)] * 4 + [(False, "not tested", np.nan)]
    nothing += [(False, "unsupported", 0.5)] * 3 + [(False, "supported", 0.6), (False, "supported", 0.7)]
    rows = [(REAL, *one) for one in real] + [(PERMUTED, *one) for one in nothing]
    frame = pd.DataFrame(rows, columns=["latents", "abstained", "support", "develop_auroc"])
    return frame.assign(corpus="c", seed=0, writer="markers", latent=range(len(rows)))


def test_what_is_flagged_counts_abstentions_and_leaves_out_what_was_not_tested(tmp_path):
    made = summary(labels()).set_index("latents")
    real, nothing = made.loc[REAL], made.loc[PERMUTED]
    assert real.threshold == pytest.approx(0.6095) and real.below == pytest.approx(0.05) and real.flagged == 0
    assert (nothing.n_latents, nothing.n_abstained, nothing.n_tested, nothing.n_not_tested) == (10, 4, 5, 1)
    assert nothing.unsupported == pytest.approx(3 / 5) and nothing.below == pytest.approx(4 / 5)
    assert nothing.flagged == pytest.approx(7 / 9) and nothing.flagged_at_5 == pytest.approx(8 / 9)
    told = {"mean": 0.5, "brier": 0.2, "ece": 0.1}
    row = {
        "corpus": "c",
        "seed": 0,
        "writer": "markers",
        "n_labels": 20,
        "n": 20,
        "passed": 0.5,
        "reason": "",
    }
    row |= {f"{name}_{figure}": value for name in ("stated", "calibrated") for figure, value in told.items()}
    write_markdown(made.reset_index(), pd.DataFrame([row]), tmp_path / "x.md")
    text = (tmp_path / "x.md").read_text()
    assert "met; the least is 88.9% (c, permuted, markers)" in text
    assert "| c | 0 | markers | 20 | 50.0% | 0.500, 0.100, 0.200 | 0.500, 0.100, 0.200 |" in text


@pytest.mark.slow
def test_on_planted_cells_null_latents_are_flagged(tmp_path, monkeypatch):
    monkeypatch.delenv("AUTOINTERP_DATA", raising=False)
    main(["--seeds", "0", "--n-cells", "2500", "--latents", "64", "--out", str(tmp_path)])
    made = pd.read_csv(tmp_path / "null_latents.csv").set_index(["corpus", "latents", "writer"])
    for corpus in ("planted factors", "planted dictionary"):
        for arm in (PERMUTED, NOISE):
            for writer in ("markers", UNFILTERED):
                assert made.flagged_at_5[corpus, arm, writer] >= 0.85
        assert made.flagged[corpus, REAL, UNFILTERED] < 0.15
    assert (tmp_path / "calibrated_confidence.csv").exists()
