"""Fitting: planted atoms are found, runs repeat, dead latents revive, any source will do."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from sae import DictionaryConfig, Preprocessing, fit, quality, untrained
from sae.rows import shuffled
from tests.source_tree import REPOSITORY


def planted(n=4000, d=32, atoms=64, active=3, seed=0):
    """x (n, d) = sparse non-negative code (n, atoms) @ unit atoms (atoms, d), a little noise."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(atoms, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    chosen = rng.random((n, atoms)).argsort(1)[:, :active]
    code = np.zeros((n, atoms))
    np.put_along_axis(code, chosen, rng.uniform(0.5, 1.5, size=chosen.shape), 1)
    return (code @ directions + 0.01 * rng.normal(size=(n, d))).astype(np.float32), directions


def quick(**changed):
    return DictionaryConfig(**({"d": 32, "m": 32, "k": 4, "steps": 60, "batch_size": 64} | changed))


class Lazy:
    """Like an HDF5 dataset: a shape and slices, nothing else; remembers the longest slice."""

    def __init__(self, x):
        self.x, self.shape, self.longest = x, x.shape, 0

    def __getitem__(self, key):
        assert isinstance(key, slice) and key.step is None
        self.longest = max(self.longest, key.stop - key.start)
        return self.x[key].copy()


def test_planted_atoms_are_recovered():
    x, directions = planted()
    fitted = fit(x, DictionaryConfig(d=32, m=64, k=3))
    cosines = directions @ fitted.dictionary.w_dec.T  # (64, 64)
    assert cosines.max(1).mean() >= 0.95
    assert fitted.quality["dead_share"] < 0.02
    assert fitted.quality["fvu"] < 0.1
    start = quality(untrained(x, DictionaryConfig(d=32, m=64, k=3)), x)
    assert start["fvu"] > 3 * fitted.quality["fvu"]


def test_one_seed_gives_the_same_bytes_and_another_does_not():
    x, _ = planted(600)
    first, second, other = fit(x, quick()), fit(x, quick()), fit(x, quick(seed=1))
    assert first.dictionary.fingerprint() == second.dictionary.fingerprint()
    assert first.log == second.log
    assert first.dictionary.fingerprint() != other.dictionary.fingerprint()


def test_fit_leaves_the_global_random_state_and_threads_alone():
    x, _ = planted(600)
    torch.manual_seed(5)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    fit(x, quick(steps=5))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_decoder_rows_keep_unit_length_while_training():
    x, _ = planted(600)
    w_dec = fit(x, quick(lr=0.05)).dictionary.w_dec
    np.testing.assert_allclose(np.linalg.norm(w_dec, axis=1), 1, atol=1e-5)


def test_rows_outside_the_chosen_ones_have_no_influence():
    x, _ = planted(600)
    rows = np.arange(0, 600, 2)
    changed = x.copy()
    changed[1::2] = np.nan
    assert (
        fit(x, quick(), rows).dictionary.fingerprint() == fit(changed, quick(), rows).dictionary.fingerprint()
    )


def test_the_order_of_rows_does_not_matter():
    x, _ = planted(600)
    rows = np.random.default_rng(0).permutation(600)[:400]
    assert (
        fit(x, quick(), rows).dictionary.fingerprint()
        == fit(x, quick(), np.sort(rows)).dictionary.fingerprint()
    )


def test_memmap_and_lazy_sources_give_what_the_array_gives(tmp_path):
    x, _ = planted(600)
    np.save(tmp_path / "x.npy", x)
    expected = fit(x, quick()).dictionary.fingerprint()
    assert fit(np.load(tmp_path / "x.npy", mmap_mode="r"), quick()).dictionary.fingerprint() == expected
    assert fit(Lazy(x), quick()).dictionary.fingerprint() == expected


def test_large_sources_are_shuffled_in_bounded_pools(monkeypatch):
    monkeypatch.setattr("sae.rows.IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("sae.rows.POOL_BYTES", 16 * 4 * 2 * 8)  # sixteen blocks of eight rows (2,) float32
    x = np.repeat(np.arange(1000, dtype=np.float32)[:, None], 2, 1)
    source, rows = Lazy(x), np.arange(0, 1000, 2)
    batches = shuffled(source, rows, 50, np.random.default_rng(0))
    first_pass = np.concatenate([next(batches) for _ in range(10)])[:, 0]
    assert sorted(first_pass) == list(range(0, 1000, 2))
    assert (np.diff(first_pass) < 0).mean() > 0.3
    assert source.longest <= 8


def test_large_sources_can_be_fitted(monkeypatch):
    monkeypatch.setattr("sae.rows.IN_MEMORY_BYTES", 0)
    x, _ = planted(600)
    log = fit(Lazy(x), quick(steps=300)).log
    assert log[-1]["fvu"] < 0.8 * log[0]["fvu"]


FIT_FROM_A_FILE = """
import sys
import numpy as np
import sae.rows, sae.train
from eval.bench.encode_memory import AnonymousMemory
sae.rows.IN_MEMORY_BYTES, sae.rows.POOL_BYTES, sae.train.CHECKS = 0, 1 << 22, 2
x = np.load(sys.argv[1], mmap_mode="r")[: int(sys.argv[2])]
with AnonymousMemory() as memory:
    sae.fit(x, sae.DictionaryConfig(d=128, m=64, k=4, batch_size=1024, steps=20))
print(memory.peak)
"""


def test_fitting_holds_no_more_than_a_pool(tmp_path):
    file = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (240_000, 128))
    some = np.random.default_rng(0).normal(size=(8000, 128))
    for start in range(0, len(file), 8000):
        file[start : start + 8000] = some * (1 + start / len(file))
    del file
    # In processes of their own, with a heap that gives back what is free: what it keeps tells nothing of rows.
    heap = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    env = os.environ | heap | {"OMP_NUM_THREADS": "1"}
    peaks = []
    for rows in (40_000, 240_000):
        command = [sys.executable, "-c", FIT_FROM_A_FILE, tmp_path / "x.npy", str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY, env=env)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 4 * 128 * 200_000 / 2


