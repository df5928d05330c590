"""A sweep in which all goes wrong that may ends as one in peace; see tests/chaos.py."""

import tempfile
from pathlib import Path

import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

from tests.chaos import rehearse  # noqa: E402 (it imports both)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_whatever_goes_wrong_it_ends_as_in_peace():
    with tempfile.TemporaryDirectory(prefix="ch", dir="/tmp") as room:
        log = rehearse(Path(room), faults=5, seed=0)
    assert "same table, nothing trained twice, no zombies" in log[-1]
