"""Scaling against scikit-learn, centers, unit norm, the way back, edits, and what cannot be preprocessed."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from sae import DictionaryConfig, Preprocessing, fit, load, quality, save, untrained
from sae.config import TRAINED

CONTROLS = np.arange(0, 500, 3)
EVERY = [
    {"scaling": scaling, "center": center, "unit_norm": unit_norm}
    for scaling in ("global", "dimension", "whiten", "none")
    for center in ("mean", "controls", "none")
    for unit_norm in (False, True)
]


def embedding(n=500, d=7, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * np.arange(1, d + 1) + 5 * rng.normal(size=d)).astype(np.float32)


def test_dimension_scaling_equals_standard_scaler_on_the_chosen_rows():
    x, rows = embedding(), np.arange(0, 500, 3)
    ours = Preprocessing.fit(x, rows, "dimension", block_rows=64).forward(torch.from_numpy(x)).numpy()
    theirs = StandardScaler().fit(x[rows]).transform(x)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_global_scaling_gives_mean_squared_norm_d_and_keeps_geometry():
    x = embedding()
    ours = Preprocessing.fit(x).forward(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose((ours**2).sum(1).mean(), x.shape[1], rtol=1e-5)
    before, after = np.linalg.norm(x[1:] - x[0], axis=1), np.linalg.norm(ours[1:] - ours[0], axis=1)
    np.testing.assert_allclose(after / before, (after / before)[0], rtol=1e-4)


def test_none_leaves_the_embedding_alone():
    x = torch.from_numpy(embedding())
    assert torch.equal(Preprocessing.fit(x.numpy(), method="none").forward(x), x)


@pytest.mark.parametrize("method", ["global", "dimension", "none"])
def test_inverse_returns_the_embedding(method):
    x = torch.from_numpy(embedding())
    t = Preprocessing.fit(x.numpy(), method=method)
    torch.testing.assert_close(t.inverse(t.forward(x)), x, atol=1e-4, rtol=1e-5)


def test_the_size_of_blocks_does_not_matter():
    x = embedding() + 1000
    whole, small = Preprocessing.fit(x, block_rows=1000), Preprocessing.fit(x, block_rows=17)
    torch.testing.assert_close(whole.center, small.center)
    torch.testing.assert_close(whole.scale, small.scale)


def test_a_constant_dimension_is_not_blown_up():
    x = embedding()
    x[:, 2] = 0.1
    scaled = Preprocessing.fit(x, method="dimension").forward(torch.from_numpy(x))
    assert scaled[:, 2].abs().max() < 1e-5


def test_rows_that_are_all_the_same_are_refused():
    with pytest.raises(ValueError, match=r"all 20 rows .* the same"):
        Preprocessing.fit(np.full((20, 3), 0.3, np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_row_that_is_not_finite_is_named(bad):
    x = embedding()
    x[[41, 300], 2] = bad
    with pytest.raises(ValueError, match="row 41 "):
        Preprocessing.fit(x, block_rows=16)
    assert Preprocessing.fit(x, np.arange(40)).method == "global"  # rows that are not chosen do not matter


def preprocessing(x, scaling, center, unit_norm, controls=CONTROLS):
    return Preprocessing.fit(x, None, scaling, center=center, unit_norm=unit_norm, controls=controls)


def some_dictionary(x, chosen, k=3, **changed):
    config = DictionaryConfig(d=x.shape[1], m=16, k=k, **chosen, **changed)
    return untrained(x, config, controls=CONTROLS)


def test_the_center_is_the_mean_of_the_controls_or_of_all_rows_or_nothing():
    x, rows = embedding(), np.arange(0, 500, 2)
    controls = rows[::5]
    for center, expected in [
        ("mean", x[rows].mean(0)),
        ("controls", x[controls].mean(0)),
        ("none", np.zeros(7)),
    ]:
        t = Preprocessing.fit(x, rows, center=center, controls=controls, block_rows=37)
        np.testing.assert_allclose(t.center, expected, atol=1e-5)
        np.testing.assert_allclose(t.scale, np.sqrt(x[rows].var(0).mean()), rtol=1e-5)
    t = Preprocessing.fit(x, rows, center="controls", controls=controls)
    assert t.summary == "Embeddings are centered on 50 control rows."
    assert Preprocessing.fit(x, rows, controls=controls).summary == ""


@pytest.mark.parametrize("scaling", ["global", "dimension", "whiten", "none"])
def test_unit_norm_comes_last_and_an_item_at_the_center_becomes_zero(scaling):
    x = embedding()
    plain, unit = (preprocessing(x, scaling, "mean", on) for on in (False, True))
    y = plain.forward(torch.from_numpy(x)).numpy()
    expected = y / np.linalg.norm(y, axis=1, keepdims=True)
    np.testing.assert_allclose(unit.forward(torch.from_numpy(x)).numpy(), expected, atol=1e-6)
    assert not unit.forward(unit.center[None]).any()


@pytest.mark.parametrize("chosen", EVERY, ids=str)
def test_the_inverse_of_every_preprocessing_gives_the_embedding_back(chosen):
    x = torch.from_numpy(embedding())
    t = preprocessing(x.numpy(), **chosen)
    torch.testing.assert_close(t.inverse(t.forward(x), like=x), x, atol=1e-4, rtol=1e-5)


def test_the_inverse_of_unit_norm_needs_to_know_how_long_the_items_were():
    x = embedding()
    dictionary = some_dictionary(x, {"unit_norm": True})
    codes = dictionary.encode(x)
    with pytest.raises(ValueError, match="pass like, the items themselves"):
        dictionary.decode(codes)
    with pytest.raises(ValueError, match="500 codes and 3 items to be like"):
        dictionary.decode(codes, like=x[:3])
    w = dictionary.weights()
    about = (x - w["center"]) / w["scale"]
    code = np.zeros((500, 16), np.float32)
    np.put_along_axis(code, codes.indices, codes.values, 1)
    norms = np.linalg.norm(about, axis=1, keepdims=True)
    expected = (code @ w["decoder"] + w["bias"]) * norms * w["scale"] + w["center"]
    np.testing.assert_allclose(dictionary.decode(codes, like=x), expected, atol=1e-4)


@pytest.mark.parametrize("chosen", EVERY, ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_edit_by_zero_is_exact_under_every_preprocessing(chosen, dtype):
    x = (embedding() / 3).astype(dtype)
    edited = some_dictionary(embedding(), chosen).edit(x, 5, 0.0)
    assert edited.dtype == dtype
    np.testing.assert_array_equal(edited, x)


@pytest.mark.parametrize("chosen", EVERY, ids=str)
def test_edit_moves_what_preprocessing_gives_along_the_decoder_row(chosen):
    x, s = embedding().astype(np.float64), np.linspace(-3, 3, 500)
    dictionary = some_dictionary(embedding(), chosen)
    t = dictionary.preprocessing
    edited = torch.from_numpy(dictionary.edit(x, 5, s))
    expected = t.forward(torch.from_numpy(x)).numpy() + s[:, None] * dictionary.w_dec[5]
    # after a step the norm is another one: measured by that of x, the step is what was asked for
    moved = (t.linear(edited) / t.norms(torch.from_numpy(x))).numpy()
    np.testing.assert_allclose(moved, expected, atol=1e-5)


@pytest.mark.parametrize("chosen", EVERY, ids=str)
def test_editing_forth_and_back_returns_the_item(chosen):
    x, s = embedding(), np.linspace(-3, 3, 500).astype(np.float32)
    dictionary = some_dictionary(x, chosen)
    edited = dictionary.edit(x, 5, s)
    assert np.abs(edited - x).max() > 0.1
    np.testing.assert_allclose(dictionary.edit(edited, 5, -s, like=x), x, atol=1e-5)
    if not chosen["unit_norm"]:
        np.testing.assert_allclose(dictionary.edit(edited, 5, -s), x, atol=1e-5)


def test_under_unit_norm_the_way_back_is_longer_or_shorter_by_the_ratio_of_norms():
    x = embedding().astype(np.float64)
    dictionary = some_dictionary(embedding(), {"unit_norm": True, "scaling": "whiten"})
    edited = dictionary.edit(x, 5, 2.0)
    before, after = (dictionary.preprocessing.norms(torch.from_numpy(v)).numpy()[:, 0] for v in (x, edited))
    np.testing.assert_allclose(dictionary.edit(edited, 5, -2.0 * before / after), x, atol=1e-5)
    assert np.abs(dictionary.edit(edited, 5, -2.0) - x).max() > 0.1


def test_an_edit_keeps_what_whitening_drops():
    x = embedding()
    x = np.concatenate([x, x[:, :1] + x[:, 1:2]], axis=1)
    chosen = {"scaling": "whiten", "center": "controls"}
    dictionary = some_dictionary(x, chosen)
    assert dictionary.w_dec.shape == (16, 7)
    strange = x.copy()
    strange[:, 7] += 50  # out of what the rows span: T cannot see it
    moved, moved_strange = dictionary.edit(x, 2, 1.5) - x, dictionary.edit(strange, 2, 1.5) - strange
    np.testing.assert_allclose(moved, moved_strange, atol=1e-4)
    np.testing.assert_array_equal(dictionary.edit(strange, 2, 0.0), strange)


@pytest.mark.parametrize("chosen", EVERY, ids=str)
def test_every_preprocessing_is_saved_with_the_dictionary(chosen, tmp_path):
    x = embedding()
    dictionary = some_dictionary(x, chosen)
    again = load(save(dictionary, tmp_path / "saved"))
    assert again.fingerprint() == dictionary.fingerprint() and again.config == dictionary.config
    assert again.preprocessing.summary == dictionary.preprocessing.summary
    assert again.preprocessing.record() == dictionary.preprocessing.record()
    np.testing.assert_array_equal(again.encode(x).values, dictionary.encode(x).values)
    np.testing.assert_array_equal(again.edit(x, 1, 2.0), dictionary.edit(x, 1, 2.0))


@pytest.mark.parametrize("unit_norm", [False, True])
@pytest.mark.parametrize("kind", [*TRAINED, "pca", "ica", "nmf", "neurons"])
def test_every_kind_of_dictionary_works_with_whitening(kind, unit_norm, tmp_path):
    x = embedding(d=10)
    x[:, 9] = x[:, 0] - x[:, 3]  # 9 components
    chosen = {"scaling": "whiten", "center": "controls", "unit_norm": unit_norm}
    config = DictionaryConfig(d=10, m=16, k=4, kind=kind, steps=200, **chosen)
    made = fit(x, config, controls=CONTROLS)
    dictionary = made.dictionary
    assert dictionary.w_dec.shape == (dictionary.config.m, 9)
    assert made.quality["fvu_scaled"] < 0.7 and made.quality["fvu"] < 0.7
    assert load(save(dictionary, tmp_path / "saved")).fingerprint() == dictionary.fingerprint()


def test_variance_unexplained_is_measured_in_both_spaces():
    x = embedding()
    chosen = {"scaling": "whiten", "center": "controls", "unit_norm": True}
    dictionary = some_dictionary(x, chosen)
    measured = quality(dictionary, x, block_rows=64)
    decoded = dictionary.decode(dictionary.encode(x), like=x)
    expected = ((x - decoded) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    assert measured["fvu"] == pytest.approx(expected, rel=1e-4)
    t = dictionary.preprocessing.forward(torch.from_numpy(x)).numpy()
    codes = dictionary.encode(x)
    code = np.zeros((500, 16), np.float32)
    np.put_along_axis(code, codes.indices, codes.values, 1)
    missed = t - code @ dictionary.w_dec - dictionary.weights()["bias"]
    assert measured["fvu_scaled"] == pytest.approx((missed**2).sum() / ((t - t.mean(0)) ** 2).sum(), rel=1e-4)


def test_only_rows_and_controls_have_an_influence():
    x, rows = embedding(), np.arange(0, 500, 2)
    changed = x.copy()
    changed[1::2] = np.nan
    config = DictionaryConfig(d=7, m=16, k=3, steps=20, scaling="whiten", center="controls", unit_norm=True)
    first, second = (fit(values, config, rows, controls=rows[:90]) for values in (x, changed))
    assert first.dictionary.fingerprint() == second.dictionary.fingerprint()
    other = fit(x, config, rows, controls=rows[90:])
    assert other.dictionary.fingerprint() != first.dictionary.fingerprint()


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        (None, "needs controls; say which rows they are, or center on the mean"),
        (np.array([], np.int64), "none of them is among the rows"),
        (np.array([4, 7]), "control row 7 is not among the rows"),
        (np.array([4, 4]), "stands twice"),
    ],
)
def test_unfit_controls_are_refused(controls, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing.fit(embedding(), np.arange(0, 500, 2), center="controls", controls=controls)
