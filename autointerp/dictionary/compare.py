"""Are these dictionaries alike? Every pair of them: one-to-one matching of latents (stability), and MMCS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.errors import UserError
from autointerp.names import DICTIONARIES
from autointerp.run_record import read_record

COLUMNS = ["first", "second", "m_first", "m_second", "shared", "n_shared", "same_partner", "cosine_decoder",
           "mmcs", "mmcs_back"]  # fmt: skip
NOT_OF_THE_MODEL = {"held_back", "dead_after"}  # fields of a config that say nothing of what was learned


@dataclass(frozen=True, eq=False)
class Opened:
    """One dictionary that takes part.

    space : what decides the meaning of its d dimensions, where that is known; '' for a saved folder
    alive : (m,) bool, latents that fire on an item of its run; None where no activations are known
    """

    name: str
    dictionary: Any
    space: str
    alive: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """What came out.

    pairs : a row a pair: first, second (names), m_first, m_second (latents that take part), shared, n_shared,
        same_partner, cosine_decoder, mmcs, mmcs_back; see `sae.metrics.stability.stability`
    differences : DataFrame field, then a column per dictionary; the fields of the configs that differ
    notes : what was left out, and the space of the comparison
    """

    pairs: pd.DataFrame
    differences: pd.DataFrame
    notes: Sequence[str]


def compare(sources: Sequence[Path]) -> Comparison:
    """Hold saved dictionaries, or those of runs, against each other.

    Latents that are dead in their run are left out. Directions are compared in the preprocessed space where all have
    the same preprocessing, else in the embedding's.

    Raises
    ------
    UserError
        For fewer than two sources, one that is no dictionary, and dictionaries that do not share a space.
    """
    from sae.metrics.stability import Directions, stability

    if len(sources) < 2:
        raise UserError(f"compare takes at least two dictionaries, got {len(sources)}.")
    opened = [_open(source) for source in sources]
    names = _names(sources)
    first = opened[0]
    for name, other in zip(names[1:], opened[1:], strict=True):
        d = first.dictionary.config.d, other.dictionary.config.d
        if d[0] != d[1]:
            raise UserError(
                f"{names[0]} has d = {d[0]} dimensions and {name} has d = {d[1]}: only dictionaries of one "
                "embedding can be compared."
            )
    spaces = {one.space for one in opened if one.space}
    if len(spaces) > 1:
        raise UserError(
            f"These runs have different embeddings ({'; '.join(sorted(spaces))}), whose dimensions do not mean the "
            "same. Compare runs on one obsm key or one .npy file, or dictionaries fitted to one PCA."
        )
    same = _same_preprocessing([one.dictionary for one in opened])
    weights, notes = [], []
    for name, one in zip(names, opened, strict=True):
        encoder, decoder = directions(one.dictionary, same)
        alive = np.ones(len(decoder), dtype=bool) if one.alive is None else one.alive
        if not alive.any():
            raise UserError(f"All {len(alive)} latents of {name} are dead: there is nothing to compare.")
        if one.alive is None:
            notes.append(f"{name}: no activations are known, dead latents take part.")
        elif not alive.all():
            notes.append(f"{name}: {(~alive).sum()} dead latents are left out.")
        weights.append(Directions(encoder[alive], decoder[alive]))
    notes.append(
        "Compared in preprocessed space."
        if same
        else "Preprocessing differs: compared in the embedding's space."
    )
    pairs = stability(weights)
    for column in ("first", "second"):
        pairs[column] = [names[place] for place in pairs[column]]
    return Comparison(pairs[COLUMNS], _differences(names, opened), notes)


def _open(source: Path) -> Opened:
    import sae

    if (source / "run.json").exists():
        return _open_run(source)
    if not (source / "config.json").exists():
        raise UserError(f"{source} is neither a run (no run.json) nor a saved dictionary (no config.json).")
    try:
        return Opened(str(source), sae.load(source), "", None)
    except ValueError as error:
        raise UserError(f"{source} is no saved dictionary: {error}.") from error


def _open_run(source: Path) -> Opened:
    import json

    import sae
    from autointerp.evidence.activations import Activations

    record = read_record(source)
    config, fingerprint = record["config"], record.get("dictionary_fingerprint")
    if fingerprint is None:
        why = "brought activations" if config.get("activations") else "is not fitted yet"
        raise UserError(f"{source} has no dictionary: it {why}. Pass a run after: autointerp fit")
    brought = config.get("dictionary") not in DICTIONARIES
    folders = [Path(config["dictionary"])] if brought else sorted(source.glob("cache/dictionary-*/"))
    found = None
    for folder in folders:
        try:
            loaded = sae.load(folder)
        except ValueError:
            continue
        found = loaded if loaded.fingerprint() == fingerprint else found
    if found is None:
        raise UserError(f"{source} has lost its dictionary. Make it again with: autointerp encode {source}")
    alive = None
    for folder in sorted(source.glob("cache/activations-*/")):
        meta = folder / "meta.json"
        if meta.exists() and json.loads(meta.read_text(encoding="utf-8")).get("dictionary") == fingerprint:
            alive = Activations.open(folder).n_active() > 0
    embedding = config.get("embedding", "pca")
    space = f"{embedding} of data {record['data_fingerprint'][:8]}"
    if embedding == "pca":  # fitted on the explain cells
        space += f" fitted on split {record['split']['hash']}"
    return Opened(str(source), found, space, alive)


def _names(sources: Sequence[Path]) -> list[str]:
    """As they were given; numbered where one stands twice."""
    return [
        str(source) if list(sources).count(source) == 1 else f"{source} ({place})"
        for place, source in enumerate(sources, start=1)
    ]


def _same_preprocessing(dictionaries: Sequence[Any]) -> bool:
    first = dictionaries[0].preprocessing
    return all(
        (p.method, p.unit_norm) == (first.method, first.unit_norm)
        and p.arrays().keys() == first.arrays().keys()
        and all(np.array_equal(held, first.arrays()[name]) for name, held in p.arrays().items())
        for p in (one.preprocessing for one in dictionaries)
    )


def directions(dictionary: Any, scaled: bool) -> tuple[np.ndarray, np.ndarray]:
    """Encoder and decoder: what latents read and write, (m, p) in preprocessed space or (m, d) in the embedding's.

    scaled : preprocessed space, which fits where all dictionaries share their preprocessing

    A kind without an encoder, or with one of another shape, is compared by its decoder.
    """
    import torch

    decoder = np.asarray(dictionary.w_dec, np.float64)  # (m, p)
    held = dictionary.w_enc.detach().double().numpy()
    encoder = held if held.shape == decoder.shape else None
    if not scaled:
        pre, d = dictionary.preprocessing, dictionary.config.d
        linear = (pre.linear(torch.eye(d)) - pre.linear(torch.zeros(d, d))).double().numpy()  # (d, p)
        start = np.ones((len(decoder), d))  # unit norm scales all steps alike
        encoder = None if encoder is None else encoder @ linear.T  # (m, p) @ (p, d) -> (m, d)
        decoder = pre.move(start, decoder) - start
    return (decoder if encoder is None else encoder), decoder


def _differences(names: Sequence[str], opened: Sequence[Opened]) -> pd.DataFrame:
    configs = [one.dictionary.config.to_dict() for one in opened]
    fields = list(dict.fromkeys(name for config in configs for name in config))
    rows = [
        [name, *(str(config.get(name)) for config in configs)]
        for name in fields
        if name not in NOT_OF_THE_MODEL and len({str(config.get(name)) for config in configs}) > 1
    ]
    return pd.DataFrame(rows, columns=["field", *names])
