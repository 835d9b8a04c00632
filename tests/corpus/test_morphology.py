"""Is what is measured what a person would measure? Shapes and textures worked by hand, peers' arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats
from skimage import draw
from skimage import measure as peer
from skimage import morphology as peer_morphology

from autointerp.corpus import morphology
from autointerp.corpus.morphology_texture import LEVELS, granularity, textures

CHANNELS = ("DNA", "RNA")


def measured(image: np.ndarray, mask: np.ndarray | None = None, channels=CHANNELS) -> dict[str, float]:
    names = morphology.feature_names(channels)
    values = morphology.measure(image, mask)
    assert len(names) == len(values) == len(set(names.tolist()))
    return dict(zip(names.tolist(), values.tolist(), strict=True))


def disk(side: int = 40, radius: float = 10, value: int = 200, dim: int = 20) -> np.ndarray:
    plane = np.full((side, side), dim, np.uint8)
    plane[draw.disk((side / 2, side / 2), radius)] = value
    return plane


def test_names_follow_cellprofiler():
    names = set(morphology.feature_names(("DNA", "RNA", "Mito")).tolist())
    assert names >= {
        "AreaShape_Area", "Intensity_MeanIntensity_DNA", "Texture_Contrast_3_RNA", "Granularity_1_Mito",
        "Correlation_Correlation_DNA_RNA", "RadialDistribution_FracAtD_DNA_1of4", "AreaOccupied_AreaOccupied_DNA",
    }  # fmt: skip


def test_a_bright_rectangle():
    """4 × 10 pixels: area 40, axes by second moments √(a² − 1)·4/√12, eccentricity, solidity and extent 1."""
    plane = np.full((20, 24), 10, np.uint8)
    plane[5:9, 6:16] = 90
    found = measured(np.dstack([plane, plane]))
    assert found["AreaShape_Area"] == found["AreaShape_Area_DNA"] == 40
    assert found["AreaShape_Solidity"] == found["AreaShape_Extent"] == found["AreaShape_EulerNumber"] == 1
    long, short = 4 * np.sqrt(10**2 / 12), 4 * np.sqrt(4**2 / 12)  # with pixels of finite width
    assert found["AreaShape_MajorAxisLength"] == pytest.approx(long, rel=0.01)
    assert found["AreaShape_MinorAxisLength"] == pytest.approx(short, rel=0.05)
    assert found["AreaShape_Eccentricity"] == pytest.approx(np.sqrt(1 - (4 / 10) ** 2), rel=0.02)
    assert found["AreaOccupied_AreaOccupied_DNA"] == pytest.approx(40 / 480)
    assert found["Count_Pieces_DNA"] == 1
    assert found["Intensity_MeanIntensity_DNA"] == pytest.approx(90 / 255)
    assert found["Intensity_IntegratedIntensity_RNA"] == pytest.approx(40 * 90 / 255)
    assert found["Intensity_StdIntensity_DNA"] == pytest.approx(0)
    assert found["Intensity_MassDisplacement_DNA"] == pytest.approx(0, abs=1e-9)


def test_dark_objects_on_a_bright_field_are_objects_too():
    bright = measured(disk()[:, :, None], channels=("one",))
    dark = measured((255 - disk())[:, :, None], channels=("one",))
    shapes = [name for name in bright if name.startswith(("AreaShape", "Count", "AreaOccupied"))]
    assert [bright[n] for n in shapes] == [dark[n] for n in shapes]
    assert bright["AreaShape_FormFactor"] == pytest.approx(1, abs=0.12)


def test_pieces_holes_and_the_largest_piece():
    plane = np.zeros((40, 40), np.uint8)
    plane[draw.disk((12, 12), 9)] = 255
    plane[draw.disk((12, 12), 4)] = 0  # a ring
    plane[30:34, 30:34] = 255
    plane[38, 2] = 255  # one pixel is no piece
    found = measured(plane[:, :, None], channels=("DNA",))
    assert found["Count_Pieces_DNA"] == 2
    assert found["AreaShape_EulerNumber_DNA"] == 0
    assert found["AreaShape_Area_DNA"] == (plane[:25, :25] > 0).sum()


def test_a_mask_is_the_object():
    mask = np.zeros((40, 40), bool)
    mask[2:8, 3:9] = True
    found = measured(np.dstack([disk(), disk()]), mask)
    region = peer.regionprops(mask.astype(int), intensity_image=disk() / 255)[0]
    assert found["AreaShape_Area"] == 36 == region.area
    assert found["AreaShape_Perimeter"] == pytest.approx(region.perimeter)
    assert found["Intensity_MeanIntensity_DNA"] == pytest.approx(float(region.intensity_mean))
    assert found["AreaShape_Area_DNA"] == (disk() == 200).sum()


def test_intensities_against_numpy():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 65536, (30, 30, 2), dtype=np.uint16)
    mask = ndimage.binary_dilation(rng.random((30, 30)) < 0.05, iterations=2)
    found = measured(image, mask)
    values = image[:, :, 0][mask] / 65535
    assert found["Intensity_MedianIntensity_DNA"] == pytest.approx(np.median(values))
    assert found["Intensity_UpperQuartileIntensity_DNA"] == pytest.approx(np.percentile(values, 75))
    edge = mask & (ndimage.minimum_filter(mask, footprint=ndimage.generate_binary_structure(2, 1)) == 0)
    edge |= mask & np.pad(np.zeros((28, 28), bool), 1, constant_values=True)  # the crop's border is an edge
    assert found["Intensity_MeanIntensityEdge_DNA"] == pytest.approx((image[:, :, 0] / 65535)[edge].mean())
    ours = ndimage.center_of_mass(np.where(mask, image[:, :, 0], 0))
    plain = ndimage.center_of_mass(mask)
    assert found["Intensity_MassDisplacement_DNA"] == pytest.approx(np.hypot(*np.subtract(ours, plain)))
    r = stats.pearsonr(image[:, :, 0][mask], image[:, :, 1][mask]).statistic
    assert found["Correlation_Correlation_DNA_RNA"] == pytest.approx(r)


def test_rings_of_a_disk():
    """Uniform intensity: the innermost quarter of the depth has 1/16 of the area, the outermost 7/16."""
    plane = np.zeros((120, 120), np.uint8)
    inside = np.zeros((120, 120), bool)
    inside[draw.disk((60, 60), 50)] = True
    plane[inside] = 100
    found = measured(plane[:, :, None], inside, channels=("DNA",))
    shares = [found[f"RadialDistribution_FracAtD_DNA_{i}of4"] for i in (1, 2, 3, 4)]
    assert shares == pytest.approx([1 / 16, 3 / 16, 5 / 16, 7 / 16], abs=0.03)
    plane[draw.disk((60, 60), 12)] = 255
    assert (
        measured(plane[:, :, None], inside, channels=("DNA",))["RadialDistribution_FracAtD_DNA_1of4"]
        > shares[0]
    )


def test_textures_of_a_checkerboard_by_hand():
    """Levels 0 and 15 alternate: to the side and down every pair differs by 15, on the diagonals by 0."""
    plane = np.indices((8, 8)).sum(0) % 2 * 1.0
    found = textures(plane, np.ones((8, 8), bool))  # (scales, textures)
    contrast, correlation, moment, inverse, entropy, variance = found[0]
    assert contrast == pytest.approx(((LEVELS - 1) ** 2 + 0) / 2)
    assert correlation == pytest.approx(0, abs=0.01)
    assert inverse == pytest.approx((1 / (1 + 15**2) + 1) / 2)
    assert moment == pytest.approx(0.5, abs=0.01) and entropy == pytest.approx(np.log(2), abs=0.45)
    assert variance == pytest.approx(7.5**2, rel=0.01)
    np.testing.assert_allclose(found[1], found[0], atol=0.06)  # three pixels away likewise


def test_textures_see_the_object_alone():
    rng = np.random.default_rng(1)
    plane, mask = rng.random((30, 30)), np.zeros((30, 30), bool)
    mask[5:20, 8:22] = True
    outside = np.where(mask, plane, 7.0)
    np.testing.assert_allclose(textures(plane, mask), textures(outside, mask))
    np.testing.assert_allclose(
        textures(plane, mask), textures(3 * plane + 1, mask)
    )  # brightness does not matter


def test_granularity_against_openings_by_a_diamond():
    plane = np.pad(np.random.default_rng(2).random((25, 31)), 20)
    left = [plane.mean()]
    for size in (1, 2, 3, 4, 6, 8):
        left.append(peer_morphology.opening(plane, peer_morphology.diamond(size)).mean())
    np.testing.assert_allclose(granularity(plane[None])[0], -100 * np.diff(left) / left[0], atol=1e-9)


def test_grains_appear_at_their_size():
    small, large = np.zeros((48, 48)), np.zeros((48, 48))
    for y in range(6, 48, 12):
        for x in range(6, 48, 12):
            small[y - 1 : y + 2, x - 1 : x + 2] = 1
            large[draw.disk((y, x), 5)] = 1
    spectrum = granularity(np.stack([small, large]))
    assert spectrum[0].argmax() < spectrum[1].argmax()


def test_constant_and_empty_planes_are_undefined_not_zero():
    image = np.dstack([np.full((16, 16), 7, np.uint8), disk(16, 4)])
    found = measured(image)
    assert np.isnan(found["AreaShape_Area_DNA"]) and np.isnan(found["Correlation_Correlation_DNA_RNA"])
    assert np.isnan(found["Granularity_1_DNA"])
    assert found["AreaShape_Area_RNA"] > 0 and found["AreaOccupied_AreaOccupied_DNA"] == 0
    black = measured(np.zeros((16, 16, 2), np.uint8))
    assert np.isnan(black["AreaShape_Area"]) and black["Intensity_MeanIntensity_DNA"] == 0
    assert np.isnan(black["RadialDistribution_FracAtD_DNA_1of4"])


def test_quality_of_a_blurred_and_of_a_saturated_image():
    sharp = np.random.default_rng(3).integers(0, 256, (40, 40), dtype=np.uint8)
    blurred = ndimage.gaussian_filter(sharp.astype(float), 2).astype(np.uint8)
    scores = [measured(p[:, :, None], channels=("one",))["ImageQuality_FocusScore"] for p in (sharp, blurred)]
    assert scores[0] > 5 * scores[1]
    half = np.where(np.indices((10, 10))[0] < 5, 255, 3).astype(np.uint8)
    assert measured(half[:, :, None], channels=("one",))["ImageQuality_PercentMaximal"] == 50
