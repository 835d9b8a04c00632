"""The libraries themselves, in an environment of their own (make peers): their codes are ours, both ways."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sae import load_any, save_as
from tests.sae.test_exchange import dense, of_ours

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("AUTOINTERP_PEERS", ROOT / ".venv-peers" / "bin" / "python"))
pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(
        not PYTHON.is_file(), reason=f"no interpreter {PYTHON}: make peers, or set AUTOINTERP_PEERS"
    ),
]
THEIRS = [
    ("saelens", "topk"),
    ("saelens", "topk-unshifted"),
    ("saelens", "topk-rescaled"),
    ("saelens", "jumprelu"),
    ("saelens", "jumprelu-unshifted"),
    ("saelens", "standard"),
    ("sparsify", "topk"),
    ("dictionary_learning", "AutoEncoderTopK"),
    ("dictionary_learning", "BatchTopKSAE"),
    ("dictionary_learning", "MatryoshkaBatchTopKSAE"),
    ("dictionary_learning", "JumpReluAutoEncoder"),
    ("dictionary_learning", "AutoEncoder"),
    ("dictionary_learning", "AutoEncoderNew"),
]
FOLDED = (
    "jumprelu", "jumprelu-unshifted", "standard",
    "AutoEncoderNew", "BatchTopKSAE", "MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder",
)  # fmt: skip
OURS = [
    *((library, kind, "global") for library in ("saelens", "dictionary_learning")
      for kind in ("topk", "batchtopk", "matryoshka", "jumprelu", "relu")),
    *((library, "topk", scaling) for library in ("saelens", "sparsify", "dictionary_learning")
      for scaling in ("dimension", "whiten")),
    ("sparsify", "topk", "global"),
]  # fmt: skip


def peers(folder, tasks):
    """Do all tasks in the peers' environment, in one process."""
    (folder / "tasks.json").write_text(json.dumps([[str(part) for part in task] for task in tasks]))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "HF_HUB_OFFLINE": "1"
    }
    command = [PYTHON, ROOT / "eval" / "peers" / "codes.py", folder / "tasks.json"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def codes_of(path):
    with np.load(path) as held:
        return held["codes"], held["decoded"]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Folders that the libraries wrote, and beside each what they make of x."""
    folder = tmp_path_factory.mktemp("theirs")
    np.savez(folder / "x.npz", x=np.random.default_rng(0).normal(size=(200, 24)).astype(np.float32))
    tasks = []
    for library, kind in THEIRS:
        made = folder / library / kind
        tasks += [["make", library, kind, made], ["read", library, made, folder / "x.npz", f"{made}.npz"]]
    peers(folder, tasks)
    return folder


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """Our dictionaries, the rows they are asked about, and what the libraries make of them."""
    folder, made, tasks = tmp_path_factory.mktemp("ours"), {}, []
    for library, kind, scaling in OURS:
        at = folder / library / f"{kind}-{scaling}"
        if (kind, scaling) not in made:
            made[kind, scaling] = of_ours(kind, scaling)
            np.savez(folder / f"{kind}-{scaling}.npz", x=made[kind, scaling][1])
        at.parent.mkdir(exist_ok=True)
        save_as(made[kind, scaling][0], at, library)
        tasks.append(["read", library, at, folder / f"{kind}-{scaling}.npz", f"{at}.npz"])
    peers(folder, tasks)
    return folder, made


@pytest.mark.parametrize(("library", "kind"), THEIRS)
def test_their_dictionaries_give_their_codes(theirs, library, kind):
    with np.load(theirs / "x.npz") as held:
        x = held["x"]
    codes, decoded = codes_of(theirs / library / f"{kind}.npz")
    made = load_any(theirs / library / kind, k=4)
    found, active = dense(made, x), codes.max(0) > 0
    # Where rows differ in length, ours have length 1 and activations that much larger, as fold_W_dec_norm makes them.
    lengths = np.ones(len(active))
    if kind in FOLDED:
        lengths[active] = found.max(0)[active] / codes.max(0)[active]
        assert np.ptp(lengths[active]) > 0.05
    assert active.sum() > 30
    np.testing.assert_allclose(found, codes * lengths, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(made.decode(made.encode(x)), decoded, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("library", "kind", "scaling"), OURS)
def test_our_dictionaries_give_our_codes_there(ours, library, kind, scaling):
    folder, every = ours
    made, x = every[kind, scaling]
    codes, decoded = codes_of(folder / library / f"{kind}-{scaling}.npz")
    largest = dense(made, x).max()
    np.testing.assert_allclose(codes / largest, dense(made, x) / largest, atol=1e-5)
    np.testing.assert_allclose(decoded, made.decode(made.encode(x)), atol=1e-5 * np.abs(decoded).max())