@pytest.mark.parametrize("scaling", ["global", "dimension", "none"])
def test_every_scaling_trains(scaling):
    x, _ = planted(600)
    x = x * np.linspace(0.5, 2, 32, dtype=np.float32) + 3
    log = fit(x, quick(scaling=scaling, steps=300)).log
    assert log[-1]["fvu"] < 0.8 * log[0]["fvu"]


def test_auxk_lowers_the_share_of_dead_latents():
    x, _ = planted(2000, atoms=256)
    hot = {"m": 256, "k": 3, "steps": 1000, "lr": 0.02}  # steps so large that latents are thrown out of reach
    without = fit(x, quick(**hot, aux_coef=0.0)).quality["dead_share"]
    with_auxk = fit(x, quick(**hot)).quality["dead_share"]
    assert without > 0.04
    assert with_auxk < 0.5 * without


def test_the_weights_kept_are_the_best_on_rows_held_back():
    x, _ = planted(120)
    fitted = fit(x, quick(m=64, k=8, steps=600, lr=0.01))
    best = min(entry["fvu"] for entry in fitted.log)
    assert best < fitted.log[-1]["fvu"]  # so small a set is overfitted in the end
    np.testing.assert_allclose(fitted.quality["fvu"], best, rtol=1e-5)


def test_progress_reports_what_the_log_holds():
    x, _ = planted(600)
    seen = []
    fitted = fit(x, quick(), progress=lambda *said: seen.append(said))
    assert seen[-1][:2] == (60, 60)
    held = [(entry["step"], 60, entry["fvu"], entry["l0"], entry["dead_share"]) for entry in fitted.log]
    assert seen == held


def test_the_config_of_a_fitted_dictionary_is_resolved():
    x, _ = planted(600)
    assert None not in fit(x, quick()).dictionary.config.to_dict().values()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: (x[:, :20], None), "has 20 dimensions, config.d = 32"),
        (lambda x: (x[0], None), "must be .n, d."),
        (lambda x: (x, np.array([1, 1, 2])), "twice"),
        (lambda x: (x, np.array([1, 600])), "0 … 599"),
        (lambda x: (x, np.array([0.5, 1.0])), "whole numbers"),
        (lambda x: (x, np.zeros(0, int)), "no rows"),
        (lambda x: (x, np.arange(3)), "at least 4 rows"),
        (lambda x: (np.where(np.arange(600)[:, None] == 33, np.nan, x), None), "row 33 "),
        (lambda x: (np.array([["a"] * 32] * 9), None), "dense numbers"),
    ],
)
def test_unfit_data_is_refused(make, message):
    x, _ = planted(600)
    values, rows = make(x)
    with pytest.raises(ValueError, match=message):
        fit(values, quick(), rows)


def test_divergence_is_an_error_and_not_a_dictionary():
    x, _ = planted(600)
    with pytest.raises(ValueError, match="diverged"):
        fit(x, quick(lr=1e30))


def test_quality_equals_the_dense_computation():
    x, _ = planted(500)
    rows = np.arange(100, 500)
    dictionary = untrained(x, quick(scaling="dimension"))
    codes = dictionary.encode(x[rows])
    decoded = dictionary.decode(codes)
    t = Preprocessing.fit(x, method="dimension")
    scaled, scaled_decoded = ((v - t.center.numpy()) / t.scale.numpy() for v in (x[rows], decoded))
    about, about_decoded = x[rows] - t.center.numpy(), decoded - t.center.numpy()
    dense = np.zeros((400, 32))
    np.put_along_axis(dense, codes.indices, codes.values, 1)
    expected = {
        "n": 400,
        "fvu": ((x[rows] - decoded) ** 2).sum() / ((x[rows] - x[rows].mean(0)) ** 2).sum(),
        "fvu_scaled": ((scaled - scaled_decoded) ** 2).sum() / ((scaled - scaled.mean(0)) ** 2).sum(),
        "cosine": np.mean(
            [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(about, about_decoded, strict=True)]
        ),
        "l0": (dense > 0).sum(1).mean(),
        "dead_share": ((dense > 0).sum(0) == 0).mean(),
        "dense_share": ((dense > 0).mean(0) > 0.5).mean(),
    }
    measured = quality(dictionary, x, rows, block_rows=64)
    assert measured.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(measured[name], expected[name], rtol=1e-4, err_msg=name)


def test_quality_does_not_depend_on_the_unit_of_the_embedding():
    x, _ = planted(500)
    large, small = (quality(untrained(x * unit, quick()), x * unit) for unit in (1, 2.0**-70))
    for name in large:
        assert large[name] == pytest.approx(small[name], rel=1e-4), name
