"""Is the full planted corpus what its parameters say, and is each label true where its grade promises?"""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from eval.planted import FULL, Meaning, load_params, planted_cells
from eval.planted.activity import conditional_rates
from eval.planted.labels import GRADES, factors_of

PARAMS = load_params(FULL)
GIVEN = {f["name"]: f for f in PARAMS["factors"]}
NAMES = tuple(GIVEN)
FACTORS = factors_of(PARAMS)
PAIRS = [(f["with"], f["name"], f["phi"]) for f in PARAMS["factors"] if "phi" in f]
LEAVES = [f["name"] for f in PARAMS["factors"] if f["family"] == "identity" and "type" in f]
PARENTS = [f["name"] for f in PARAMS["factors"] if "types" in f]


@pytest.fixture(scope="module")
def cells():
    return planted_cells(PARAMS, seed=0)


@pytest.fixture(scope="module")
def active(cells):
    return pd.DataFrame(cells.activity > 0, columns=list(NAMES))


@pytest.fixture(scope="module")
def single(active):
    """Cells alone in their droplet, as the parameters speak of them."""
    return active[~active["doublet"]]


@pytest.fixture(scope="module")
def depth(cells):
    return np.asarray(cells.adata.X.sum(1)).ravel()


def small(n: int, seed: int):
    params = load_params(FULL)
    params["cells"]["n_cells"] = n
    return planted_cells(params, seed)


# ---------------------------------------------------------------------------------------------------- the cells


def test_one_seed_is_one_corpus():
    first, again, other = small(900, 0), small(900, 0), small(900, 1)
    assert (first.adata.X != again.adata.X).nnz == 0
    assert np.array_equal(first.activity, again.activity)
    assert first.adata.obs.equals(again.adata.obs)
    assert (first.adata.X != other.adata.X).nnz > 1000


def test_it_has_the_promised_size_donors_and_batches(cells):
    x, obs = cells.adata.X, cells.adata.obs
    assert cells.adata.shape == (12000, 2400)
    assert np.array_equal(x.data, np.round(x.data))
    assert x.data.min() >= 1
    assert cells.adata.var_names.is_unique
    assert obs["donor"].nunique() == 24
    assert obs["batch"].nunique() == 6
    assert (obs.groupby("donor", observed=True)["batch"].nunique() == 1).all()
    assert obs["donor"].value_counts().min() > 300


def test_families_are_as_many_as_the_protocol_asks():
    count = pd.Series([f["family"] for f in PARAMS["factors"]]).value_counts()
    assert len(FACTORS) >= 40
    assert len(LEAVES) == 8
    assert len(PARENTS) == 3
    assert count.drop("identity").to_dict() == {
        "program": 12,
        "rare": 6,
        "pair": 6,
        "batch": 4,
        "technical": 4,
    }


def test_symbols_are_real_names_of_human_genes(cells, data_folder):
    lines = (data_folder / "genesets" / "GENCODEv44_Gene_id2name.csv").read_text().splitlines()
    assert set(cells.adata.var_names) <= {line.split(",")[1] for line in lines}


def test_sets_of_the_gene_ontology_are_what_they_say(data_folder):
    """Genes of a factor whose source names GO terms are in one of them, but for those said to be markers."""
    terms = {}
    lines = (data_folder / "genesets" / "enrichr.GO_Biological_Process_2021.gmt").read_text().splitlines()
    for name, _, *genes in (line.split("\t") for line in lines):
        terms[name.rpartition("(")[2].rstrip(")")] = set(genes)
    for factor, given in GIVEN.items():
        named = re.findall(r"GO:\d{7}", given["source"])
        said = given["source"].partition(";")[2]
        other = set(re.findall(r"[A-Z0-9]{3,}", said)) if "markers" in said else set()
        assert not named or set(given["up"]) - other <= set().union(*(terms[t] for t in named)), factor
    assert all("GO:" in f["source"] for f in PARAMS["factors"] if f["family"] == "program")


@pytest.mark.parametrize("name", [name for name, f in GIVEN.items() if "prevalence" in f])
def test_a_program_is_as_frequent_as_promised(active, single, name):
    """Within four standard errors, of donors' rates and of cells."""
    p, rates = GIVEN[name]["prevalence"], active if name == "doublet" else single
    concentration = GIVEN[name].get("donor_concentration", PARAMS["cells"]["donor_concentration"])
    error = np.sqrt(p * (1 - p) * (1 / (24 * (concentration + 1)) + 1 / len(rates)))
    assert abs(rates[name].mean() - p) < 4 * error
    if GIVEN[name]["family"] == "rare":
        assert 0.005 <= active[name].mean() <= 0.02


def test_rare_types_are_rare(active):
    for name in ("megakaryocyte", "pdc", "mast"):
        assert 0.005 <= active[name].mean() <= 0.02, name


