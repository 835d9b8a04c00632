"""Do image crops go through every stage, and does a model see the right ones?"""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import autointerp as ai
from tests.corpus.tiny_vit import save_tiny_vit
from tests.llm.tiny_llama import save_tiny_llama
from tests.run.conftest import TABLES, Ended, command, tables
from tests.run.small_images import KINDS, planted_activations, write_images
from tests.scripted_server import Recorded, ScriptedServer, say_json

SMALL = ("--dictionary", "random", "--latents", "8", "--k", "2")  # nothing to train: quick
SHIFT = re.compile(r"^- (\S+): ([+-]\d+\.\d+)", re.MULTILINE)
TITLE = re.compile(r"<title>\n(\S+) high\n</title>")
PANEL = re.compile(r"^panel: (\S+) (-?\d+\.\d+)", re.MULTILINE)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("data") / "crops.npz")


def texts_and_pictures(body) -> tuple[str, list[bytes]]:
    content = body["messages"][0]["content"]
    if isinstance(content, str):
        return content, []
    said = "".join(part["text"] for part in content if part["type"] == "text")
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    return said, [base64.b64decode(url.removeprefix("data:image/png;base64,"), validate=True) for url in urls]


def microscopist(body, n: int = 0):
    """Names the measurement that shifts most; judges by its panel value, if it has as many pictures as items."""
    said, pictures = texts_and_pictures(body)
    assert all(Image.open(io.BytesIO(p)).size[0] >= 96 for p in pictures)
    if "<title>" not in said:
        name, _ = max(SHIFT.findall(said), key=lambda f: float(f[1]), default=("", "0"))
        reply = {"reasoning": "", "title": f"{name} high", "description": f"Crops with high {name}.",
                 "kind": "morphology", "confidence": 0.7, "abstained": not name,
                 "key_features": [{"name": name, "direction": "up"}] if name else []}  # fmt: skip
        return say_json(reply)
    values = [float(value) for _, value in PANEL.findall(said)]
    assert len(values) == len(pictures)
    chance = [100 / (1 + np.exp(-v)) for v in values]
    return say_json({"answers": [{"item": i + 1, "probability": p} for i, p in enumerate(chance)]})


@pytest.fixture(scope="module")
def seen(images, tmp_path_factory) -> tuple[Ended, list[Recorded], object, object]:
    folder = tmp_path_factory.mktemp("seen")
    vit = save_tiny_vit(folder / "vit")
    with ScriptedServer(microscopist) as server:
        ended = command(
            "run", "--images", images, "--embedder", f"hf:{vit}", *SMALL, "--model", "openai/x", "--base-url",
            server.url, "--endpoint-name", "scripted", "--max-latents", 4, "--scorers", "detection",
            "--controls", "none", "--out", folder / "run",
        )  # fmt: skip
        assert server.failure is None
        return ended, list(server.requests), folder / "run", vit


def test_a_vision_run_ends_in_a_report(seen):
    ended, requests, directory, _ = seen
    assert ended.code == 0, ended.err
    assert (directory / "report" / "index.html").exists()
    labels = pd.read_csv(directory / "labels.csv", keep_default_na=False)
    assert (labels.reason == "").sum() >= 2
    assert {"label", "judge"} <= {
        "judge" if "<title>" in texts_and_pictures(r.body)[0] else "label" for r in requests
    }


def test_the_judge_received_the_pictures_of_the_items_that_it_judged(seen, images):
    """In order: a request's pictures, decoded, are those of one prompt's trials, each of its own item."""
    _, requests, directory, _ = seen
    with np.load(images) as arrays:
        crops = arrays["images"]
    enlarged = np.kron(crops, np.ones((1, 8, 8, 1), np.uint8))  # 12 pixels are shown as 96, at 0–255
    item_of = {crop.tobytes(): str(i) for i, crop in enumerate(enlarged)}
    assert len(item_of) == len(crops)  # all differ
    trials = pd.read_parquet(directory / "trials.parquet")
    trials = trials.astype({"prompt": str, "item_id": str})
    asked = {tuple(part.item_id) for _, part in trials.groupby("prompt", sort=False)}
    got = set()
    for request in requests:
        said, pictures = texts_and_pictures(request.body)
        if "<title>" in said:
            got.add(tuple(item_of[pixels_of(p)] for p in pictures))
            assert 1 <= len(pictures) <= 10
    assert got == asked


def pixels_of(png: bytes) -> bytes:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).tobytes()


def test_label_writers_see_active_crops_and_no_metadata(seen):
    _, requests, _, _ = seen
    writers = [r for r in requests if "<title>" not in texts_and_pictures(r.body)[0]]
    assert writers
    for request in requests:
        said, _ = texts_and_pictures(request.body)
        assert not any(word in said for word in (*KINDS, "secret_photo", "crops.npz"))
        assert "expressed" not in said and "log-normalized" not in said
    assert all(len(texts_and_pictures(r.body)[1]) >= 3 for r in writers)


