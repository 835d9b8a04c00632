"""Are the user's columns told by their share alone, unless they are opened, and is a wrong name refused?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autointerp.errors import UserError
from autointerp.evidence.metadata import asked

OBS = pd.DataFrame(
    {
        "batch": pd.Categorical(["b1", "b2", None, "b1"]),
        "percent_dead": [0.1, np.nan, 3.0, 2.0],
        "passed": [True, False, True, True],
        "drug": ["DMSO", "x", "x", "DMSO"],
    }
)
GROUPS = np.array(["d1", "", "d2", "d2"])


def test_by_default_only_the_group_is_told_of_and_nothing_is_shown():
    found = asked(OBS, "donor", GROUPS, (), (), True)
    assert list(found.groups) == ["donor"] and not found.numbers and not found.shown
    assert found.groups["donor"].tolist() == ["d1", None, "d2", "d2"]  # control rows belong to no group
    assert found.donors is GROUPS and found.within is GROUPS


def test_items_of_one_split_have_no_p_values():
    found = asked(OBS, "donor", GROUPS, (), (), False)
    assert found.donors is None and found.within is None and "donor" in found.groups


def test_columns_are_read_by_what_they_hold():
    found = asked(OBS, None, None, ("batch", "percent_dead", "passed"), ("drug",), False)
    assert found.groups["batch"].tolist() == ["b1", "b2", None, "b1"]
    assert found.groups["passed"].tolist() == ["True", "False", "True", "True"]
    np.testing.assert_array_equal(found.numbers["percent_dead"], OBS["percent_dead"])
    assert found.shown["drug"].tolist() == ["DMSO", "x", "x", "DMSO"]


@pytest.mark.parametrize("option", ["--covariates", "--show-metadata"])
def test_an_unknown_column_is_refused_with_those_there_are(option):
    columns = {"--covariates": (("batsh",), ()), "--show-metadata": ((), ("batsh",))}[option]
    with pytest.raises(UserError, match=f"obs has no column 'batsh'.*batch.*{option}"):
        asked(OBS, None, None, *columns, False)


@pytest.mark.parametrize("option", ["--covariates", "--show-metadata"])
def test_a_column_that_names_single_items_is_refused(option):
    obs = pd.DataFrame({"barcode": [f"c{i}" for i in range(2000)], "hours": np.arange(2000.0)})
    columns = {"--covariates": (("barcode",), ()), "--show-metadata": ((), ("barcode",))}[option]
    with pytest.raises(UserError, match=f"'barcode'. has 2,000 values.*{option}"):
        asked(obs, None, None, *columns, False)
    assert asked(obs, None, None, ("hours",), (), False).numbers["hours"][7] == 7
    assert not asked(obs, "barcode", obs["barcode"].to_numpy(str), (), (), True).groups
