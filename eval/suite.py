"""What does a leaderboard compare? A suite file: data × dictionaries × explainers × judges × scorers × seeds.

==================  =========================================================================================
about               one line, for people
seeds               of data that are planted, of splits and of dictionaries
explainers, judges  names as on the command line; ``planted:GRADE`` are planted labels of known quality, judges
                    ``oracle``, ``noisy`` and ``unsure`` understand them; ``model`` is the judging model, else the
                    labeling one
judge_forms         how a judging model answers, each in turn: probability, binary, indices
scorers             names as on the command line
[options]           of every run, as in a config file
[[data]]            name; ``planted`` (a parameter file of ``eval/planted``, of cells or of images), ``file`` or
                    ``images`` (below AUTOINTERP_DATA), or ``demo = true``; the rest are options
[[dictionary]]      name; the rest are options; ``factors = true``: the planted factors themselves are the latents
==================  =========================================================================================
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from autointerp.errors import UserError, unknown_name

FOLDER = Path(__file__).parent / "suites"
DATA = "AUTOINTERP_DATA"
PLANTED_LABELS = "planted:"
PLANTED_JUDGES = ("oracle", "noisy", "unsure")
MODEL_JUDGE = "model"


class _Options(BaseModel):
    """A name, and options of a run that are checked when the run is made."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Data(_Options):
    """One data set; exactly one of the three says where it comes from."""

    planted: str | None = None
    file: str | None = None
    images: str | None = None
    demo: bool = False
    n_cells: int | None = None  # of planted data, in place of the parameters' own

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        given = sum(source is not None for source in (self.planted, self.file, self.images)) + self.demo
        if given != 1:
            raise ValueError(f"data {self.name!r} needs exactly one of planted, file, images, demo")
        return self

    @property
    def path(self) -> str | None:
        """Below AUTOINTERP_DATA, where it comes from there."""
        return self.file or self.images

    def missing(self, options: Mapping[str, Any]) -> str:
        """Why it cannot be used here, '' where it can.

        options : of the suite; a path of theirs or its own may begin with $AUTOINTERP_DATA
        """
        root = os.environ.get(DATA)
        said = json.dumps([dict(options), self.options])
        for file in [*([self.path] if self.path else []), *re.findall(rf"\${DATA}/([^\"]+)", said)]:
            if not root:
                return f"{DATA} is not set, and {file} is looked for there"
            if not (Path(root) / file).exists():
                return f"no {file} in {root}"
        return ""


class Dictionary(_Options):
    """One dictionary, or the planted factors in its place."""

    factors: bool = False


class Suite(BaseModel):
    """All of a suite file. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    data: list[Data]
    dictionary: list[Dictionary]
    explainers: list[str]
    judges: list[str] = ["signature"]
    judge_forms: list[Literal["probability", "binary", "indices"]] = ["probability"]
    scorers: list[str] = ["detection", "signature"]
    seeds: list[int] = [0]
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _only_planted(self) -> Suite:
        planted = [d for d in self.data if d.planted is not None]
        asks = [e for e in self.explainers if e.startswith(PLANTED_LABELS)]
        asks += [j for j in self.judges if j in PLANTED_JUDGES] + [
            d.name for d in self.dictionary if d.factors
        ]
        if asks and len(planted) < len(self.data):
            raise ValueError(f"{asks[0]!r} needs planted data, and not all data of the suite are")
        if any(e.startswith(PLANTED_LABELS) for e in self.explainers) and not all(
            d.factors for d in self.dictionary
        ):
            raise ValueError("planted labels are of planted factors: every dictionary needs factors = true")
        return self


@dataclass(frozen=True)
class Cell:
    """One run of a suite."""

    data: Data
    dictionary: Dictionary
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.data.name}-{self.dictionary.name}-{self.seed}"


def cells_of(suite: Suite) -> Iterator[Cell]:
    """Its runs: all dictionaries of one seed of one data set after each other."""
    for data in suite.data:
        for seed in suite.seeds:
            for dictionary in suite.dictionary:
                yield Cell(data, dictionary, seed)


def read_suite(name: str) -> Suite:
    """A file, or the name of one in ``eval/suites``.

    Raises
    ------
    UserError
        One line that names the file and what is wrong in it.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.exists():
        raise unknown_name(
            "no suite", name, sorted(p.stem for p in FOLDER.glob("*.toml")), "Or pass a .toml file."
        )
    try:
        return Suite(**tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the suite"
        raise UserError(f"{path}, {where}: {first['msg'].removeprefix('Value error, ')}.") from error
