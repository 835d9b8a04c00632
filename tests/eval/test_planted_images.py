"""Are planted images what their parameters say? Nothing here runs a scorer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from autointerp.corpus.morphology import feature_names
from autointerp.schema import Question
from eval.planted.images import WHOLE, load_image_params, planted_images
from eval.planted.judges import OracleJudge
from eval.planted.labels import GRADES
from eval.planted.painter import AGP, CHANNELS, DNA, ER, MITO, RNA, Cell
from eval.planted.patches import oracle_parts, oracle_regions

LOCAL = {  # factor -> the channel it changes, and whether it is brighter there than in the rest of the cell
    "speckled_nucleus": (DNA, True),
    "large_nucleoli": (RNA, True),
    "er_ring": (ER, True),
    "er_patchy": (ER, True),
    "mito_network": (MITO, True),
    "mito_fragments": (MITO, True),
    "actin_fibers": (AGP, True),
    "actin_cortex": (AGP, True),
    "golgi_bright": (AGP, True),
    "golgi_scattered": (AGP, True),
    "vacuoles": (ER, False),
    "bleed_through": (MITO, True),
}


def small(seed=0, **changed):
    params = load_image_params()
    params["images"].update({"n_plates": 2, "crops_per_well": 3, "side": 48, **changed})
    return planted_images(params, seed)


@pytest.fixture(scope="module")
def crops():
    return small()


def test_one_seed_is_one_corpus(crops):
    again, other = small(), small(seed=1)
    assert np.array_equal(again.images, crops.images) and np.array_equal(again.masks, crops.masks)
    assert np.array_equal(again.activity, crops.activity) and again.obs.equals(crops.obs)
    assert (other.images != crops.images).mean() > 0.5


def test_a_mask_shows_where_a_factor_is_active_and_nowhere_else(crops):
    assert crops.images.shape == (90, 48, 48, 5) and crops.images.dtype == np.uint8
    shows = crops.masks.any((2, 3))
    assert np.array_equal(shows, crops.activity > 0)
    for name in WHOLE:
        j = crops.factor(name)
        assert crops.masks[crops.activity[:, j] > 0, j].all()


@pytest.mark.parametrize("name", LOCAL)
def test_the_channel_differs_where_the_mask_says(name):
    channel, brighter = LOCAL[name]
    for seed in range(5):
        cell = Cell({name: 1.0}, 64, np.random.default_rng(seed))
        image = cell.exposed(np.ones(5), 0.0)[:, :, channel].astype(float)
        mask = cell.masks[name]
        rest = (cell.nucleus if name == "speckled_nucleus" else cell.body) & ~mask
        if name == "vacuoles":
            rest &= cell.cytoplasm
        apart = image[mask].mean() - image[rest].mean()
        assert apart > 10 if brighter else apart < -10


def test_sizes_and_outlines_follow_their_factors():
    def areas(**active):
        made = [Cell(active, 64, np.random.default_rng(seed)) for seed in range(8)]
        return np.mean([[c.nucleus.sum(), c.body.sum()] for c in made], axis=0)

    plain, two = areas(), Cell({"binucleate": 1.0}, 64, np.random.default_rng(0))
    assert areas(large_nucleus=1.0)[0] > 1.8 * plain[0] and areas(small_nucleus=1.0)[0] < 0.6 * plain[0]
    assert areas(spread=1.0)[1] > 1.5 * plain[1] and areas(rounded=1.0)[1] < 0.6 * plain[1]
    assert areas(spread=1.5)[1] > areas(spread=0.7)[1] > plain[1]
    y, x = np.nonzero(two.nucleus)
    spread = np.sqrt(np.linalg.eigvalsh(np.cov(y, x)))
    assert spread[1] > 1.6 * spread[0]


def test_faults_are_in_every_channel():
    def shown(**active):
        return Cell(active, 64, np.random.default_rng(1)).exposed(np.ones(5), 0.0).astype(float)

    plain, blurred, lit = shown(), shown(blur=1.0), shown(illumination=1.0)
    sharp = [np.abs(np.diff(image, axis=0)).max((0, 1)) for image in (plain, blurred)]
    assert (sharp[1] < 0.7 * sharp[0]).all()
    ratio = (lit / plain).reshape(64 * 64, 5)
    assert (ratio.std(0) > 0.15).all() and np.corrcoef(ratio.T).min() > 0.9


def test_treatments_raise_their_factors_in_their_wells_of_every_plate():
    crops, params = small(crops_per_well=1, n_plates=60, side=8), load_image_params()["images"]
    active = crops.activity > 0
    wells = crops.obs.groupby("plate").treatment.value_counts().unstack()
    assert (wells[list(params["treatments"])] == 1).all(axis=None) and (wells[params["control"]] == 3).all()
    for name, raised in params["treatments"].items():
        columns = [crops.factor(one) for one in raised]
        inside = crops.obs.treatment.to_numpy() == name
        assert (active[inside][:, columns].mean(0) > 0.25).all()
        assert (active[crops.obs.treatment.to_numpy() == params["control"]][:, columns].mean(0) < 0.16).all()
    for a, b in params["exclusive"]:
        assert not (active[:, crops.factor(a)] & active[:, crops.factor(b)]).any()
    assert crops.activity[active].mean() == pytest.approx(1, abs=0.03)


def test_every_factor_has_twelve_graded_labels_with_a_meaning(crops):
    measured = set(feature_names(CHANNELS).tolist())
    for factor in crops.factors:
        assert [len(factor.graded(grade)) for grade in GRADES] == [1, 3, 2, 2, 2, 2]
        assert len({label.title for label in factor.labels}) == 12, factor.name
        assert {*factor.up, *factor.down} <= measured and factor.up + factor.down
        active = crops.activity[:, crops.factor(factor.name)] > 0
        for label in factor.labels:
            said = label.truth(crops.activity)
            if label.grade in GRADES[:2]:
                assert np.array_equal(said, active)
            elif label.grade == "too_broad":
                assert (said >= active).all() and said.sum() > active.sum(), label.title
            elif label.grade == "too_narrow":
                assert (said <= active).all() and label.meaning.all_of[0] == factor.name
            else:
                assert factor.name not in label.meaning.all_of


def test_it_is_written_as_a_user_would_bring_it(crops, tmp_path):
    images, activations = crops.write(tmp_path)
    with np.load(images) as found:
        assert np.array_equal(found["images"], crops.images) and tuple(found["channels"]) == CHANNELS
        assert np.array_equal(found["plate"], crops.obs.plate) and np.array_equal(
            found["masks"], crops.bodies
        )
        assert not set(found.files) & {"activity", "factors"}
    with np.load(activations) as found:
        assert np.array_equal(found["activations"], crops.activity)


def test_an_oracle_judges_marked_regions_by_the_masks():
    crops = small(side=32)
    i = int(np.flatnonzero(crops.activity[:, crops.factor("er_ring")])[0])
    mask = crops.masks[i, crops.factor("er_ring")].reshape(4, 8, 4, 8).sum((1, 3))
    own = crops.shown_by(["er_ring"], i)
    assert own == {f"r{r + 1}c{c + 1}" for r, c in np.argwhere(mask >= max(mask.max() / 4, 1))}
    foreign = tuple(sorted({f"r{r + 1}c{c + 1}" for r, c in np.argwhere(mask == 0)})[:2])
    true = tuple(sorted(own)[:2])
    label = crops.factors[crops.factor("er_ring")].oracle.label
    question = Question("fuzzing", 0, label, np.array([i, i, i]), (), (true, foreign, (true[0], foreign[0])))
    answer = asyncio.run(OracleJudge(crops).answer(question))
    assert answer.values == pytest.approx((95, 5, 50))


def test_regions_of_a_run_are_the_factors_own_patches():
    crops = small(side=32)
    corpus = SimpleNamespace(display=None, scaled=None)
    regions, parts = oracle_regions(corpus, crops), oracle_parts(crops)
    for i, j in np.argwhere(crops.activity > 0)[:40]:
        assert regions.worth(j, i) == pytest.approx(parts.worth(j, i), nan_ok=True)
