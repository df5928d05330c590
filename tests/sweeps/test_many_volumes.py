"""Three hundred labelled volumes: what is said of each of them is longer than a tag of MLflow."""

import json
from dataclasses import replace

import pytest
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

from tests.sweeps.servers import Postgres, why_no_postgres
from tests.test_stage_keys import info
from vpbsd.overrides import override
from vpbsd.settings import laptop
from vpbsd_sweeps.reporting.analysis import COLUMNS, FLOOR, analyse
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.reporting.tables import document
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.long_tags import LONGEST
from vpbsd_sweeps.tracking.sqlite import artifacts_beside
from vpbsd_sweeps.tracking.sweep_runs import SweepLogger
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
    """Every stage of the study stored, computed by nobody."""
    home = tmp_path_factory.mktemp("many")
    store = Store(str(home / "store"))
    for stage in study.stages():
        rows = []
        if stage.family == "evaluation":
            scores = dict.fromkeys((*COLUMNS, FLOOR), 0.5)
            names = sorted(part.volume.name for part in stage.parts["test"])
            rows = [{"volume": n, "group": GROUPS[n], "time": 1e9, **scores} for n in names]
        made = home / stage.key
        made.mkdir()
        (made / "rows.json").write_text(json.dumps(rows))
        (made / "summary.json").write_text(json.dumps({"numbers": {}, "void": None}))
        (made / "stage.json").write_text("{}")
        known = {"family": stage.family, "label": stage.label, "seconds": 1.0, "finished": 1e9}
        store.commit(stage.key, made, known | {"void": None})
    return store


def deliver(uri, study, store):
    tracker = Tracker(uri, study.name, artifacts_beside(uri))
    logger = SweepLogger(study, store, tracker, make_plan(study, store))
    logger.catch_up()
    logger.conclude({}, complete=True)
    return Tracker(uri, study.name)


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
