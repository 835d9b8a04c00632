"""What do columns of obs say of items: their category, whether they are controls, the group that cuts the splits?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from autointerp.errors import UserError, unknown_name


def column_of(
    obs: pd.DataFrame, ids: np.ndarray, column: str | None, option: str, noun: str = "cell"
) -> np.ndarray | None:
    """(n,) str values of one column, none of them missing; None where no column is asked for.

    Raises
    ------
    UserError
        If there is no such column, or a value is missing.
    """
    if column is None:
        return None
    if column not in obs.columns:
        raise unknown_name("obs has no column", column, obs.columns, f"Pass one of them with {option}.")
    values = obs[column].astype(str).to_numpy(dtype=str)
    missing = obs[column].isna().to_numpy() | (np.char.strip(values) == "")
    if missing.any():
        raise UserError(
            f"obs[{column!r}] is missing for {int(missing.sum())} {noun}s (first: {ids[missing][0]}). "
            f"Fill them or drop these {noun}s, then pass {option} {column} again."
        )
    return values


def control_rows(
    obs: pd.DataFrame, ids: np.ndarray, control: str | None, noun: str = "cell"
) -> np.ndarray | None:
    """(n,) bool of what ``COLUMN=VALUE`` says; None where no controls are named."""
    if control is None:
        return None
    column, found, value = control.partition("=")
    if not found:
        raise UserError(f"--control {control!r} is not COLUMN=VALUE, for example --control treatment=DMSO.")
    values = column_of(obs, ids, column, "--control", noun)
    assert values is not None
    if not (values == value).any():
        raise unknown_name(f"obs[{column!r}] has no value", value, set(values))
    return values == value


def groups_of(
    obs: pd.DataFrame,
    ids: np.ndarray,
    group: str | None,
    is_control: np.ndarray | None,
    control_group: str | None,
    noun: str = "cell",
) -> np.ndarray | None:
    """(n,) str that cut the splits; control rows are '' or ``control:`` and their own column's value."""
    groups = column_of(obs, ids, group, "--group", noun)
    own = column_of(obs, ids, control_group, "--control-group", noun)
    if own is not None and is_control is None:
        raise UserError(
            f"--control-group {control_group} cuts control rows: say which they are with --control COLUMN=VALUE."
        )
    if groups is None or is_control is None:
        return groups
    controls = np.full(len(ids), "")
    if own is not None and len(set(own[is_control])) > 1:  # one group of controls is cut by item
        controls = np.char.add("control:", own)
    return np.where(is_control, controls, groups)
