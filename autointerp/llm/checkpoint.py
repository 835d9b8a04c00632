"""Which files make a local model, and under which name do its answers stand in the ledger?

The name is a hash of the files, so that answers outlive a move of the folder and never survive a change of the weights.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from autointerp.errors import UserError

PREFIX = "hf:"
_AROUND_THE_WEIGHTS = (
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template.*",
)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model on this disk.

    folder : holds config, tokenizer and weights
    fingerprint : 12 hex digits of the sha256 of these files
    """

    folder: Path
    fingerprint: str


def find_checkpoint(path: str) -> Checkpoint:
    """A folder, or a name in the hub's cache on this disk. Touches no network.

    Raises
    ------
    UserError : nothing is there, or it is no model with weights as safetensors
    """
    folder = Path(path).expanduser()
    if not path or not folder.is_dir():
        folder = _in_the_hub_cache(path)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} has no config.json. Give hf: a folder that a transformers model was saved to."
        )
    files = _weights(folder)
    for pattern in _AROUND_THE_WEIGHTS:
        files += folder.glob(pattern)
    stamped = tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in sorted(set(files)))
    return Checkpoint(folder, _hash(stamped)[:12])


def _weights(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise UserError(
                f"{folder} lacks {missing[0]}, {len(missing)} of its {len(names)} files. Fetch it again."
            )
        return [index, *(folder / name for name in names)]
    found = [folder / "model.safetensors"]
    if found[0].is_file():
        return found
    pickles = sorted(f.name for pattern in _PICKLES for f in folder.glob(pattern))
    if pickles:
        raise UserError(
            f"{folder} holds its weights as a pickle ({pickles[0]}), which can run code when it is read. Save the"
            " model again as safetensors: model.save_pretrained(folder)."
        )
    raise UserError(f"{folder} has no weights: neither model.safetensors nor its index is there.")


def _in_the_hub_cache(name: str) -> Path:
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        try:
            from transformers.utils import cached_file
        except ImportError:
            raise missing_extra() from None
        try:
            return Path(cached_file(name, "config.json", local_files_only=True)).parent
        except OSError:
            raise UserError(
                f"hf:{name} is neither a folder nor in the hub's cache on this disk. Check the path, or fetch it"
                f" first: hf download {name}"
            ) from None
    raise UserError(
        f"hf:{name}: there is no such folder. Give hf:FOLDER, the folder of a transformers model."
    )


def missing_extra() -> UserError:
    """What to say where transformers is not installed."""
    return UserError('local models need transformers. Install it: pip install "autointerp-bio[local]"')


@lru_cache(maxsize=32)
def _hash(stamped: tuple[tuple[str, int, int], ...]) -> str:
    """Over names and contents; read once in a process, as long as size and time stay."""
    total = hashlib.sha256()
    for path, _, _ in stamped:
        with open(path, "rb") as file:
            total.update(f"{Path(path).name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