def test_morphology_is_the_default_and_a_rerun_is_the_same(images, tmp_path):
    np.savez(tmp_path / "planted.npz", activations=planted_activations().astype(np.float32))
    one, two = tmp_path / "one", tmp_path / "two"
    for directory in (one, two):
        ended = command(
            "run", "--images", images, "--activations", tmp_path / "planted.npz", "--out", directory
        )
        assert ended.code == 0, ended.err
    assert tables(one) == tables(two)
    assert set(TABLES) <= {p.name for p in one.iterdir()}
    record = json.loads((one / "run.json").read_text())
    assert record["config"]["embedding"] == record["config"]["embedder"] == "morphology"
    assert any(note.startswith("Display: Channel1 0–255") for note in record["notes"])
    assert any("'source_image'" in note for note in record["notes"])
    scores = pd.read_csv(one / "scores.csv")
    assert (scores.split_mode == "group").all()
    random = scores.query("scorer == 'detection' and metric == 'auroc' and negatives == 'random'")
    assert (random[random.explainer == "markers"].value > 0.9).all()  # four drawn kinds, one a latent


def test_bad_rows_are_refused_or_left_out_of_a_run(images, tmp_path):
    values = dict(np.load(images))
    pixels = values["images"].astype(np.float32)
    pixels[5, 0, 0, 0] = np.nan
    np.savez(tmp_path / "bad.npz", **{**values, "images": pixels / 255})
    np.savez(tmp_path / "planted.npz", activations=planted_activations()[np.arange(200) != 5])
    brought = ("--activations", tmp_path / "planted.npz")  # nothing to fit: quick
    options = ("--images", tmp_path / "bad.npz", *brought, "--out", tmp_path / "run")
    refused = command("fit", *options)
    assert refused.code == 2
    assert len(refused.lines) == 1 and "row 6 (images of bad.npz): holds NaN" in refused.err
    fitted = command("fit", "--skip-bad", *options)
    assert fitted.code == 0, fitted.err
    assert "1 of 200 images cannot be used" in fitted.err
    listed = pd.read_csv(tmp_path / "run" / "skipped.csv")
    assert listed.to_dict("records") == [
        {"row": 6, "file": "images of bad.npz", "why": "holds NaN or infinite values"}
    ]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--data", "x.h5ad"), "two sources"),
        (("--layer", "counts"), "of a cell matrix"),
        (("--embedding", "X_pca"), "the embedding of images is --embedder's"),
        (("--channels", "DNA,ER"), "names 2 channels"),
        (("--embedder", "hf:nowhere"), "no such folder"),
        (("--embedder", "X_nothing"), "No embedder"),
        (("--group", "plate"), "obs has no column 'plate'"),
        (("--gene-sets", "x.gmt"), "of genes"),
        (("--scorers", "match"), "reads genes"),
    ],
)
def test_what_makes_no_sense_of_images_is_refused_in_one_line(images, tmp_path, options, why):
    ended = command("run", "--images", images, *options, "--out", tmp_path / "run")
    assert ended.code == 2
    assert len(ended.lines) == 1 and why in ended.err, ended.err


@pytest.mark.slow
def test_edits_of_images_are_read_by_classes_alone(images, tmp_path):
    fitted = ("--images", images, *SMALL, "--category", "labels", "--scorers", "match:classes:0.1")
    ended = command("run", *fitted, "--controls", "none", "--max-latents", 2, "--out", tmp_path / "run")
    assert ended.code == 0, ended.err
    assert set(pd.read_csv(tmp_path / "run" / "scores.csv").scorer) == {"match:classes:0.1"}
    refused = command("intervene", tmp_path / "run", "--latent", 0)
    assert refused.code == 2 and "--readout classes" in refused.err


def test_a_model_that_sees_nothing_is_refused(images, tmp_path):
    model = save_tiny_llama(tmp_path / "llama")
    ended = command("run", "--images", images, "--model", f"hf:{model}", "--out", tmp_path / "run")
    assert ended.code == 2
    assert "see no images" in ended.err and not (tmp_path / "run" / "cache").exists()


def test_images_from_python(images, tmp_path):
    run = ai.start(images=images, channels="red,green,blue", out=tmp_path / "run")
    assert run.prepared.corpus.channels == ("red", "green", "blue")
    assert "Intensity_MeanIntensity_red" in run.prepared.corpus.feature_names
    with pytest.raises(ai.UserError, match="--data"):
        ai.start(out=tmp_path / "none")


def test_options_of_images_need_images(cells):
    ended = command("run", "--data", cells, "--crop-size", 32)
    assert ended.code == 2 and "--crop-size is of images" in ended.err
