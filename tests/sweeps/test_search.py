"""The search: its space, its journal, who is stopped, what is read, what counts."""

import json
import shlex
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from sweeps import search as script
from sweeps.candidate import Run, Search, stage_of
from sweeps.conductor import Slice
from sweeps.engine import Engine
from sweeps.evidence import gather
from sweeps.halving import Halving
from sweeps.journal import Journal, Told
from sweeps.sampling import NEEDS, Chooser, importances
from sweeps.search_report import best, command, pareto, report
from sweeps.search_runs import STATUS, SearchRuns
from sweeps.searching import Loop, missing, rebuilt
from sweeps.space import (
    SPACE,
    WIDTHS,
    Choice,
    Parameter,
    Range,
    Space,
    parse_parameter,
    space_of,
    touched,
)
from sweeps.store import Store
from sweeps.tracking import Tracker
from sweeps.worker import execute
from tests.sweeps.toys import Toy
from vpbsd.command import answer
from vpbsd.config import override, parse_changes
from vpbsd.data.folds import held_out, make_folds
from vpbsd.errors import BadInput
from vpbsd.settings import laptop, paper

BOOK = "pretrain.network.codebook"
ALL = {"pre-training", "fine-tuning", "targets", "student", "evaluation"}
LATER = ALL - {"pre-training"}
STUDENT = {"student", "evaluation"}


@pytest.fixture(scope="module")
def space(volumes):
    settings = override(laptop(), {"data.patch": (32, 32, 64), "sampling.patches": 64})
    return made_space(settings, volumes, "vpbsd", [f"{BOOK}.size=8,12"])


def made_space(settings, volumes, arm, asked=(), students=False):
    fold = held_out(make_folds(volumes, settings.protocol)[0])
    return space_of(settings, "laptop", stage_of(arm, fold), list(asked), students=students)


def searched(volumes, space, **changes):
    facts = {"arm": "vpbsd", "seeds": (0,), "sampler": "tpe", "seed": 0, "students_per_teacher": 4}
    return Search(name="s", volumes=volumes, space=space, **(facts | changes))


# --- the space


def test_every_parameter_changes_exactly_the_stages_it_should(volumes):
    """Of the arm that uses it; a teacher's setting changes all below, a student's only those."""
    arms = {"kd": "kd", "vid": "vid", "ab": "ab", "others_on": "kd", "mid": "baseline_mid"}
    arms["first_phase"] = "ab"
    settings = override(laptop(), {"data.patch": (32, 32, 64)})
    fold = held_out(make_folds(volumes, settings.protocol)[0])
    got = {}
    for parameter in SPACE:
        values = (2.0, 3.0) if parameter.path.endswith("ramp_epochs") else parameter.values.ends
        if parameter.path == f"{BOOK}.size":
            values = (8, 12)
        if parameter.path == f"{BOOK}.alignment":
            values = ("linear",)
        arm = next((a for word, a in arms.items() if f".{word}" in parameter.path), "vpbsd")
        tried = replace(parameter, values=Choice(values))
        got[parameter.path] = touched(settings, tried, stage_of(arm, fold))
    said_of = {"student.distil_on", "student.others_on"}  # fewer or more patches are spoken about
    for path, families in got.items():
        if path == "finetune.lr":
            assert families == LATER, path
        elif path.startswith(("pretrain", "data")):
            assert families == ALL, path
        else:
            assert families - ({"targets"} if path in said_of else set()) == STUDENT, path


def test_teachers_and_students_settings_are_told_apart_by_their_keys(space):
    assert {p.path.split(".")[0] for p in space.teacher} == {"data", "pretrain", "finetune"}
    assert {p.path.split(".")[0] for p in space.student} == {"student"}
    assert not [p for p in space.student if ".kd." in p.path], "another arm's"


def test_conditions(space):
    def drawn(way):
        first = {f"{BOOK}.straight_through": way}
        return space.draw(lambda p: first.get(p.path, p.values.ends[0]))

    only = {p.path for p in SPACE if p.when} - drawn("copy").keys()
    names = ("tau_start", "tau_floor", "tau_share", "noise", "kappa_factor")
    assert only == {f"{BOOK}.{name}" for name in names}
    assert only <= drawn("gumbel").keys()
    fixed = Space(override(space.settings, {f"{BOOK}.straight_through": "copy"}), (), ())
    tau = Parameter("x", Range(0, 1), (f"{BOOK}.straight_through", "gumbel"))
    assert replace(fixed, teacher=(tau,)).draw(lambda p: 0.5) == {}, "by what is set, too"


