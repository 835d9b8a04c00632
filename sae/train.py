"""How is a dictionary fitted? One loop for every kind: shuffled batches, Adam, the best weights kept."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import compiled
from .adam import Adam
from .checkpoint import Checkpoint, Saved, identity
from .config import DictionaryConfig
from .device import best_device
from .dictionaries import TopK
from .kinds import BASELINES, KINDS
from .metrics.quality import quality
from .preprocess import Preprocessing, Scaled
from .rows import Rows, blocks, chosen_rows, shuffled
from .step_varying import STEPS
from .threads import within_one

Progress = Callable[[int, int, float, float, float], None]
HELD_BACK_ROWS = 16384  # at most so many held-back rows are read
FEW_PRODUCTS = 1 << 25  # about a millisecond
CHECKS = 60  # times that the held-back rows are looked at


class Fitted(NamedTuple):
    """A fitted dictionary and how it came about.

    dictionary : with ``config`` resolved: what was chosen automatically stands in it as a number
    log : one dict a check: step, lr, loss (mean over the steps since the last check), fvu, l0, dead_share;
        empty for what is not trained
    quality : `quality` of the dictionary on the held-back rows; but dead_share over the fitting rows
    """

    dictionary: TopK
    log: list[dict[str, float]]
    quality: dict[str, float]


def fit(
    x: Rows,
    config: DictionaryConfig,
    rows: np.ndarray | None = None,
    progress: Progress | None = None,
    *,
    controls: np.ndarray | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every_s: float = 60.0,
    resumed: Callable[[int], None] | None = None,
    device: str | None = None,
) -> Fitted:
    """Fit a dictionary to ``rows`` of x (n, d), all of them for None; no other row has any influence.

    Baselines are computed, not trained; the numbers of a config that only steer training stay as they are.

    A seeded share ``config.held_back`` of them decides which weights are kept: the least FVU, among those
    with a mean L0 within 10 % of k where the number of active latents varies (the nearest, if none is). The
    same config, data, machine, device and number of threads give the same bytes; torch's global random state is
    neither read nor changed. Small dictionaries are trained on one thread: threads that wait for each other
    in every tiny product cost 20-fold on a busy machine.

    progress : called with (step, steps, fvu, l0, dead_share), fvu in preprocessed space
    controls : row numbers among ``rows``, for whitening and for centering on them (`Preprocessing.fit`)
    checkpoint : a file that keeps the state of the training every ``checkpoint_every_s`` seconds, and is
        deleted at the end. Where one of the same config, data, machine and number of threads is found, the
        fit goes on from there, and ends at the same bytes; one that belongs to another fit or is damaged is
        replaced, with a warning in the log. Baselines need none
    resumed : called with the step of the checkpoint that was found
    device : ``cpu`` or ``cuda``; None for a GPU where there is one and its products are large. What is fitted comes
        back on the CPU

    ``ValueError`` where shapes disagree, there are fewer than 4 rows, a row holds NaN or infinity, controls
    are missing or not among the rows, whitening keeps fewer than k components, or training diverges.
    """
    rows = _own_rows(x, config, rows)
    config = config.centered(controls is not None)
    fitting, held = _hold_back(rows, config)
    if config.kind == "random" or config.kind in BASELINES:
        return _computed(x, config, rows, controls, fitting, held)
    config = config.resolved(len(fitting))
    dictionary = _initial(x, config, rows, controls)
    held_x = np.concatenate([values for _, values in blocks(x, held, 1 << 14)])  # (h, d)
    assert config.steps and config.batch_size and config.dead_after and config.lr
    products = config.batch_size * config.d * config.m
    device = device or best_device(products)
    on_cpu = device == "cpu"
    with _threads(products if on_cpu else FEW_PRODUCTS):
        kept = None
        loops = on_cpu and products >= FEW_PRODUCTS and compiled.available()
        training = _Training(dictionary.to(device), loops)
        if checkpoint is not None:
            belongs = identity(dictionary.fingerprint(), x.shape, fitting, held_x, loops, device)
            kept = Checkpoint(checkpoint, belongs, checkpoint_every_s)
            found = kept.read(training.tensors())
            if found is not None:
                training.restore(found)
                if resumed is not None:
                    resumed(training.step)
        rng = np.random.default_rng([config.seed, 1])
        batches = shuffled(x, fitting, config.batch_size, rng, skip=training.step)
        while training.step < config.steps:
            entry = training.advance(torch.from_numpy(next(batches)), held_x)
            if entry is not None and progress is not None:
                progress(training.step, config.steps, entry["fvu"], entry["l0"], entry["dead_share"])
            if kept is not None and kept.due():
                kept.write(training.tensors(), training.numbers())

    dictionary.load_state_dict(training.best_weights)
    dictionary.requires_grad_(False)
    measured = quality(dictionary, held_x)
    measured["dead_share"] = quality(dictionary, x, fitting)["dead_share"]
    dictionary.to("cpu")
    if kept is not None:
        kept.remove()
    return Fitted(dictionary, training.log, measured)


class _Training:
    """All that changes from step to step; what a checkpoint keeps."""

    def __init__(self, dictionary: TopK, loops: bool) -> None:
        """loops : whether to use what is `compiled`."""
        self.dictionary, self.loops = dictionary, loops
        step = STEPS.get(type(dictionary)) if loops else None
        self.sparse = None if step is None else step(dictionary)
        self.adam = Adam(dictionary.parameters(), dictionary.decoder, one_pass=loops)
        self.step = 0  # taken so far
        self.device, m = dictionary.decoder.device, dictionary.config.m
        self.silent = torch.zeros(m, dtype=torch.int64, device=self.device)  # rows since each latent fired
        self.best, self.best_weights = [math.inf, math.inf], _copy(dictionary)
        self.log: list[dict[str, float]] = []
        self.losses = 0.0  # summed since the last check

    def advance(self, batch: Tensor, held_x: np.ndarray) -> dict[str, float] | None:
        """One step on a batch (b, d); at a check, what the held-back rows (h, d) say of it."""
        dictionary, config = self.dictionary, self.dictionary.config
        assert config.steps and config.dead_after and config.lr
        self.step += 1
        lr = config.lr * _schedule(self.step, config)
        if self.sparse is None:
            self._step(batch, lr)
        else:
            with within_one():
                self._step(batch, lr)
        if self.step % max(config.steps // CHECKS, 1) and self.step != config.steps:
            return None

        if not math.isfinite(self.losses):
            raise ValueError(f"training diverged before step {self.step}; choose lr < {config.lr:g}")
        checked = quality(dictionary, held_x)
        dead_share = float((self.silent > config.dead_after).float().mean())
        since = self.step - int(self.log[-1]["step"]) if self.log else self.step
        entry = {"step": self.step, "lr": lr, "loss": self.losses / since, "fvu": checked["fvu_scaled"]}
        entry |= {"l0": checked["l0"], "dead_share": dead_share}
        self.log.append(entry)
        self.losses = 0.0
        rank = [dictionary.off_target(checked["l0"]), checked["fvu_scaled"]]
        if not rank >= self.best:  # NaN, where held-back rows are all the same, keeps the last
            self.best, self.best_weights = rank, _copy(dictionary)
        return entry

    def _step(self, batch: Tensor, lr: float) -> None:
        dictionary, config = self.dictionary, self.dictionary.config
        assert config.dead_after
        dictionary.before_step(self.step)
        x, dead = dictionary.preprocessing.forward(batch), self.silent > config.dead_after
        x = Scaled(x.to(self.device))
        if self.sparse is not None:
            loss, norm = self.sparse(x, dead)
        else:
            loss = dictionary.loss(x, dead)
            loss.total.backward()
            dictionary.project_gradient()
            norm = self.adam.norm()
        self.losses += float(loss.total.detach())
        self.adam.step(self.step, lr, min(1.0, config.grad_clip / (norm + 1e-12)))
        self.adam.forget(dictionary.after_step(self.step))
        self.silent += len(batch)
        self.silent.index_fill_(0, loss.fired[loss.values > 0], 0)

    def tensors(self) -> dict[str, Tensor]:
        """The state itself, not a copy."""
        held = {f"now.{name}": values for name, values in self.dictionary.state_dict().items()}
        held |= {f"best.{name}": values for name, values in self.best_weights.items()}
        held |= {f"first.{i}": values for i, values in enumerate(self.adam.first)}
        held |= {f"second.{i}": values for i, values in enumerate(self.adam.second)}
        return held | {"silent": self.silent}

    def numbers(self) -> dict[str, Any]:
        return {"step": self.step, "best": self.best, "log": self.log, "losses": self.losses}

    def restore(self, saved: Saved) -> None:
        """Be where `tensors` and `numbers` were taken."""
        for name, values in self.tensors().items():
            values.copy_(saved.tensors[name])
        self.step, self.best = saved.numbers["step"], saved.numbers["best"]
        self.log, self.losses = saved.numbers["log"], saved.numbers["losses"]


def _computed(
    x: Rows,
    config: DictionaryConfig,
    rows: np.ndarray,
    controls: np.ndarray | None,
    fitting: np.ndarray,
    held: np.ndarray,
) -> Fitted:
    """What takes no step: the random dictionary and the baselines."""
    if config.kind == "random":
        made = untrained(x, config, rows, controls=controls)
    else:
        made = BASELINES[config.kind].fit(x, config, fitting, _preprocessing(x, config, rows, controls))
    measured = quality(made, x, held)
    measured["dead_share"] = quality(made, x, fitting)["dead_share"]
    return Fitted(made, [], measured)


def untrained(
    x: Rows, config: DictionaryConfig, rows: np.ndarray | None = None, *, controls: np.ndarray | None = None
) -> TopK:
    """The random dictionary, a control: what `fit` starts from, with its preprocessing and no step taken."""
    rows = _own_rows(x, config, rows)
    config = config.centered(controls is not None).resolved(len(rows))
    return _initial(x, config, rows, controls).requires_grad_(False)


def _own_rows(x: Rows, config: DictionaryConfig, rows: np.ndarray | None) -> np.ndarray:
    rows = chosen_rows(x, rows)
    if x.shape[1] != config.d:
        raise ValueError(f"the embedding has {x.shape[1]} dimensions, config.d = {config.d}")
    if len(rows) < 4:
        raise ValueError(f"a dictionary needs at least 4 rows, got {len(rows)}")
    return rows


def _hold_back(rows: np.ndarray, config: DictionaryConfig) -> tuple[np.ndarray, np.ndarray]:
    """Fitting rows and the early-stopping rows that are read, both ascending."""
    order = np.random.default_rng([config.seed, 0]).permutation(rows)
    n_held = min(max(round(config.held_back * len(rows)), 2), len(rows) - 2) if config.held_back else 0
    if not n_held:
        return rows, np.sort(order[:HELD_BACK_ROWS])  # the user's choice: stop by the fitting rows
    return np.sort(order[n_held:]), np.sort(order[: min(n_held, HELD_BACK_ROWS)])


def _preprocessing(
    x: Rows, config: DictionaryConfig, rows: np.ndarray, controls: np.ndarray | None
) -> Preprocessing:
    assert config.scaling and config.unit_norm is not None
    return Preprocessing.fit(
        x, rows, config.scaling, center=config.center, unit_norm=config.unit_norm, controls=controls
    )


def _initial(x: Rows, config: DictionaryConfig, rows: np.ndarray, controls: np.ndarray | None = None) -> TopK:
    """Random directions about the mean of the preprocessed rows."""
    preprocessing = _preprocessing(x, config, rows, controls)
    bias = None  # centered data has its mean at 0
    if config.center != "mean" or config.unit_norm:
        total = torch.zeros(preprocessing.width, dtype=torch.float64)
        for _, values in blocks(x, rows, 1 << 14):
            total += preprocessing.forward(torch.from_numpy(values.astype(np.float32))).double().sum(0)
        bias = (total / len(rows)).float()  # (p,)
    return KINDS[config.kind](config, preprocessing, bias)


def _schedule(step: int, config: DictionaryConfig) -> float:
    """Share of the peak learning rate: linear up, flat, linear down to 0 at the last step."""
    assert config.steps
    up = step / max(config.warmup * config.steps, 1)
    down = (config.steps - step) / max(config.decay * config.steps, 1)
    return min(1.0, up, down)


@contextmanager
def _threads(products: int) -> Iterator[None]:
    """One thread where a step's largest matrix product has few multiplications."""
    before = torch.get_num_threads()
    if products < FEW_PRODUCTS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _copy(dictionary: TopK) -> dict[str, Any]:
    return {name: values.clone() for name, values in dictionary.state_dict().items()}
