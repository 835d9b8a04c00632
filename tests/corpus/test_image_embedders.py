"""Is an embedding what the model itself would give? Against transformers; what is none is refused."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from autointerp.corpus.image_embedders import VisionModel, brought, embedded, load_callable
from autointerp.errors import UserError
from tests.corpus.tiny_vit import MEAN, PATCH, SD, SIDE, WIDTH, save_tiny_vit

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
N_PATCHES = (SIDE // PATCH) ** 2


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return save_tiny_vit(tmp_path_factory.mktemp("vit"))


def images(n: int = 3, side: int = SIDE, channels: int = 3) -> list[np.ndarray]:
    return list(np.random.default_rng(0).random((n, side, side, channels)).astype(np.float32))


def by_hand(folder, batch, model_class) -> np.ndarray:
    """(n, tokens, d) of transformers' own class on images of the model's own size."""
    model = model_class.from_pretrained(folder).eval()
    x = torch.tensor((np.stack(batch) - np.array(MEAN)) / np.array(SD)).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        return model(x).last_hidden_state.numpy()


def test_embedding_is_the_mean_of_patch_tokens(vit):
    model, batch = VisionModel(str(vit)), images()
    tokens = by_hand(vit, batch, transformers.ViTModel)[:, 1:]  # without the class token
    np.testing.assert_allclose(model.tokens(batch), tokens, atol=1e-5)
    np.testing.assert_allclose(model.embed(batch), tokens.mean(1), atol=1e-5)
    assert tokens.shape == (3, N_PATCHES, WIDTH) and model.side == SIDE and model.width == WIDTH


def test_register_tokens_are_no_patches(tmp_path):
    folder = save_tiny_vit(tmp_path / "m", "dinov2")
    tokens = by_hand(folder, images(), transformers.Dinov2WithRegistersModel)
    assert tokens.shape[1] == 1 + 3 + N_PATCHES
    np.testing.assert_allclose(VisionModel(str(folder)).tokens(images()), tokens[:, 4:], atol=1e-5)


def test_other_numbers_of_channels_are_seen_one_by_one(vit):
    model = VisionModel(str(vit))
    batch = images(channels=5)
    found = model.embed(batch)
    assert found.shape == (3, 5 * WIDTH)
    gray = [np.repeat(image[:, :, 2:3], 3, axis=2) for image in batch]
    np.testing.assert_allclose(found[:, 2 * WIDTH : 3 * WIDTH], model.embed(gray), atol=1e-5)


def test_images_of_any_size_are_resized(vit):
    model = VisionModel(str(vit))
    flat = [np.full((20, 50, 3), 0.5, np.float32), np.full((SIDE, SIDE, 3), 0.5, np.float32)]
    np.testing.assert_allclose(*model.embed(flat), atol=1e-4)


def test_a_pickle_is_never_loaded(vit, tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_text((vit / "config.json").read_text())
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="as a pickle"):
        VisionModel(str(folder))
    with pytest.raises(UserError, match="no such folder"):
        VisionModel(str(tmp_path / "none"))


def test_a_language_model_sees_nothing(tmp_path):
    from tests.llm.tiny_llama import save_tiny_llama

    with pytest.raises(UserError, match="no vision model"):
        VisionModel(str(save_tiny_llama(tmp_path)))


def test_a_users_callable(monkeypatch):
    module = types.ModuleType("mine")
    module.means = lambda batch: np.stack([image.mean((0, 1)) for image in batch])
    module.bad = lambda batch: np.zeros(3)
    module.nan = lambda batch: np.full((len(batch), 2), np.nan)
    monkeypatch.setitem(sys.modules, "mine", module)
    batch = images(70)
    told = []
    found = embedded(
        batch.__getitem__, 70, load_callable("mine:means"), lambda i, n: told.append(i), "mine:means"
    )
    np.testing.assert_allclose(found, [image.mean((0, 1)) for image in batch])
    assert told == [32, 64, 70]
    for name, why in (("bad", "must return numbers"), ("nan", "returned NaN")):
        with pytest.raises(UserError, match=why):
            embedded(batch.__getitem__, 70, load_callable(f"mine:{name}"), lambda i, n: None, name)
    with pytest.raises(UserError, match="PYTHONPATH"):
        load_callable("mine:none")


def test_arrays_computed_before(tmp_path):
    values = np.arange(12.0).reshape(6, 2)
    np.save(tmp_path / "x.npy", values)
    np.savez(tmp_path / "x.npz", features=values)
    rows = np.array([1, 3, 6])  # three of six rows were left out
    for spec in (str(tmp_path / "x.npy"), str(tmp_path / "x.npz")):
        np.testing.assert_array_equal(brought(spec, {}, rows, 6), values[[0, 2, 5]])
    np.testing.assert_array_equal(brought("X_emb", {"X_emb": values[:3]}, rows, 6), values[:3])
    with pytest.raises(UserError, match="there are 3 images"):
        brought(str(tmp_path / "x.npy"), {}, rows, 7)
    with pytest.raises(UserError, match="No embedder 'X_umbap'"):
        brought("X_umbap", {}, rows, 6)
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="array of numbers"):
        brought(str(tmp_path / "x.npy"), {}, rows, 6)