PARAMETERS = [
    ("student.gamma=0.1:10:log", Range(0.1, 10, log=True)),
    ("student.optim.batch=1:4", Range(1, 4, whole=True)),
    ("student.beta=0,0.5", Choice((0, 0.5))),
    ("student.distil_on=both,labelled", Choice(("both", "labelled"))),
    (WIDTHS, Choice(tuple(json.loads(f"[{WIDTHS.partition('=')[2]}]")))),
]


@pytest.mark.parametrize(("text", "values"), PARAMETERS)
def test_parameters_are_read(text, values):
    assert parse_parameter(text, laptop()).values == values


BAD = [
    ("student.gama=1:2", "did you mean 'gamma'"),
    ("student.gamma", "write it as path=low:high"),
    ("student.gamma=2:1", "low < high"),
    ("student.gamma=0:1:log", "0 < low"),
    ("student.gamma=a:b", "write it as"),
]


@pytest.mark.parametrize(("text", "why"), BAD)
def test_a_parameter_that_cannot_be_is_refused(text, why):
    with pytest.raises(BadInput, match=why):
        parse_parameter(text, laptop())


def test_a_parameter_of_another_arm_is_refused(space, volumes):
    with pytest.raises(BadInput, match="changes nothing in this arm"):
        made_space(space.settings, volumes, "vpbsd", ["student.kd.weight=1:2"])


def test_student_space_keeps_the_teacher(space, volumes):
    only = made_space(space.settings, volumes, "vpbsd", [], students=True)
    assert only.teacher == ()
    assert only.student == space.student


def test_no_stage_of_a_search_reads_a_part_of_a_test_fold(volumes, space):
    search = searched(volumes, space)
    tested = {
        f.index: {p.identity for p in f.test} for f in make_folds(volumes, space.settings.protocol)
    }
    folds = []
    for run in search.runs({}):
        folds.append(run.fold)
        read = {p.identity for s in run.stage.lineage() for ps in s.parts.values() for p in ps}
        assert not read & tested[run.fold]
        held = {p.volume.group for p in run.stage.parts["test"]}
        below = [s for s in run.stage.lineage() if s is not run.stage]
        trained = {
            p.volume.group
            for s in below
            for r, ps in s.parts.items()
            for p in ps
            if r != "validation"
        }
        assert held
        assert not held & trained
    assert folds == [0, 1, 2]


def test_only_the_first_folds_student_is_watched(volumes, space):
    runs = list(searched(volumes, space, seeds=(0, 1)).runs({}))
    assert ["validation" in run.student.parts for run in runs] == [True] + 5 * [False]
    assert [(run.seed, run.fold) for run in runs] == [(s, f) for s in (0, 1) for f in (0, 1, 2)]


def test_students_of_one_teacher_share_all_of_it(volumes, space):
    search = searched(volumes, space)
    chooser = Chooser(space, "random", 0, students_per_teacher=4)
    drawn = [chooser.ask(i) for i in range(8)]
    stages = [list(next(search.runs(params)).stage.lineage()) for params in drawn]
    unique = {f: len({s.key for row in stages for s in row if s.family == f}) for f in ALL}
    assert unique["pre-training"] == unique["fine-tuning"] == 2
    assert unique["student"] == unique["evaluation"] == 8
    assert unique["targets"] <= 2 * 3


# --- halving


def test_half_goes_on_at_each_rung_and_only_after_the_ramp():
    halving = Halving()
    assert not halving.stops(0, 0.2, 0.5, grace=0.15)
    assert halving.seen[0.1] == {}, "its ramp was not over"
    assert halving.stops(1, 0.2, 0.4, grace=0.0), "the worse of two"
    assert not halving.stops(2, 0.2, 0.45, grace=0.0), "second of three: of three, two stay"
    assert not halving.stops(4, 0.2, 0.1, grace=0.3), "still in its ramp"
    assert not halving.stops(0, 0.2, 0.1, grace=0.15), "the first word counts"
    assert not halving.stops(0, 0.39, 0.1, grace=0.15), "between rungs"
    again = Halving()
    again.remember(0, halving.rungs(0))
    assert again.seen == {0.2: {0: 0.5}}


# --- trials, on toys


@dataclass(frozen=True)
class Watched(Toy):
    """A student whose glances rise to its score."""

    score: float = 0.0

    def run(self, inputs, out, resume):
        for step in super().run(inputs, out, resume):
            for row in step.rows:
                row["val/dsc"] = self.score * row["epoch"] / self.epochs
            yield step


