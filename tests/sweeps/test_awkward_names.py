"""Names that MLflow does not take as they are: from import to the p-value nothing is merged."""

import csv
import io
import json

import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from tests.intake.files import npz, table
from tests.sweeps.untrained import deliver, store_stages
from vpbsd.data.intake.importing import import_volumes
from vpbsd.data.volume_keys import volume_key
from vpbsd.errors import BadInput
from vpbsd.overrides import override
from vpbsd.settings import laptop
from vpbsd_sweeps.reporting.analysis import analyse
from vpbsd_sweeps.reporting.csv_export import volumes_csv
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.reporting.tables import document
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.study import Study
from vpbsd_sweeps.tracking import retry
from vpbsd_sweeps.tracking import tags as tag
from vpbsd_sweeps.tracking.retry import RetryingTracker
from vpbsd_sweeps.tracking.volume_names import FILE, plain, values_by_name

LONG = "C57BL6_anti-CD31_clearing-iDISCO_objective-4x_NA0.28_" * 4
TILES = (
    *("UltraII[00 x 00]_C00", "UltraII(00 x 00)_C00", "UltraII+00 x 00+_C00"),
    *("M\u00e4use \u00fc \u03b2", f"{LONG}t1", f"{LONG}t2"[:240], "a_b", "a+b"),
    *("A_B", "a%sb", "a_b ", "a_b..", "\u00b5m", "\u03bcm", "\U0001f9e0", 'it\'s "a|b"\\, $x_1$'),
)
NAMES = {f"{mouse}_{tile}"[:240]: f"mouse [{mouse}]" for mouse in "12" for tile in TILES}
GAIN = {"light_unet": 0.0, "mt": 0.01}


def test_the_names_are_as_awkward_as_they_are_meant_to_be():
    assert len({plain(name) for name in NAMES}) < len(NAMES)
    assert max(map(len, NAMES)) > 200


def test_keys_are_short_unique_and_what_mlflow_takes():
    names = [*NAMES, "x" * 300, "x" * 299 + "y", "mouse1", "", ".", "a ", " a", "a:b", "a#b%c?d"]
    keys = [volume_key(name) for name in names]
    assert len(set(keys)) == len(names)
    assert max(map(len, keys)) <= 60
    assert all(plain(key) == key and key.isascii() for key in keys)
    assert volume_key("mouse1_C00") == "mouse1_C00", "as runs of older versions have it"
    assert not {volume_key(key) for key in keys if key not in names} & set(keys)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two animals, sixteen tiles, imported from files of those names."""
    home = tmp_path_factory.mktemp("in")
    random = np.random.default_rng(0)
    for name in NAMES:
        npz(home / f"{name}.npz", image=random.integers(0, 999, (4, 16, 16), np.uint16),
            label=np.ones((4, 16, 16), np.uint8))  # fmt: skip
    rows = table(home, [(f"{n}.npz", g) for n, g in NAMES.items()], ("file", "group"))
    volumes = import_volumes([home], home / "data", table=rows)
    assert {v.name: v.group for v in volumes} == NAMES
    settings = override(laptop(), {"protocol.folds": 2})
    return Study("awkward", settings, tuple(volumes), tuple(GAIN))


@pytest.fixture(scope="module")
def tracker(study, tmp_path_factory):
    """MLflow, told of stages computed by nobody: mt is better by .01 on every tile."""
    home = tmp_path_factory.mktemp("awkward")
    store = Store(str(home / "store"))
    store_stages(store, study.stages(), score)
    return deliver(f"sqlite:///{home}/mlflow.db", study, store)


def score(evaluation, tile):
    return 0.5 + GAIN[evaluation.label.removeprefix("evaluate ")] + 0.001 * len(tile)


def test_two_animals_stay_two_up_to_the_p_value(study, tracker):
    """Sixteen tiles of two mice: the smallest p that a sign-flip test of two can give is 1/2."""
    records = load_records(tracker, study.name)
    tested = {name: group for trial in records.trials for name, group in trial.groups.items()}
    assert tested == NAMES
    for trial in records.trials:
        assert trial.values["dsc"].keys() == trial.groups.keys()
        for name, value in trial.values["dsc"].items():
            assert value == pytest.approx(0.5 + GAIN[trial.arm] + 0.001 * len(name))
    found = analyse(records, "light_unet")
    paired = next(c for c in found.comparisons if c.metric == "dsc")
    assert (paired.test.groups, paired.p_least, paired.p_flip) == (2, 0.5, 0.5)
    assert paired.test.difference == pytest.approx(0.01)
    assert "Light UNet" in document(found)
    rows = csv.DictReader(io.StringIO(volumes_csv(found)))
    assert {row["volume"]: row["group"] for row in rows} == NAMES


def test_names_and_groups_stand_beside_the_metrics(tracker):
    for run in tracker.runs(tag.of_kind(tag.TRIAL_KIND)):
        rows = json.loads(tracker.read_file(run.run_id, FILE))
        keys = {name.partition("/vol_")[2] for name in run.metrics if "/vol_" in name}
        assert {row["key"] for row in rows} == keys
        assert all(NAMES[row["name"]] == row["group"] for row in rows)


def test_runs_of_an_older_version_are_read_as_far_as_they_tell_names_apart():
    names = ["m[1]", "m2", LONG]
    older = {f"test/dsc/vol_{plain(name)}": float(i) for i, name in enumerate(names)}
    assert values_by_name(older, names) == {"dsc": dict(zip(names, (0.0, 1.0, 2.0), strict=True))}
    with pytest.raises(BadInput, match=r"volumes a_b and a\+b have one name in MLflow"):
        values_by_name({"test/dsc/vol_a_b": 0.5}, ["a_b", "a+b"])
    assert values_by_name({"test/dsc": 0.5, "loss/sup": 1.0}, ["a_b", "a+b"]) == {}


class Refusing:
    """A step that MLflow refuses, always or once."""

    def __init__(self, times):
        self.calls, self.times = 0, times

    def __call__(self):
        self.calls += 1
        if self.calls <= self.times:
            raise MlflowException.invalid_parameter_value("a name of 300 characters")
        return 7


@pytest.fixture
def retrying(monkeypatch):
    monkeypatch.setattr(retry, "EVERY", 0.01)
    monkeypatch.setattr(retry, "PATIENCE", 1e9)

    class Silent:
        place = "http://somewhere"

        def reload_runs(self):
            pass

    return RetryingTracker(Silent())


def test_what_mlflow_refuses_is_no_outage(retrying, capsys):
    step = Refusing(10**9)
    with pytest.raises(BadInput, match="refuses what it is told, and waiting would not mend that"):
        retrying.retry(step)
    assert step.calls == 2
    assert "refuses what it is told, all of it comes later" in capsys.readouterr().err


def test_a_refusal_that_reading_anew_mends_is_none(retrying):
    assert retrying.retry(Refusing(1)) == 7


def test_too_many_characters_are_refused_for_real(tracker):
    run = tracker.get_or_create_run("other", "other", None, {}, {})
    with pytest.raises(MlflowException) as refused:
        tracker.log_metrics(run, {"x" * 300: 1.0}, 0)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    tracker.log_metrics(run, {f"test/dsc/vol_{'x' * 300}": 1.0}, 0)
