"""What of the user's own columns may a label writer hear? By default the share that a group explains, and no value.

Values of a column stand in prompts only where the user names it in ``--show-metadata``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from autointerp.errors import UserError, unknown_name
from autointerp.schema import Evidence

MOST_VALUES = 1000  # of a column that groups items; more name single items


@dataclass(frozen=True, eq=False)
class Asked:
    """Columns (n,) over all items, by name.

    groups : object, None where missing, and numbers : float; of both only the share is told
    shown : str, whose values are told
    donors : str, '' for none, or None: over these p-values are; within : within these nulls permute, or None
    """

    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict)
    shown: Mapping[str, np.ndarray] = field(default_factory=dict)
    donors: np.ndarray | None = None
    within: np.ndarray | None = None


def check_columns(obs: pd.DataFrame, covariates: Sequence[str], shown: Sequence[str]) -> None:
    """Refuse, by UserError, a column that obs does not have, and one of so many values that it groups nothing."""
    for option, columns in (("--covariates", covariates), ("--show-metadata", shown)):
        for column in columns:
            if column not in obs.columns:
                raise unknown_name(
                    "obs has no column", column, obs.columns, f"Pass one of them with {option}."
                )
            grouping = columns is shown or not _is_number(obs[column])
            if grouping and (many := obs[column].nunique()) > MOST_VALUES:
                raise UserError(
                    f"obs[{column!r}] has {many:,} values; at most {MOST_VALUES:,} can be told apart. "
                    f"Pass {option} a column that groups items, such as a batch."
                )


def asked(
    obs: pd.DataFrame,
    group: str | None,
    groups: np.ndarray | None,
    covariates: Sequence[str],
    shown: Sequence[str],
    cut_by_group: bool,
) -> Asked:
    """From the columns of obs (n rows) that the user named.

    group, groups : the column that cuts the splits, and its (n,) values, '' for control rows
    cut_by_group : whether whole groups are held out; p-values are over groups then, and nulls permute within them
    """
    check_columns(obs, covariates, shown)
    told: dict[str, np.ndarray] = {}
    numbers: dict[str, np.ndarray] = {}
    if group is not None and groups is not None and len(np.unique(groups)) <= MOST_VALUES:
        told[group] = _without(groups, groups == "")
    for column in covariates:
        values = obs[column]
        if _is_number(values):
            numbers[column] = values.to_numpy(dtype=np.float64, na_value=np.nan)
        elif column not in told:
            told[column] = _without(values.astype(str).to_numpy(dtype=str), values.isna().to_numpy())
    opened = {column: obs[column].astype(str).to_numpy(dtype=str) for column in shown}
    within = groups if cut_by_group else None
    return Asked(told, numbers, opened, within, within)


def only(
    evidence: Evidence, told: Asked, group: str | None, covariates: Sequence[str], shown: Sequence[str]
) -> Evidence:
    """Evidence without what was asked for other label writers: of the user's columns, ``group`` and these alone."""
    others = {*told.groups, *told.numbers} - {group, *covariates}
    return replace(
        evidence,
        technical=tuple(one for one in evidence.technical if one.name not in others),
        disclosed=tuple(one for one in evidence.disclosed if one.column in shown),
    )


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _without(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """(n,) object, None where missing."""
    kept = values.astype(object)
    kept[missing] = None
    return kept
