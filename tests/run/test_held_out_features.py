"""With held-out features asked for, does no prompt and no label name one; and without, does nothing change?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from autointerp.config import make_config
from autointerp.intervene.held_out import held_out_features
from autointerp.prepare import Prepared
from tests.run.conftest import command
from tests.run.small_cells import BROUGHT, small_cells


def test_no_label_and_no_evidence_names_a_held_out_feature(cells, tmp_path):
    toml = tmp_path / "held.toml"
    toml.write_text("held_out_features = true\n")
    names = small_cells().var_names.to_numpy(dtype=str)
    held = set(names[held_out_features(names, 0)])
    assert len(held) == 60
    claimed = {}
    for name, options in (("plain", []), ("held", ["--config", toml])):
        out = tmp_path / name
        ended = command("run", "--data", cells, *BROUGHT, *options, "--scorers", "signature", "--out", out)
        assert ended.code == 0, ended.err
        labels = pd.read_csv(out / "labels.csv", keep_default_na=False)
        claimed[name] = {
            f.strip()[:-1] for told in labels["key_features"] for f in told.split(";") if f.strip()
        }
    assert claimed["plain"] & held and claimed["held"] and not claimed["held"] & held


def test_evidence_with_cards_shows_none(cells, tmp_path):
    config = make_config({"data": cells, "embedding": "X_emb", "activations": "X_act", "group": "donor"})
    names = small_cells().var_names.to_numpy(dtype=str)
    held = held_out_features(names, 0)
    for asked in (False, True):
        prepared = Prepared(config.model_copy(update={"held_out_features": asked}))
        said = repr(prepared.evidence(prepared.chosen[0]))
        shown = [name for name in names[held] if f"'{name}'" in said or f"{name}:" in said]
        assert bool(shown) is not asked
        assert np.array_equal(prepared.corpus.statistics.eligible, prepared.corpus.eligible) is not asked
