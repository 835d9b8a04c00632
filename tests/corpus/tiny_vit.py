"""A vision transformer of 40 kB: what does local code do with a checkpoint, without a download?"""

from __future__ import annotations

import json
from pathlib import Path

SIDE, PATCH, WIDTH = 32, 8, 16
MEAN, SD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]


def save_tiny_vit(folder: Path, kind: str = "vit") -> Path:
    """Random weights as safetensors: ``vit``, or ``dinov2`` with register tokens before its patches."""
    import torch
    from transformers import (
        Dinov2WithRegistersConfig,
        Dinov2WithRegistersModel,
        ViTConfig,
        ViTModel,
        logging,
    )

    logging.disable_progress_bar()
    torch.manual_seed(0)
    sizes = {
        "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE,
        "patch_size": PATCH, "initializer_range": 0.3,
    }  # fmt: skip
    if kind == "vit":
        model = ViTModel(ViTConfig(intermediate_size=32, **sizes), add_pooling_layer=False)
    else:
        model = Dinov2WithRegistersModel(
            Dinov2WithRegistersConfig(num_register_tokens=3, mlp_ratio=2, **sizes)
        )
    model.save_pretrained(folder)
    said = {"image_mean": MEAN, "image_std": SD, "size": {"height": SIDE, "width": SIDE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return folder
