"""The skeleton matching distance on hand-made masks, against its definition and against POT."""

import math

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.masks import bed, blobs, cloud, volume
from tests.references import metrics as reference
from vpbsd.evaluation import skeletons
from vpbsd.evaluation.metrics import measure

seeds = st.integers(0, 10**6)
few = settings(deadline=None, max_examples=15)


class TestEmpty:
    @pytest.mark.parametrize("empty", ["truth", "prediction"])
    def test_empty_skeleton_is_a_point_in_the_corner(self, empty):
        masks = {"truth": volume((0, 0, 3)), "prediction": volume((0, 0, 3))} | {empty: volume()}
        row = measure(**masks, spacing_um=None)
        assert row["smd"] == pytest.approx(math.log(4) / 4.7016, abs=1e-5)
        assert row["smd_ref"] == pytest.approx(row["smd"], abs=1e-6)

    def test_missing_every_vessel_costs_about_nine_tenths(self):
        row = skeletons.skeleton_matching(bed(), volume())
        to_corner = reference.cost(skeletons.skeleton_points(bed()), np.zeros((1, 3)))
        assert 0.8 < to_corner.mean() < 0.95
        assert row["smd"] == pytest.approx(to_corner.mean(), abs=1e-6)
        assert row["smd_ref"] == pytest.approx(to_corner.mean(), abs=1e-6)

    def test_blob_that_thinning_erases_is_its_own_skeleton(self):
        block = slice(4, 6)
        cube = volume((block, block, block), shape=(16, 16, 16))
        assert np.array_equal(skeletons.skeleton(cube), cube)
        assert measure(cube, cube, None)["cldice"] == 1
        assert measure(cube, np.roll(cube, 5, axis=0), None)["cldice"] == 0


