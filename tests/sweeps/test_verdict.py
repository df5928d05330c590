"""The verdict by hand: its outcome, interval, p, how many more groups, and its exit code."""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.sweeps.small_study import small_study
from tests.sweeps.test_tables import analysed, trial
from vpbsd.cli import run_main
from vpbsd.errors import BadInput
from vpbsd_sweeps.commands import verdict as command
from vpbsd_sweeps.monitor.status import standing
from vpbsd_sweeps.reporting.analysis import analyse
from vpbsd_sweeps.reporting.paired_t import groups_needed, paired_t, power
from vpbsd_sweeps.reporting.tables import document, main_table
from vpbsd_sweeps.reporting.verdict import verdict
from vpbsd_sweeps.store.lock import study_lock
from vpbsd_sweeps.store.results import Store

GAINS = (0.02, 0.03, 0.04, 0.03, 0.02, 0.04)
"""Mean .03; squares about it sum to 4e-4, so sd sqrt(8e-5) and error sqrt(8e-5 / 6) = .0036515;
t = 8.2158 on 5 degrees (p .00044), and t(.975, 5) = 2.5706 makes the interval .03 +- .0093865."""


def study(arms, primary=None, **more):
    """Arms whose groups, one volume each, have these differences from a baseline of .6."""
    trials, groups = [], len(next(iter(arms.values())))
    for arm, gains in {"light_unet": [0.0] * groups, **arms}.items():
        found = trial(arm, 0, 0, [0.6 + gain for gain in gains], **more.get(arm, {}))
        trials.append(replace(found, groups={f"v{i}": f"animal {i}" for i in range(groups)}))
    return analysed(trials, primary=primary)


def test_better():
    found = verdict(study({"vpbsd": GAINS}))
    assert found.outcome == "better"
    assert (found.test.low, found.test.high) == pytest.approx((0.0206135, 0.0393865), abs=1e-6)
    assert found.test.p == pytest.approx(0.000436, abs=2e-6)
    assert found.p_sign_flip == 2 / 2**6
    assert found.sentence == (
        "VpbSD is better than Light UNet (baseline) on DSC: +0.0300 (95 % interval +0.0206 to "
        "+0.0394, p <0.001; paired t over 6 groups)."
    )


def test_worse():
    found = verdict(study({"vpbsd": [-gain for gain in GAINS]}))
    assert found.outcome == "worse"
    assert found.sentence.startswith(
        "VpbSD is worse than Light UNet (baseline) on DSC: −0.0300 (95 % interval −0.0394 to "
    )


def test_where_lower_is_better_a_lead_is_worse():
    """The toy gives HD95 the same numbers as DSC."""
    found = verdict(study({"vpbsd": GAINS}, "hd95_vox"))
    assert found.outcome == "worse"
    assert "on HD95 [vox] (lower is better): +0.0300" in found.sentence


def test_cannot_tell_and_how_many_more_would():
    """Two groups .01 and .03: mean .02, sd .01414, error .01; t(.975, 1) = 12.706; p 2/pi atan
    (1/2) = .2952. Four groups of d_z 1.414 have power .52, six .80 by the tables: four more."""
    found = verdict(study({"vpbsd": (0.01, 0.03)}))
    assert found.outcome == "cannot tell"
    assert found.test.p == pytest.approx(2 / math.pi * math.atan(0.5))
    assert (found.test.low, found.test.high) == pytest.approx((-0.10706, 0.14706), abs=1e-5)
    more = found.test.more_groups
    assert power(math.sqrt(2), 2 + more) >= 0.8 > power(math.sqrt(2), 1 + more)
    assert f"{more} more groups (animals) would tell" in found.sentence
    assert found.sentence.startswith("Cannot tell whether VpbSD is better than Light UNet")


@pytest.mark.parametrize(("effect", "groups"), [(0.2, 199), (0.5, 34), (0.8, 15), (0.001, None)])
def test_groups_needed_are_those_of_the_printed_tables(effect, groups):
    """G*Power's, paired, two-sided, 5 %, 80 %."""
    assert groups_needed(effect) == groups
    assert groups_needed(-effect) == groups


def test_power_is_that_of_drawn_studies():
    draw = np.random.default_rng(0).normal(1.0, 1.0, (40_000, 6))
    t = draw.mean(1) / (draw.std(1, ddof=1) / math.sqrt(6))
    assert power(1.0, 6) == pytest.approx(np.mean(np.abs(t) > 2.5706), abs=0.01)


