"""In which order trials begin: slices must not idle while all wait for one teacher."""

from vpbsd_sweeps.study.order import spread
from vpbsd_sweeps.study.study import Study


def test_trials_alive_at_a_time_wait_for_different_teachers(volumes, tiny, cheap):
    """Three folds of one teacher each: the first three trials after the baselines start all."""
    study = Study("s", tiny, volumes, ("vpbsd", "light_unet", "vpbsd_wo_dis"), seeds=(0, 1))
    order = [(t.arm, t.fold, t.seed) for t in spread(study.trials)]
    assert [arm for arm, _, _ in order[:6]] == ["light_unet"] * 6
    assert [fold for _, fold, _ in order[6:]] == [0, 1, 2] * 4
    assert sorted(order) == sorted((t.arm, t.fold, t.seed) for t in study.trials)
