"""MLflow that does not answer: at the start, meanwhile and at the end."""

import sys
import time

import pytest

from tests.sweeps.servers import free_port
from vpbsd.cli import run_main
from vpbsd.errors import BadInput
from vpbsd_sweeps.cli.options import browse
from vpbsd_sweeps.commands import ablation, final, report, search
from vpbsd_sweeps.messages import without_secrets
from vpbsd_sweeps.tracking import retry
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.retry import RetryingTracker
from vpbsd_sweeps.tracking.tracker import AWAY, Tracker

(Away, *_) = AWAY


class ReloadCounter:
    """A tracker that only counts how often it is read anew."""

    place = "http://somewhere"

    def __init__(self):
        self.reloaded = 0

    def reload_runs(self):
        self.reloaded += 1


class Flaky:
    """A step that fails so many times, and then says 7."""

    def __init__(self, failures, error=Away):
        self.calls, self.failures, self.error = 0, failures, error

    def __call__(self, *_, **__):
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error("no connection to http://me:secret@host")
        return 7


@pytest.fixture
def retrying(monkeypatch):
    monkeypatch.setattr(retry, "EVERY", 0.01)
    return RetryingTracker(ReloadCounter())


def test_an_outage_is_said_once_and_its_end_once(retrying, capsys):
    step = Flaky(3)
    failed = [retrying.try_once(step) is not None for _ in range(5)]
    assert failed == [True, True, True, False, False]
    away, back = capsys.readouterr().err.splitlines()
    assert away.startswith(
        "MLflow at http://somewhere cannot be told now, all of it comes later: "
    )
    assert "secret" not in away
    assert back == "MLflow at http://somewhere was told all of it now"
    assert retrying._tracker.reloaded == 3, "before every try that follows a failure"


def test_what_must_be_told_waits_for_mlflow(retrying):
    step = Flaky(3)
    assert retrying.retry(step) == 7
    assert step.calls == 4


def test_patience_ends_with_what_to_do(retrying, monkeypatch):
    monkeypatch.setattr(retry, "PATIENCE", 0.05)
    with pytest.raises(BadInput) as refused:
        retrying.retry(Flaky(10**6))
    assert "all is trained and stored" in str(refused.value)
    assert "give the same command again" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_mistake_of_ours_is_not_waited_for(retrying):
    with pytest.raises(ZeroDivisionError):
        retrying.retry(Flaky(1, ZeroDivisionError))


def test_a_thread_goes_on_through_anything(retrying):
    step = Flaky(2, ZeroDivisionError)
    with retrying.in_background(step):
        deadline = time.monotonic() + 20
        while step.calls < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    calls = step.calls
    assert calls >= 4
    time.sleep(0.05)
    assert step.calls == calls, "and ends with the block"


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (ablation.main, ["--arms", "light_unet"]),
        (search.main, ["--trials", "1"]),
        (final.main, ["--study", "s"]),
        (report.main, ["s"]),
    ],
    ids=["ablation", "search", "final", "report"],
)
def test_a_server_that_is_away_at_the_start_is_named_at_once(
    main, words, folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    uri = f"http://me:secret@127.0.0.1:{free_port()}"
    places = [] if main is report.main else ["--data", folder, "--store", tmp_path / "store"]
    argv = ["program", *words, "--tracking", uri, *places]
    monkeypatch.setattr(sys, "argv", list(map(str, argv)))
    began = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        run_main(main)
    assert time.monotonic() - began < 15
    assert ended.value.code == 2
    error = capsys.readouterr().err.strip()
    place = without_secrets(uri)
    assert error.startswith(f"error: MLflow at {place} does not answer (")
    assert error.endswith("start its server, or pass --tracking URI")
    assert "\n" not in error, "one line"
    assert "secret" not in error
    left = [p.parent.name for p in (tmp_path / "store").rglob("*.json*")] if places else []
    assert set(left) <= {"driver"}, "no name is taken"


@pytest.mark.parametrize(
    "uri", ["postgres://me:secret@h/db", "htp://x", "sqlite:////etc/hostname"]
)
def test_no_mlflow_at_all_is_one_line(uri):
    with pytest.raises(BadInput, match=r"MLflow at .* does not answer") as refused:
        Tracker(uri, "s")
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def test_of_two_runs_of_a_unit_the_one_that_knows_less_goes(uri):
    """A request whose answer was lost was tried again: two runs, one unit."""
    mine, other = Tracker(uri, "doubled"), Tracker(uri, "doubled")
    mine.get_or_create_run("stage:a", "a", None, {"x": 1}, {tag.KIND: tag.STAGE_KIND})
    kept = other.get_or_create_run("stage:a", "a", None, {"x": 1}, {tag.KIND: tag.STAGE_KIND})
    other.log_rows("stage:a", [{"epoch": 1, "loss": 0.5, "time": 1e9}])
    mine.reload_runs()
    assert [run.run_id for run in mine.runs()] == [kept]
    assert mine.rows_sent("stage:a") == 1


def test_parameters_that_did_not_arrive_come_later(uri, monkeypatch):
    tracker = Tracker(uri, "cut off")
    with monkeypatch.context() as patch:
        patch.setattr(tracker.client, "log_batch", Flaky(1))
        with pytest.raises(Away):
            tracker.get_or_create_run("sweep", "s", None, {"x": 1}, {})
    run_id = tracker.get_or_create_run("sweep", "s", None, {"x": 1, "y": 2}, {})
    assert tracker.client.get_run(run_id).data.params == {"x": "1", "y": "2"}


def test_a_server_is_opened_and_a_database_served_without_telling_secrets():
    assert browse("https://me:secret@lab:5000/x") == "https://lab:5000/x"
    assert browse("sqlite:////a/mlflow.db").endswith(" ui --tracking sqlite:////a/mlflow.db")
    assert browse("postgresql://me:secret@lab/mlflow").endswith(" ui"), "it is in VPBSD_TRACKING"
