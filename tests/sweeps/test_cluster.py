"""The engine under a real Ray: single flight, waiting, failing, resuming, mending."""

import json
from collections import Counter

import pytest
import ray
from ray.exceptions import RayTaskError

from tests.sweeps.toys import Toy
from vpbsd_sweeps.execution import capacity
from vpbsd_sweeps.execution.jobs import JobChain, job_of
from vpbsd_sweeps.execution.slices import Slice
from vpbsd_sweeps.execution.tasks import StageTask, run_stage
from vpbsd_sweeps.execution.trials import run_trials
from vpbsd_sweeps.store.results import Store

SLICES = {"pre-training": Slice(), "student": Slice()}

pytestmark = pytest.mark.usefixtures("two_cores")


@pytest.fixture
def diary(tmp_path):
    path = tmp_path / "diary"
    path.touch()
    return path


def order(toy):
    return JobChain(toy.label, tuple(job_of(stage) for stage in toy.lineage()))


def fly(toys, store, at_once=3, slices=SLICES):  # each is a process that imports Tune
    seen = []
    outcomes = run_trials([order(t) for t in toys], store, slices, at_once, seen.append)
    return outcomes, seen


def test_many_trials_train_a_shared_teacher_once(tmp_path, diary):
    """Five trials, three alive at once, on two cores: the teacher's four epochs run once."""
    store = Store(str(tmp_path / "store"))
    teacher = Toy("teacher", diary, family="pre-training", seconds=0.3)
    toys = [Toy(f"student{i}", diary, {"start": teacher}) for i in range(5)]
    outcomes, views = fly(toys, store)
    assert outcomes == {toy.label: ("finished", "") for toy in toys}
    runs = Counter(line.split()[0] for line in diary.read_text().splitlines())
    assert runs == {"teacher": 4, **{toy.label: 4 for toy in toys}}
    sums = {json.loads((store.open(toy.key) / "sum.json").read_text()) for toy in toys}
    assert sums == {8}
    most = max(view.waiting for seen in views for view in seen if view.label == "teacher")
    assert most > 2, "more trials wait for the teacher than there are cores"


def test_a_killed_worker_goes_on_from_its_checkpoint(tmp_path, diary):
    store = Store(str(tmp_path / "store"))
    toy = Toy("fragile", diary, trouble="kill")
    outcomes, _ = fly([toy], store)
    assert outcomes == {"fragile": ("finished", "")}
    epochs = [line.split()[1] for line in diary.read_text().splitlines()]
    assert epochs == ["0", "1", "2", "2", "3"], "only the epoch it died in is run again"
    assert store.checkpoints.names(toy.key) == []


def test_a_failing_stage_fails_its_trials_in_one_line_and_no_others(tmp_path, diary):
    store = Store(str(tmp_path / "store"))
    bad = Toy("bad", diary, family="pre-training", trouble="fail")
    toys = [Toy("on_bad", diary, {"start": bad}), Toy("fine", diary)]
    outcomes, _ = fly(toys, store)
    assert outcomes["fine"] == ("finished", "")
    assert outcomes["on_bad"] == ("failed", "bad: ValueError: at all")
    assert store.state(bad.key) == "absent"


def test_a_damaged_input_is_set_aside_and_made_again(tmp_path, diary):
    store = Store(str(tmp_path / "store"))
    teacher = Toy("teacher", diary, family="pre-training")
    fly([Toy("first", diary, {"start": teacher})], store)
    held = store.open(teacher.key) / "sum.json"
    held.write_text("999")
    outcomes, _ = fly([Toy("second", diary, {"start": teacher})], store)
    assert outcomes == {"second": ("finished", "")}
    runs = Counter(line.split()[0] for line in diary.read_text().splitlines())
    assert runs["teacher"] == 8
    second = Toy("second", diary, {"start": teacher})
    assert json.loads((store.open(second.key) / "sum.json").read_text()) == 8


def test_a_stage_on_a_node_that_sees_another_store_is_refused(tmp_path, diary):
    """As on a node that came when the sweep had begun: it bears another mark, or none."""
    store = Store(str(tmp_path / "store"))
    store.files.mark()
    toy = Toy("lost", diary)
    with pytest.raises(RayTaskError, match="is not the same folder on node"):
        ray.get(
            run_stage.remote(StageTask(job_of(toy), store.url, "another", Slice(), None, "us"))
        )
    assert diary.read_text() == ""


def test_stages_that_memory_has_no_room_for_never_run_side_by_side(tmp_path, diary):
    store = Store(str(tmp_path / "store"))
    toys = [Toy(f"t{i}", diary, family="pre-training", seconds=0.4) for i in range(3)]
    most = 0.6 * max(node.memory for node in capacity.nodes())
    outcomes, views = fly(toys, store, slices={"pre-training": Slice(memory=most)})
    assert set(outcomes.values()) == {("finished", "")}
    assert max(sum(v.state == "running" for v in seen) for seen in views) == 1


def test_a_stage_that_no_node_has_memory_for_runs_beside_the_trials_that_wait(tmp_path, diary):
    """They hold some of the memory that it asks for."""
    store = Store(str(tmp_path / "store"))
    toys = [Toy(f"t{i}", diary, family="pre-training") for i in range(2)]
    outcomes, _ = fly(toys, store, slices=capacity.offered({"pre-training": 1e6}))
    assert set(outcomes.values()) == {("finished", "")}


def test_stages_fill_every_core_while_trials_wait(tmp_path, diary):
    """Two cores, three trials alive: coordinators must not take the second core away."""
    store = Store(str(tmp_path / "store"))
    _, views = fly([Toy(f"s{i}", diary, seconds=0.6) for i in range(3)], store)
    assert max(sum(v.state == "running" for v in seen) for seen in views) == 2
