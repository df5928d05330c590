"""The choice of a normalisation: by scores made up by hand, and blind to test groups."""

from dataclasses import replace

import pytest

from vpbsd.data.folds import make_folds
from vpbsd.overrides import override
from vpbsd.pipeline import normalisation
from vpbsd.pipeline.normalisation import CANDIDATES, decide, inner_trials
from vpbsd.pipeline.recipes import deliverable
from vpbsd.pipeline.stages import Stage


def test_the_best_mean_wins_where_it_is_ahead_in_all_groups():
    decision = decide(2, {"a": (0.50, 0.70, 0.60), "b": (0.55, 0.76, 0.66), "c": (0.4, 0.6, 0.5)})
    assert (decision.fold, decision.chosen, decision.close) == (2, "b", ())
    assert decision.means == pytest.approx({"a": 0.6, "b": 0.6567, "c": 0.5}, abs=1e-4)


def test_a_tie_within_one_standard_error_goes_to_the_earlier():
    """Differences .06 and -.02: mean .02, standard error .04."""
    decision = decide(0, {"a": (0.50, 0.72), "b": (0.56, 0.70), "c": (0.1, 0.1)})
    assert (decision.chosen, decision.close) == ("a", ("b",))
    assert decide(0, {"b": (0.56, 0.70), "a": (0.50, 0.72)}).chosen == "b"


def test_the_error_is_that_of_differences_since_groups_are_not_equally_hard():
    """One standard error of the means themselves is .2: everything would tie."""
    assert decide(0, {"a": (0.3, 0.7), "b": (0.35, 0.74)}).chosen == "b"


def test_equal_candidates_tie():
    assert decide(0, {"a": (0.5, 0.6), "b": (0.5, 0.6)}).close == ("b",)


def test_the_line_says_what_was_chosen_and_what_came_close():
    line = decide(1, {"a": (0.50, 0.72), "b": (0.56, 0.70), "c": (0.1, 0.1)}).line()
    assert line == (
        "fold 1: a, inner DSC 0.610; within one standard error: b (0.630); beyond: c (0.100)"
    )
    assert "the preset's normalisation is kept" in decide(1, {}).line()


def test_the_papers_choice_is_tried_first():
    s = override(normalisation.Settings(), next(iter(CANDIDATES.values())))
    assert s == normalisation.Settings()


def test_test_groups_touch_no_inner_stage(volumes, tiny):
    """Other images and labels in the test groups: another fingerprint, the same inner keys."""
    fold = make_folds(volumes, tiny.protocol)[0]
    tested = {part.volume.group for part in fold.test}
    changed = tuple(
        replace(v, fingerprint=f"other {v.name}", label_voxels=1, path="/nowhere", shape=(9, 9, 9))
        if v.group in tested
        else v
        for v in volumes
    )
    other = make_folds(changed, tiny.protocol)[0]
    assert other.test != fold.test
    before, after = (list(inner_trials(tiny, f, CANDIDATES)) for f in (fold, other))
    assert [t.stage.key for t in before] == [t.stage.key for t in after]
    read = {p.volume.group for t in before for s in t.stage.lineage() for p in _parts(s)}
    assert read == {v.group for v in volumes if v.labelled} - tested


def test_inner_students_are_the_arm_light_unet_under_a_short_schedule(volumes, tiny, cheap):
    fold = make_folds(volumes, tiny.protocol)[0]
    settings = override(tiny, {"student.optim.epochs": 90})
    first = next(inner_trials(settings, fold, CANDIDATES))
    split = normalisation.inner_folds(fold, tiny.protocol.margin)[0]
    same = deliverable(
        override(settings, {"student.optim.epochs": 30, **CANDIDATES[first.candidate]}),
        "light_unet",
        replace(split, unlabelled=fold.unlabelled),
        0,
    )
    assert first.stage.upstream["network"].key == same.key


@pytest.mark.parametrize(("epochs", "short"), [(2, 2), (12, 10), (20, 10), (300, 100)])
def test_a_third_of_the_epochs_but_not_too_few(volumes, tiny, epochs, short):
    fold = make_folds(volumes, tiny.protocol)[0]
    settings = override(tiny, {"student.optim.epochs": epochs})
    trained = next(inner_trials(settings, fold, CANDIDATES)).stage.upstream["network"]
    assert trained.config.optim.epochs == short


def _parts(stage: Stage):
    return [part for parts in stage.parts.values() for part in parts]
