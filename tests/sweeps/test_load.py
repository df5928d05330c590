"""64 trials that run at once tell MLflow 50 rows each, through one driver: every row, once."""

import json
import threading
import time

import pytest

from tests.sweeps.servers import MlflowServer, Postgres, why_no_postgres
from vpbsd.overrides import override
from vpbsd_sweeps.drivers.sweep import _conclude
from vpbsd_sweeps.reporting.columns import COLUMNS
from vpbsd_sweeps.reporting.rows import FLOOR
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.plan import make_plan
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.tracking.retry import RetryingTracker
from vpbsd_sweeps.tracking.sqlite import artifacts_beside
from vpbsd_sweeps.tracking.sweep_runs import SweepLogger
from vpbsd_sweeps.tracking.tracker import Tracker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SEEDS, ROWS = range(32), 50  # of two folds: 64 trials
LOSSES = ("loss/total", "loss/sup", "loss/dis", "loss/semi", "lr")
FACTS = {"void": None, "seconds": 1.0, "finished": 1e9, "device": "cpu", "commit": "abc"}


class Counting:
    """A client that counts what is asked of it."""

    def __init__(self, client):
        self._client, self.calls = client, 0

    def __getattr__(self, name):
        self.calls += 1
        return getattr(self._client, name)


def losses(number, epoch):
    return {name: number + epoch / 100 + i / 10_000 for i, name in enumerate(LOSSES)}


def rows_of(number):
    times = (1e9 + number + epoch for epoch in range(1, ROWS + 1))
    return [{"epoch": e, "time": t, **losses(number, e)} for e, t in enumerate(times, 1)]


def commit(store, room, stage, rows):
    folder = room / stage.key
    folder.mkdir()
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "summary.json").write_text(json.dumps({"numbers": {}, "void": None}))
    (folder / "stage.json").write_text("{}")
    store.commit(stage.key, folder, FACTS | {"family": stage.family, "label": stage.label})


def train(study, store, room):
    """What 64 trials leave in the store while they run: row by row, side by side."""
    curves = {t.id: rows_of(i) for i, t in enumerate(study.trials)}
    for epoch in range(ROWS):
        for trial in study.trials:
            student = trial.stage.upstream["network"]
            store.checkpoints.append_rows(student.key, epoch, curves[trial.id][epoch : epoch + 1])
    for trial in study.trials:
        student = trial.stage.upstream["network"]
        commit(store, room, student, curves[trial.id])
        store.checkpoints.clear(student.key)
        score = dict.fromkeys((*COLUMNS, FLOOR), 0.5 + trial.seed / 100)
        commit(store, room, trial.stage, [{"volume": "v", "group": "g", "time": 2e9, **score}])


@pytest.fixture(params=["sqlite", "server", "postgresql"])
def uri(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/mlflow.db"
    elif request.param == "server":
        with MlflowServer(tmp_path) as server:
            yield server.uri
    elif why_no_postgres():
        pytest.skip(why_no_postgres())
    else:
        with Postgres() as database, MlflowServer(tmp_path, database.uri) as server:
            yield server.uri


def test_64_trials_at_once_lose_and_double_nothing(
    uri, request, tmp_path, volumes, tiny, cheap, capsys
):
    settings = override(tiny, {"protocol.folds": 2, "student.optim.epochs": ROWS})
    study = Study("load", settings, volumes, ("light_unet",), tuple(SEEDS))
    assert len(study.trials) == 64
    store, room = Store(str(tmp_path / "store")), tmp_path / "room"
    room.mkdir()
    plan = make_plan(study, store)
    began = time.monotonic()
    tracker = Tracker(uri, study.name, artifacts_beside(uri))
    tracker.client = Counting(tracker.client)
    logger, retrying = SweepLogger(study, store, tracker, plan), RetryingTracker(tracker)
    with retrying.in_background(logger.catch_up):
        worker = threading.Thread(target=train, args=(study, store, room))
        worker.start()
        worker.join()
    retrying.retry(lambda: _conclude(logger, {}, store))
    seconds, calls = time.monotonic() - began, tracker.client.calls
    errors = capsys.readouterr().err
    assert "cannot be told" not in errors, "nothing had to be tried again"
    rows = sum(read_back(Tracker(uri, study.name), study))
    assert rows == 2 * 64 * ROWS, "in the runs of the trials and of their students"
    with capsys.disabled():
        print(f"\n{request.node.callspec.id}: {rows} rows, {rows * len(LOSSES)} values, ", end="")
        print(f"{seconds:.0f} s, {calls} requests")


def read_back(tracker, study):
    """Rows per run, each value compared with what was left in the store."""
    runs = {run.tags["vpbsd.unit"]: run for run in tracker.runs()}
    assert len(runs) == len(list(tracker.runs())) == 1 + 3 * 64, "a run per unit"
    assert {run.status for run in runs.values()} == {"FINISHED"}
    for i, trial in enumerate(study.trials):
        expected = rows_of(i)
        for unit in (f"trial:{trial.id}", f"stage:{trial.stage.upstream['network'].key}"):
            for name in LOSSES:
                points = tracker.client.get_metric_history(runs[unit].run_id, name)
                wanted = [(r["epoch"], int(1000 * r["time"]), r[name]) for r in expected]
                assert [(p.step, p.timestamp, p.value) for p in points] == wanted
            yield len(expected)