class TestSkeletonMatching:
    @pytest.mark.parametrize(("d", "value"), [(1, 0.1474), (3, 0.2949)])
    @pytest.mark.parametrize("shape", [(64, 64, 64), (20, 30, 64)])
    def test_two_points(self, d, value, shape):
        row = measure(volume((5, 5, 5), shape=shape), volume((5, 5, 5 + d), shape=shape), None)
        assert row["smd"] == pytest.approx(value, abs=5e-5)
        assert row["smd_ref"] == pytest.approx(value, abs=5e-5)

    def test_tiles_are_averaged_and_empty_ones_skipped(self):
        shape = (20, 64, 170)  # three tiles: equal, one voxel apart, empty
        truth = volume((5, 5, 5), (5, 5, 70), shape=shape)
        prediction = volume((5, 5, 5), (5, 5, 71), shape=shape)
        row = measure(truth, prediction, None)
        assert row["smd"] == pytest.approx(0.1474 / 2, abs=5e-5)
        assert row["smd_ref"] == pytest.approx(0.1474 / 2, abs=5e-5)

    def test_tiles_do_not_see_one_another(self):
        shape = (20, 20, 128)  # neighbours across the seam, each alone in its tile
        row = measure(volume((5, 5, 63), shape=shape), volume((5, 5, 64), shape=shape), None)
        # Truth at x = 63 against the corner, and the corner against the prediction at x = 0.
        costs = math.log(1 + math.sqrt(50 + 63**2)), math.log(1 + math.sqrt(50))
        assert row["smd"] == pytest.approx(sum(costs) / 2 / math.log(1 + 63 * math.sqrt(3)))

    def test_grows_with_the_shift(self):
        truth = bed()
        rows = [skeletons.skeleton_matching(truth, bed(shift=shift)) for shift in (0, 1, 2, 4)]
        for name in ("smd", "smd_ref"):
            values = [row[name] for row in rows]
            assert values == sorted(values)
            assert values[-1] > values[1] + 0.05 > 0.1

    def test_mask_of_the_authors_punishes_a_missed_vessel(self):
        row = skeletons.skeleton_matching(bed(), bed(missing=True))
        assert row["smd_ref"] > row["smd"] + 0.01

    def test_dense_skeletons_are_sampled_alike(self):
        noise = blobs(3, (64, 64, 64), 0.15)
        points = skeletons.skeleton_points(noise)
        assert points.shape == (3000, 3)
        assert np.array_equal(points, skeletons.skeleton_points(noise.copy()))
        assert np.unique(points, axis=0).shape == points.shape
        assert skeletons.skeleton(noise)[tuple(points.astype(int).T)].all()

    @few
    @given(seeds, st.integers(1, 40), st.integers(1, 40))
    def test_value_is_that_of_the_log_domain(self, seed, n, m):
        p, t = cloud(seed, n), cloud(seed + 1, m)
        value, error = skeletons.matching(skeletons.squared_distances(p, t))
        # It may stop at any multiple of 20 at which the value stands still.
        reached = [reference.sinkhorn(p, t, 20 * k) for k in range(1, 11)]
        changes = np.abs(np.diff(reached))
        stop = int(np.argmax(changes < 1e-5)) + 1 if (changes < 1e-5).any() else 9
        assert value == pytest.approx(reached[stop], abs=1e-9)
        assert 0 <= error < 2

    @few
    @given(seeds, st.integers(2, 60), st.integers(2, 60))
    def test_masked_value_is_that_of_its_definition(self, seed, n, m):
        p, t = cloud(seed, n, 20), cloud(seed + 1, m, 20)
        value = skeletons.matching_ref(skeletons.squared_distances(p, t))
        assert value == pytest.approx(reference.masked_sinkhorn(p, t), abs=1e-9)

    def test_stops_after_200_iterations(self):
        p, t = (skeletons.skeleton_points(mask)[::3] for mask in (bed(shift=4), bed()))
        value, _ = skeletons.matching(skeletons.squared_distances(p, t))
        assert value == pytest.approx(reference.sinkhorn(p, t, 200), abs=1e-9)
        assert value != pytest.approx(reference.sinkhorn(p, t, 180), abs=1e-4)

    def test_masked_variant_stops_after_100_iterations(self):
        p, t = (skeletons.skeleton_points(mask)[::2] for mask in (bed(missing=True), bed()))
        value = skeletons.matching_ref(skeletons.squared_distances(p, t))
        assert value == pytest.approx(reference.masked_sinkhorn(p, t), abs=1e-9)

    def test_agrees_with_pot(self):
        p, t = cloud(0, 60), cloud(1, 80)
        value, error = skeletons.matching(skeletons.squared_distances(p, t))
        uniform = np.full(60, 1 / 60), np.full(80, 1 / 80)
        plan = ot.bregman.sinkhorn_log(
            *uniform, reference.cost(p, t), 0.01, numItermax=20000, stopThr=1e-12
        )
        assert value == pytest.approx((plan * reference.cost(p, t)).sum(), abs=2e-3)
        assert error < 0.05

    def test_converges_to_pot_and_to_the_marginals(self):
        corners = np.argwhere(np.ones((3, 3, 3))).astype(np.float32) * 20
        moved = corners + np.float32([1, 2, 0])
        cost = reference.cost(corners, moved)
        value, error = skeletons.matching(skeletons.squared_distances(corners, moved))
        uniform = np.full(27, 1 / 27)
        plan = ot.sinkhorn(uniform, uniform, cost, 0.01, numItermax=2000, stopThr=1e-9)
        assert value == pytest.approx((plan * cost).sum(), abs=1e-6)
        assert error < 1e-6

    @few
    @given(seeds)
    def test_squared_distances_are_exact(self, seed):
        p, t = cloud(seed, 30), cloud(seed + 1, 20)
        wide = (p[:, None].astype(int) - t[None].astype(int)) ** 2
        assert np.array_equal(skeletons.squared_distances(p, t), wide.sum(-1))
