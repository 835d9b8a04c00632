"""Does a run that was stopped while it fitted its dictionary go on from there, to the same dictionary?"""

import itertools

import pytest

from autointerp.config import RunConfig
from autointerp.prepare import Prepared


@pytest.fixture
def a_checkpoint_every_hundred_steps(monkeypatch):
    calls = itertools.count(1)
    monkeypatch.setattr("sae.checkpoint.Checkpoint.due", lambda self: next(calls) % 100 == 0)


def prepared(cells, cache, progress):
    config = RunConfig(data=str(cells), embedding="X_emb", latents=12, k=3, group="donor")
    made = Prepared(config, progress=progress)
    made.cache = cache
    return made


@pytest.mark.usefixtures("a_checkpoint_every_hundred_steps")
def test_a_fit_that_was_stopped_goes_on_at_its_checkpoint(cells, tmp_path):
    def interrupt(stage, done, total, note):
        if stage == "fit dictionary" and done >= 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _ = prepared(cells, tmp_path / "stopped", interrupt).fitted
    (kept,) = (tmp_path / "stopped").iterdir()
    assert kept.name.endswith(".checkpoint.safetensors")

    seen = []
    goes_on = prepared(cells, tmp_path / "stopped", lambda *said: seen.append(said))
    dictionary, quality = goes_on.fitted
    steps = [(done, note) for stage, done, _, note in seen if stage == "fit dictionary"]
    assert steps[0][0] == 950  # a check every 50 steps
    assert all(note.endswith(", resumed at step 900") for _, note in steps)
    assert not list((tmp_path / "stopped").glob("*.checkpoint*"))

    expected, expected_quality = prepared(cells, tmp_path / "whole", lambda *said: None).fitted
    assert dictionary.fingerprint() == expected.fingerprint()
    assert quality == expected_quality