@pytest.mark.parametrize(("first", "second", "phi"), PAIRS)
def test_pairs_fire_together_at_their_phi(single, first, second, phi):
    assert np.corrcoef(single[first], single[second])[0, 1] == pytest.approx(phi, abs=0.05)


def test_pairs_are_at_point_three_six_and_nine():
    assert [phi for _, _, phi in PAIRS] == [0.3, 0.6, 0.9]


def test_conditional_rates_by_hand():
    assert conditional_rates(0.5, 0.5, 0.6) == pytest.approx((0.8, 0.2))
    assert conditional_rates(0.2, 0.1, 0.0) == pytest.approx((0.1, 0.1))
    assert conditional_rates(0.3, 0.3, 1.0) == pytest.approx((1.0, 0.0))
    with pytest.raises(ValueError, match="cannot have correlation"):
        conditional_rates(0.1, 0.5, 0.9)


def test_leaves_exclude_each_other_and_make_up_their_parents(single):
    assert (single[LEAVES].sum(1) <= 1).all()
    for parent in PARENTS:
        children = [leaf for leaf in LEAVES if GIVEN[leaf]["type"] in GIVEN[parent]["types"]]
        assert len(children) >= 2
        assert single[parent].equals(single[children].any(axis=1)), parent


def test_confounded_factors_follow_one_batch(cells, single):
    batch = cells.adata.obs["batch"].to_numpy()[single.index]
    own = set()
    for name in [f["name"] for f in PARAMS["factors"] if f["family"] == "batch"]:
        rate = single[name].groupby(batch).mean()
        own.add(rate.idxmax())
        assert rate.max() == pytest.approx(0.8, abs=0.08), name
        assert rate.drop(rate.idxmax()).max() < 0.2, name
    assert len(own) == 4


def test_counts_vary_as_a_negative_binomial_and_depth_is_log_normal(cells, active, depth):
    """Genes without a role, within one type and one donor at a time: variance beyond Poisson is μ²/θ, and a little."""
    named = {g for f in FACTORS for label in f.labels for g in (*label.up, *label.down)}
    plain = ~(active["doublet"] | active["low_depth"] | active["ambient"]).to_numpy()
    role_free = ~cells.adata.var_names.isin(list(named))
    beyond = squares = 0.0
    for donor in cells.adata.obs["donor"].cat.categories:
        obs = cells.adata.obs
        rows = np.flatnonzero(plain & (obs["donor"] == donor) & (obs["cell_type"] == "CD4 T cell"))
        x = cells.adata.X[rows].toarray().astype(float)
        expected = x.sum(1, keepdims=True) * (x.sum(0) / x.sum())
        seen = role_free & (expected.mean(0) > 1)
        beyond += ((x - expected) ** 2 * len(x) / (len(x) - 1) - expected)[:, seen].sum()
        squares += (expected[:, seen] ** 2).sum()
    assert beyond / squares == pytest.approx(1 / PARAMS["cells"]["dispersion"], abs=0.05)
    logs = np.log(depth[plain])
    assert logs.std() == pytest.approx(0.45, abs=0.02)
    assert np.exp(np.median(logs)) == pytest.approx(4000, rel=0.05)
    assert abs(((logs - logs.mean()) ** 3).mean()) < 0.1 * logs.std() ** 3


def test_technical_factors_do_what_they_are_called(cells, active, depth):
    genes = cells.adata.var_names
    share = lambda mask: np.asarray(cells.adata.X[:, mask].sum(1)).ravel() / depth  # noqa: E731
    assert np.median(depth[active["low_depth"]]) < 0.5 * np.median(depth[~active["low_depth"]])
    mitochondrial = share(genes.str.startswith("MT-"))
    assert mitochondrial[active["mito"]].mean() > 2.5 * mitochondrial[~active["mito"]].mean()
    globin = share(genes.isin(["HBB", "HBA1", "HBA2"]))
    by_type = (
        pd.Series(globin)
        .groupby([cells.adata.obs["cell_type"].to_numpy(), active["ambient"]])
        .mean()
        .unstack()
    )
    assert (by_type[True] > 5 * by_type[False]).all()
    both = active.loc[active["doublet"], ["t_cell", "myeloid"]]
    assert both.all(axis=None)
    assert not (active["doublet"] & active["low_depth"]).any()
    assert np.median(depth[active["doublet"]]) > 1.6 * np.median(depth[~active["doublet"]])
    weight = cells.activity[active["doublet"]][:, [NAMES.index("t_cell"), NAMES.index("myeloid")]]
    assert weight.sum(1).mean() == pytest.approx(1, abs=0.1)  # the mean of two cells, one active in each


# ---------------------------------------------------------------------------------------------- masks and labels


