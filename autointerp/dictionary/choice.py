"""Which dictionary does a run use? A saved one, or a new one of the size that the data allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autointerp.config import RunConfig
from autointerp.errors import UserError
from autointerp.names import DICTIONARIES


def dictionary_size(config: RunConfig, n: int, d: int) -> Any:
    """``sae.Size`` for n items of d dimensions; UserError where --latents or --k is impossible for the kind."""
    import sae

    try:
        size = sae.default_size(n, d, config.latents, config.k)
        sae.DictionaryConfig(d=d, m=size.m, k=size.k, kind=config.dictionary)  # ICFL takes at most d / 2
        return size
    except ValueError as error:
        raise UserError(f"--latents {config.latents}, --k {config.k}: {error}.") from error


def brought_dictionary(config: RunConfig, d: int) -> Any:
    """The saved dictionary that ``--dictionary FOLDER`` names, ours or a peer's; UserError where none is for d."""
    import sae

    folder = Path(config.dictionary)
    if not folder.is_dir():
        raise UserError(
            f"No dictionary {folder}: pass --dictionary with one of {', '.join(DICTIONARIES)}, "
            "or the folder of a saved dictionary."
        )
    try:
        dictionary = sae.load_any(folder, None if config.k == "auto" else config.k)
    except ValueError as error:
        raise UserError(f"--dictionary: {error}") from error
    if dictionary.config.d != d:
        raise UserError(
            f"The dictionary {folder} was made for d = {dictionary.config.d}, but the embedding has d = {d}."
        )
    return dictionary
