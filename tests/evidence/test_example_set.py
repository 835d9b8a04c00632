"""Does a set of examples refuse to exist where items or groups stand on two sides?"""

import numpy as np
import pytest

from autointerp.schema import Examples, ExampleSet


def examples(rows, n_pos=1) -> Examples:
    n = len(rows)
    active = np.arange(n) < n_pos
    return Examples(
        rows=np.array(rows, dtype=np.int64),
        activations=active.astype(np.float32),
        kinds=np.where(active, "positive", "random"),
        strata=np.where(active, 0, -1).astype(np.int16),
    )


def example_set(explain=(0, 1), develop=(2, 3), test=(4, 5), mode="item", groups=None) -> ExampleSet:
    return ExampleSet(0, examples(explain), examples(develop), examples(test), mode, "hash", groups or {})


def test_disjoint_items_are_a_set():
    made = example_set()
    assert made.test.truth.tolist() == [True, False]
    assert made.test.of_kind("random").tolist() == [5]


@pytest.mark.parametrize(
    ("rows", "sides"),
    [
        ({"develop": (1, 3)}, "explain and develop share items [1]"),
        ({"test": (4, 0)}, "explain and test share items [0]"),
        ({"test": (3, 2)}, "develop and test share items [2, 3]"),
    ],
)
def test_items_on_two_sides_are_refused(rows, sides):
    with pytest.raises(ValueError) as caught:
        example_set(**rows)
    assert sides in str(caught.value)


@pytest.mark.parametrize("side", ["explain", "develop"])
@pytest.mark.parametrize("mode", ["group", "few_groups", "two_groups"])
def test_a_group_of_test_on_another_side_is_refused(mode, side):
    groups = {"explain": np.array(["a", "b"]), "develop": np.array(["c", "c"]), "test": np.array(["d", "d"])}
    example_set(mode=mode, groups=groups)
    groups[side] = np.array(["x", "d"])
    with pytest.raises(ValueError, match=rf"{side} and test share groups \['d'\]"):
        example_set(mode=mode, groups=groups)


@pytest.mark.parametrize("mode", ["group", "few_groups"])
def test_a_group_in_explain_and_develop_is_refused(mode):
    groups = {"explain": np.array(["a", "b"]), "develop": np.array(["b", "c"]), "test": np.array(["d", "d"])}
    with pytest.raises(ValueError, match=r"explain and develop share groups \['b'\]"):
        example_set(mode=mode, groups=groups)
    assert example_set(mode="two_groups", groups=groups).groups == groups


def test_a_group_of_controls_may_be_cut_between_explain_and_develop_but_not_test():
    groups = {name: np.array([name, "control:p0"]) for name in ("explain", "develop")}
    groups["test"] = np.array(["test", "control:p1"])
    assert example_set(mode="group", groups=groups).groups == groups
    groups["test"] = np.array(["test", "control:p0"])
    with pytest.raises(ValueError, match="share groups"):
        example_set(mode="group", groups=groups)


def test_items_without_a_group_may_stand_on_all_sides():
    groups = {"explain": np.array(["a", ""]), "develop": np.array(["b", ""]), "test": np.array(["c", ""])}
    assert example_set(mode="group", groups=groups).split_mode == "group"


def test_an_active_negative_is_refused():
    with pytest.raises(ValueError, match="negative silent"):
        Examples(np.array([0, 1]), np.array([1.0, 0.2]), np.array(["positive", "random"]), np.array([0, -1]))


def test_a_silent_positive_is_refused():
    with pytest.raises(ValueError, match="positive must be active"):
        Examples(np.array([0, 1]), np.array([0.0, 0.0]), np.array(["positive", "random"]), np.array([0, -1]))


def test_an_item_twice_in_one_split_is_refused():
    with pytest.raises(ValueError, match="stands twice"):
        examples([4, 4])


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="unequal length"):
        Examples(np.array([0, 1]), np.array([1.0]), np.array(["positive"]), np.array([0]))
