"""What are the items of a run? Cells or images, opened as its config says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autointerp.config import RunConfig
from autointerp.corpus.base import Corpus
from autointerp.errors import UserError
from autointerp.labeler import labeler_of


def open_corpus(config: RunConfig, data: Any, progress: Callable[[str, int, int, str], None]) -> Any:
    """``CellCorpus`` of ``data`` (an AnnData in memory, or None) or of ``config.data``; ``ImageCorpus`` of images."""
    c = config
    if c.images is None:
        from autointerp.corpus.cells import CellCorpus

        return CellCorpus(
            c.data if data is None else data,
            embedding=c.embedding,
            pca_components=c.pca,
            layer=c.layer,
            matrix=c.matrix,
            gene_symbols=c.gene_symbols,
            group=c.group,
            control=c.control,
            control_group=c.control_group,
            category=c.category,
            backed=c.backed,
        )
    from autointerp.corpus.images import ImageCorpus

    return ImageCorpus(
        c.images,
        embedder=c.embedding,
        channels=c.channels,
        crop_size=c.crop_size,
        display_by=c.display_by,
        group=c.group,
        control=c.control,
        control_group=c.control_group,
        category=c.category,
        skip_bad=c.skip_bad,
        allow_outside=c.allow_outside,
        progress=progress,
    )


def check_modality(config: RunConfig, corpus: Corpus) -> None:
    """Refuse what is asked of genes where the items are images.

    Raises
    ------
    UserError
        Naming the option.
    """
    reads_genes = [name for name in config.scorers if ":genes" in name]
    if config.images is not None:
        if config.gene_sets:
            raise UserError(
                f"--gene-sets are of genes, and {corpus.noun}s have measurements. Leave them out."
            )
        if reads_genes:
            raise UserError(f"--scorers {reads_genes[0]} reads genes, and {corpus.noun}s have none.")
        if corpus.groups is None and any(":classes" in name for name in config.scorers):
            raise UserError(
                f"Edits of {corpus.noun}s are read from the nearest ones of other wells or photos. Pass --group COLUMN."
            )
        if "agent" in config.explainers and labeler_of(config, "agent").perturb:
            raise UserError(f"--perturb tells what genes do, and {corpus.noun}s have none. Leave it out.")
        has_pixels = bool(getattr(corpus, "has_pixels", False))
        if config.image_evidence == "pixels" and not has_pixels:
            raise UserError(
                f"--image-evidence pixels: {corpus.noun}s have no pixels. Pass measurements, or leave it out."
            )
        if "agent" in config.explainers and labeler_of(config, "agent").image_evidence == "pixels":
            raise UserError(
                "--image-evidence pixels: the agent looks measurements up. Pass --explainer one_shot, contrastive or "
                "best_of_n."
            )
        blind = next((m for m in (config.model, config.judge) if m is not None and m.startswith("hf:")), None)
        if blind and has_pixels:
            raise UserError(
                f"{blind}: models in this process see no images. Ask a vision model at an endpoint."
            )
    elif reads_genes and getattr(corpus, "expression").kind == "scaled":  # noqa: B009
        raise UserError(f"--scorers {reads_genes[0]}: the matrix is scaled; pass --layer NAME of counts.")
