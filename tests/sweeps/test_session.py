"""How a session with a cluster ends: failures are named, an interruption shows and goes on."""

import io
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from vpbsd_sweeps.drivers.session import failures, logged
from vpbsd_sweeps.monitor import terminal
from vpbsd_sweeps.tracking.retry import RetryingTracker

HELD = SimpleNamespace(lost=False)
"""A lock that no other driver has taken."""


@pytest.fixture
def logger():
    calls = []
    return SimpleNamespace(
        calls=calls,
        catch_up=lambda: calls.append("catch up"),
        interrupt=lambda: calls.append("interrupt"),
    )


def test_an_interrupted_trial_interrupts_the_driver():
    outcomes = {"a": ("failed", "diverged"), "b": ("interrupted", "")}
    with pytest.raises(KeyboardInterrupt):
        failures(outcomes)


@pytest.mark.parametrize(("error", "calls"), [(KeyboardInterrupt, ["interrupt"]), (OSError, [])])
def test_only_an_interruption_shows_runs_as_killed(logger, error, calls):
    tracker = RetryingTracker(SimpleNamespace(place="nowhere"))
    with pytest.raises(error), logged(tracker, logger, HELD):
        raise error
    assert logger.calls == calls


def test_an_interruption_by_a_lost_lock_shows_nothing(logger):
    """Another driver goes on with these runs: they are not killed."""
    tracker = RetryingTracker(SimpleNamespace(place="nowhere"))
    with pytest.raises(KeyboardInterrupt), logged(tracker, logger, SimpleNamespace(lost=True)):
        raise KeyboardInterrupt
    assert logger.calls == []


def test_a_session_that_ends_well_kills_nothing(logger):
    with logged(RetryingTracker(SimpleNamespace(place="nowhere")), logger, HELD):
        pass
    assert logger.calls == []


@pytest.mark.parametrize(("error", "leaves"), [(KeyboardInterrupt, False), (OSError, True)])
def test_what_answers_ctrl_c_is_the_last_thing_on_a_terminal(monkeypatch, error, leaves):
    """Rich erases a display by moving up line by line; one that stays is left with a new line."""

    class Two(terminal.Terminal):
        def show(self, stages):
            self.draw("below", ["above"])

    screen = io.StringIO()
    monkeypatch.setattr(
        terminal, "Console", lambda file: Console(file=screen, force_terminal=True, width=80)
    )

    def run():
        with Two() as shown:
            shown.show([])
            print("interrupted", file=sys.stderr)
            raise error

    with pytest.raises(error):
        run()
    left = screen.getvalue()
    assert "interrupted" in left
    assert left.endswith("\x1b[1A\x1b[2K") is not leaves