def test_no_difference_at_all():
    """Nothing would tell a difference of zero."""
    found = verdict(study({"vpbsd": (0.0, 0.0, 0.0)}))
    assert (found.outcome, found.test.p, found.test.more_groups) == ("cannot tell", 1.0, None)


def test_one_group_only():
    found = verdict(study({"vpbsd": (0.02,)}))
    assert found.outcome == "cannot tell"
    assert found.sentence == (
        "Cannot tell whether VpbSD is better than Light UNet (baseline) on DSC: +0.0200 in the "
        "one group there is, which has no spread. How many more would tell is not known before "
        "there are two."
    )
    assert found.plain()["test"]["low"] is None
    json.dumps(found.plain(), allow_nan=False)


@pytest.mark.parametrize("arm", ["vpbsd", "light_unet"])
def test_void(arm):
    found = verdict(study({"vpbsd": GAINS, "kd": GAINS}, **{arm: {"void": "collapsed"}}))
    assert found.outcome == "void"
    assert "VOID: collapsed (fold 0 seed 0)" in found.sentence


def test_an_unproven_arm_is_never_better_but_may_be_worse():
    how = {"vpbsd": {"unproven": "codes carry nothing"}}
    better, worse = (verdict(study({"vpbsd": s * np.array(GAINS)}, **how)) for s in (1, -1))
    assert (better.outcome, worse.outcome) == ("cannot tell", "worse")
    assert "But it is unproven, so this counts as cannot tell: codes carry" in better.sentence
    assert "But it is unproven: codes carry nothing" in worse.sentence


def test_the_best_student_pays_for_having_been_picked():
    """Without VpbSD, of two: p doubled, interval of 97.5 %; references take no part."""
    less = [gain - 0.01 for gain in GAINS]
    analysis = study({"mt": less, "kd": GAINS, "teacher": [0.3] * 6})
    found = verdict(analysis)
    assert [c.p for c in analysis.comparisons if c.family == "primary"] == [found.test.p]
    assert (found.arm, found.picked_from) == ("kd", 2)
    assert found.test.p == pytest.approx(2 * 0.000436, abs=4e-6)
    assert found.test.high - 0.03 == pytest.approx(3.1634 * 0.0036515, abs=1e-6)  # t(.9875, 5)
    assert "KD, the best of 2 students, is better than" in found.sentence
    others = {(s.arm, s.metric) for s in found.secondary}
    assert {arm for arm, metric in others if metric == "dsc"} == {"mt"}, "it is secondary"
    assert len(others) == 1 + 2 * 5


def test_secondary_comparisons_are_corrected_among_themselves():
    """VpbSD's five other metrics and KD's six; all p equal, so each is times eleven."""
    found = verdict(study({"vpbsd": GAINS, "kd": GAINS, "teacher": [0.3] * 6}))
    assert {s.arm for s in found.secondary} == {"vpbsd", "kd"}
    assert len(found.secondary) == 11
    assert [s.p_holm for s in found.secondary] == pytest.approx([11 * found.test.p] * 11)


def test_one_rule_for_sentence_stars_and_bold():
    """VpbSD's p of .000436 stands alone; KD's, the same, is times 11 secondary ones: .0048."""
    analysis = study({"vpbsd": GAINS, "kd": GAINS, "teacher": GAINS})
    of = {c.arm: c for c in analysis.comparisons if c.metric == "dsc"}
    assert {arm: c.family for arm, c in of.items()} == {
        "vpbsd": "primary",
        "kd": "secondary",
        "teacher": "",
    }
    assert of["vpbsd"].p == verdict(analysis).test.p == pytest.approx(0.000436, abs=2e-6)
    assert of["kd"].p == pytest.approx(11 * 0.000436, abs=2e-5)
    assert (of["vpbsd"].mark, of["kd"].mark, of["teacher"].mark) == ("**", "**", "")
    assert analysis.best("dsc", ["kd"]) == ["kd"]
    assert analysis.best("dsc", ["teacher"]) == []


