"""A sweep that is killed in four ways ends as one that is not; see tests/chaos.py."""

import pytest

from tests.chaos import HOW, rehearse


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_in_every_way_it_ends_as_in_peace(tmp_path):
    log = rehearse(tmp_path, kills=len(HOW), seed=0)
    assert "same table, nothing trained twice, no zombies" in log[-1]
