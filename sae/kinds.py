"""Which kinds of dictionary are there? The classes behind the names that a config may hold."""

from __future__ import annotations

from .baselines import ICA, NMF, PCA, Neurons, Twins
from .batch_topk import BatchTopK, MatryoshkaBatchTopK
from .dictionaries import TopK
from .icfl import ICFL
from .jumprelu import JumpReLU
from .p_anneal import PAnneal
from .relu import ReLU, TiedReLU

BASELINES: dict[str, type[Twins]] = {"pca": PCA, "ica": ICA, "nmf": NMF, "neurons": Neurons}
KINDS: dict[str, type[TopK]] = {
    "topk": TopK,
    "batchtopk": BatchTopK,
    "matryoshka": MatryoshkaBatchTopK,
    "relu": ReLU,
    "relu_tied": TiedReLU,
    "jumprelu": JumpReLU,
    "p_anneal": PAnneal,
    "icfl": ICFL,
    "random": TopK,
    **BASELINES,
}
