"""What do the peers themselves make of a dictionary's folder? Run by the interpreter of `make peers`, with npz files.

``python codes.py TASKS.json`` does a list of tasks, so that a library is imported once. ``["read", LIBRARY,
FOLDER, IN.npz, OUT.npz]`` loads a folder as its library does, and writes ``codes`` (b, m) and ``decoded`` (b, d)
of ``x`` (b, d). ``["make", LIBRARY, KIND, FOLDER]`` writes a dictionary of the library's own class, with weights
of a fixed seed, as the library does. Imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

D, M, K = 24, 64, 4


def read_saelens(folder: str) -> Any:
    from sae_lens import SAE

    return SAE.load_from_disk(folder)


def read_sparsify(folder: str) -> Any:
    from sparsify import SparseCoder

    return SparseCoder.load_from_disk(folder)


def read_dictionary_learning(folder: str) -> Any:
    from dictionary_learning.utils import load_dictionary

    return load_dictionary(folder, device="cpu")[0]


def make_saelens(kind: str, folder: Path) -> None:
    import sae_lens

    name, _, option = kind.partition("-")
    more: dict[str, Any] = {"k": K} if name == "topk" else {}
    if option == "unshifted":
        more["apply_b_dec_to_input"] = False
    if option == "rescaled":
        more["rescale_acts_by_decoder_norm"] = True
    classes = {"topk": "TopKSAE", "jumprelu": "JumpReLUSAE", "standard": "StandardSAE"}
    made = getattr(sae_lens, classes[name])(
        getattr(sae_lens, f"{classes[name]}Config")(d_in=D, d_sae=M, **more)
    )
    scatter(made)
    with torch.no_grad():
        if option != "rescaled" and name == "topk":
            made.W_dec.div_(made.W_dec.norm(dim=1, keepdim=True))
        if name == "jumprelu":
            made.threshold.abs_()
    made.save_model(folder)


def make_sparsify(kind: str, folder: Path) -> None:
    from sparsify import SparseCoder, SparseCoderConfig

    made = SparseCoder(D, SparseCoderConfig(num_latents=M, k=K))
    scatter(made)
    made.set_decoder_norm_to_unit_norm()
    made.save_to_disk(folder)


def make_dictionary_learning(kind: str, folder: Path) -> None:
    from dictionary_learning import dictionary
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    made = {
        "AutoEncoderTopK": lambda: AutoEncoderTopK(D, M, K),
        "BatchTopKSAE": lambda: BatchTopKSAE(D, M, K),
        "MatryoshkaBatchTopKSAE": lambda: MatryoshkaBatchTopKSAE(D, M, K, [24, 40]),
        "JumpReluAutoEncoder": lambda: dictionary.JumpReluAutoEncoder(D, M),
        "AutoEncoder": lambda: dictionary.AutoEncoder(D, M),
        "AutoEncoderNew": lambda: dictionary.AutoEncoderNew(D, M),
    }[kind]()
    scatter(made)
    with torch.no_grad():
        if kind == "AutoEncoderTopK":
            made.decoder.weight.div_(made.decoder.weight.norm(dim=0, keepdim=True))
        if hasattr(made, "threshold") and kind != "AutoEncoderTopK":
            made.threshold.abs_().add_(0.1)
    folder.mkdir(parents=True)
    torch.save(made.state_dict(), folder / "ae.pt")
    said = {"dict_class": kind, "activation_dim": D, "dict_size": M, "k": K}
    (folder / "config.json").write_text(json.dumps({"trainer": said}))


def scatter(made: torch.nn.Module) -> None:
    """Move every weight away from where it starts, where biases are 0 and encoders are decoders."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for values in made.parameters():
            values.add_(torch.randn(values.shape, generator=generator), alpha=0.2)


READ = {
    "saelens": read_saelens,
    "sparsify": read_sparsify,
    "dictionary_learning": read_dictionary_learning,
}
MAKE = {
    "saelens": make_saelens,
    "sparsify": make_sparsify,
    "dictionary_learning": make_dictionary_learning,
}


@torch.no_grad()
def read(library: str, folder: str, given: str, out: str) -> None:
    made = READ[library](folder)
    x = torch.from_numpy(np.load(given)["x"])
    if library == "sparsify":
        values, indices, _ = made.encode(x)
        codes = torch.zeros(len(x), made.num_latents).scatter_(1, indices, values)
        decoded = made.decode(values, indices)
    else:
        codes = made.encode(x)
        decoded = made.decode(codes)
    np.savez(out, codes=codes.numpy(), decoded=decoded.numpy())


def main() -> None:
    for task, library, *rest in json.loads(Path(sys.argv[1]).read_text()):
        if task == "make":
            MAKE[library](rest[0], Path(rest[1]))
        else:
            read(library, *rest)


if __name__ == "__main__":
    main()
