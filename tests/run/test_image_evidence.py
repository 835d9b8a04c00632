"""Is a label writer sent pixels, measurements or both of image crops, as asked, and the judge both in any case?"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.run.conftest import command
from tests.run.small_images import KINDS, planted_activations, small_images, write_images
from tests.run.test_images import TITLE, microscopist, pixels_of, texts_and_pictures
from tests.scripted_server import ScriptedServer, say_json

MEASURED = ("AreaShape", "Intensity_", "Texture_", "RadialDistribution", " sd", "panel:")


def seeing(body, n: int = 0):
    """Names a kind by its pictures alone where no measurement is told, else as a microscopist does."""
    said, _ = texts_and_pictures(body)
    if "<title>" not in said and "AreaShape" not in said:
        reply = {"reasoning": "", "title": "bright disks", "description": "Crops with a bright disk.",
                 "kind": "morphology", "confidence": 0.7, "abstained": False,
                 "key_features": [{"name": "a disk", "direction": "up"}]}  # fmt: skip
        return say_json(reply)
    if "<title>" in said and not TITLE.search(said):
        n_items = len(texts_and_pictures(body)[1])
        return say_json({"answers": [{"item": i + 1, "probability": 50} for i in range(n_items)]})
    if "<title>" not in said:
        shift = next(word for word in said.split() if word.startswith("AreaShape"))
        reply = {"reasoning": "", "title": f"{shift.rstrip(':')} high", "description": "So.", "kind": "morphology",
                 "confidence": 0.7, "abstained": False, "key_features": []}  # fmt: skip
        return say_json(reply)
    return microscopist(body, n)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence")
    images = write_images(folder / "crops.npz")
    np.savez(folder / "planted.npz", activations=planted_activations().astype(np.float32))
    with ScriptedServer(seeing) as server:
        model = ("--model", "openai/x", "--base-url", server.url, "--endpoint-name", "scripted")
        options = ("--images", images, "--activations", folder / "planted.npz", *model, "--max-latents", 2,
                   "--scorers", "detection", "--controls", "none", "--out", folder / "run")  # fmt: skip
        first = command("run", "--explainer", "one_shot", "--image-evidence", "pixels", *options)
        assert first.code == 0, first.err
        by_pixels = list(server.requests)
        again = command(
            "label", folder / "run", "--explainer", "contrastive", "--image-evidence", "measurements"
        )
        assert again.code == 0, again.err
        assert server.failure is None
        return by_pixels, list(server.requests)[len(by_pixels) :], folder / "run"


def writers(requests):
    return [texts_and_pictures(r.body) for r in requests if "<title>" not in texts_and_pictures(r.body)[0]]


def test_pixels_are_sent_without_anything_measured(made):
    by_pixels, _, directory = made
    shown = {crop.tobytes() for crop in np.kron(small_images()[0], np.ones((1, 8, 8, 1), np.uint8))}
    assert len(writers(by_pixels)) == 2
    for said, pictures in writers(by_pixels):
        assert len(pictures) >= 10 and {pixels_of(p) for p in pictures} <= shown
        assert not [word for word in (*MEASURED, *KINDS) if word in said]
        assert "measurement" not in said.replace("is data from a measurement", "")
        assert "strength 10 of 10" in said and "visible features to look for" in said
    labels = pd.read_csv(directory / "labels.csv", keep_default_na=False).query("explainer == 'one_shot'")
    assert set(labels[labels.title != ""].title) == {"bright disks"}


def test_measurements_are_sent_without_pictures_and_the_first_labels_stay(made):
    _, by_measurements, directory = made
    assert len(writers(by_measurements)) == len(by_measurements) == 2
    for said, pictures in writers(by_measurements):
        assert pictures == [] and "panel:" in said and " sd," in said
    labels = pd.read_csv(directory / "labels.csv", keep_default_na=False)
    assert (labels.query("explainer == 'one_shot'").title == "bright disks").sum() == 2
    assert (labels.query("explainer == 'contrastive'").title != "").sum() == 2


def test_the_judge_sees_both_in_any_mode(made):
    by_pixels, _, _ = made
    judged = [texts_and_pictures(r.body) for r in by_pixels if "<title>" in texts_and_pictures(r.body)[0]]
    assert judged
    for said, pictures in judged:
        assert pictures and all(Image.open(io.BytesIO(p)).size == (96, 96) for p in pictures)
        assert said.count("</image crop>") == len(pictures) and " sd," in said


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--image-evidence", "pixel"), "Input should be 'both', 'pixels' or 'measurements'"),
        (
            (
                "--image-evidence",
                "pixels",
                "--explainer",
                "agent",
                "--model",
                "openai/x",
                "--base-url",
                "http://127.0.0.1:9",
            ),
            "the agent looks",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, options, why):
    images = write_images(tmp_path / "crops.npz")
    ended = command("run", "--images", images, *options, "--out", tmp_path / "run")
    assert ended.code == 2 and len(ended.lines) == 1
    assert why in ended.err, ended.err


def test_profiles_have_no_pixels(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60, 5)), columns=[f"Cells_AreaShape_{i}" for i in range(5)])
    table.insert(0, "Metadata_Plate", [f"p{i % 6}" for i in range(60)])
    table.to_csv(tmp_path / "profiles.csv", index=False)
    ended = command(
        "run", "--images", tmp_path / "profiles.csv", "--image-evidence", "pixels", "--out", tmp_path / "r"
    )
    assert ended.code == 2 and "have no pixels" in ended.err, ended.err


def test_cells_have_no_pixels_to_choose(cells):
    ended = command("run", "--data", cells, "--image-evidence", "pixels")
    assert ended.code == 2 and "--image-evidence is of images" in ended.err
