"""Do cards show the crops of their own latent, in a page of bounded size that stays safe?"""

from __future__ import annotations

import base64
import io
import json

import anndata as ad
import numpy as np
import pytest
from PIL import Image

from autointerp.config import make_config
from autointerp.results.report import render_report
from autointerp.results.sheets import MOST_BYTES, chosen_rows, sheets_of
from autointerp.run import Run
from autointerp.schema import Examples
from tests.results.pbmc_payload import pbmc_payload
from tests.results.test_report import HOSTILE, Page
from tests.run.small_images import planted_activations, small_images, write_images


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheets")
    images = write_images(folder / "crops.npz")
    np.savez(folder / "planted.npz", activations=planted_activations().astype(np.float32))
    run = Run(make_config({"images": images, "activations": str(folder / "planted.npz"), "pixel_um": 0.5,
                           "controls": (), "out": folder / "run"}))  # fmt: skip
    return run, run.report()


def tiles(entry: dict, scale: int) -> list[bytes]:
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(entry["png"]))))
    wide = 12 * scale
    return [
        found[:wide:scale, left : left + wide : scale].tobytes()
        for left in range(0, found.shape[1], wide + 2)
    ]


def test_sheets_hold_the_crops_that_they_name(made):
    run, path = made
    page = Page(path.read_text())
    crops, _, _ = small_images()
    split = run.prepared.split
    values = run.prepared.activations.csr.toarray()
    for latent in run.prepared.chosen:
        entries = json.loads(page.scripts[f"sheet-data-{latent}"])
        assert {e["split"] for e in entries} == {"explain", "test"}
        for entry in entries:
            rows = [int(i) for i in entry["ids"]]
            assert tiles(entry, 5) == [crops[row].tobytes() for row in rows]  # 12 pixels are shown as 60
            assert entry["bar_um"] == 5 and entry["panels"] == ["color"]
            assert set(rows) <= set(split.rows(entry["split"]).tolist())
            active = entry["caption"].startswith("active")
            assert all((values[row, latent] > 0) == active for row in rows)
            if active:
                assert len(rows) == 10 and (np.diff(values[rows, latent]) <= 0).all()
        captions = [e["caption"] for e in entries if e["split"] == "test"]
        assert {"silent: random", "silent: neighbour"} <= set(captions)


def test_the_page_allows_pictures_of_its_own_alone(made):
    _, path = made
    page = Page(path.read_text())
    policy = next(a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv"))
    assert "img-src data:;" in policy and "default-src 'none'" in policy
    assert not [a for t, a in page.tags if t == "img"]  # made when a card is opened, from checked base64


def test_latents_of_an_image_run_are_written_as_those_of_cells(made):
    run, path = made
    stored = ad.read_h5ad(path.parent.parent / "latents.h5ad")
    assert stored.X.shape == (200, 4) and (run.prepared.activations.csr != stored.X).nnz == 0
    assert stored.obs.labels.tolist() == small_images()[1].tolist()
    assert set(stored.var.title) == {label.title for label in run.labels.outcomes.values()}
    assert stored.var.auroc_random.gt(0.9).all()


def test_pictures_are_bounded(made):
    run, path = made
    prepared = run.prepared
    all_of = sheets_of(prepared.corpus, prepared.example_sets, prepared.chosen)
    size = {latent: sum(len(e["png"]) * 3 // 4 for e in entries) for latent, entries in all_of.items()}
    assert sum(size.values()) <= MOST_BYTES and path.stat().st_size < 2_000_000
    bound = sum(size.values()) // 3
    fewer = sheets_of(prepared.corpus, prepared.example_sets, prepared.chosen, most_bytes=bound)
    assert 0 < sum(len(e["png"]) * 3 // 4 for entries in fewer.values() for e in entries) <= bound
    none = sheets_of(prepared.corpus, prepared.example_sets, prepared.chosen, most_bytes=10)
    assert none == {}


def test_hostile_ids_stay_data():
    payload = pbmc_payload(2)
    latent = payload["latents"][0]["latent"]
    payload["sheets"] = {latent: [{"split": HOSTILE, "seen": HOSTILE, "caption": HOSTILE, "ids": [HOSTILE],
                                   "panels": [HOSTILE], "bar_um": None, "png": HOSTILE}]}  # fmt: skip
    page = Page(render_report(payload).decode())
    assert json.loads(page.scripts[f"sheet-data-{latent}"])[0]["ids"] == [HOSTILE]
    assert not [t for t, _ in page.tags if t == "img"]


def test_rows_are_spread_over_quantiles_and_of_one_kind():
    active = np.linspace(0.1, 1, 40).astype(np.float32)
    values = np.concatenate([active, np.zeros(8, np.float32)])
    kinds = np.array(["positive"] * 40 + ["random"] * 5 + ["neighbour"] * 3)
    examples = Examples(np.arange(48), values, kinds, np.array([*np.repeat(np.arange(5), 8), *[-1] * 8]))
    (_, strong), (one, random), (two, near) = chosen_rows(examples, 10, 4)
    assert strong[0] == 39 and strong[-1] == 0 and len(strong) == 10
    assert set(examples.strata[strong].tolist()) == {0, 1, 2, 3, 4}
    assert (one, random, two, near) == ("silent: random", [40, 41, 42, 43], "silent: neighbour", [45, 46, 47])
