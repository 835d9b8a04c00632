"""Do readouts read what scikit-learn and sums written out here read, and is their quality that of develop items?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist
from scipy.stats import pearsonr
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autointerp.corpus import kernel_neighbours
from autointerp.corpus.class_readouts import PENALTIES, SMOOTHING, class_readout
from autointerp.corpus.gene_sets import GeneSets
from autointerp.corpus.kernel_neighbours import NEIGHBOURS, WIDTHS, References, some_rows
from autointerp.corpus.output_weights import output_weights
from autointerp.corpus.readouts import (
    decoder_genes,
    gene_proportions,
    load_decoder,
    neighbour_genes,
    programs,
)
from autointerp.errors import UserError
from tests.tiny_corpus import TinyCorpus

EXPLAIN, DEVELOP = np.arange(90), np.arange(90, 150)
COLUMNS = np.array([0, 2, 3, 5, 6, 7, 8])


def corpus(n=150, d=4, g=9, seed=0):
    """Features follow the embedding, some of them not at all; one never varies."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    features = np.maximum(x @ rng.normal(size=(d, g)) + rng.normal(0, 0.3, (n, g)), 0)
    features[:, 7] = 1.0
    made = TinyCorpus(features, [f"G{i}" for i in range(g)], EXPLAIN)
    made.embeddings = x
    return made


def kernel(points, references, values, bandwidth, most=NEIGHBOURS):
    """The whole matrix of weights, all but the nearest set to 0."""
    distance = cdist(points.astype(float), references.astype(float))
    weight = np.exp(-(distance**2) / (2 * bandwidth**2))
    weight[distance > np.sort(distance, axis=1)[:, [min(most, len(references)) - 1]]] = 0
    return weight @ values / weight.sum(1, keepdims=True)


@pytest.mark.parametrize("values", ["dense", "sparse"])
def test_weighted_means_equal_a_kernel_regression_over_the_nearest(values):
    rng = np.random.default_rng(0)
    points, references = rng.normal(size=(600, 5)), rng.normal(size=(300, 5))
    y = rng.random((300, 7)) * (rng.random((300, 7)) < 0.4)
    found = References(references).average(points, sparse.csr_matrix(y) if values == "sparse" else y, 0.7)
    np.testing.assert_allclose(found, kernel(points, references, y, 0.7), rtol=2e-5, atol=1e-9)


def test_far_from_everything_the_nearest_item_counts():
    references, y = np.array([[0.0], [1.0]]), np.array([[3.0], [5.0]])
    assert References(references).average(np.array([[1e4], [-1e4]]), y, 0.01).ravel().tolist() == [5.0, 3.0]


def test_genes_are_read_with_the_bandwidth_of_the_least_error_on_develop():
    made = corpus()
    readout = neighbour_genes(made, EXPLAIN, DEVELOP, COLUMNS)
    x, y = made.embeddings, made.x[:, COLUMNS]
    tenth = np.median(np.sort(cdist(x[DEVELOP], x[EXPLAIN]), axis=1)[:, 9])
    read = [kernel(x[DEVELOP], x[EXPLAIN], y[EXPLAIN], width * tenth) for width in WIDTHS]
    errors = [((one - y[DEVELOP]) ** 2).sum() for one in read]
    best = read[int(np.argmin(errors))]
    np.testing.assert_allclose(readout.read(x[DEVELOP]), best, rtol=1e-4, atol=1e-6)
    total = ((y[DEVELOP] - y[EXPLAIN].mean(0)) ** 2).sum()
    assert readout.quality.value == pytest.approx(1 - min(errors) / total, rel=1e-4)
    assert readout.quality.value > 0.3 and readout.quality.n == len(DEVELOP)
    for place, column in enumerate(COLUMNS):
        if column == 7:
            assert np.isnan(readout.quality.each[place])
        else:
            expected = pearsonr(made.x[DEVELOP, column], best[:, place]).statistic
            assert readout.quality.each[place] == pytest.approx(expected, abs=1e-4)
    assert readout.outputs.tolist() == [f"G{i}" for i in COLUMNS]


