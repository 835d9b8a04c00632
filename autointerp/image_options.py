"""What can a user choose of images? The options of ``--images``, which stand in place of those of a cell matrix."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from autointerp.evidence.image_modes import ImageEvidence

MORPHOLOGY = "morphology"
OF_CELLS = ("pca", "layer", "matrix", "gene_symbols", "backed")


class ImageOptions(BaseModel):
    """Where ``images`` are given they are ``data`` too, and ``embedder`` is ``embedding``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: Path | None = Field(
        None, description="folder, table (.csv, .parquet), .npz or .h5ad of images, in place of data"
    )
    embedder: str | None = Field(
        None,
        description="of images: morphology (measured features, the default), hf:PATH, MODULE:CALLABLE, an .npy or .npz "
        "of (n, d), or an array of the source",
    )
    channels: tuple[str, ...] = Field(
        (), description="names of the images' channels, where the source has none"
    )
    crop_size: int | None = Field(None, ge=4, le=4096, description="side in pixels of the crops around x, y")
    display_by: str | None = Field(
        None, description="obs column, such as the plate, whose values have gray levels of their own"
    )
    pixel_um: float | None = Field(
        None, gt=0, le=1e6, description="size of a pixel in µm, for scale bars in the report"
    )
    image_evidence: ImageEvidence = Field(
        "both", description="what label writers see of images: pixels, measurements or both"
    )
    skip_bad: bool = Field(False, description="leave out and count images that cannot be read")
    allow_outside: bool = Field(False, description="follow a table's paths out of its folder")

    @field_validator("channels", mode="before")
    @classmethod
    def _named_by_commas(cls, value: Any) -> Any:
        return tuple(v.strip() for v in value.split(",") if v.strip()) if isinstance(value, str) else value

    @field_validator("images")
    @classmethod
    def _images_from_anywhere(cls, value: Path | None) -> Path | None:
        return value.absolute() if value is not None and value.exists() else value

    @model_validator(mode="before")
    @classmethod
    def _images_are_the_data(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        images, embedder = given.get("images"), given.get("embedder")
        if images is None:
            own = [
                name
                for name, field in ImageOptions.model_fields.items()
                if given.get(name) and given[name] != field.default
            ]
            if own:
                raise ValueError(
                    f"--{own[0].replace('_', '-')} is of images. Pass --images FOLDER, TABLE or FILE.npz"
                )
            return given
        if given.get("data") is not None and os.path.abspath(given["data"]) != os.path.abspath(images):
            raise ValueError("--data and --images are two sources. Pass one of them")
        embedder = from_anywhere(embedder or MORPHOLOGY)
        if given.get("embedding") not in (None, embedder):
            raise ValueError(f"--embedding {given['embedding']}: the embedding of images is --embedder's")
        defaults = {name: field.default for name, field in cls.model_fields.items()}
        foreign = [name for name in OF_CELLS if given.get(name) not in (None, defaults.get(name))]
        if foreign:
            raise ValueError(f"--{foreign[0].replace('_', '-')} is of a cell matrix, and --images has none")
        return {**given, "data": images, "embedder": embedder, "embedding": embedder}


def from_anywhere(embedder: str) -> str:
    """The same from any folder: files and checkpoints that exist by their absolute paths."""
    prefix = "hf:" if embedder.startswith("hf:") else ""
    path = embedder.removeprefix(prefix)
    return prefix + os.path.abspath(path) if os.path.exists(path) and embedder != MORPHOLOGY else embedder