def test_a_declared_metric_decides_and_another_is_said_to_be_another():
    analysis = study({"vpbsd": GAINS}, "smd")
    assert {c.metric for c in analysis.comparisons if c.family == "primary"} == {"smd"}
    found = verdict(analysis)
    assert (found.metric, found.outcome) == ("smd", "worse")
    assert found.sentence.endswith("(The study had declared DSC to decide.)")
    analysis.records.identity["primary"] = "smd"
    again = analyse(analysis.records, "light_unet")
    assert again.primary == "smd"
    assert "declared" not in verdict(again).sentence


@pytest.mark.parametrize("family", [1, 3])
def test_interval_and_p_never_disagree(family):
    draw = np.random.default_rng(1)
    tests = [paired_t(draw.normal(0.02, 0.02, n), family) for n in (2, 3, 4, 6, 9) * 40]
    assert all(test.tells == (test.p < 0.05) for test in tests)
    assert 20 < sum(test.tells for test in tests) < 180, "both happen"
    assert all(test.more_groups != 0 for test in tests if not test.tells)


def test_what_the_exact_test_cannot_confirm_is_said():
    found = verdict(study({"vpbsd": GAINS[:4]}))
    assert found.outcome == "better"
    assert "exact sign-flip test (p 0.125) cannot confirm it with so few groups." in found.sentence


def test_nobody_to_compare_with():
    found = verdict(study({"teacher": GAINS}))
    assert (found.outcome, found.arm) == ("cannot tell", "")
    assert "there is no student to compare with Light UNet" in found.sentence


def test_a_metric_that_is_not_there_is_refused():
    with pytest.raises(BadInput, match="--primary cldce.*cldice"):
        study({"vpbsd": GAINS}, "cldce")


def test_tables_without_a_primary_comparison_say_how_stars_were_corrected():
    analysis = study({"vpbsd": GAINS, "kd": GAINS}, vpbsd={"void": "codes collapsed"})
    (rule,) = (n for n in main_table(analysis).notes if n.startswith("* p < 0.05"))
    assert "none is the primary comparison; Holm over the " in rule


def test_tables_end_with_it():
    analysis = study({"vpbsd": GAINS})
    assert document(analysis).endswith(verdict(analysis).sentence)


def test_status_says_it_of_an_ended_study_until_it_grows(tmp_path):
    store, trial = Store(str(tmp_path)), {"arm": "kd", "key": "k" * 64, "voided_by": []}
    store.studies.write_json("s/outline.json", {"stages": [], "trials": [trial]})
    store.studies.write_json("s/verdict.json", {"trials": 1, "sentence": "KD is better."})
    assert list(standing("s", store))[-1] == "KD is better."
    with study_lock("s", store):
        assert "KD is better." not in list(standing("s", store))
    store.studies.write_json("s/outline.json", {"stages": [], "trials": [trial, trial]})
    assert "KD is better." not in list(standing("s", store))


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """Two studies: VpbSD gains .02 everywhere, or by fold .01, 0, -.01."""
    home = tmp_path_factory.mktemp("verdicts")
    small_study(home, "good")
    small_study(home, "dim", gain=lambda arm, fold: (arm == "vpbsd") * (-0.01 - 0.01 * fold))
    return home


def run(home, capsys, *words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv", ["verdict", *words, "--tracking", f"sqlite:///{home}/mlflow.db"]
        )
        with pytest.raises(SystemExit) as ended:
            run_main(command.main)
    return ended.value.code, capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "code", "outcome"),
    [
        (("good",), 0, "better"),
        (("dim",), 1, "cannot tell"),
        (("good", "--baseline", "vpbsd"), 3, "worse"),
        (("good", "--baseline", "vpbsd_wo_dis"), 4, "void"),
    ],
)
def test_the_exit_code_is_the_outcome(homes, capsys, words, code, outcome):
    ended, said = run(homes, capsys, *words, "--json")
    assert (ended, json.loads(said.out)["outcome"]) == (code, outcome)
    again, said = run(homes, capsys, *words)
    assert (again, said.out.count("\n")) == (code, 1)
    assert said.out.lower().find(outcome) >= 0


def test_errors_are_two_never_what_a_crash_would_be(homes, capsys, monkeypatch):
    assert run(homes, capsys, "goood")[0] == 2
    assert run(homes, capsys, "good", "--primary", "beauty")[0] == 2
    monkeypatch.setattr(command, "load_records", lambda *_: 1 / 0)
    code, said = run(homes, capsys, "good")
    assert code == 2
    assert "ZeroDivisionError" in said.err