def test_large_references_are_a_seeded_sample(monkeypatch):
    monkeypatch.setattr("autointerp.corpus.readouts.MOST_REFERENCES", 40)
    first, second = (neighbour_genes(corpus(), EXPLAIN, DEVELOP, COLUMNS, seed=s) for s in (0, 0))
    other = neighbour_genes(corpus(), EXPLAIN, DEVELOP, COLUMNS, seed=1)
    x = corpus().embeddings[:5]
    np.testing.assert_array_equal(first.read(x), second.read(x))
    assert "40 explain" in first.how and np.abs(first.read(x) - other.read(x)).max() > 0.01
    assert some_rows(EXPLAIN, 1000, 0) is EXPLAIN and kernel_neighbours.MOST_REFERENCES == 20_000


def test_proportions_by_hand():
    p = gene_proportions(np.log1p([[1.0, 3.0], [0.0, 0.0]]))
    np.testing.assert_allclose(p[0], [(0.25 + 0.0005) / 1.001, (0.75 + 0.0005) / 1.001])
    np.testing.assert_allclose(p[1], [0.5, 0.5])
    np.testing.assert_allclose(
        gene_proportions(np.array([[-3.0, 0.4]])), gene_proportions(np.array([[0, 0.4]]))
    )


def test_a_decoder_is_read_as_it_is_and_refused_where_it_is_none():
    made = corpus()
    weights = np.random.default_rng(1).normal(size=(4, 9))
    readout = decoder_genes(made, lambda x: x @ weights, "my:decode", DEVELOP, COLUMNS)
    x = made.embeddings
    np.testing.assert_allclose(readout.read(x), (x @ weights)[:, COLUMNS], atol=1e-5)
    expected = pearsonr(made.x[DEVELOP, 2], (x[DEVELOP] @ weights)[:, 2]).statistic
    assert readout.quality.each[1] == pytest.approx(expected, abs=1e-5)
    for wrong in (lambda x: x, lambda x: np.full((len(x), 9), np.nan)):
        with pytest.raises(
            UserError, match=r"--decoder my:decode must return finite numbers of shape \(60, 9\)"
        ):
            decoder_genes(made, wrong, "my:decode", DEVELOP, COLUMNS)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("numpy", "not MODULE:CALLABLE"),
        ("no_such_module:f", "PYTHONPATH"),
        ("math:pi", "float, not a callable"),
    ],
)
def test_a_decoder_that_is_not_there_is_one_line(spec, said):
    with pytest.raises(UserError, match=said):
        load_decoder(spec)
    assert load_decoder("math:sin")(0.0) == 0.0


def classes_of(made, seed=0):
    """Three classes by the embedding; one too rare to be read, some unknown."""
    x = made.embeddings
    found = np.where(x[:, 0] > 0.4, "up", np.where(x[:, 1] > 0, "side", "down")).astype(object)
    found[[3, 30, 80]] = "rare"
    found[::17] = None
    return found


def test_class_probabilities_are_scikit_learns_smoothed():
    made = corpus()
    classes = classes_of(made)
    readout = class_readout(made.embeddings, classes, EXPLAIN, DEVELOP, "kind", "logistic")
    usable = np.array([value not in (None, "rare") for value in classes])
    fitting, held = EXPLAIN[usable[EXPLAIN]], DEVELOP[usable[DEVELOP]]
    x, y = made.embeddings, classes.astype(str)
    heads = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)).fit(x[fitting], y[fitting])
        for c in PENALTIES
    ]
    read = [(head.predict_proba(x[held]) + SMOOTHING) / (1 + 3 * SMOOTHING) for head in heads]
    best = int(np.argmin([log_loss(y[held], p) for p in read]))
    assert readout.outputs.tolist() == ["down", "side", "up"]
    np.testing.assert_allclose(readout.read(x[held]), read[best], atol=1e-6)
    said = readout.outputs[read[best].argmax(1)]
    assert readout.quality.value == pytest.approx(balanced_accuracy_score(y[held], said))
    assert readout.quality.each[2] == pytest.approx(roc_auc_score(y[held] == "up", read[best][:, 2]))
    assert readout.quality.chance == pytest.approx(1 / 3) and readout.quality.n == len(held)


def test_a_logistic_head_moves_the_log_odds_of_all_items_alike_and_says_so():
    made = corpus()
    classes = np.where(made.embeddings[:, 0] + made.embeddings[:, 1] > 0, "a", "b").astype(object)
    step = np.array([0.3, -0.1, 0.0, 0.2], np.float32)
    spread = {}
    for how in ("logistic", "kernel"):
        readout = class_readout(made.embeddings, classes, EXPLAIN, DEVELOP, "kind", how)
        x = made.embeddings[np.abs(made.embeddings[:, :2].sum(1)) < 0.7]  # where smoothing hardly matters
        before, after = (np.log(p[:, 0] / p[:, 1]) for p in (readout.read(x), readout.read(x + step)))
        moved = after - before
        spread[how] = moved.std() / np.abs(moved).mean()
        assert ("alike" in readout.how) == (how == "logistic")
    assert spread["logistic"] < 0.1 < 0.3 < spread["kernel"]


