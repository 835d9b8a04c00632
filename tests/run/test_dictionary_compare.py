"""Does `dictionary compare` find what is shared, name what differs, and refuse what has no common space?"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

import sae
from autointerp.dictionary.compare import compare
from autointerp.errors import UserError
from tests.run.conftest import command
from tests.run.small_cells import BROUGHT, FITTED, small_cells


def saved(folder, seed=0, d=16, m=12, scaling="global", order=None, x=None):
    """An untrained dictionary in ``folder``; ``order`` permutes the latents of seed 0."""
    x = small_cells().obsm["X_emb"][:, :d] if x is None else x
    made = sae.untrained(x, sae.DictionaryConfig(d=d, m=m, k=3, seed=seed, scaling=scaling))
    if order is not None:
        with torch.no_grad():
            for name in ("encoder", "encoder_bias", "decoder"):
                held = getattr(made, name)
                held.copy_(held[torch.as_tensor(order)].clone())
    return sae.save(made, folder)


def test_a_permuted_copy_is_shared_whole_and_another_seed_is_not(tmp_path):
    order = np.random.default_rng(1).permutation(12)
    a, b, c = (
        saved(tmp_path / name, **kinds)
        for name, kinds in {"a": {}, "b": {"order": order}, "c": {"seed": 1}}.items()
    )
    made = compare([a, b, c])
    assert made.pairs[["first", "second"]].to_numpy().tolist() == [
        [str(a), str(b)], [str(a), str(c)], [str(b), str(c)]
    ]  # fmt: skip
    assert made.pairs.shared[0] == 1 and made.pairs.mmcs[0] == pytest.approx(1)
    assert made.pairs.shared[1] < 0.5 and made.pairs.mmcs[1] < 0.9
    assert made.differences.to_numpy().tolist() == [["seed", "0", "0", "1"]]
    assert "Compared in preprocessed space." in made.notes


def test_another_preprocessing_is_compared_in_the_space_of_the_embedding(tmp_path):
    x = small_cells().obsm["X_emb"] * np.linspace(1, 5, 16, dtype=np.float32)
    a, b = (saved(tmp_path / s, scaling=s, x=x) for s in ("dimension", "none"))
    made = compare([a, b])
    first, second = (sae.load(folder) for folder in (a, b))
    by_hand = (
        first.w_dec * first.preprocessing.scale.numpy()
    )  # a step along a latent, in units of the embedding
    by_hand /= np.linalg.norm(by_hand, axis=1, keepdims=True)
    assert made.pairs.mmcs[0] == pytest.approx((by_hand @ second.w_dec.T).max(1).mean(), abs=1e-5)
    assert "Preprocessing differs" in made.notes[-1]
    assert "scaling" in made.differences.field.tolist()


def test_runs_leave_out_their_dead_latents(cells, tmp_path):
    runs = [tmp_path / name for name in ("a", "b")]
    for seed, directory in enumerate(runs):
        chosen = ("--dictionary", "random", "--latents", "100", "--seed", seed, "--out", directory)
        ended = command("fit", "--data", cells, *FITTED, *chosen)
        assert ended.code == 0, ended.err
        assert command("encode", directory).code == 0
    table = tmp_path / "pairs.csv"
    ended = command("dictionary", "compare", *runs, "--out", table)
    assert ended.code == 0, ended.err
    (row,) = pd.read_csv(table).to_dict("records")
    for directory, key in zip(runs, ("m_first", "m_second"), strict=True):
        (codes,) = directory.glob("cache/activations-*")
        alive = len(np.unique(np.load(codes / "indices.npy")))
        assert row[key] == alive < 100
    assert 0 <= row["shared"] <= 1 and row["n_shared"] == round(
        row["shared"] * min(row["m_first"], row["m_second"])
    )
    assert "latents shared" in ended.out and "seed differs: 0, 1" in ended.out
    assert ended.lines[-1].startswith("Next: autointerp dictionary report")


def test_what_cannot_be_compared_is_one_line(cells, tmp_path):
    a, narrow = saved(tmp_path / "a"), saved(tmp_path / "narrow", d=8)
    brought = tmp_path / "brought"
    assert command("fit", "--data", cells, *BROUGHT, "--out", brought).code == 0
    broken = tmp_path / "broken"
    shutil.copytree(a, broken)
    (broken / "config.json").write_text("{}")
    for others, said in {
        (narrow,): "d = 16 dimensions",
        (): "at least two",
        (tmp_path / "nothing",): "neither a run",
        (brought,): "brought activations",
        (broken,): "no saved dictionary",
        (a, "--out", tmp_path): "Choose another --out",
    }.items():
        ended = command("dictionary", "compare", a, *others)
        assert ended.code == 2 and said in ended.lines[-1], ended.err
        assert len(ended.saying("autointerp: ")) == 1 and "Traceback" not in ended.err


def test_spaces_of_different_cells_are_refused(tmp_path):
    """PCA is fitted on the explain cells: its dimensions mean something else on another split."""
    folders = []
    for seed in (0, 1):
        directory = tmp_path / f"run{seed}"
        folder = saved(directory / "cache" / "dictionary-0123", seed=seed)
        config = {"data": "cells.h5ad", "embedding": "pca", "dictionary": "topk"}
        described = json.loads((folder / "config.json").read_text())
        record = {
            "config": config,
            "data_fingerprint": "f" * 64,
            "split": {"hash": f"split{seed}"},
            "dictionary_fingerprint": described["fingerprint"],
        }
        (directory / "run.json").write_text(json.dumps(record))
        folders.append(directory)
    with pytest.raises(UserError, match=r"split0.*split1"):
        compare(folders)
    shutil.rmtree(folders[0] / "cache")
    with pytest.raises(UserError, match="lost its dictionary"):
        compare(folders)
