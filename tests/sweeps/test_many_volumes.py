"""Three hundred labelled volumes: what is said of each of them is longer than a tag of MLflow."""

import json
from dataclasses import replace

import pytest
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

from tests.sweeps.servers import Postgres, why_no_postgres
from tests.sweeps.untrained import deliver, store_stages
from tests.test_stage_keys import info
from vpbsd.overrides import override
from vpbsd.settings import laptop
from vpbsd_sweeps.reporting.analysis import analyse
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.reporting.tables import document
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.long_tags import LONGEST
from vpbsd_sweeps.tracking.tracker import Tracker

VOLUMES = tuple(
    replace(
        info(n, labelled=True),
        name=f"2024-03-11_left-hemisphere_cortex_tile-{n:03d}",
        group=f"animal-{n % 100:02d}",
    )
    for n in range(300)
)
GROUPS = {volume.name: volume.group for volume in VOLUMES}


@pytest.fixture(scope="module")
def study():
    settings = override(laptop(), {"protocol.folds": 2})
    return Study("many", settings, VOLUMES, ("light_unet",))


@pytest.fixture(scope="module")
def store(study, tmp_path_factory):
    store = Store(str(tmp_path_factory.mktemp("many")))
    store_stages(store, study.stages())
    return store


def told_in_full(tracker):
    records = load_records(tracker, "many")
    assert json.loads(records.tags["groups"]) == GROUPS
    tested = [trial.groups for trial in records.trials]
    assert len(tested) == 2
    assert tested[0] | tested[1] == GROUPS
    assert "Light UNet" in document(analyse(records, "light_unet"))


def test_no_tag_is_longer_than_the_tables_of_a_server_take(study, store, tmp_path):
    tracker = deliver(f"sqlite:///{tmp_path}/mlflow.db", study, store)
    found = tracker.client.search_runs([tracker.experiment_id])
    values = [value for run in found for value in run.data.tags.values()]
    assert max(map(len, values)) <= LONGEST <= MAX_TAG_VAL_LENGTH
    told_in_full(tracker)


def test_a_driver_killed_before_the_artefact_was_sent_sends_it_later(study, store, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    deliver(uri, study, store)
    tracker = Tracker(uri, study.name)
    parent = next(tracker.runs(tag.of_kind(tag.SWEEP_KIND))).run_id
    tracker.client.delete_tag(parent, tag.GROUPS)
    told_in_full(deliver(uri, study, store))


def test_a_long_tag_of_before_is_read_as_it_is(tmp_path):
    """SQLite never minded: old databases hold them whole."""
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "old", (tmp_path / "a").as_uri())
    text = json.dumps(GROUPS)
    assert len(text) > LONGEST
    tags = {tag.KIND: tag.SWEEP_KIND, tag.GROUPS: text}
    tracker.client.create_run(tracker.experiment_id, tags=tags)
    assert [run.tags[tag.GROUPS] for run in tracker.runs()] == [text]


@pytest.mark.slow
@pytest.mark.skipif(bool(why_no_postgres()), reason=why_no_postgres())
def test_postgresql_takes_it(study, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where MLflow puts artefacts of a database without a server
    with Postgres() as database:
        told_in_full(deliver(database.uri, study, store))
