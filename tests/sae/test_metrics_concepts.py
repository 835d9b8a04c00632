"""Selectivity, coverage and state reconstruction: hand-worked cases, scikit-learn, and what cannot be measured."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import f1_score, precision_score

from sae.dictionaries import SparseCodes
from sae.metrics.concepts import best_selectivity, selectivity
from sae.metrics.coverage import THRESHOLDS, coverage, state_reconstruction
from sae.metrics.inputs import from_codes, one_hot, sparse


def random_case(n=300, m=12, seed=0):
    """Codes (n, m) of which latents 0 … 2 follow types a, b, c, and the last is dead."""
    rng = np.random.default_rng(seed)
    types = rng.choice(["a", "b", "c"], size=n)
    codes = rng.exponential(size=(n, m)) * (rng.random((n, m)) < 0.2)
    for latent, name in enumerate("abc"):
        codes[:, latent] += 2 * rng.random(n) * (types == name) * (rng.random(n) < 0.8)
    codes[:, -1] = 0
    return csr_matrix(codes), codes, types


def halves(n=300):
    return np.arange(0, n, 2), np.arange(1, n, 2)


def test_selectivity_by_hand():
    codes = csr_matrix([[1.0, 0, 0], [2, 1, 0], [0, 1, 0], [0, 3, 0], [1, 0, 0], [0, 0, 0]])
    frame = selectivity(codes, one_hot(list("aabbcc"))).set_index(["concept", "latent"])
    assert frame.loc[("a", 0), "average"] == pytest.approx(1 - 1 / 4)
    assert frame.loc[("a", 0), "maximum"] == pytest.approx(1 - 1 / 2)
    assert frame.loc[("b", 1), "average"] == pytest.approx(1 - 1 / 4)
    assert frame.loc[("a", 1), "maximum"] == pytest.approx(1 / 2 - 1)
    assert frame.loc[("c", 0), "maximum"] == pytest.approx(1 / 2 - 1)
    assert frame.loc[("a", 2), ["average", "maximum"]].isna().all()
    assert frame.loc[("a", 2), "reason"] == "the latent is dead"


def test_selectivity_equals_a_loop_over_overlapping_concepts():
    codes, dense, types = random_case()
    concepts = one_hot(types) | {"odd": np.arange(300) % 2 == 1, "ab": np.isin(types, ["a", "b"])}
    frame = selectivity(codes, concepts).set_index(["concept", "latent"])
    inside = {name: (dense[mask] > 0).mean(0) for name, mask in concepts.items()}
    for (name, latent), row in frame[frame.reason == ""].iterrows():
        assert row.average == pytest.approx(
            inside[name][latent] - (dense[~concepts[name], latent] > 0).mean()
        )
        others = max(rates[latent] for other, rates in inside.items() if other != name)
        assert row.maximum == pytest.approx(inside[name][latent] - others)


def test_the_best_latent_is_chosen_on_one_part_and_reported_on_the_other():
    codes, _, types = random_case()
    choose, test = halves()
    frame = best_selectivity(codes, one_hot(types), choose, test)
    average = frame[frame.kind == "average"].set_index("concept")
    assert average.latent.to_dict() == {"a": 0, "b": 1, "c": 2}
    whole = selectivity(codes[test], one_hot(types[test])).set_index(["concept", "latent"])
    assert average.loc["a", "value"] == pytest.approx(whole.loc[("a", 0), "average"])
    with pytest.raises(ValueError, match="both choose and test"):
        best_selectivity(codes, one_hot(types), choose, choose)


def test_a_latent_that_falls_silent_is_named():
    codes = csr_matrix([[1.0, 0], [0, 1], [0, 0], [0, 1]])
    found = best_selectivity(codes, one_hot(list("abab")), np.array([0, 1]), np.array([2, 3]))
    frame = found.set_index(["concept", "kind"])
    assert frame.loc[("a", "average"), "value"] == 0
    assert frame.loc[("a", "average"), "reason"] == "the latent is silent on test"
    assert frame.loc[("b", "average"), "value"] == 1


def test_coverage_by_hand():
    # choosing rows: above 0 latent 0 hits 2 of 2 with 1 false alarm (F1 .8); above .3·10 with none (F1 1)
    latent = [10, 8, 3, 0, 9, 4, 0, 2]
    codes = csr_matrix(np.array([latent, [0.0] * 8]).T)
    has = np.array([1, 1, 0, 0, 1, 1, 1, 0], bool)
    found = coverage(codes, {"c": has}, np.arange(4), np.arange(4, 8))
    row = found.iloc[0]
    assert (row.latent, row.t, row.cut) == (0, 0.3, 3)
    assert row.f1_choose == 1
    assert (row.precision, row.recall) == (1, pytest.approx(2 / 3))
    assert row.f1 == pytest.approx(0.8)


def test_coverage_equals_scikit_learn_over_all_latents_and_thresholds():
    codes, dense, types = random_case(seed=1)
    choose, test = halves()
    frame = coverage(codes, one_hot(types), choose, test).set_index("concept")
    peaks = dense[choose].max(0)
    for name in "abc":
        truth = types == name
        scores = np.array(
            [
                [f1_score(truth[choose], dense[choose, i] > t * peaks[i]) for i in range(12)]
                for t in THRESHOLDS
            ]
        )
        t, latent = np.unravel_index(scores.argmax(), scores.shape)
        assert frame.loc[name, "f1_choose"] == pytest.approx(scores.max())
        assert (frame.loc[name, "t"], frame.loc[name, "latent"]) == (THRESHOLDS[t], latent)
        predicted = dense[test, latent] > THRESHOLDS[t] * peaks[latent]
        assert frame.loc[name, "f1"] == pytest.approx(f1_score(truth[test], predicted))
        assert frame.loc[name, "precision"] == pytest.approx(precision_score(truth[test], predicted))


def test_states_are_reconstructed_by_any_precise_latent():
    # latents 0 and 1 each cover half of the concept without a false alarm; latent 2 fires everywhere
    has = np.tile([True, True, False, False], 20)
    first = np.tile([1.0, 0, 0, 0], 20)
    second = np.tile([0, 1.0, 0, 0], 20)
    codes = csr_matrix(np.stack([first, second, np.ones(80)], 1))
    row = state_reconstruction(codes, {"c": has}, np.arange(40), np.arange(40, 80)).iloc[0]
    assert (row.n_latents, row.f1, row.t) == (2, 1, 0)
    one = coverage(codes, {"c": has}, np.arange(40), np.arange(40, 80))
    assert one["f1"][0] == pytest.approx(2 / 3)
    strict = state_reconstruction(codes, {"c": has}, np.arange(40), np.arange(40, 80), least_hits=11)
    assert strict["f1"][0] == 0
    assert strict["reason"][0] == "no latent reaches precision 0.95"


def test_state_reconstruction_equals_a_loop():
    codes, dense, types = random_case(n=600, seed=2)
    choose, test = halves(600)
    frame = state_reconstruction(codes, one_hot(types), choose, test, 0.6).set_index("concept")
    peaks = dense[choose].max(0)
    for name in "abc":
        truth, best = types == name, (-1.0, 0.0)
        for t in THRESHOLDS:
            fires = dense > t * peaks  # (n, m)
            hits = (fires[choose] & truth[choose, None]).sum(0)
            good = (hits >= 10) & (hits >= 0.6 * fires[choose].sum(0))
            predicted = fires[:, good].any(1)
            score = f1_score(truth[choose], predicted[choose])
            best = max(best, (score, f1_score(truth[test], predicted[test])), key=lambda pair: pair[0])
        assert frame.loc[name, "f1"] == pytest.approx(best[1])


def test_what_cannot_be_measured_is_nan_with_a_reason():
    codes, _, types = random_case()
    choose, test = halves()
    everything, nothing = np.ones(300, bool), np.zeros(300, bool)
    only_test = np.arange(300) == 1
    concepts = one_hot(types) | {"all": everything, "none": nothing, "one": only_test}
    for measure in (coverage, state_reconstruction):
        frame = measure(codes, concepts, choose, test).set_index("concept")
        assert frame.loc[["all", "none", "one"], "f1"].isna().all()
        assert frame.loc["none", "reason"] == "no choosing item has the concept"
        assert frame.loc["all", "reason"] == "every choosing item has the concept"
    frame = best_selectivity(codes, concepts, choose, test).set_index("concept")
    assert frame.loc[["all", "none", "one"], "value"].isna().all()
    assert (frame.loc[["all", "none", "one"], "reason"] != "").all()
    dead = csr_matrix((300, 4))
    assert coverage(dead, concepts, choose, test)["latent"].tolist() == [-1] * 6
    assert np.isnan(coverage(dead, concepts, choose, test)["f1"]).all()
    assert set(best_selectivity(dead, one_hot(types), choose, test)["reason"]) == {"every latent is dead"}


def test_one_concept_alone_has_no_maximum():
    codes, _, types = random_case()
    found = selectivity(codes, {"a": types == "a"})
    assert np.isnan(found["maximum"]).all() and np.isfinite(found["average"][:-1]).all()
    assert found["reason"][0] == "maximum needs another concept"
    found = selectivity(codes, {"a": types == "a", "none": np.zeros(300, bool)})
    assert np.isnan(found["maximum"]).all() and (found["reason"] != "").all()
    for values in (found["average"], found["maximum"]):
        assert (found["reason"][np.isnan(values)] != "").all()


def test_inputs_are_refused_by_name():
    with pytest.raises(ValueError, match="at least 0"):
        sparse(csr_matrix([[-1.0, 0]]))
    with pytest.raises(ValueError, match="at least 0"):
        sparse(csr_matrix([[np.nan, 0]]))
    with pytest.raises(ValueError, match="concept 'a' must be bool"):
        selectivity(csr_matrix((3, 2)), {"a": np.array([1, 0, 1])})
    assert {name: mask.sum() for name, mask in one_hot(["x", None, "y", "x", np.nan, pd.NA]).items()} == {
        "x": 2,
        "y": 1,
    }


def test_codes_of_a_dictionary_become_a_sparse_matrix():
    codes = SparseCodes(np.array([[2, 0], [1, 3]]), np.array([[5.0, 4], [7, 0]], np.float32))
    np.testing.assert_array_equal(from_codes(codes, 4).toarray(), [[4, 0, 5, 0], [0, 7, 0, 0]])
