"""How is all this used from Python? ``start`` on an AnnData or a file, then the stages; ``add_latents`` writes back.

>>> import scanpy as sc
>>> import autointerp as ai
>>> adata = sc.datasets.pbmc68k_reduced()
>>> run = ai.start(adata, embedding="X_pca", out=folder)
>>> labels, scores = run.label(), run.score()
>>> labels.loc[labels.reason == "", ["latent", "title", "confidence"]].shape[1]
3
>>> run.summary.query("metric == 'auroc' and negatives == 'random'")["median"].gt(0.5).all()
np.True_
>>> adata = ai.add_latents(run, adata)
>>> adata.obsm["X_autointerp"].shape[1] == len(adata.uns["autointerp"]["labels"])
True
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.config import make_config
from autointerp.prepare import Progress, no_progress
from autointerp.run import Run

if TYPE_CHECKING:
    from anndata import AnnData


def start(
    data: AnnData | str | Path | None = None, *, progress: Progress = no_progress, **options: Any
) -> Run:
    """A run on an AnnData in memory or a file; nothing is computed yet.

    Parameters
    ----------
    data : AnnData, or the path of an ``.h5ad`` or ``.zarr``; it is read and never written. None with ``images``
    progress : called with (stage, done, total, note)
    **options : those of the command line, with underscores: ``embedding``, ``group``, ``latents``, ``explainer``,
        ``model``, ``out`` …; see ``autointerp.RunConfig``

    Returns
    -------
    Run, whose stages mirror the commands, each running those before it: ``fit()``, ``encode()``, ``label()`` -> labels
    DataFrame (labels.csv), ``score()`` -> scores DataFrame (scores.csv), ``report()`` -> path of the page.
    ``run.summary`` has a row per explainer, scorer and kind of negatives; files lie in ``run.directory``.

    Raises
    ------
    UserError
        For input that cannot be used: one line with the fix.
    """
    in_memory = data is not None and not isinstance(data, str | Path)
    explainer = options.get("explainer")
    if isinstance(explainer, str):
        options["explainer"] = (explainer,)
    path = Path("adata") if in_memory else None if data is None else Path(str(data))
    config = make_config({**options, "data": path})
    return Run(config, progress, data if in_memory else None)


def add_latents(run: Run, adata: AnnData, *, key_added: str = "autointerp") -> AnnData:
    """Write a run's latents beside the data that they come from; ``adata`` is changed and returned.

    Returns
    -------
    ``adata`` with

    - ``.obsm['X_' + key_added]``: (n, m) CSR float32, latent activations, 0 where silent
    - ``.uns[key_added]['labels']``: DataFrame as in labels.csv, a row a latent and explainer
    - ``.uns[key_added]['scores']``: DataFrame as in scores.csv
    - ``.uns[key_added]['params']``: dict of the run's options

    Raises
    ------
    ValueError
        If ``adata`` does not hold the run's items in their order.
    """
    ids = run.prepared.corpus.ids
    if len(adata) != len(ids) or not (adata.obs_names.astype(str) == ids).all():
        raise ValueError(f"adata has {len(adata)} items, the run has {len(ids)}, or their ids differ")
    adata.obsm[f"X_{key_added}"] = run.prepared.activations.csr.copy()
    params = {name: str(value) for name, value in run.config.to_json().items() if value is not None}
    adata.uns[key_added] = {"labels": run.labels_table, "scores": run.scores, "params": params}
    return adata
