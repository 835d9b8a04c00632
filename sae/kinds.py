"""Which kinds of dictionary are there? The classes behind the names that a config may hold."""

from __future__ import annotations

from .baselines import ICA, NMF, PCA, Neurons, Twins
from .dictionaries import TopK

BASELINES: dict[str, type[Twins]] = {"pca": PCA, "ica": ICA, "nmf": NMF, "neurons": Neurons}
KINDS: dict[str, type[TopK]] = {"topk": TopK, "random": TopK, **BASELINES}
