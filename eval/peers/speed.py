"""How long does a training step, or encoding, of one peer take? Run by the interpreter of `make peers`.

``python speed.py LIBRARY D M K BATCH DEAD THREADS CLOCK`` answers each line of its input, ``train`` or ``encode``, by
``@SECONDS``. Training is TopK with Adam and unit decoder rows, as the library does it on one batch; with DEAD
latents held dead for AuxK (0: without). Encoding ends at indices and values. Imports nothing of ours.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch

Work = Callable[[torch.Tensor], None]
LR = 1e-3


def sparsify(d: int, m: int, k: int, dead: torch.Tensor) -> dict[str, Work]:
    from sparsify import SparseCoder, SparseCoderConfig

    made = SparseCoder(d, SparseCoderConfig(num_latents=m, k=k))
    adam = torch.optim.Adam(made.parameters(), lr=LR)
    silent = torch.zeros(m, dtype=torch.long)

    def train(x: torch.Tensor) -> None:
        out = made(x, dead_mask=dead if bool(dead.any()) else None)
        (out.fvu + out.auxk_loss / 32).backward()
        made.remove_gradient_parallel_to_decoder_directions()
        adam.step()
        adam.zero_grad()
        made.set_decoder_norm_to_unit_norm()
        silent.add_(len(x))
        silent[out.latent_indices.flatten()] = 0

    def encode(x: torch.Tensor) -> None:
        made.encode(x)

    return {"train": train, "encode": encode}


def dictionary_learning(d: int, m: int, k: int, dead: torch.Tensor) -> dict[str, Work]:
    from dictionary_learning.trainers.top_k import TopKTrainer

    trainer = TopKTrainer(1000, d, m, k, layer=0, lm_name="none", lr=LR, warmup_steps=10, device="cpu")
    trainer.ae.b_dec.data.zero_()

    def train(x: torch.Tensor) -> None:
        trainer.num_tokens_since_fired[dead] = 10**9
        trainer.update(1, x)

    def encode(x: torch.Tensor) -> None:
        trainer.ae.encode(x, return_topk=True)

    return {"train": train, "encode": encode}


def saelens(d: int, m: int, k: int, dead: torch.Tensor) -> dict[str, Work]:
    from sae_lens import TopKSAE, TopKSAEConfig, TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.saes.sae import TrainStepInput

    made = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=d, d_sae=m, k=k))
    adam = torch.optim.Adam(made.parameters(), lr=LR)
    inference = TopKSAE(TopKSAEConfig(d_in=d, d_sae=m, k=k))

    def train(x: torch.Tensor) -> None:
        asked = TrainStepInput(x, {}, dead if bool(dead.any()) else None, 1, False)
        made.training_forward_pass(asked).loss.backward()
        adam.step()
        adam.zero_grad()

    def encode(x: torch.Tensor) -> None:
        inference.encode(x)

    return {"train": train, "encode": encode}


LIBRARIES = {"sparsify": sparsify, "dictionary_learning": dictionary_learning, "saelens": saelens}


def main() -> None:
    library, *numbers = sys.argv[1:]
    d, m, k, batch, n_dead, threads = map(int, numbers[:-1])
    clock = {"wall": time.perf_counter, "cpu": time.process_time}[numbers[-1]]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    dead = torch.zeros(m, dtype=torch.bool)
    dead[:n_dead] = True
    works = LIBRARIES[library](d, m, k, dead)
    x = torch.randn(batch, d)
    print("@0", flush=True)
    for line in sys.stdin:
        name = line.strip()
        started = clock()
        if name == "encode":
            with torch.no_grad():
                works[name](x)
        else:
            works[name](x)
        print(f"@{clock() - started}", flush=True)


if __name__ == "__main__":
    main()
