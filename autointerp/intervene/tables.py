"""How is one intervention written down? Tidy tables: strengths, a row an output, and a summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from autointerp.intervene.effects import isolation, ravel
from autointerp.intervene.real_deltas import RealDeltas, agreement
from autointerp.intervene.strength import standardized
from autointerp.intervene.workbench import Changes, Intervention, Workbench

SUMMARY = ["measure", "value", "n", "note"]


def strength_table(made: Intervention) -> pd.DataFrame:
    """Every strength tried: split, what (search, dose, down, ablation), s, sigma, shift (mean |Δ|/sd), leaving."""
    rows = [("develop", "search", *point) for point in made.strength.curve]
    rows += [("test", "dose", *point) for point in made.doses]
    rows += [("test", "down", *made.down)] if made.down else []
    rows += [("test", "ablation", *made.ablated)] if made.ablated else []
    return pd.DataFrame(rows, columns=["split", "what", "s", "sigma", "shift", "leaving"])


def intervention_tables(
    made: Intervention, bench: Workbench, claimed: Mapping[str, Mapping[str, int]]
) -> dict[str, pd.DataFrame]:
    """Tables of a latent that reached σ.

    claimed : explainer -> feature -> +1 or −1, as labels claim

    Returns
    -------
    - ``summary``: measure, value, n, note; one row a measure
    - ``strength``: see `strength_table`
    - ``genes`` or ``images``, ``classes``, ``programs``, one for each readout: output, before (mean reading), change
      (mean over test items), low, high (95 %), method, change_sd (in sd of real items), down_sd (under −s), dose
      (Spearman over five strengths), and the readout's quality for that output; most changed first
    - ``isolation``: explainer, n_claimed, isolation, cause, kept, ravel; where labels claim features that are read
    """
    assert made.changes is not None and made.up is not None and made.down is not None
    tables = {"summary": _summary(made, bench), "strength": strength_table(made)}
    tables |= {name: _outputs(changes) for name, changes in made.changes.items()}
    features = made.changes.get("genes", made.changes.get("images"))
    if features is not None and claimed:
        tables["isolation"] = _isolated(features, claimed)
    return tables


def _outputs(changes: Changes) -> pd.DataFrame:
    quality, mean = changes.readout.quality, changes.mean
    frame = pd.DataFrame(
        {
            "output": changes.readout.outputs, "before": changes.before, "change": mean.value, "low": mean.low,
            "high": mean.high, "method": mean.method, "change_sd": changes.in_sd, "down_sd": changes.down,
            "dose": changes.dose, quality.each_measure: quality.each,
        }
    )  # fmt: skip
    order = np.argsort(-np.abs(changes.in_sd), kind="stable")
    return frame.iloc[order].reset_index(drop=True)


def _summary(made: Intervention, bench: Workbench) -> pd.DataFrame:
    up, down, found = made.up, made.down, made.strength
    assert up is not None and down is not None and made.changes is not None
    n_develop, n_test = len(bench.develop.rows), len(bench.test.rows)
    even = made.changes[bench.main.name].symmetry
    of = f"KL of {bench.main.name} in nats"
    rows = [
        ("sigma asked for", found.target, n_develop, of),
        ("strength", found.s, n_develop, "s, in units of the latent's activation, found on develop"),
        ("sigma on develop", found.reached, n_develop, f"{of}; asked for {found.target:g}"),
        ("sigma on test", up.sigma, n_test, of),
        ("sigma of -s on test", down.sigma, n_test, of),
        ("mean change in sd", up.shift, n_test, f"mean |Δ|/sd over {bench.main.name}"),
        ("on the data", 1 - up.leaving, n_test, "share of the items on the data before that stay there"),
        ("symmetry", even.cosine, n_test, "cosine of Δ(+s) with −Δ(−s)"),
        ("symmetry, lengths", even.ratio, n_test, "|Δ(−s)|/|Δ(+s)|"),
    ]
    if made.ablated is not None:
        rows.append(("sigma of ablation", made.ablated.sigma, made.n_fired, f"{of}, where the latent fires"))
    return pd.DataFrame([*rows, *_qualities(bench)], columns=SUMMARY)


def unreached_tables(made: Intervention, bench: Workbench) -> dict[str, pd.DataFrame]:
    """Of a latent that did not reach σ: ``strength``, and a ``summary`` whose note on develop says why not."""
    found, n = made.strength, len(bench.develop.rows)
    rows = [
        ("sigma asked for", found.target, n, f"KL of {bench.main.name} in nats"),
        ("sigma on develop", found.reached, n, found.reason),
        *_qualities(bench),
    ]
    return {"summary": pd.DataFrame(rows, columns=SUMMARY), "strength": strength_table(made)}


def _qualities(bench: Workbench) -> list[tuple[str, float, int, str]]:
    of = [(one.name, one.quality) for one in (bench.main, *bench.others)]
    return [
        (f"quality of {n}", q.value, q.n, f"{q.measure} on develop; chance {q.chance:.3g}") for n, q in of
    ]


def _isolated(changes: Changes, claimed: Mapping[str, Mapping[str, int]]) -> pd.DataFrame:
    rows = []
    for explainer, features in claimed.items():
        sign = np.array([features.get(str(name), 0) for name in changes.readout.outputs])
        if not sign.any():
            continue
        cause, kept, score = ravel(changes.delta, sign)
        own = isolation(changes.delta, sign != 0)
        rows.append((explainer, int((sign != 0).sum()), own, cause, kept, score))
    return pd.DataFrame(rows, columns=["explainer", "n_claimed", "isolation", "cause", "kept", "ravel"])


def agreement_table(changes: Changes, real: RealDeltas, moved: Sequence[np.ndarray]) -> pd.DataFrame:
    """Agreement with every real perturbation, best first, beside that of random latents.

    moved : mean changes (r,) of random latents at the same σ, in the readout's units

    Returns
    -------
    DataFrame: perturbation, n, n_groups (0: pooled), cosine, overlap, random_cosine and random_overlap (means over
    n_random latents), at_least (share of random latents whose |cosine| is as high, the latent counted among them)
    """
    sd = changes.readout.sd
    others = [standardized(change, sd) for change in moved]
    rows = []
    for i, name in enumerate(real.names.tolist()):
        wanted = standardized(real.delta[i], sd)
        own = agreement(changes.in_sd, wanted)
        by_chance = [agreement(change, wanted) for change in others]
        cosines = np.array([one.cosine for one in by_chance])
        overlap = np.array([one.overlap for one in by_chance])
        missing = not len(others)
        as_high = (1 + (np.abs(cosines) >= abs(own.cosine)).sum()) / (1 + len(others))
        rows.append(
            (
                name, int(real.counts[i]), int(real.groups[i]), own.cosine, own.overlap,
                np.nan if missing else float(np.nanmean(cosines)),
                np.nan if missing else float(overlap.mean()),
                np.nan if missing else float(as_high), len(others),
            )
        )  # fmt: skip
    columns = [
        "perturbation", "n", "n_groups", "cosine", "overlap", "random_cosine", "random_overlap", "at_least", "n_random",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).sort_values("cosine", ascending=False, kind="stable")
