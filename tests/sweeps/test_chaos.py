"""A sweep in which all goes wrong that may ends as one in peace; see tests/chaos.py."""

import tempfile
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

from tests import chaos  # noqa: E402 (it imports both)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_whatever_goes_wrong_it_ends_as_in_peace():
    with tempfile.TemporaryDirectory(prefix="ch", dir="/tmp") as room:
        log = chaos.rehearse(Path(room), faults=5, seed=0)
    assert "same table, nothing trained twice, no zombies" in log[-1]


def test_faults_that_find_nothing_to_strike_end_a_rehearsal(tmp_path, monkeypatch):
    class Calm(chaos.Rehearsal):
        def world(self, home):
            return nullcontext(SimpleNamespace(at_work=lambda seconds: []))

        def run(self, world):
            return ""

    monkeypatch.setattr(chaos, "Rehearsal", Calm)
    for name in ("make_data", "table", "records_of"):
        monkeypatch.setattr(chaos, name, lambda _: None)
    with pytest.raises(AssertionError, match="a whole study passed"):
        chaos.rehearse(tmp_path, faults=1, seed=0, kinds=["lose a node"])
