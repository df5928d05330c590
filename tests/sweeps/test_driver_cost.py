"""What a driver keeps and works out once, however many trials and looks there are."""

from collections import Counter

import pytest

from tests.test_stage_keys import info
from vpbsd.overrides import override
from vpbsd.settings import laptop
from vpbsd_sweeps.drivers.sweep import _chains
from vpbsd_sweeps.monitor.sweep_display import SweepDisplay
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study import inventory
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.study.study import Study

VOLUMES = tuple(info(n, labelled=n < 3) for n in range(4))


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    settings = override(laptop(), {"protocol.folds": 2})
    study = Study("cost", settings, VOLUMES, ("light_unet", "vpbsd"), (0, 1))
    return make_plan(study, Store(str(tmp_path_factory.mktemp("store"))))


def test_a_stage_that_trials_share_is_one_job(plan):
    """A stage is ten kilobytes of JSON, and a teacher is in the chain of every student."""
    chains = _chains(plan)
    jobs = {id(job): job for chain in chains for job in chain.jobs}
    assert sorted(job.key for job in jobs.values()) == sorted(s.key for s in plan.inventory.stages)
    assert sum(len(chain.jobs) for chain in chains) > len(jobs)
    known = {chain.trial: [job.key for job in chain.jobs] for chain in chains}
    for trial in plan.study.trials:
        assert known[trial.id] == [stage.key for stage in trial.stage.lineage()]


def test_costs_are_estimated_once_however_often_a_display_looks(plan, monkeypatch):
    asked = Counter()
    guess = inventory.guess
    monkeypatch.setattr(inventory, "guess", lambda s: (asked.update([s.key]), guess(s))[1])
    display = SweepDisplay(plan.inventory, dict.fromkeys(inventory.FAMILIES, 2))
    for _ in range(3):
        display.show([])
    assert set(asked.values()) == {1}
