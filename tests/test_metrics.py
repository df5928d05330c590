"""Volumes solved by hand, laws that hold for all masks, and other libraries' answers."""

import math
import os
from pathlib import Path

import monai.metrics
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.masks import bed, blobs, line, tube, volume
from tests.references import metrics as reference
from vpbsd.errors import BadInput
from vpbsd.evaluation.metrics import best_threshold, measure, overlap, surface_distances

SWAPPED = {
    "precision": "recall",
    "cl_precision": "cl_sensitivity",
    "foreground_truth": "foreground_prediction",
}
DIRECTED = {"asd_vox", "asd_um", "smd_ref"}
UNIT = (1.0, 1.0, 1.0)
PERFECT = ("dsc", "accuracy", "jaccard", "precision", "recall", "f1_macro", "cldice")
SURFACE = ("hd95", "hd95_max", "hd_max", "asd", "assd")


seeds = st.integers(0, 10**6)
few = settings(deadline=None, max_examples=15)


class TestByHand:
    def test_identical_masks_are_perfect(self):
        row = measure(bed(), bed(), (3.0, 1.625, 1.625))
        assert {row[name] for name in PERFECT} == {1.0}
        assert {row[f"{name}_{unit}"] for name in SURFACE for unit in ("vox", "um")} == {0.0}
        # Entropy leaves a trace: the nearest other point costs .147, exp(-14.7) = 4e-7.
        assert row["smd"] == pytest.approx(0, abs=1e-5)
        assert row["smd_ref"] == pytest.approx(0, abs=1e-4)
        assert row["one_empty"] == 0

    @pytest.mark.parametrize(("spacing", "factor"), [(UNIT, 1), ((3.0, 1.0, 1.0), 3)])
    def test_two_voxels_of_which_one_is_found(self, spacing, factor):
        # Distances 0 from the prediction, 0 and 10 from the truth. Pooled (0, 0, 10): position
        # .95 * 2 = 1.9 gives 9. Per direction (0, 10): position .95 gives 9.5. Mean 10 / 3.
        truth, prediction = volume((5, 5, 5), (15, 5, 5)), volume((5, 5, 5))
        row = measure(truth, prediction, spacing)
        assert row["hd95_um"] == pytest.approx(9.0 * factor)
        assert row["hd95_max_um"] == pytest.approx(9.5 * factor)
        assert row["hd_max_um"] == pytest.approx(10 * factor)
        assert row["assd_um"] == pytest.approx(10 / 3 * factor)
        assert row["asd_um"] == 0
        assert (row["hd95_vox"], row["hd95_max_vox"]) == pytest.approx((9.0, 9.5))
        assert row["dsc"] == pytest.approx(2 / 3)

    def test_spacing_follows_the_axes(self):
        row = measure(volume((5, 5, 5)), volume((5, 5, 7)), (3.0, 2.0, 1.0))
        assert (row["hd_max_um"], row["dsc"]) == (2.0, 0.0)
        row = measure(volume((5, 5, 5)), volume((6, 7, 5)), (3.0, 2.0, 1.0))
        assert row["hd_max_um"] == 5.0  # 3 and 4
        assert row["hd_max_vox"] == math.sqrt(5)  # to the last bit of float64

    def test_unknown_spacing_gives_no_micrometres(self):
        row = measure(line(), line(), None)
        assert not [name for name in row if name.endswith("_um")]

    def test_units_agree_at_spacing_one(self):
        row = measure(blobs(0), blobs(1), UNIT)
        for name in SURFACE:
            assert row[f"{name}_um"] == row[f"{name}_vox"] > 0

    def test_cube_moved_by_two(self):
        block = slice(8, 18)
        truth = volume((block, block, block), shape=(32, 32, 32))
        row = measure(truth, np.roll(truth, 2, axis=1), None)
        assert (row["hd95_vox"], row["hd95_max_vox"], row["hd_max_vox"]) == (2.0, 2.0, 2.0)

    def test_broken_tube(self):
        prediction = line(11)
        prediction[15, 20, 20] = False
        row = measure(line(11), prediction, None)
        assert row["dsc"] == pytest.approx(20 / 21)
        assert row["cl_precision"] == 1
        assert row["cl_sensitivity"] == pytest.approx(10 / 11)
        assert row["hd_max_vox"] == 1
        assert row["assd_vox"] == pytest.approx(1 / 21)

    def test_spur(self):
        prediction = line(21)
        prediction[20, 20, 21:26] = True  # five voxels to the side of the middle
        row = measure(line(21), prediction, None)
        assert row["cl_sensitivity"] == 1
        # Thinning drops the voxel of the junction: its neighbours touch diagonally.
        assert row["cl_precision"] == pytest.approx(20 / 25)
        assert row["hd_max_vox"] == 5
        assert row["asd_vox"] == pytest.approx(15 / 26)

    def test_thin_tube_in_thick_tube(self):
        # Cross-sections of 9 and 29 voxels around one centre line: 2 * 9 / (9 + 29) = .4737.
        row = measure(tube(9), tube(2), None)
        assert row["cldice"] == 1
        assert row["dsc"] == pytest.approx(0.4737, abs=1e-4)

    def test_half_a_tube(self):
        row = measure(line(40), line(20), None)
        assert (row["cl_precision"], row["cl_sensitivity"]) == (1.0, 0.5)
        assert row["cldice"] == pytest.approx(2 / 3)

    def test_tube_beside_the_vessel(self):
        assert measure(tube(9), tube(9, x=28), None)["cldice"] == 0

    def test_background_counts_half_of_the_macro_f1(self):
        # 8 voxels: truth 2, prediction 2, one hit. Foreground .5; background 2 * 5 / 12 = .8333.
        truth = volume((0, 0, 0), (0, 0, 1), shape=(2, 2, 2))
        prediction = volume((0, 0, 0), (0, 1, 0), shape=(2, 2, 2))
        row = overlap(truth, prediction)
        assert row["f1_macro"] == pytest.approx((1 / 2 + 5 / 6) / 2)
        assert row["accuracy"] == 0.75
        assert row["jaccard"] == pytest.approx(1 / 3)


