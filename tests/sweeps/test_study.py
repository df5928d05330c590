"""Studies, plans and their differences, without running anything."""

from sweeps.study import first_difference


def test_the_first_difference_is_named_with_both_values():
    before = {"settings": {"student": {"gamma": 1.0, "beta": 1.0}}, "arms": ["a"]}
    now = {"settings": {"student": {"gamma": 0.5, "beta": 1.0}}, "arms": ["a"]}
    assert first_difference(now, before) == "settings.student.gamma: 1.0 before, 0.5 now"
    assert first_difference(now, now) is None
    assert first_difference({"arms": ["a", "b"]}, {"arms": ["a"]}) == (
        'arms: ["a"] before, ["a","b"] now'
    )
