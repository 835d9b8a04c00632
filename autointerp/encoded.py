"""Where do a run's dictionary and activations come from? Brought by the user, out of the cache, or made now."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.dictionary.choice import brought_dictionary, dictionary_size
from autointerp.errors import UserError
from autointerp.evidence.activations import Activations, read_activations
from autointerp.names import COMPUTED, DICTIONARIES

if TYPE_CHECKING:
    from autointerp.prepare import Prepared


def dictionary_of(prepared: Prepared) -> tuple[Any, dict[str, float]]:
    """The dictionary, and its quality on the rows held back from training ({} where it was brought).

    Raises
    ------
    UserError
        Where none can be fitted to the embedding, or the one that was brought does not fit it.
    """
    import torch

    import sae

    c = prepared.config
    torch.set_num_threads(c.threads)
    explain, embeddings = prepared.split.rows("explain"), prepared.corpus.embeddings
    n, d = embeddings.shape
    if c.dictionary not in DICTIONARIES:
        return brought_dictionary(c, d), {}
    size = dictionary_size(c, n, d)
    wanted = sae.DictionaryConfig(
        d=d, m=size.m, k=size.k, kind=c.dictionary, seed=c.seed,
        scaling=c.scaling, center=c.center, unit_norm=c.unit_norm,
    ).centered(c.control is not None)  # fmt: skip
    uses_controls = wanted.scaling == "whiten" or wanted.center == "controls"
    is_control = prepared.corpus.is_control if uses_controls else None
    rank = f"{c.dictionary}, k = {size.k} active per item; the embedding limits how many latents it has."
    prepared.notes.append(f"Dictionary: {rank if c.dictionary in COMPUTED else size.reason}")
    made_from = [*_embedded(prepared), wanted.to_dict(), c.threads]
    sized = wanted.resolved(len(explain))
    device = sae.best_device((sized.batch_size or 0) * d * size.m)
    if device != "cpu":
        made_from.append(device)
        prepared.notes.append(f"The dictionary is fitted on {torch.cuda.get_device_name(device)}.")
    folder = _folder(prepared, "dictionary", made_from + ([c.control] if is_control is not None else []))
    figures = folder.with_suffix(".quality.json")
    if (folder / "config.json").exists() and figures.exists():
        try:
            return sae.load(folder), json.loads(figures.read_text(encoding="utf-8"))
        except ValueError as error:
            _forget(prepared, folder, error)
    resumed = ""

    def resumed_at(step: int) -> None:
        nonlocal resumed
        resumed = f", resumed at step {step:,}"

    def told(step: int, steps: int, fvu: float, l0: float, dead_share: float) -> None:
        note = f"FVU {fvu:.3f}, L0 {l0:.1f}, dead {dead_share:.1%}{resumed}"
        prepared.progress("fit dictionary", step, steps, note)

    with prepared.timed("fit dictionary"):
        try:
            fitted = sae.fit(
                embeddings,
                wanted,
                rows=explain,
                progress=told,
                controls=None if is_control is None else explain[is_control[explain]],
                checkpoint=folder.with_suffix(".checkpoint.safetensors"),
                resumed=resumed_at,
                device=device,
            )
        except ValueError as error:
            raise UserError(f"No dictionary can be fitted to {c.embedding!r}: {error}.") from error
    prepared.cache.mkdir(parents=True, exist_ok=True)
    figures.write_text(json.dumps(fitted.quality))
    if not folder.exists():
        sae.save(fitted.dictionary, folder)
    return fitted.dictionary, fitted.quality


def activations_of(prepared: Prepared) -> Activations:
    """Activations (n, m) of all items: the user's own, or the dictionary's, encoded to disk once."""
    corpus, source = prepared.corpus, prepared.config.activations
    if source is not None:
        if source.endswith(".npz"):
            return read_activations(source, len(corpus))
        return Activations.from_matrix(corpus.obsm(source), len(corpus), source)
    import sae

    dictionary, _quality = prepared.fitted
    folder = _folder(prepared, "activations", [*_embedded(prepared), dictionary.fingerprint()])
    if (folder / "meta.json").exists():
        try:
            with prepared.timed("open activations"):
                return Activations.open(folder)
        except (ValueError, KeyError, TypeError, OSError, EOFError) as error:
            _forget(prepared, folder, error)
    with prepared.timed("encode"), sae.encoding(dictionary):
        sae.encode_to_disk(
            dictionary,
            corpus.embeddings,
            folder,
            progress=lambda done, total: prepared.progress("encode", done, total, ""),
        )
    with prepared.timed("open activations"):
        return Activations.open(folder)


def _embedded(prepared: Prepared) -> list[Any]:
    """What decides the embedding and its split."""
    c = prepared.config
    computed = [c.pca, c.layer, c.matrix, c.gene_symbols] if c.embedding == "pca" else []
    return [prepared.fingerprint, [c.embedding, *computed], prepared.split.hash]


def _folder(prepared: Prepared, what: str, made_from: list[Any]) -> Path:
    """In the cache, named by the hash of what it is made from."""
    return prepared.cache / f"{what}-{hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:12]}"


def _forget(prepared: Prepared, folder: Path, error: Exception) -> None:
    """What cannot be read of the cache is made again."""
    prepared.warnings.append(f"{folder} could not be read and is made again ({error}).")
    shutil.rmtree(folder, ignore_errors=True)