class TestEmptyAndFull:
    def test_both_empty_is_perfect(self):
        row = measure(volume(), volume(), UNIT)
        assert {row[name] for name in PERFECT} == {1.0}
        zero = ("one_empty", "smd", "smd_ref", "smd_marginal_error", "foreground_truth")
        assert {row[name] for name in zero} == {0.0}
        assert {row[f"{name}_um"] for name in SURFACE} == {0.0}

    @pytest.mark.parametrize("empty", ["truth", "prediction"])
    def test_one_empty_is_the_worst(self, empty):
        masks = {"truth": line(9, shape=(20, 30, 40)), "prediction": line(9, shape=(20, 30, 40))}
        masks[empty] = volume(shape=(20, 30, 40))
        row = measure(**masks, spacing_um=(3.0, 2.0, 1.0))
        bad = ("dsc", "jaccard", "precision", "recall", "cldice", "cl_precision", "cl_sensitivity")
        assert {row[name] for name in bad} == {0.0}
        assert row["one_empty"] == 1
        for name in SURFACE:
            assert row[f"{name}_vox"] == pytest.approx(math.sqrt(19**2 + 29**2 + 39**2))
            assert row[f"{name}_um"] == pytest.approx(math.sqrt(57**2 + 58**2 + 39**2))

    def test_full_masks(self):
        full = np.ones((9, 8, 7), bool)
        row = measure(full, full, UNIT)
        assert {row[name] for name in PERFECT} == {1.0}
        assert (row["hd_max_um"], row["foreground_truth"]) == (0.0, 1.0)
        assert row["smd"] == pytest.approx(0, abs=1e-5)
        row = measure(line(9, y=4, x=4, shape=(20, 9, 9)), np.ones((20, 9, 9), bool), None)
        assert (row["recall"], row["cl_sensitivity"]) == (1.0, 1.0)
        assert row["precision"] == row["foreground_truth"] == pytest.approx(9 / 1620)

    def test_border_of_the_volume_is_surface(self):
        full = np.ones((5, 5, 5), bool)
        # 98 surface voxels; the truth's only voxel is the centre, 2 from six faces' centres.
        found = surface_distances(volume((2, 2, 2), shape=(5, 5, 5)), full, UNIT)
        assert found.to_truth.shape == (98,)
        assert (found.to_truth.min(), found.to_prediction.tolist()) == (2.0, [2.0])


