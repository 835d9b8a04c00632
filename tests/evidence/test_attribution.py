"""Which parts are a latent's own: by activations of parts, by a user's attribution, by contrasts?"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from autointerp.corpus.base import Part
from autointerp.errors import UserError
from autointerp.evidence.attribution import (
    MOST_FEATURES,
    Attribution,
    PartActivations,
    graded,
    load_attribute,
)
from tests.tiny_corpus import TinyCorpus

X = np.arange(12.0).reshape(3, 4)
SHOWN = tuple(Part(name, 5.0, 1.0) for name in "ABC")


def corpus():
    return TinyCorpus(X, list("ABCD"))


def told(*up):
    return SimpleNamespace(of=lambda latent, names: SimpleNamespace(up=up))


def shift(name, value):
    return SimpleNamespace(name=name, shift=value)


def test_of_an_items_greatest_a_quarter_is_own_and_a_twentieth_is_not():
    found = graded({"A": 4.0, "B": 1.0, "C": 0.99, "D": 0.21, "E": 0.2, "F": -3.0})
    assert found.keys() == {"A", "B", "C", "D"}
    assert (found["A"], found["B"]) == (4.0, 1.0)
    assert np.isnan(found["C"]) and np.isnan(found["D"])
    assert graded({"A": 0.0, "B": -1.0}) == graded({}) == {}


def test_contrasts_name_the_strongest_twenty_and_leave_the_rest_open():
    first = told(*(shift(f"G{i}", 9.0 - i / 10) for i in range(MOST_FEATURES + 2)))
    second = told(shift("G0", 1.0), shift("H", 2.0))
    found = Attribution(corpus(), (first, second)).worth(0, 0, SHOWN)
    assert found["G0"] == 9.0 and found[f"G{MOST_FEATURES - 1}"] > 0
    assert all(np.isnan(found[name]) for name in (f"G{MOST_FEATURES}", "H"))
    assert "A" not in found


def test_a_users_attribution_is_asked_item_by_item():
    def attribute(x, latent):
        assert x.shape == (1, 4)
        return x * [[1, 0.01, 0, 1]] + latent

    found = Attribution(corpus(), (told(), told()), attribute).worth(0, 2, SHOWN)
    assert found == {"A": 8.0}  # row 2 is 8, 9, 10, 11; D is not shown


@pytest.mark.parametrize("returned", [np.zeros((1, 3)), np.zeros(4), np.full((1, 4), np.nan)])
def test_an_attribution_of_another_shape_is_refused(returned):
    with pytest.raises(UserError, match=r"\(items, 4\)"):
        Attribution(corpus(), (told(), told()), lambda x, latent: returned).worth(0, 0, SHOWN)


def test_part_activations_come_before_everything_else():
    values = sparse.csr_matrix([[4.0, 0], [0, 2.0], [1.0, 0.5], [0, 0]])
    own = PartActivations(values, np.array([0, 0, 0, 2]), np.array(["A", "B", "C", "A"]))
    given = corpus()
    given.part_activations = own
    reader = Attribution(given, (told(shift("D", 1.0)), told()))
    assert reader.worth(0, 0, SHOWN) == {"A": 4.0, "C": 1.0}
    assert reader.worth(1, 0, SHOWN) == {"B": 2.0, "C": 0.5}
    assert reader.worth(0, 1, SHOWN) == reader.worth(0, 2, SHOWN) == {}


@pytest.mark.parametrize(
    ("item", "name", "value"), [([0], ["A", "B"], 1.0), ([1, 0], ["A", "B"], 1.0), ([0, 1], ["A", "B"], -1.0)]
)
def test_parts_out_of_order_or_below_zero_are_refused(item, name, value):
    with pytest.raises(ValueError, match="part"):
        PartActivations(sparse.csr_matrix([[value], [1.0]]), np.array(item), np.array(name))


def test_a_callable_is_loaded_by_name_or_refused_in_one_line():
    assert load_attribute("math:hypot")(3, 4) == 5
    for spec, said in (
        ("math", "MODULE:CALLABLE"),
        ("math:nothing", "nothing"),
        ("nowhere_at:x", "nowhere_at"),
    ):
        with pytest.raises(UserError, match=said):
            load_attribute(spec)
    with pytest.raises(UserError, match="not a callable"):
        load_attribute("math:pi")
