"""What MLflow's pass and the display ask of a store on S3: a listing, and what has changed."""

import pytest

from tests.sweeps.untrained import logger_of, store_stages
from tests.test_stage_keys import info
from vpbsd.overrides import override
from vpbsd.settings import laptop
from vpbsd_sweeps.monitor.accounting import Tally
from vpbsd_sweeps.store import survey
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.plan import make_plan, outline
from vpbsd_sweeps.study.study import Study

VOLUMES = tuple(info(n, labelled=True) for n in range(4))
ROW = {"epoch": 1.0, "loss": 0.5, "time": 1.0}
LISTING = 2
"""Requests of a pass that finds nothing new: which results there are, and what runs."""


@pytest.fixture(scope="module")
def study():
    """Eight students and their evaluations."""
    settings = override(laptop(), {"protocol.folds": 2})
    return Study("cost", settings, VOLUMES, ("light_unet",), tuple(range(4)))


@pytest.fixture
def store(s3):
    return Store("s3://results/store")


@pytest.fixture
def asked(s3):
    """Counts the requests since it was called last."""
    before = 0

    def count():
        nonlocal before
        before, new = s3.answered, s3.answered - before
        return new

    return count


def test_a_pass_asks_for_what_has_changed_alone(study, store, asked, tmp_path, monkeypatch):
    """Before, it asked two or three times for every stage, and downloaded each result whole."""
    monkeypatch.setattr(Store, "open", lambda *_: pytest.fail("weights stay where they are"))
    logger = logger_of(f"sqlite:///{tmp_path}/mlflow.db", study, store)
    first, second, *_ = study.trials
    student = first.stage.upstream["network"]
    store_stages(store, [second.stage.upstream["network"]])
    store.checkpoints.append_rows(student.key, 0, [ROW])
    logger.catch_up()
    asked()
    logger.catch_up()
    assert asked() == LISTING, "nothing is new"
    store.checkpoints.append_rows(student.key, 1, [ROW])
    asked()
    logger.catch_up()
    assert asked() == LISTING + 2, "the names of its rows, and the new ones"
    store_stages(store, first.stage.lineage())
    store.checkpoints.clear(student.key)
    store.checkpoints.append_rows("ab", 0, [ROW])  # another study's
    asked()
    logger.catch_up()
    looked = 2 * 2 + 2 * (2 + 3)  # of two results: the manifest and sizes; these and three files
    trial = (2 + 3) + (2 + 2)
    assert asked() == LISTING + looked + trial
    logger.catch_up()
    assert asked() == LISTING
    assert logger.tracker.is_finished(f"trial:{first.id}")
    assert not logger.tracker.is_finished(f"trial:{second.id}")


def test_a_display_of_a_stored_study_lists_the_store_once(study, store, asked, monkeypatch):
    monkeypatch.setattr(survey, "MANY", 10)
    evaluations = {trial.stage.key for trial in study.trials}
    store_stages(store, study.stages())
    keys = [stage.key for stage in study.stages()]
    asked()
    plan = make_plan(study, store)
    assert asked() <= 1 + len(keys) + 5, "a listing and manifests; the study itself is looked for"
    tally = Tally(outline(plan), store)
    tally.take(keys)
    assert asked() == 1 + len(keys) + 3 * len(evaluations), "a listing, manifests and scores"
    assert tally.ended == len(evaluations)
    tally.take(keys)
    assert asked() == 0
