"""What a cluster can ever give, by hand."""

from pathlib import Path

import pytest
import yaml

from vpbsd.errors import BadInput
from vpbsd_sweeps.execution import capacity
from vpbsd_sweeps.execution.capacity import Node, check, described, side_by_side
from vpbsd_sweeps.execution.slices import ON_CORES, ON_GPUS, Slice

CLUSTER = yaml.safe_load((Path(__file__).parents[2] / "ray_cluster.yaml").read_text())
HEAD = Node(4, 0)


def test_gpus_that_may_come_count():
    """The shipped cluster begins with its head alone; eight nodes of 16 cores, 1 GPU may come."""
    there = described(CLUSTER, [HEAD])
    assert there == [HEAD, Node(16, 1, 8)]
    assert capacity.slices(there, {"fine-tuning": 1e3}) is ON_GPUS
    assert side_by_side(ON_GPUS["student"], there) == 32
    assert side_by_side(ON_GPUS["fine-tuning"], there) == 8
    check(ON_GPUS, there)


def test_cores_alone():
    assert capacity.slices([HEAD], {"fine-tuning": 3.0}) is ON_CORES, "its memory is not known"
    assert side_by_side(Slice(), [HEAD, Node(2, 0)]) == 6
    assert side_by_side(Slice(8), [HEAD]) == 1, "at least one"


def test_cores_share_the_memory_of_their_node():
    """Teachers of 6 GB on nodes that give 16 and 10: two and one; students of 2: four and four."""
    there = [Node(4, 0, memory=16.0), Node(4, 0, memory=10.0)]
    found = capacity.slices(there, {"fine-tuning": 6.0, "student": 2.0})
    assert side_by_side(found["fine-tuning"], there) == 3
    assert side_by_side(found["student"], there) == 8
    assert found["timing"].memory == 0


def test_what_no_node_has_memory_for_is_tried_alone_on_the_largest():
    """But for the 14 trials of 150 MB that may be alive there; half of a small one at least."""
    there = [Node(4, 0, memory=16.0), Node(4, 0, memory=10.0)]
    found = capacity.slices(there, {"fine-tuning": 40.0})
    assert found["fine-tuning"].memory == pytest.approx(16 - 14 * 150 / 1024)
    check(found, there)
    assert side_by_side(found["fine-tuning"], there) == 1
    small = capacity.slices([Node(8, 0, memory=2.0)], {"fine-tuning": 40.0})
    assert small["fine-tuning"].memory == 1.0


def test_a_slice_that_would_wait_for_ever_is_refused():
    with pytest.raises(BadInput, match=r"a student stage asks for 2 cores and 1 GPUs.* 4 cores"):
        check({"student": Slice(2, 1.0)}, [HEAD, Node(1, 4)][:1])
    with pytest.raises(BadInput, match="asks for 32 cores"):
        check({"student": Slice(32)}, described(CLUSTER, [HEAD]))


def test_processes_that_train_together_must_all_find_a_gpu():
    pair = Slice(2, 1.0, ranks=2)
    check({"pre-training": pair}, [Node(4, 1), Node(4, 1)])
    check({"pre-training": pair}, [Node(4, 2)])
    assert side_by_side(pair, [Node(8, 3)]) == 1, "the third GPU alone trains nothing"
    with pytest.raises(BadInput, match="asks for 2 times 2 cores and 1 GPUs"):
        check({"pre-training": pair}, [Node(4, 1), Node(1, 1)])


@pytest.mark.parametrize(("gpus", "batch", "ranks"), [(1, 4, 1), (2, 4, 2), (3, 4, 2), (8, 4, 4)])
def test_a_batch_is_dealt_out_evenly(gpus, batch, ranks):
    assert ON_GPUS["pre-training"].over(gpus, batch) == Slice(2, 1.0, ranks=ranks)


def test_no_more_than_the_cluster_allows_in_all():
    few = {**CLUSTER, "max_workers": 2}
    assert described(few, [HEAD]) == [HEAD, Node(16, 1, 2)]


def test_workers_that_run_already_are_among_those_that_may_come():
    assert described(CLUSTER, [HEAD, Node(16, 1), Node(16, 1)]) == [HEAD, Node(16, 1, 8)]