class TestLaws:
    @few
    @given(seeds, st.tuples(*[st.floats(0.5, 5)] * 3), st.sampled_from((0.1, 0.005)))
    def test_overlap_and_distances_are_those_of_the_reference(self, seed, spacing, share):
        truth, prediction = blobs(seed), blobs(seed + 1, share=share)  # near, and far apart
        prediction[4, 5, 5] = True
        row = measure(truth, prediction, spacing)
        for name, value in reference.overlap(truth, prediction).items():
            assert row[name] == pytest.approx(value), name
        for unit, size in (("vox", UNIT), ("um", spacing)):
            for name, value in reference.distances(truth, prediction, size).items():
                assert row[f"{name}_{unit}"] == pytest.approx(value, rel=1e-12), name

    @few
    @given(seeds)
    def test_jaccard_follows_from_dsc(self, seed):
        row = overlap(blobs(seed), blobs(seed + 1, share=0.6))
        assert row["jaccard"] == pytest.approx(row["dsc"] / (2 - row["dsc"]), rel=1e-12)

    @few
    @given(seeds)
    def test_swapping_the_masks_swaps_the_roles(self, seed):
        a, b = blobs(seed), blobs(seed + 1, share=0.15)
        one, other = measure(a, b, (3.0, 1.6, 1.6)), measure(b, a, (3.0, 1.6, 1.6))
        assert one["smd"] == other["smd"]  # to the last bit
        both_ways = SWAPPED | {right: left for left, right in SWAPPED.items()}
        for name in one.keys() - DIRECTED:
            assert one[name] == pytest.approx(other[both_ways.get(name, name)]), name

    @pytest.mark.parametrize("step", [(3, 0, 0), (0, 5, 2), (7, 7, 7)])
    def test_moving_both_masks_changes_nothing(self, step):
        truth, prediction = volume(shape=(40, 40, 40)), volume(shape=(40, 40, 40))
        truth[3:25, 3:25, 3:25] = blobs(0, (22, 22, 22), 0.1)
        prediction[3:25, 3:25, 3:25] = blobs(1, (22, 22, 22), 0.1)
        moved = (np.roll(mask, step, axis=(0, 1, 2)) for mask in (truth, prediction))
        assert measure(*moved, (3.0, 2.0, 1.0)) == pytest.approx(
            measure(truth, prediction, (3.0, 2.0, 1.0))
        )

    @few
    @given(seeds)
    def test_every_number_is_finite_and_a_float(self, seed):
        row = measure(blobs(seed, share=0.02), blobs(seed + 1, share=0.02), UNIT)
        assert all(type(value) is float and math.isfinite(value) for value in row.values())

    @pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
    @pytest.mark.parametrize("spacing", [UNIT, (3.0, 1.625, 1.625)])
    def test_distances_are_those_of_monai(self, spacing):
        masks = blobs(0, (20, 21, 22), 0.01), blobs(1, (20, 21, 22), 0.02)
        row = measure(*masks, spacing)
        truth, prediction = (torch.from_numpy(mask)[None, None].float() for mask in masks)
        hausdorff, average = (
            monai.metrics.compute_hausdorff_distance,
            monai.metrics.compute_average_surface_distance,
        )
        for name, value in {
            "hd95_max_um": hausdorff(prediction, truth, True, percentile=95, spacing=spacing),
            "hd_max_um": hausdorff(prediction, truth, True, spacing=spacing),
            "asd_um": average(prediction, truth, True, spacing=spacing),
            "assd_um": average(prediction, truth, True, symmetric=True, spacing=spacing),
        }.items():
            assert row[name] == pytest.approx(value.item(), rel=1e-5), name