def test_genes_of_a_factor_move_in_its_direction(cells, active, depth):
    scaled = cells.adata.X.multiply(4000 / depth[:, None]).tocsr()
    scaled.data = np.log1p(scaled.data)
    on = active.to_numpy().T.astype(np.float32)  # (f, n)
    size = on.sum(1, keepdims=True)
    n = len(depth)
    sums, squares = on @ scaled, on @ scaled.multiply(scaled).tocsr()
    total, total_squares = np.asarray(scaled.sum(0)), np.asarray(scaled.multiply(scaled).sum(0))
    mean, rest = sums / size, (total - sums) / (n - size)
    error = (squares / size - mean**2) / size + ((total_squares - squares) / (n - size) - rest**2) / (
        n - size
    )
    z = pd.DataFrame((mean - rest) / np.sqrt(error), index=list(NAMES), columns=cells.adata.var_names)
    for factor in cells.factors:
        assert (z.loc[factor.name, list(factor.up)] > 3).all(), factor.name
        assert (z.loc[factor.name, list(factor.down)] < -3).all(), factor.name


def test_masks_are_the_sign_of_effects_and_share_no_gene(cells):
    names = cells.adata.var_names
    assert cells.effects.shape == (43, 2400)
    for row, factor in zip(cells.effects, cells.factors, strict=True):
        assert set(names[row > 0]) == set(factor.up)
        assert set(names[row < 0]) == set(factor.down)
        assert len(factor.up) >= 12
    for a, b in combinations([f for f in FACTORS if f.name != "doublet"], 2):
        assert not {*a.up, *a.down} & {*b.up, *b.down}, (a.name, b.name)


def test_every_factor_has_all_grades_in_measured_genes(cells):
    measured = set(cells.adata.var_names)
    wanted = dict(zip(GRADES, (1, 3, 2, 2, 2, 2), strict=True))
    for latent, factor in enumerate(FACTORS):
        assert {g: len(factor.graded(g)) for g in GRADES} == wanted, factor.name
        assert len({label.title for label in factor.labels}) == 12, factor.name
        assert (factor.oracle.up, factor.oracle.down) == (factor.up, factor.down)
        for label in factor.labels:
            assert label.label.latent == latent
            assert 6 <= len(label.up) <= 24
            assert len({*label.up, *label.down}) == len(label.up) + len(label.down)
            assert {*label.up, *label.down} <= measured
            assert len(label.title.split()) <= 10, label.title
            assert label.description.endswith(".")
            assert "{" not in label.title + label.description
        for label in factor.graded("paraphrase"):
            assert set(label.up) <= set(factor.up)
            assert set(label.down) <= set(factor.down)
        for label in (*factor.graded("near_miss"), *factor.graded("wrong")):
            assert not set(label.up) & set(factor.up), (factor.name, label.title)


def test_one_text_means_one_thing():
    said: dict[tuple[str, str], set[frozenset[str]]] = {}
    for label in (label for factor in FACTORS for label in factor.labels):
        everything = {*label.meaning.all_of, *label.meaning.any_of}
        if everything & {*PARENTS}:  # a subset of a lineage is named as it is alone
            everything -= {*PARENTS} if everything & {*LEAVES} else set()
        said.setdefault((label.title, label.description), set()).add(frozenset(everything))
    assert [text for text, meanings in said.items() if len(meanings) > 1] == []


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("factor", FACTORS, ids=NAMES)
def test_labels_are_true_where_their_grade_promises(cells, active, factor):
    truth = active[factor.name].to_numpy()
    for label in factor.labels:
        said = label.truth(cells.activity)
        assert said.shape == (12000,)
        if label.grade in ("oracle", "paraphrase"):
            assert np.array_equal(said, truth)
        elif label.grade == "too_broad":
            assert said[truth].all()
            assert jaccard(said, truth) < 0.85, label.title
        elif label.grade == "too_narrow":
            assert not said[~truth].any()
            assert said.sum() >= 5
            assert jaccard(said, truth) < 0.7, label.title
        else:
            assert jaccard(said, truth) < 0.15, label.title
            assert said.sum() >= 50


def test_a_meaning_by_hand():
    active = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [1, 0.5, 0], [1, 1, 1]])
    names = ("a", "b", "c")
    assert Meaning(("a",)).truth(active, names).tolist() == [False, True, False, True, True]
    assert Meaning(("a", "b")).truth(active, names).tolist() == [False, False, False, True, True]
    assert Meaning(any_of=("a", "b")).truth(active, names).tolist() == [False, True, True, True, True]
    assert Meaning(("a",), ("b", "c")).truth(active, names).tolist() == [False, False, False, True, True]
    with pytest.raises(ValueError, match="3 columns"):
        Meaning(("a",)).truth(active, ("a", "b"))
    with pytest.raises(ValueError, match="at least one"):
        Meaning()


def test_labels_written_by_hand_say_so_where_they_mean_what_was_not_planted():
    factor = factors_of(load_params())[0]
    assert factor.oracle.truth(np.eye(6)).tolist() == [True, False, False, False, False, False]
    with pytest.raises(ValueError, match="has no meaning"):
        factor.graded("too_broad")[0].truth(np.eye(6))
