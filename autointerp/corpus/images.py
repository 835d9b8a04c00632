"""What are the items when they are images? ImageCorpus: crops or profiles, their measured morphology, an embedding."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from autointerp.corpus import morphology
from autointerp.corpus.annotation import column_of, control_rows, groups_of
from autointerp.corpus.base import Part
from autointerp.corpus.image_cards import card, parts, telling_features
from autointerp.corpus.image_display import Display, fit_display, picture
from autointerp.corpus.image_embedders import VisionModel, brought, embedded, load_callable
from autointerp.corpus.image_sources import open_images
from autointerp.corpus.image_table import checked, list_bad
from autointerp.errors import UserError
from autointerp.schema import Rendering

MORPHOLOGY = "morphology"
BLOCK = 4096  # items whose features are held dense at a time
MOST_MISSING = 0.2  # of explain items, above which a measurement is not contrasted
MOST_SD = 10.0  # to which the morphology embedding is cut
KEPT_CARDS = 5000  # of about 20 kB each
MOST_PROBED = 2000  # measurements that the ceiling reads
Told = Callable[[str, int, int, str], None]


class ImageCorpus:
    """Image crops, or rows of a profile table: see the ``Corpus`` protocol for what each attribute means.

    ``features`` are measured morphology as z-scores: mean 0 and standard deviation 1 on explain, missing values 0.

    Parameters
    ----------
    source : see ``image_sources.open_images``
    embedder : ``morphology``, ``hf:PATH``, ``module:callable``, an ``.npy`` or ``.npz``, or an array of the source
    channels : names, where the source gives none
    crop_size : side in pixels of crops around x, y
    display_by : obs column (a plate) with gray levels of its own; by default one scale for all
    skip_bad : leave out and count what cannot be read, in place of refusing; allow_outside : follow paths out of the
        table's folder
    group, control, control_group, category : as of cells; without ``group`` the source's own
    """

    feature_noun = "measurement"
    zero_is_absent = False
    part_activations: Any = None  # Regions, set where marks are to stand on regions

    def __init__(
        self,
        source: str | Path,
        *,
        embedder: str = MORPHOLOGY,
        channels: Sequence[str] | None = None,
        crop_size: int | None = None,
        display_by: str | None = None,
        group: str | None = None,
        control: str | None = None,
        control_group: str | None = None,
        category: str | None = None,
        skip_bad: bool = False,
        allow_outside: bool = False,
        progress: Told = lambda *_: None,
    ):
        table = open_images(Path(source), crop_size, allow_outside)
        self.n_rows = len(table)
        table, self.bad = checked(
            table,
            tuple(channels) if channels else None,
            skip_bad,
            lambda i, n: progress("read images", i, n, ""),
        )
        self.noun = "image crop" if table.read is not None else "image profile"
        self.notes, self.warnings = list(table.notes), list(table.warnings)
        self._table, self._embedder = table, embedder
        self.obs = table.obs
        self.ids = table.obs.index.astype(str).to_numpy(dtype=str)
        self.categories = column_of(self.obs, self.ids, category, "--category", self.noun)
        self.is_control = control_rows(self.obs, self.ids, control, self.noun)
        self.group_column = group or table.group
        self.groups = groups_of(
            self.obs, self.ids, self.group_column, self.is_control, control_group, self.noun
        )
        if group is None and table.group is not None:
            self.notes.append(f"Groups: {table.group!r} of {table.name}, since no --group is given.")
        self._plates = column_of(self.obs, self.ids, display_by, "--display-by", self.noun)
        self.channels = self._channel_names()
        if table.measured is not None:
            self.feature_names = table.measured[0]
        elif table.read is not None:
            self.feature_names = morphology.feature_names(self.channels)
        else:
            raise UserError(f"{table.name} has neither images nor measured features.")
        self._said = [
            list(channels or ()), crop_size, [b.row for b in self.bad], display_by, morphology.VERSION
        ]  # fmt: skip
        self._model = VisionModel(embedder[3:]) if embedder.startswith("hf:") else None
        self._own = load_callable(embedder) if self._is_callable() else None
        if (self._model or self._own) and table.read is None:
            raise UserError(
                f"{table.name} has no pixels for --embedder {embedder}. Pass --embedder morphology."
            )
        self._brought = self._read_brought()
        self._cache: Path | None = None
        self._progress = progress
        self._raw: np.ndarray | None = (
            None if table.measured is None else table.measured[1].astype(np.float32)
        )
        self._embeddings: np.ndarray | None = None
        self._mean = self._sd = np.empty(0)
        self.display: Display | None = None
        self._withheld = np.zeros(len(self.feature_names), bool)
        self._cards: dict[int, Rendering] = {}  # many latents show the same items

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dimension(self) -> int | None:
        """Of the embedding, where that is known before it is made."""
        if self._embedder == MORPHOLOGY:
            return len(self.feature_names)
        if self._brought is not None:
            return self._brought.shape[1]
        if self._model is not None:
            return self._model.width * (1 if len(self.channels) == 3 else len(self.channels))
        return None

    @property
    def has_pixels(self) -> bool:
        return self._table.read is not None

    @property
    def embedded_outside(self) -> bool:
        """Whether the embedding was computed before, by who knows which items."""
        return self._brought is not None

    @property
    def to_fit(self) -> str:
        """What ``fit_on`` does, for people who wait."""
        return "moments of measurements" + ("" if self._embedder == MORPHOLOGY else " and embedding")

    @cached_property
    def _fingerprint(self) -> str:
        own = "" if self._model is None else self._model.fingerprint
        own += "" if self._brought is None else hashlib.sha256(self._brought.tobytes()).hexdigest()
        return hashlib.sha256(json.dumps([self._table.fingerprint(), self._said, own]).encode()).hexdigest()

    def fingerprint(self) -> str:
        """sha256 of all files that are read, of what is left out, and of an embedding or model that was brought."""
        return self._fingerprint

    def measure(self, cache: Path, progress: Told) -> None:
        """Morphology of all crops, from ``cache`` if it is there, else measured and kept. Needs no explain rows.

        What was left out stands in skipped.csv beside the cache.
        """
        self._cache, self._progress = cache, progress
        if self.bad:
            list_bad(self.bad, cache.parent / "skipped.csv")
        read, mask = self._table.read, self._table.mask
        if self._raw is not None or read is None:
            return
        path = cache / f"morphology-{self._fingerprint[:12]}.npy"
        if path.exists():
            try:
                found = np.load(path, mmap_mode="r", allow_pickle=False)
                if found.shape == (len(self), len(self.feature_names)):
                    self._raw = found
                    return
            except (ValueError, OSError, EOFError) as error:
                self.warnings.append(f"{path} could not be read and is made again ({error}).")
        made = np.empty((len(self), len(self.feature_names)), np.float32)
        for i in range(len(self)):
            made[i] = morphology.measure(read(i), mask(i) if mask is not None else None)
            progress("measure", i + 1, len(self), "")
        _keep(made, path)
        self._raw = made

    def fit_on(self, explain_rows: np.ndarray) -> None:
        """Means and deviations of the measurements, gray levels, and with these the embedding."""
        if self._raw is None:
            raise RuntimeError("measure(cache, progress) must be called first")
        values = np.asarray(self._raw[explain_rows], dtype=np.float64)
        known = np.isfinite(values)
        count = np.maximum(known.sum(0), 1)
        filled = np.where(known, values, 0)
        self._mean = filled.sum(0) / count
        centered = np.where(known, values - self._mean, 0)
        self._sd = np.sqrt((centered**2).sum(0) / count)
        varied = (self._sd > 1e-9 * np.maximum(np.abs(self._mean), 1e-30)) & (known.any(0))
        self._sd = np.where(varied, self._sd, 0)
        self._eligible = varied & (known.mean(0) >= 1 - MOST_MISSING)
        z = self._z(explain_rows)
        self._moments = z.mean(0, dtype=np.float64), z.std(0, dtype=np.float64)
        self._card_columns = np.flatnonzero(self._eligible)
        self._correlation = np.nan_to_num(np.corrcoef(z[:, self._card_columns], rowvar=False))
        left_out = int((~self._eligible).sum())
        if left_out:
            self.notes.append(
                f"{left_out} of {len(self.feature_names)} measurements do not vary or are often undefined."
            )
        if self._table.read is not None:
            self.display = fit_display(self._table.read, len(self), explain_rows, self._plates, self.channels)
            self.notes += self.display.words()
        self._embeddings = self._embed()

    def withhold(self, features: np.ndarray) -> None:
        """Keep features (g,) bool from all that a label writer sees; the embedding and ``features`` keep them."""
        self._withheld = features
        self._cards.clear()
        kept = ~features[self._card_columns]
        self._card_columns = self._card_columns[kept]
        self._correlation = self._correlation[np.ix_(kept, kept)]

    @property
    def embeddings(self) -> np.ndarray:
        if self._embeddings is None:
            raise RuntimeError(
                "fit_on(explain_rows) must be called first: the embedding is scaled on explain items"
            )
        return self._embeddings

    @property
    def eligible(self) -> np.ndarray:
        return self._eligible & ~self._withheld

    def _z(self, rows: np.ndarray) -> np.ndarray:
        assert self._raw is not None
        values = (np.asarray(self._raw[rows], dtype=np.float64) - self._mean) / np.where(
            self._sd > 0, self._sd, 1
        )
        return np.where(np.isfinite(values) & (self._sd > 0), values, 0).astype(np.float32)

    def features(self, rows: np.ndarray) -> sparse.csr_matrix:
        return sparse.csr_matrix(self._z(rows))

    def blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, sparse.csr_matrix]]:
        for start in range(0, len(rows), BLOCK):
            positions = np.arange(start, min(start + BLOCK, len(rows)))
            yield positions, self.features(rows[positions])

    def feature_moments(self) -> tuple[np.ndarray, np.ndarray]:
        return self._moments

    def probe_features(self) -> np.ndarray:
        """All measurements that vary, or a seeded 2,000 of them."""
        found = np.flatnonzero(self._eligible)
        few = np.random.default_rng(0).permutation(found)[:MOST_PROBED]
        return found if len(found) <= MOST_PROBED else np.sort(few)

    def render(self, rows: np.ndarray, marks: Sequence[Sequence[str]] | None = None) -> list[Rendering]:
        """A card of the most unusual measurements, and where there are pixels the crop at its plate's gray levels."""
        if marks is not None:
            return self._rendered(rows, marks)
        new = np.array(
            [row for row in dict.fromkeys(rows.tolist()) if row not in self._cards], dtype=np.int64
        )
        if len(self._cards) + len(new) > KEPT_CARDS:
            self._cards.clear()
            new = np.unique(rows)
        self._cards |= dict(zip(new.tolist(), self._rendered(new), strict=True))
        return [self._cards[row] for row in rows.tolist()]

    def _rendered(self, rows: np.ndarray, marks: Sequence[Sequence[str]] | None = None) -> list[Rendering]:
        assert self._raw is not None
        z, raw, made = self._z(rows), np.asarray(self._raw[rows]), []
        told = telling_features(z, self._card_columns, self._correlation)
        for i, row in enumerate(rows.tolist()):
            marked = marks[i] if marks is not None else ()
            text = card(told[i], z[i], raw[i], self.feature_names, marked)
            made.append(Rendering(text, () if self.display is None else (self.picture(row, marked),)))
        return made

    def picture(self, row: int, marked: Sequence[str] = ()) -> bytes:
        """PNG of one crop, with its marked regions where it has any."""
        assert self.display is not None
        if marked and self.part_activations is not None:
            return self.part_activations.drawn(row, marked)
        return picture(self.scaled(row), self.display.is_color)

    def scaled(self, row: int) -> np.ndarray:
        """(h, w, c) float32 in 0 … 1 of one crop, as it is displayed and as a vision model sees it."""
        assert self._table.read is not None and self.display is not None
        return self.display.scaled(self._table.read(row), row)

    def markable(self, rows: np.ndarray) -> list[tuple[Part, ...]]:
        if self.part_activations is not None:
            return [self.part_activations.parts(row) for row in rows.tolist()]
        z = self._z(rows)
        told = telling_features(z, self._card_columns, self._correlation)
        return [parts(columns, of, self.feature_names) for columns, of in zip(told, z, strict=True)]

    def panel(self, rows: np.ndarray, names: Sequence[str]) -> list[tuple[tuple[str, float], ...]]:
        """z-scores of named measurements."""
        known = [name for name in names if name in self.feature_index]
        values = self._z(rows)[:, [self.feature_index[name] for name in known]]
        return [tuple((n, round(float(v), 2)) for n, v in zip(known, row, strict=True)) for row in values]

    @cached_property
    def feature_index(self) -> dict[str, int]:
        """Column number of each measurement's name."""
        return {str(name): i for i, name in enumerate(self.feature_names)}

    def covariates(self) -> dict[str, np.ndarray]:
        """Image quality, (n,) each, where there are pixels: sharpness and the share of saturated values."""
        if self._table.measured is not None or self._raw is None:
            return {}
        return {
            said: np.asarray(self._raw[:, self.feature_index[name]], dtype=np.float64)
            for name, said in morphology.QUALITY.items()
        }

    def technical(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The same of some rows."""
        return {name: values[rows] for name, values in self.covariates().items()}

    def patch_tokens(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), p, d) of a vision model, in reading order; UserError with another embedder."""
        if self._model is None:
            raise UserError(f"--embedder {self._embedder} has no patch tokens. Pass --embedder hf:PATH.")
        return self._model.tokens([self.scaled(int(row)) for row in rows])

    def obsm(self, key: str) -> Any:
        return brought(key, self._table.arrays, self._table.rows, self.n_rows)

    def obsm_arrays(self) -> dict[str, Any]:
        """Arrays of the source."""
        return {key: values for key, values in self._table.arrays.items() if values.ndim == 2}

    def planar_embedding(self) -> tuple[str, np.ndarray] | None:
        """A two-dimensional map for people, where the source has one."""
        for key, values in sorted(self.obsm_arrays().items(), key=lambda kv: (kv[0] != "X_umap", kv[0])):
            if ("umap" in key.lower() or "tsne" in key.lower()) and values.shape[1] >= 2:
                return key, values[:, :2].astype(np.float32)
        return None

    # -- the embedding --------------------------------------------------------------------------------------------

    def _channel_names(self) -> tuple[str, ...]:
        read = self._table.read
        if read is None or self._table.channels:
            return self._table.channels
        c = read(0).shape[2]
        if c == 1:
            return ("Channel1",)
        self.notes.append(
            f"The {c} channels have no names: Channel1 … Channel{c}. Pass --channels to name them."
        )
        return tuple(f"Channel{i}" for i in range(1, c + 1))

    def _is_callable(self) -> bool:
        spec = self._embedder
        named = spec in self._table.arrays or spec.endswith((".npy", ".npz"))
        return ":" in spec and not spec.startswith("hf:") and not named

    def _read_brought(self) -> np.ndarray | None:
        if self._embedder == MORPHOLOGY or self._model or self._own:
            return None
        return brought(self._embedder, self._table.arrays, self._table.rows, self.n_rows)

    def _embed(self) -> np.ndarray:
        if self._embedder == MORPHOLOGY:
            rows = np.arange(len(self))
            return np.concatenate([self._z(rows[i : i + BLOCK]) for i in range(0, len(rows), BLOCK)]).clip(
                -MOST_SD, MOST_SD
            )
        if self._brought is not None:
            return self._brought
        embed = self._model.embed if self._model is not None else self._own
        assert embed is not None and self.display is not None and self._cache is not None
        scale = [self.display.low.tolist(), self.display.high.tolist(), self._embedder]
        key = hashlib.sha256(json.dumps([self._fingerprint, scale]).encode()).hexdigest()[:12]
        path = self._cache / f"embedding-{key}.npy"
        if self._model is not None and path.exists():  # a callable's code may have changed
            try:
                return np.load(path, mmap_mode="r", allow_pickle=False)
            except (ValueError, OSError, EOFError) as error:
                self.warnings.append(f"{path} could not be read and is made again ({error}).")
        n = len(self)
        made = embedded(
            self.scaled, n, embed, lambda i, of: self._progress("embed", i, of, ""), self._embedder
        )
        _keep(made, path)
        return made


def _keep(values: np.ndarray, path: Path) -> None:
    """Written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished.npy")
    np.save(unfinished, values, allow_pickle=False)
    unfinished.replace(path)