@dataclass(frozen=True)
class Measured(Toy):
    """An evaluation of one volume."""

    score: float = 0.0
    epochs: int = 1
    void: str | None = None

    def run(self, inputs, out, resume):
        yield from super().run(inputs, out, resume)
        (out / "rows.json").write_text(json.dumps([{"dsc": self.score}]))
        numbers = {"gmac_torch": 10 * self.score}
        (out / "summary.json").write_text(json.dumps({"numbers": numbers, "void": None}))


@dataclass(frozen=True)
class Spoilt(Toy):
    """A teacher that is void."""

    def run(self, inputs, out, resume):
        yield from super().run(inputs, out, resume)
        (out / "summary.json").write_text(json.dumps({"numbers": {}, "void": "collapsed"}))


TEACHER = Parameter("pretrain.alpha", Range(0, 1))
STUDENTS = Parameter("student.gamma", Range(0, 1))


FACTS = {"a": 1, "settings": {}, "data": "d", "arm": "vpbsd"}


class ToySearch(SimpleNamespace):
    """Two folds; the DSC of a configuration is its gamma, a tenth more on the second fold."""

    def __init__(self, diary, **changes):
        facts = {"name": "toys", "arm": "vpbsd", "sampler": "random", "seed": 0}
        facts |= {"students_per_teacher": 3, "folds": (0, 1), "seeds": (0,), "facts": FACTS}
        facts |= {"space": Space(laptop(), (TEACHER,), (STUDENTS,)), "seconds": 0.0}
        super().__init__(diary=diary, **(facts | changes))

    def runs(self, params):
        alpha, gamma = params["pretrain.alpha"], params["student.gamma"]
        if 0.4 < gamma < 0.5:
            raise BadInput("cannot be trained")
        kind = Spoilt if alpha > 0.9 else Toy
        teacher = kind(f"teacher {alpha}", self.diary, family="fine-tuning", epochs=1)
        for fold in (0, 1):
            score, trouble = gamma + 0.1 * fold, "fail" if gamma < 0.05 else ""
            student = Watched(
                f"student {gamma} {fold}",
                self.diary,
                {"teacher": teacher},
                epochs=10,
                score=score,
                trouble=trouble,
                seconds=self.seconds,
            )
            label = f"evaluate {gamma} {fold}"
            network = {"network": student}
            last = Measured(label, self.diary, network, family="evaluation", score=score)
            yield Run(fold, 0, last, epochs=10, grace=2.0)


class Here:
    """An engine in this very process; gives up after so many stages."""

    def __init__(self, store, most=10**9):
        self.store, self.most, self.stopped = store, most, False

    def stop(self):
        self.stopped = True

    def bring(self, ticket, trial, on_row):
        if self.most == 0:
            raise KeyboardInterrupt
        self.most -= 1
        try:
            execute(ticket, self.store, lambda first, rows, share: self._tell(rows, on_row))
        except InterruptedError:
            return "left", ""
        except ValueError as error:
            return "failed", str(error).splitlines()[-1]
        return "stored", ""

    def _tell(self, rows, on_row):
        if any([on_row(row) for row in rows]):
            raise InterruptedError


@pytest.fixture
def diary(tmp_path):
    path = tmp_path / "diary"
    path.touch()
    return path


def looped(search, store, trials, engine=None, at_once=1):
    journal = Journal(store, search.name)
    journal.claim(search.facts)
    loop = Loop(
        search, journal, rebuilt(search, journal, []), engine or Here(store), store, trials
    )
    loop.run(at_once)
    return journal


