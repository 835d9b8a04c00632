"""Are edits of image latents read from real crops of other photos, and is what reads genes refused?"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from autointerp.config import make_config
from autointerp.intervene.nearest_crops import apart
from autointerp.intervene.report import Asked, workbench
from autointerp.prepare import Prepared
from autointerp.run_record import read_record
from tests.run.conftest import command
from tests.run.small_images import write_images


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("data") / "crops.npz")


@pytest.fixture(scope="module")
def made(images, tmp_path_factory):
    """A run, and the first latent that reaches σ."""
    directory = tmp_path_factory.mktemp("turned") / "run"
    ended = command(
        "run", "--images", images, "--latents", 8, "--k", 2, "--controls", "none", "--out", directory
    )
    assert ended.code == 0, ended.err
    labels = pd.read_csv(directory / "labels.csv", keep_default_na=False)
    for latent in labels[labels.reason == ""].latent:
        turned = command("intervene", directory, "--latent", latent, "--sigma", 0.05, "--readout", "classes",
                         "--classes", "labels")  # fmt: skip
        assert turned.code == 0 or "does not reach" in turned.err, turned.err
        if turned.code == 0:
            return directory, int(latent), turned
    raise AssertionError("no latent reaches σ")


def test_measurements_and_classes_of_the_nearest_crops_are_told(made):
    directory, latent, turned = made
    folder = directory / "interventions" / f"latent-{latent}"
    assert "images up:" in turned.out and "classes up:" in turned.out
    tables = {p.stem: pd.read_csv(p) for p in folder.glob("*.csv")}
    assert {"images", "classes", "summary", "output_weights"} <= set(tables) and "genes" not in tables
    assert set(tables["classes"].output) == {"zeta-disk", "zeta-ring", "zeta-stripes", "zeta-dim"}
    assert tables["images"].output.str.contains("_").all() and tables["images"].change_sd.notna().all()
    assert b"nearest real crops look like" in (folder / "index.html").read_bytes()


def test_readings_are_kernel_means_over_crops_of_other_photos(made):
    """By hand: Gaussian weights over all explain crops within the nearest 100."""
    directory, latent, turned = made
    prepared = Prepared(make_config({"out": directory}, stored=read_record(directory)["config"]))
    prepared.cache = directory / "cache"
    corpus, explain = prepared.corpus, prepared.split.rows("explain")
    bench, _ = workbench(prepared, Asked(latent, readout="classes", classes="labels"))
    for items in (bench.develop, bench.test):
        assert not set(corpus.groups[items.rows]) & set(corpus.groups[explain])
    width = float(re.search(r"images: .*kernel of width ([\d.e+-]+)", turned.err + turned.out).group(1))
    x, y = corpus.embeddings[explain].astype(float), corpus.features(explain).toarray()
    distance = np.linalg.norm(corpus.embeddings[bench.test.rows].astype(float)[:, None] - x, axis=2)
    weight = np.where(distance <= np.sort(distance, 1)[:, [99]], np.exp(-(distance**2) / (2 * width**2)), 0)
    by_hand = ((weight / weight.sum(1, keepdims=True)) @ y).mean(0)
    told = (
        pd.read_csv(directory / "interventions" / f"latent-{latent}" / "images.csv")
        .set_index("output")
        .before
    )
    expected = pd.Series(by_hand, corpus.feature_names)[told.index]
    assert np.allclose(told, expected, atol=0.01)  # the width is told in three digits


class Grouped:
    noun = "image crop"
    groups = np.array(["a", "a", "b", "c", "", "b"])


def test_only_crops_of_groups_without_explain_crops_are_edited():
    assert apart(Grouped(), np.array([0]), np.array([1, 2, 3, 4, 5])).tolist() == [2, 3, 5]
    with pytest.raises(Exception, match="its own group"):
        apart(Grouped(), np.array([0, 2]), np.array([1, 4, 5]))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--readout", "genes"), "--readout classes --classes COLUMN"),
        (("--readout", "classes", "--classes", "labels", "--decoder", "a:b"), "--decoder is of genes"),
        (("--readout", "classes", "--classes", "labels", "--perturbation", "labels"), "--perturbation is of"),
    ],
)
def test_what_reads_genes_is_refused(made, options, why):
    ended = command("intervene", made[0], "--latent", made[1], *options)
    assert ended.code == 2 and len(ended.lines) == 1 and why in ended.err, ended.err


@pytest.mark.parametrize("scorer", ["match", "2afc", "direction", "gain:genes:0.3"])
def test_scorers_that_read_genes_are_refused(images, tmp_path, scorer):
    ended = command("run", "--images", images, "--scorers", scorer, "--out", tmp_path / "run")
    assert ended.code == 2 and len(ended.lines) == 1 and "genes" in ended.err, ended.err
