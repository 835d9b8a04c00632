"""Is an image corpus what its source says? Every kind of source, its channels, groups, gray levels and z-scores."""

from __future__ import annotations

import io

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from autointerp.corpus import morphology
from autointerp.corpus.image_sources import open_images
from autointerp.corpus.images import ImageCorpus
from autointerp.errors import UserError
from tests.corpus.hostile_images import good, pixels

CHANNELS = ("DNA", "ER", "RNA")


def blobs(n: int = 24, side: int = 20, dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    """(n, side, side, 3): a disk of changing size and brightness in each channel."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((side, side)) - side / 2
    radius = rng.uniform(3, 7, (n, 1, 1, 3))
    drawn = (np.hypot(y, x)[None, :, :, None] < radius) * rng.uniform(0.3, 1, (n, 1, 1, 3))
    greatest = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    return ((0.05 + 0.6 * drawn + 0.02 * rng.random((n, side, side, 3))) * greatest).astype(dtype)


def fitted(source, explain=None, **options) -> ImageCorpus:
    corpus = ImageCorpus(source, **options)
    corpus.measure(source.parent / "cache", lambda *_: None)
    corpus.fit_on(np.arange(len(corpus)) if explain is None else explain)
    return corpus


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "x.npz"
    plates = np.repeat(["p1", "p2"], 12)
    np.savez(
        path,
        images=blobs(),
        channels=CHANNELS,
        ids=[f"c{i}" for i in range(24)],
        labels=plates,
        groups=plates,
    )
    return path


def test_features_are_z_scores_of_explain(npz):
    explain = np.arange(0, 24, 2)
    corpus = fitted(npz, explain)
    raw = np.array([morphology.measure(image) for image in blobs()])
    name = "Intensity_MeanIntensity_ER"
    column = corpus.feature_index[name]
    expected = (raw[:, column] - raw[explain, column].mean()) / raw[explain, column].std()
    np.testing.assert_allclose(
        corpus.features(np.arange(24))[:, [column]].toarray().ravel(), expected, rtol=1e-4
    )
    assert corpus.panel(np.array([3]), [name, "GENE"])[0][0] == (name, pytest.approx(expected[3], abs=0.01))
    mean, sd = corpus.feature_moments()
    assert abs(mean[column]) < 1e-5 and sd[column] == pytest.approx(1, abs=1e-4)
    assert (
        corpus.embeddings.shape == (24, len(corpus.feature_names)) and np.abs(corpus.embeddings).max() <= 10
    )


def test_what_is_undefined_is_average_and_often_undefined_is_not_contrasted(tmp_path):
    images = blobs()
    images[:2, :, :, 1] = 7  # constant: no correlation, no texture
    images[:, :, :, 2] = 9
    np.savez(tmp_path / "x.npz", images=images, channels=CHANNELS)
    corpus = fitted(tmp_path / "x.npz")
    some, all_ = (corpus.feature_index[f"Correlation_Correlation_{pair}"] for pair in ("DNA_ER", "DNA_RNA"))
    z = corpus.features(np.arange(24)).toarray()
    assert (z[:2, some] == 0).all() and z[2:, some].std() == pytest.approx(1, abs=1e-4)
    assert corpus.eligible[some] and not corpus.eligible[all_]
    assert any("do not vary or are often undefined" in note for note in corpus.notes)


def test_ids_groups_channels_and_withheld_labels(npz):
    corpus = ImageCorpus(npz, control="labels=p2", category="labels")
    assert corpus.ids[5] == "c5" and corpus.channels == CHANNELS
    assert corpus.is_control.sum() == 12
    assert set(corpus.groups) == {"p1", ""}  # controls belong to no group
    assert corpus.categories.tolist()[:2] == ["p1", "p1"]
    assert corpus.noun == "image crop" and corpus.feature_noun == "measurement"
    with pytest.raises(UserError, match="names 2 channels"):
        ImageCorpus(npz, channels=["a", "b"])


def test_cards_name_what_is_unusual_and_leave_out_what_is_withheld(npz):
    corpus = fitted(npz)
    card = corpus.render(np.array([0]))[0].text
    first, z = card.splitlines()[0], corpus.features(np.array([0])).toarray()[0]
    told = [line.partition(":")[0] for line in card.splitlines()]
    largest = np.argsort(-np.abs(np.where(corpus.eligible, z, 0)))[0]
    assert told[0] == corpus.feature_names[largest]
    assert f"({z[largest]:+.1f} sd, " in first
    shown = np.array([corpus.feature_index[name] for name in told])
    r = np.corrcoef(corpus.features(np.arange(24)).toarray()[:, shown], rowvar=False)
    assert np.abs(r - np.eye(len(r))).max() <= 0.91
    corpus.withhold(np.isin(np.arange(len(z)), largest))
    assert told[0] not in corpus.render(np.array([0]))[0].text and not corpus.eligible[largest]
    marked = corpus.markable(np.array([0]))[0]
    assert marked and all(part.level > 0 for part in marked)
    assert f"«{marked[0].name}»" in corpus.render(np.array([0]), [[marked[0].name]])[0].text


def test_gray_levels_are_one_scale_for_all_or_for_a_plate(npz):
    corpus = fitted(npz)
    low, high = np.quantile(blobs().reshape(-1, 3), (0.001, 0.999), axis=0)
    np.testing.assert_allclose(corpus.scaled(4), ((blobs()[4] - low) / (high - low)).clip(0, 1), atol=1e-5)
    assert sum(note.startswith("Display: DNA ") for note in corpus.notes) == 1
    by_plate = fitted(npz, display_by="labels")
    assert sum(note.startswith("Display of p") for note in by_plate.notes) == 2
    low, high = np.quantile(blobs()[12:].reshape(-1, 3), (0.001, 0.999), axis=0)
    np.testing.assert_allclose(
        by_plate.scaled(20), ((blobs()[20] - low) / (high - low)).clip(0, 1), atol=1e-5
    )
    picture = Image.open(io.BytesIO(corpus.render(np.array([4]))[0].images[0]))
    assert picture.size[1] == 100 and picture.size[0] > 4 * 100  # all channels together, then each


def test_eight_bits_are_shown_as_they_are(tmp_path):
    np.savez(tmp_path / "x.npz", images=blobs(dtype="uint8"))
    corpus = fitted(tmp_path / "x.npz")
    assert corpus.channels == ("Channel1", "Channel2", "Channel3")
    picture = np.asarray(Image.open(io.BytesIO(corpus.picture(3))))
    np.testing.assert_array_equal(picture, np.kron(blobs(dtype="uint8")[3], np.ones((5, 5, 1), np.uint8)))


def test_morphology_is_measured_once(npz):
    first = fitted(npz)
    again = ImageCorpus(npz)
    again.measure(npz.parent / "cache", lambda *_: pytest.fail("measured again"))
    again.fit_on(np.arange(24))
    np.testing.assert_array_equal(first.embeddings, again.embeddings)
    other = blobs()
    other[0, 0, 0, 0] += 1
    np.savez(npz, images=other, channels=CHANNELS)
    assert ImageCorpus(npz).fingerprint() != first.fingerprint()


def test_a_folder_of_pngs(tmp_path):
    for i, name in enumerate(("a/one.png", "a/two.png", "b/three.png")):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        good(tmp_path / "f" / name, i)
    corpus = ImageCorpus(tmp_path / "f", group="folder")
    assert corpus.ids.tolist() == ["a/one.png", "a/two.png", "b/three.png"]
    assert corpus.groups.tolist() == ["a", "a", "b"] and corpus.channels == ("red", "green", "blue")


def test_crops_of_an_ome_tiff_by_their_centers(tmp_path):
    planes = np.random.default_rng(0).integers(0, 60000, (3, 90, 120), dtype=np.uint16)
    said = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}}
    tifffile.imwrite(
        tmp_path / "p.ome.tif", planes, photometric="minisblack", ome=True, metadata=said, tile=(32, 32)
    )
    table = pd.DataFrame(
        {"path": "p.ome.tif", "x": [50, 2, 110], "y": [40, 3, 80], "Metadata_Well": ["A1", "A1", "B2"]}
    )
    table.to_parquet(tmp_path / "crops.parquet")
    with pytest.raises(UserError, match="--crop-size"):
        ImageCorpus(tmp_path / "crops.parquet")
    corpus = ImageCorpus(tmp_path / "crops.parquet", crop_size=16, group="Metadata_Well")
    assert corpus.channels == CHANNELS and corpus.groups.tolist() == ["A1", "A1", "B2"]
    read = open_images(tmp_path / "crops.parquet", crop_size=16).read
    np.testing.assert_array_equal(read(0), planes[:, 32:48, 42:58].transpose(1, 2, 0))
    padded = np.pad(planes, ((0, 0), (8, 8), (8, 8)))[:, 3 : 3 + 16, 2 : 2 + 16].transpose(1, 2, 0)
    np.testing.assert_array_equal(read(1), padded)
    assert any(note.startswith("1 crops reach over the border") for note in corpus.notes)


def test_one_file_a_channel_and_masks(tmp_path):
    for channel in ("DNA", "ER"):
        Image.fromarray(pixels(1, 1)[:, :, 0]).save(tmp_path / f"{channel}.png")
    mask = np.zeros((12, 12), np.uint8)
    mask[2:5, 3:9], mask[7:9, 7:9] = 1, 2
    Image.fromarray(mask).save(tmp_path / "mask.png")
    rows = {
        "FileName_DNA": "DNA.png",
        "FileName_ER": "ER.png",
        "mask": "mask.png",
        "object": [1, 2],
        "id": ["a", "b"],
    }
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    corpus = fitted(tmp_path / "t.csv")
    assert corpus.channels == ("DNA", "ER")
    area = corpus.feature_index["AreaShape_Area"]
    assert corpus._raw[:, area].tolist() == [18, 4]


def test_profiles_without_pixels(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(5, 2, (30, 4)), columns=[f"Cells_AreaShape_{i}" for i in "ABCD"])
    frame.insert(0, "Metadata_Plate", np.repeat(["x", "y", "z"], 10))
    frame.insert(1, "Metadata_Well", [f"A{i}" for i in range(30)])
    frame.loc[3, "Cells_AreaShape_B"] = np.nan
    frame.to_csv(tmp_path / "p.csv.gz", index=False)
    corpus = fitted(tmp_path / "p.csv.gz")
    assert corpus.noun == "image profile" and corpus.ids[0] == "x/A0"
    assert corpus.feature_names.tolist() == [f"Cells_AreaShape_{i}" for i in "ABCD"]
    assert corpus.features(np.array([3])).toarray()[0, 1] == 0
    assert any("1 values are missing" in note for note in corpus.notes)
    assert corpus.render(np.array([0]))[0].images == () and corpus.covariates() == {}
    assert set(corpus.groups) == {"x", "y", "z"}
    with pytest.raises(UserError, match="no pixels"):
        ImageCorpus(tmp_path / "p.csv.gz", embedder="numpy:mean")


def test_an_anndata_whose_obs_points_to_images(tmp_path):
    for i in range(3):
        good(tmp_path / f"{i}.png", i)
    obs = pd.DataFrame({"path": [f"{i}.png" for i in range(3)], "drug": list("aab")}, index=["u", "v", "w"])
    adata = ad.AnnData(obs=obs, obsm={"X_emb": np.arange(6.0).reshape(3, 2)})
    adata.write_h5ad(tmp_path / "x.h5ad")
    corpus = fitted(tmp_path / "x.h5ad", embedder="X_emb", group="drug")
    assert corpus.ids.tolist() == ["u", "v", "w"] and corpus.embedded_outside
    np.testing.assert_array_equal(corpus.embeddings, adata.obsm["X_emb"])
    assert "AreaShape_Area" in corpus.feature_index


def test_deepprofiler_features(data_folder):
    corpus = ImageCorpus(data_folder / "deepprofiler_lincs_singlecell" / "A01_5.npz")
    assert len(corpus) == 158 and len(corpus.feature_names) == 6400
    assert corpus.obs["Metadata_Well"].unique().tolist() == ["A01"]
    assert any("pickle and is not read" in note for note in corpus.notes)