def test_kernel_classes_are_weighted_shares_smoothed():
    made = corpus()
    classes = classes_of(made)
    readout = class_readout(made.embeddings, classes, EXPLAIN, DEVELOP, "kind", "kernel")
    usable = np.array([value not in (None, "rare") for value in classes])
    fitting, held = EXPLAIN[usable[EXPLAIN]], DEVELOP[usable[DEVELOP]]
    x, one_hot = made.embeddings, classes.astype(str)[fitting][:, None] == readout.outputs
    tenth = np.median(np.sort(cdist(x[held], x[fitting]), axis=1)[:, 9])
    read = [kernel(x[held], x[fitting], one_hot, width * tenth) for width in WIDTHS]
    smooth = [(p + SMOOTHING) / (1 + 3 * SMOOTHING) for p in read]
    best = int(np.argmin([log_loss(classes[held].astype(str), p) for p in smooth]))
    np.testing.assert_allclose(readout.read(x[held]), smooth[best], atol=1e-5)


def test_one_class_is_no_readout():
    made = corpus()
    with pytest.raises(UserError, match=r"obs\['kind'\] has 1 values with at least 10 explain items"):
        class_readout(made.embeddings, np.full(150, "same", dtype=object), EXPLAIN, DEVELOP, "kind")


def test_programs_are_mean_z_scores_of_a_sets_genes():
    made = corpus()
    genes = neighbour_genes(made, EXPLAIN, DEVELOP, COLUMNS)
    members = np.zeros((2, 9), dtype=np.float32)
    members[0, [0, 2, 3, 5, 6, 7]] = 1  # one of them never varies
    members[1, [0, 1, 2, 3, 4]] = 1  # two of them are not read: too few are left
    sets = GeneSets(
        "mine.gmt", np.array(["KEPT", "SMALL"], object), sparse.csr_matrix(members), np.array([6, 5])
    )
    readout = programs(made, genes, sets, DEVELOP)
    assert readout.outputs.tolist() == ["KEPT"] and readout.proportions is None
    x, own = made.embeddings, [0, 2, 3, 5, 6]
    mean, sd = made.x[EXPLAIN][:, own].mean(0), made.x[EXPLAIN][:, own].std(0)
    read = genes.read(x[DEVELOP])[:, [0, 1, 2, 3, 4]]
    expected = ((read - mean) / sd).mean(1)
    np.testing.assert_allclose(readout.read(x[DEVELOP])[:, 0], expected, atol=1e-6)
    real = ((made.x[DEVELOP][:, own] - mean) / sd).mean(1)
    assert readout.quality.value == pytest.approx(pearsonr(real, expected).statistic, abs=1e-5)
    assert readout.sd[0] == pytest.approx(real.std(), rel=1e-5)
    with pytest.raises(UserError, match="no set has five genes"):
        programs(made, genes, GeneSets("m", sets.names[1:], sets.members[1:], sets.sizes[1:]), DEVELOP)


def test_output_weights_equal_ridge():
    made = corpus()
    linear = output_weights(made, EXPLAIN, DEVELOP, COLUMNS)
    x, y = made.embeddings.astype(float), made.x[:, COLUMNS].astype(float)
    ridge = Ridge(alpha=linear.penalty).fit(x[EXPLAIN], y[EXPLAIN])
    np.testing.assert_allclose(linear.weights, ridge.coef_.T, atol=1e-5)
    step = np.array([1.0, 0.0, -2.0, 0.5])
    moved = ridge.predict(x + step) - ridge.predict(x)
    np.testing.assert_allclose(np.tile(linear.effect(step), (150, 1)), moved, atol=1e-4)
    left = ((ridge.predict(x[DEVELOP]) - y[DEVELOP]) ** 2).sum()
    total = ((y[DEVELOP] - y[EXPLAIN].mean(0)) ** 2).sum()
    assert linear.quality.value == pytest.approx(1 - left / total, abs=1e-5)