class TestBestThreshold:
    def test_by_hand(self):
        # At >= 3: three voxels, two of the two true ones: 4 / 5. At >= 5: one hit, 2 / 3.
        image, truth = np.array([[1, 3, 4, 5]]), np.array([[False, True, False, True]])
        assert best_threshold(image, truth) == (3.0, 0.8)

    @few
    @given(seeds, st.sampled_from(["uint8", "uint16", "int16", "float32", "float64"]))
    def test_tries_every_value(self, seed, dtype):
        generator = np.random.default_rng(seed)
        image = (generator.random((4, 5, 6)) * 9).astype(dtype)
        truth = image + generator.normal(0, 3, image.shape) > 6
        threshold, dsc = best_threshold(image, truth)
        assert dsc == pytest.approx(reference.best_dice(image, truth))
        mask = image >= threshold
        assert overlap(truth, mask)["dsc"] == pytest.approx(dsc)

    def test_empty_truth_wants_an_empty_mask(self):
        image = np.array([1.0, 2.0], np.float32)
        threshold, dsc = best_threshold(image, np.zeros(2, bool))
        assert dsc == 1
        assert not (image >= threshold).any()

    def test_full_truth(self):
        assert best_threshold(np.array([4, 2]), np.ones(2, bool)) == (2.0, 1.0)

    def test_refuses_what_it_cannot_rank(self):
        with pytest.raises(BadInput, match="NaN"):
            best_threshold(np.array([1.0, np.nan]), np.array([True, False]))
        with pytest.raises(BadInput, match="shape"):
            best_threshold(np.zeros((2, 2)), np.zeros(4, bool))


@pytest.mark.parametrize(
    ("truth", "prediction", "spacing", "message"),
    [
        (volume(), volume(shape=(64, 64, 50)), None, "differ in shape"),
        (volume().astype(np.uint8), volume(), None, "truth is uint8"),
        (volume(), volume().astype(float), None, "prediction is float64"),
        (volume()[0], volume()[0], None, "one volume"),
        (volume()[None], volume()[None], None, "one volume"),
        (volume()[:0], volume()[:0], None, "with voxels"),
        (volume(), volume(), (1.0, 1.0), "spacing_um"),
        (volume(), volume(), (0.0, 1.0, 1.0), "spacing_um"),
        (volume(), volume(), (math.nan,) * 3, "spacing_um"),
    ],
)
def test_refuses_what_it_cannot_measure(truth, prediction, spacing, message):
    with pytest.raises(BadInput, match=message):
        measure(truth, prediction, spacing)


@pytest.mark.skipif("VPBSD_TEST_DATA" not in os.environ, reason="VPBSD_TEST_DATA is not set")
@pytest.mark.parametrize(
    ("name", "floor"),
    [("vessap_patch_014_vol013_ch0", 0.738), ("vessap_patch_017_vol006_ch1", 0.620)],
)
def test_floor_of_real_volumes(name, floor):
    path = Path(os.environ["VPBSD_TEST_DATA"]) / "vessap_lightsheet" / f"{name}.npz"
    stored = np.load(path)
    image, truth = stored["image"], stored["label"] > 0
    threshold, dsc = best_threshold(image, truth)
    assert dsc == pytest.approx(floor, abs=1e-3)
    row = measure(truth, image >= threshold, (3.0, 1.625, 1.625))
    assert row["dsc"] == pytest.approx(dsc)
    assert 0.1 < row["smd"] < 0.67  # a noisy mask, still nearer than unrelated vessels