def trained(diary):
    return Counter(line.rsplit(" ", 1)[0] for line in diary.read_text().splitlines())


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A search of 24 toys, and what it trained."""
    home = tmp_path_factory.mktemp("ended")
    (home / "diary").touch()
    search, store = ToySearch(home / "diary"), Store(str(home / "store"))
    return search, looped(search, store, 24), trained(home / "diary"), store


def test_every_kind_of_end_is_told_and_none_ends_the_search(ended):
    _, journal, _, _ = ended
    by = {number: told.outcome for number, told in journal.told.items()}
    for number, outcome in by.items():
        alpha, gamma = (journal.asked[number][p.path] for p in (TEACHER, STUDENTS))
        if 0.4 < gamma < 0.5:
            assert outcome == "infeasible"
        elif alpha > 0.9:
            assert outcome == "void"
        elif gamma < 0.05:
            assert outcome == "failed"
        else:
            assert outcome in ("complete", "stopped")
    assert set(by.values()) == {"infeasible", "void", "failed", "complete", "stopped"}
    assert sum(outcome != "infeasible" for outcome in by.values()) == 24


def test_a_teacher_is_trained_once_and_what_is_stopped_goes_no_further(ended):
    _, journal, runs, _ = ended
    teachers = {label: n for label, n in runs.items() if label.startswith("teacher")}
    assert set(teachers.values()) == {1}
    for number, told in journal.told.items():
        gamma = journal.asked[number]["student.gamma"]
        first, second = (runs[f"student {gamma} {fold}"] for fold in (0, 1))
        if told.outcome == "complete":
            assert (first, second) == (10, 10)
        if told.outcome == "stopped":
            assert first == max(epoch for epoch, _ in told.curve) in (2, 4, 8)
            assert second == 0
        if told.outcome == "void":
            assert first == 0, "students of void teachers are not trained"


def test_only_complete_trials_count(ended):
    search, journal, _, _ = ended
    ranked = best(journal)
    assert {told.outcome for told in ranked} == {"complete"}
    gammas = [journal.asked[told.number]["student.gamma"] for told in ranked]
    assert [told.value for told in ranked] == pytest.approx([g + 0.05 for g in gammas])
    assert gammas == sorted(gammas, reverse=True)
    lucky = Told(999, "stopped", (), ((2, 9.9),), ((0.2, 9.9),))
    journal.told[999], journal.asked[999] = lucky, {"pretrain.alpha": 0.1, "student.gamma": 0.9}
    try:
        assert best(journal) == ranked
        assert "| 999" not in report(search, journal)
        assert lucky.values(1) is None
    finally:
        del journal.told[999], journal.asked[999]


def test_optuna_holds_early_stopped_trials_as_pruned_with_their_curve(ended):
    search, journal, _, _ = ended
    trials = rebuilt(search, journal, []).study.trials
    states = Counter(trial.state.name for trial in trials)
    complete = len(best(journal))
    assert states == {"COMPLETE": complete, "PRUNED": len(journal.told) - complete}
    for number, trial in enumerate(trials):
        assert trial.params == pytest.approx(journal.asked[number])
        if journal.told[number].outcome == "stopped":
            assert trial.intermediate_values == dict(journal.told[number].curve)


@pytest.mark.parametrize("most", [1, 12])
def test_an_interrupted_search_goes_on_to_the_same_end(ended, most, tmp_path, diary):
    whole = ended[1]
    search, store = ToySearch(diary), Store(str(tmp_path / "store"))
    with pytest.raises(KeyboardInterrupt):
        looped(search, store, 24, Here(store, most))
    assert missing(Journal(store, "toys"), 24)
    journal = looped(search, store, 24)
    assert journal.asked == whole.asked
    timeless = [{n: replace(t, time=0) for n, t in j.told.items()} for j in (journal, whole)]
    assert timeless[0] == timeless[1]
    assert trained(diary) == ended[2], "nothing was trained twice"
    before = diary.read_text()
    looped(search, store, 24)
    assert diary.read_text() == before
    assert len(looped(search, store, 26).told) > len(whole.told)


def test_a_torn_line_and_a_second_word_change_nothing(ended, tmp_path):
    _, journal, _, store = ended
    copy = Store(str(tmp_path / "store"))
    for entry in store.read_lines("toys/search.jsonl"):
        copy.append_line("toys/search.jsonl", entry)
    copy.append_line("toys/search.jsonl", {"event": "asked", "number": 0, "params": {}})
    with (tmp_path / "store/studies/toys/search.jsonl").open("a") as file:
        file.write('{"event": "told", "num')
    again = Journal(copy, "toys")
    assert (again.asked, again.told, again.order) == (journal.asked, journal.told, journal.order)


def test_another_search_under_the_same_name_is_refused(ended):
    _, journal, _, _ = ended
    with pytest.raises(BadInput, match="a: 1 before, 2 now"):
        journal.claim(FACTS | {"a": 2})


def test_many_trials_at_once_on_ray(two_cores, tmp_path, diary):
    """Four trials alive on two cores share teachers; those stopped let go of their student."""
    search, store = ToySearch(diary, students_per_teacher=8), Store(str(tmp_path / "store"))
    search.seconds = 0.05
    slices = {"fine-tuning": Slice(lane="teacher"), "student": Slice(), "evaluation": Slice()}
    journal = looped(search, store, 8, Engine(store, slices), at_once=4)
    runs = trained(diary)
    outcomes = Counter(told.outcome for told in journal.told.values())
    assert outcomes["complete"] >= 1
    assert outcomes["stopped"] >= 1
    teachers = [n for label, n in runs.items() if label.startswith("teacher")]
    assert set(teachers) == {1}, "each is trained once"
    assert len(teachers) < len(journal.asked)
    for number, told in journal.told.items():
        if told.outcome == "stopped":
            gamma = journal.asked[number]["student.gamma"]
            assert runs[f"student {gamma} 1"] == 0


def test_mlflow_has_one_run_per_trial_with_its_status(ended, tmp_path):
    search, whole, _, _ = ended
    told = {one.outcome: one for one in whole.told.values()}  # one of each kind
    asked = {one.number: whole.asked[one.number] for one in told.values()}
    journal = SimpleNamespace(asked=asked, told={one.number: one for one in told.values()})
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "toys", (tmp_path / "a").as_uri())
    for _ in range(2):
        runs = SearchRuns(search, journal, tracker)
        runs.catch_up()
        runs.conclude("found")
    shown = tracker.files(runs.parent, "figures")
    assert shown == (
        [] if len(best(journal)) < 2 else ["figures/slices.png", "figures/slices.svg"]
    )
    with pytest.raises(BadInput, match="'toys' is a search: its findings are search.md"):
        gather(tracker, "toys")
    tracked = list(Tracker(tracker.uri, "toys").runs())
    trials = [run for run in tracked if run.data.tags["vpbsd.kind"] == "search-trial"]
    assert len(tracked) == len(trials) + 1 == len(journal.told) + 1
    for run in trials:
        told = journal.told[int(run.info.run_name.removeprefix("trial-"))]
        assert run.info.status == STATUS[told.outcome]
        assert (run.info.status == "FAILED") == (told.outcome == "failed")
        assert run.data.params["student.gamma"] == str(journal.asked[told.number]["student.gamma"])
        assert run.data.metrics.get("objective") == told.value
        curve = tracker.client.get_metric_history(run.info.run_id, "val/dsc")
        assert [(m.step, m.value) for m in curve] == list(told.curve)


def test_the_command_that_a_search_ends_with_shows_no_password():
    there = "postgresql://lab:secret@db/mlflow"
    args = dict(preset="laptop", data=None, folds=2, split=None, set=[], store="s", tracking=there)
    words = script._given(SimpleNamespace(**args))
    assert words[-2:] == ["--tracking", "postgresql://db/mlflow"]
    assert words[:4] == ["--preset", "laptop", "--folds", "2"]


@pytest.mark.parametrize(("row", "said"), [({"dsc": float("nan")}, "nan"), ({}, "missing")])
def test_a_trial_without_a_score_fails_and_the_search_goes_on(row, said, tmp_path, diary):
    """Every configuration with a gamma above a half is measured in vain."""

    class Unmeasured(ToySearch):
        def runs(self, params):
            for run in super().runs(params):
                vain = params["student.gamma"] > 0.5
                yield run._replace(stage=Vain(**vars(run.stage), row=row)) if vain else run

    journal = looped(Unmeasured(diary), Store(str(tmp_path / "store")), 12)
    vain = {n: t for n, t in journal.told.items() if journal.asked[n]["student.gamma"] > 0.5}
    failed = [t for t in vain.values() if t.outcome == "failed"]
    assert failed
    assert all(t.reason.endswith(f"the DSC of a volume is {said}") for t in failed)
    assert not any(t.outcome == "complete" for t in vain.values())
    assert sum(t.outcome != "infeasible" for t in journal.told.values()) == 12


@dataclass(frozen=True)
class Vain(Measured):
    """An evaluation whose row has no score, or none that is a number."""

    row: dict = field(default_factory=dict)

    def run(self, inputs, out, resume):
        yield from super().run(inputs, out, resume)
        (out / "rows.json").write_text(json.dumps([self.row]))


# --- samplers


def objective(params):
    return -((params["student.gamma"] - 0.3) ** 2) - 0.5 * (params["pretrain.alpha"] - 0.7) ** 2


@pytest.mark.parametrize("sampler", list(NEEDS))
def test_every_sampler_draws_within_and_goes_on_after_a_restart(sampler, tmp_path):
    def chooser():
        space = Space(laptop(), (TEACHER,), (STUDENTS, parse_parameter(WIDTHS, laptop())))
        return Chooser(space, sampler, 0, students_per_teacher=2)

    def step(one, number):
        params = one.ask(number)
        assert one.space.holds(params)
        one.tell(number, [objective(params), 1.0][: one.objectives], ())
        return params

    whole = chooser()
    drawn = [step(whole, number) for number in range(14)]
    again = chooser()
    for number, params in enumerate(drawn[:12]):
        again.ask_again(number, params)
        again.tell(number, [objective(params), 1.0][: again.objectives], ())
    rest = [step(again, number) for number in (12, 13)]
    if sampler != "nsga2":
        assert rest == drawn[12:]
    assert len({json.dumps(params) for params in [*drawn, *rest[:1]]}) == 14 + (rest != drawn[12:])
    alphas = [params["pretrain.alpha"] for params in drawn]
    assert alphas[::2] == alphas[1::2], "two students in a row per teacher"
    assert len(set(alphas)) == 7


def test_a_teacher_whose_student_came_to_nothing_is_not_kept():
    one = Chooser(Space(laptop(), (TEACHER,), (STUDENTS,)), "random", 0, 4)
    alphas = []
    for number, values in enumerate([[0.5], None, [0.5], [0.5]]):
        params = one.ask(number)
        alphas.append(params["pretrain.alpha"])
        one.tell(number, values, ())
    assert alphas[0] == alphas[1] != alphas[2] == alphas[3]


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(NEEDS, "gp", ("no_such_package",))
    monkeypatch.setattr(sys, "argv", ["search.py", "--sampler", "gp"])
    with pytest.raises(SystemExit) as ended:
        answer(script.main)
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith("error: sampler gp needs the package no_such_package: pip install")
    assert told.count("\n") == 1


# --- findings


def test_importances_need_enough_trials_and_find_what_matters():
    space = Space(laptop(), (TEACHER,), (STUDENTS,))
    one = Chooser(space, "random", 0, 1)
    drawn = [one.ask(number) for number in range(40)]
    assert importances(space, [(p, p["student.gamma"]) for p in drawn[:9]]) is None
    assert importances(space, [(p, 0.5) for p in drawn]) is None
    shares = importances(space, [(p, p["student.gamma"]) for p in drawn])
    assert shares["student.gamma"] > 0.7
    assert sum(shares.values()) == pytest.approx(1)


def test_the_front_of_dsc_against_cost():
    values = [(0.9, 5.0), (0.8, 1.0), (0.7, 2.0), (0.8, 1.0)]
    told = [Told(i, "complete", (dsc,), cost=cost) for i, (dsc, cost) in enumerate(values)]
    assert pareto(told) == {0, 1, 3}


def test_finished_searches_warm_another_but_are_not_its_results(ended, capsys, tmp_path, diary):
    search, journal, _, _ = ended
    other = ToySearch(
        diary,
        name="other",
        space=replace(search.space, student=(replace(STUDENTS, values=Range(0, 0.8)),)),
    )
    chooser = rebuilt(other, Journal(Store(str(tmp_path)), "other"), [journal])
    fits = [t for t in best(journal) if journal.asked[t.number]["student.gamma"] <= 0.8]
    assert 0 < len(fits) < len(best(journal))
    assert [t.value for t in chooser.study.trials] == pytest.approx([t.value for t in fits])
    assert (
        f"{len(fits)} of {len(best(journal))} complete trials of toys fit"
        in capsys.readouterr().out
    )


def test_the_command_reproduces_the_best_settings(volumes, space):
    search = searched(volumes, space)
    params = {"student.gamma": 0.1 + 0.2, "student.network.widths": [4, 8, 16, 32]}
    params |= {"student.distil_on": "labelled"}
    words = shlex.split(command(search, params, ["--preset", "laptop"]))
    assert words[:6] == [
        "python",
        "sweeps/ablation.py",
        "--preset",
        "laptop",
        "--arms",
        "light_unet,vpbsd",
    ]
    changes = parse_changes([w for w in words[6:] if w != "--set"])
    assert override(laptop(), changes) == override(laptop(), params)


def test_paper_space_is_the_published_one(volumes):
    sizes = next(p for p in SPACE if p.path == f"{BOOK}.size")
    assert sizes.values == Choice((64, 128, 256, 512, 1024))
    for parameter in SPACE:
        ends = parameter.values.ends if parameter.path != "student.optim.batch" else (1,)
        assert [override(paper(), {parameter.path: value}) for value in ends]
