"""What turns the latents of a run up? One amplifier for all who ask: scorers, and label writers that may look."""

from __future__ import annotations

from typing import Literal

import numpy as np

from autointerp.intervene.amplified import MOST_CHANGES, Amplifier
from autointerp.intervene.held_out import held_out_features
from autointerp.intervene.report import Asked as Amplified
from autointerp.intervene.report import workbench
from autointerp.intervene.strength import standardized
from autointerp.intervene.workbench import Workbench
from autointerp.prepare import Prepared
from autointerp.questions import Change
from autointerp.score.families import redundancy_families
from autointerp.templates import render


def amplifier_of(prepared: Prepared) -> Amplifier | None:
    """What amplifies the latents of a run, one for all its judges; None where it has no dictionary."""
    c, names = prepared.config, prepared.corpus.feature_names
    if prepared.amplifier is None and c.activations is None:

        def bench_of(readout: str) -> Workbench:
            which: Literal["genes", "classes"] = "genes" if readout == "genes" else "classes"
            asked = Amplified(
                -1, readout=which, decoder=c.decoder, class_head=c.class_head, gene_sets=(), alone=True
            )
            bench, notes = workbench(prepared, asked, prepared.progress)
            prepared.notes += notes
            return bench

        prepared.amplifier = Amplifier(
            bench_of,
            lambda: prepared.fitted[0].w_dec,
            lambda: redundancy_families(prepared.activations.csr[prepared.contrast_rows]),
            c.seed,
            lambda done: prepared.progress("amplify", done, max(done, len(prepared.chosen)), ""),
            frozenset(names[held_out_features(names, c.seed)].tolist() if c.held_out_features else ()),
        )
    return prepared.amplifier


def perturbed(prepared: Prepared, amplifier: Amplifier, latent: int, strength: float) -> str:
    """What turning a latent by ``strength`` times its mean activation does to develop items, in words for its writer.

    Only features that a label writer may see are told, the most changed.
    """
    bench = amplifier.bench("genes")
    items, readout = bench.develop, bench.main
    edited = bench.edited(items, latent, strength * float(bench.units[latent]))
    before, after = readout.read(items.x).mean(0), readout.read(edited).mean(0)  # (r,)
    in_sd = standardized(after - before, readout.sd)
    seen = set(prepared.corpus.feature_names[prepared.corpus.eligible].tolist())
    order = [i for i in np.argsort(-np.abs(in_sd), kind="stable").tolist() if str(readout.outputs[i]) in seen]
    changes = [
        Change(str(readout.outputs[i]), float(before[i]), float(after[i]), float(in_sd[i]))
        for i in order[:MOST_CHANGES]
    ]
    left = bench.on_data.leaving(bench.on_data.holds(items.x), edited)
    return render("agent/perturb.j2", noun=prepared.corpus.noun, strength=strength, share_on_data=1 - left,
                  changes=changes)  # fmt: skip
