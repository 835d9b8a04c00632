"""Does fuzzing of a vision run show boxes where a latent's patches fire, and say so where it cannot?"""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import sae
from autointerp.corpus.image_embedders import VisionModel
from tests.corpus.tiny_vit import save_tiny_vit
from tests.results.test_report import Page
from tests.run.conftest import command
from tests.run.small_images import planted_activations, small_images, write_images
from tests.run.test_images import microscopist, texts_and_pictures
from tests.scripted_server import ScriptedServer, say_json


def judge(body, n: int = 0):
    said, pictures = texts_and_pictures(body)
    if "boxes drawn" not in said:
        return microscopist(body, n)
    assert "«" not in said and "boxed regions" in said
    share = [boxed(p).mean() for p in pictures]
    assert all(0 < one < 1 for one in share)
    return say_json({"answers": [{"item": i + 1, "probability": 100 * s} for i, s in enumerate(share)]})


def boxed(png: bytes) -> np.ndarray:
    """(4, 4) bool: which patches of a picture, in four by four, have an outline on all their corners."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert pixels.shape == (96, 96, 3)
    yellow = (pixels == (255, 255, 0)).all(axis=2).reshape(4, 24, 4, 24)
    return yellow[:, [0, 0, -1, -1], :, [0, -1, 0, -1]].all(axis=0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzing")
    images, vit = write_images(folder / "crops.npz"), save_tiny_vit(folder / "vit")
    with ScriptedServer(judge) as server:
        ended = command("run", "--images", images, "--embedder", f"hf:{vit}", "--latents", 8, "--k", 2, "--model",
                        "openai/x", "--base-url", server.url, "--endpoint-name", "scripted", "--max-latents", 3,
                        "--scorers", "fuzzing", "--controls", "none", "--out", folder / "run")  # fmt: skip
        assert ended.code == 0, ended.err
        assert server.failure is None
        return [texts_and_pictures(r.body) for r in server.requests], folder / "run", vit


def test_true_boxes_stand_on_patches_that_fire(made):
    """By another way: the tokens of all crops at once through the stored dictionary, as one dense matrix."""
    asked, directory, vit = made
    trials = (
        pd.read_parquet(directory / "trials.parquet")
        .query("scorer == 'fuzzing'")
        .astype({"item_id": str, "prompt": str})
    )
    assert {"positive", "matched"} <= set(trials.kind)
    (folder,) = {p.parent for p in (directory / "cache").glob("dictionary-*/config.json")}
    dictionary, crops = sae.load(folder), small_images()[0]
    tokens = VisionModel(str(vit)).tokens([crop.astype(np.float32) / 255 for crop in crops])
    codes = dictionary.encode(tokens.reshape(-1, tokens.shape[2]))
    dense = np.zeros((len(codes.indices), 8), np.float32)
    np.put_along_axis(dense, codes.indices, codes.values, axis=1)
    dense = dense.reshape(len(crops), 16, 8)
    of_prompt = {tuple(part.item_id): part for _, part in trials.groupby("prompt", sort=False)}
    seen = []
    for said, pictures in asked:
        if "boxes drawn" in said:
            part = of_prompt[tuple(item_of(picture) for picture in pictures)]
            seen.append(len(part))
            for picture, trial in zip(pictures, part.to_dict(orient="records"), strict=True):
                values = dense[int(trial["item_id"]), :, trial["latent"]].reshape(4, 4)[boxed(picture)]
                greatest = dense[int(trial["item_id"]), :, trial["latent"]].max()
                assert 2 <= len(values) <= 5
                if trial["kind"] == "positive":
                    assert (values >= 0.25 * greatest).all()
                else:
                    assert (values <= 0.05 * greatest).all()
    assert sum(seen) == len(trials)


def test_cards_show_heatmaps_of_held_out_crops(made):
    _, directory, _ = made
    page = Page((directory / "report" / "index.html").read_text())
    sheets = [json.loads(text) for name, text in page.scripts.items() if name.startswith("sheet-data-")]
    assert sheets
    for entries in sheets:
        (heat,) = [e for e in entries if e["panels"] == ["heat"]]
        (crops,) = [e for e in entries if e["split"] == "test" and e["caption"].startswith("active")]
        assert heat["ids"] == crops["ids"] and heat["split"] == "test"
        shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(e["png"])))) for e in (heat, crops)]
        assert shown[0].shape == shown[1].shape


def item_of(png: bytes) -> str:
    """The one crop whose pixels stand wherever no box is drawn."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[4::8, 4::8]  # amid the pixels of the crop
    (found,) = np.flatnonzero((small_images()[0] == pixels).all(axis=(1, 2, 3)))
    return str(found)


def test_without_patches_marks_stay_on_measurements_and_a_note_says_so(tmp_path):
    images = write_images(tmp_path / "crops.npz")
    np.savez(tmp_path / "planted.npz", activations=planted_activations().astype(np.float32))
    ended = command("run", "--images", images, "--activations", tmp_path / "planted.npz", "--max-latents", 2,
                    "--scorers", "fuzzing", "--controls", "none", "--out", tmp_path / "run")  # fmt: skip
    assert ended.code == 0, ended.err
    notes = json.loads((tmp_path / "run" / "run.json").read_text())["notes"]
    assert sum("not regions" in note for note in notes) == 1
