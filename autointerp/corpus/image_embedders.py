"""What turns a crop into an embedding? A vision model on this disk, a user's callable, or arrays computed before.

``morphology``, the measured features, is ``images``' own. A model sees each crop scaled as it is displayed; of three
channels at once, of any other number one by one, side by side in the embedding. The embedding is the mean of the patch
tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.errors import UserError, unknown_name
from autointerp.own_code import named_callable

BATCH = 32
Images = Sequence[np.ndarray]
Embed = Callable[[Images], np.ndarray]
Told = Callable[[int, int], None]


class VisionModel:
    """A transformers vision model with its weights as safetensors, from a folder or the hub's cache; nothing is fetched
    and no code of a checkpoint is run.

    fingerprint : of its files; side : pixels that images are resized to; width : of its tokens
    """

    def __init__(self, name: str, device: str | None = None):
        from autointerp.llm.checkpoint import find_checkpoint, missing_extra

        try:
            import torch
            import transformers
        except ImportError:
            raise missing_extra() from None
        found = find_checkpoint(name)
        self.fingerprint = found.fingerprint
        self._torch = torch
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            model: Any = transformers.AutoModel.from_pretrained(
                found.folder, use_safetensors=True, trust_remote_code=False, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            said = " ".join(str(error).split())[:160]
            raise UserError(f"hf:{name} cannot be loaded as a vision model ({said}).") from error
        config = getattr(model.config, "vision_config", model.config)
        if model.main_input_name != "pixel_values" or not hasattr(config, "hidden_size"):
            raise UserError(f"hf:{name} is no vision model: it reads {model.main_input_name}, no pixels.")
        self._model = model.to(self._device).eval().float()
        self.width = int(config.hidden_size)
        processor = _processor(found.folder)
        size = processor.get("crop_size") or processor.get("size") or getattr(config, "image_size", 224)
        self.side = int(_side(size))
        patch = getattr(config, "patch_size", None)
        self._grid = self.side // int(_side(patch)) if patch else None
        self._mean = torch.tensor(processor.get("image_mean", [0.5] * 3)).view(1, 3, 1, 1)
        self._sd = torch.tensor(processor.get("image_std", [0.5] * 3)).view(1, 3, 1, 1)

    def tokens(self, images: Images) -> np.ndarray:
        """Scaled images (h, w, c) in 0 … 1 -> patch tokens (b, p, c'·d), p in reading order, c' passes of the model."""
        torch = self._torch
        passes = [[0, 1, 2]] if images[0].shape[2] == 3 else [[i] * 3 for i in range(images[0].shape[2])]
        resized = torch.cat([self._resized(image) for image in images])  # (b, c, s, s)
        made = []
        with torch.inference_mode():
            for channels in passes:
                x = (resized[:, channels] - self._mean) / self._sd
                out = self._model(pixel_values=x.to(self._device)).last_hidden_state
                if out.ndim == 4:  # a convolutional network: (b, d, rows, columns)
                    out = out.flatten(2).transpose(1, 2)
                elif self._grid is not None:
                    out = out[:, -(self._grid**2) :]  # without class and register tokens, which come first
                made.append(out.float().cpu().numpy())
        return np.concatenate(made, axis=2)

    def embed(self, images: Images) -> np.ndarray:
        """(b, c'·d) mean of the patch tokens."""
        return self.tokens(images).mean(1)

    def _resized(self, image: np.ndarray) -> Any:
        x = self._torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
        return self._torch.nn.functional.interpolate(
            x, size=(self.side, self.side), mode="bilinear", antialias=True, align_corners=False
        )


def _processor(folder: Path) -> dict[str, Any]:
    path = folder / "preprocessor_config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _side(size: Any) -> int:
    if isinstance(size, dict):
        return size.get("height") or size.get("shortest_edge") or 224
    return size[0] if isinstance(size, list | tuple) else size


def load_callable(spec: str) -> Embed:
    """The callable that ``module:callable`` names: a list of scaled images (h, w, c) float32 in 0 … 1 -> (b, d).

    Raises
    ------
    UserError
        Where there is no such module or callable.
    """
    made: Embed = named_callable("--embedder", spec, "(images) -> array")
    return made


def embedded(read: Callable[[int], np.ndarray], n: int, embed: Embed, told: Told, spec: str) -> np.ndarray:
    """(n, d) float32 of all images, in batches of 32.

    Raises
    ------
    UserError
        If a callable returns another shape, or no finite numbers.
    """
    parts: list[np.ndarray] = []
    for start in range(0, n, BATCH):
        rows = range(start, min(start + BATCH, n))
        made = np.asarray(embed([read(i) for i in rows]))
        if made.ndim != 2 or len(made) != len(rows) or made.dtype.kind not in "fiu":
            raise UserError(
                f"--embedder {spec} must return numbers ({len(rows)}, d), and returned {made.shape}."
            )
        if not np.isfinite(made).all() or (parts and made.shape[1] != parts[0].shape[1]):
            raise UserError(
                f"--embedder {spec} returned NaN, or another number of dimensions, from item {start}."
            )
        parts.append(made.astype(np.float32))
        told(rows.stop, n)
    return np.concatenate(parts)


def brought(spec: str, arrays: dict[str, np.ndarray], rows: np.ndarray, n_rows: int) -> np.ndarray:
    """(n, d) float32 computed before: an array of the source by name, an ``.npy``, or ``features`` of an ``.npz``.

    rows : (n,) numbers in the source, from 1, of the items; n_rows : of the source

    Raises
    ------
    UserError
        If it does not exist or does not fit the items.
    """
    if spec in arrays:
        values = arrays[spec]  # already of these items
    elif spec.endswith((".npy", ".npz")):
        if not Path(spec).exists():
            raise UserError(f"No such file: {spec}. Pass --embedder with an .npy or .npz of (n, d) numbers.")
        if spec.endswith(".npz"):
            from autointerp.corpus.image_arrays import read_arrays

            found = read_arrays(Path(spec))
            if "features" not in found:
                raise unknown_name(f"{spec} has no array", "features", found)
            values = found["features"]
        else:
            try:
                values = np.load(spec, allow_pickle=False)
            except (ValueError, OSError, EOFError) as error:
                raise UserError(f"{spec} is not an .npy array of numbers. Write it with np.save.") from error
        if values.ndim == 2 and len(values) == n_rows:
            values = values[rows - 1]
    else:
        raise UserError(
            f"No embedder {spec!r}: pass morphology, hf:PATH, MODULE:CALLABLE, a file .npy or .npz, or an array of "
            f"the source ({', '.join(map(repr, arrays)) or 'it has none'})."
        )
    if values.ndim != 2 or len(values) != len(rows) or values.dtype.kind not in "fiu":
        raise UserError(
            f"--embedder {spec} has {values.dtype} of shape {values.shape}, but there are {len(rows)} images."
        )
    bad = ~np.isfinite(values).all(1)
    if bad.any():
        raise UserError(
            f"--embedder {spec} has NaN or infinite values, first in row {int(np.flatnonzero(bad)[0]) + 1}."
        )
    return np.ascontiguousarray(values, dtype=np.float32)
