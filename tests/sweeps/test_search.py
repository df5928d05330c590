"""The search: its journal, who is stopped, what goes on, what counts."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.sweeps.search_toys import FACTS, STUDENTS, TEACHER, ToySearch
from tests.sweeps.tuneless import LocalFollower, searched
from vpbsd.errors import BadInput
from vpbsd.search_ranges import Range
from vpbsd_sweeps.commands import search as script
from vpbsd_sweeps.reporting.records import load_records
from vpbsd_sweeps.reporting.search_tables import report
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.reachable import stages_of
from vpbsd_sweeps.tracking.search_runs import STATUS, SearchLogger
from vpbsd_sweeps.tracking.tracker import Tracker
from vpbsd_sweeps.tuning.journal import Journal, TrialOutcome
from vpbsd_sweeps.tuning.listing import StageLister
from vpbsd_sweeps.tuning.ranking import best
from vpbsd_sweeps.tuning.searcher import missing, rebuilt


@pytest.fixture
def diary(tmp_path):
    path = tmp_path / "diary"
    path.touch()
    return path


def test_a_search_lists_every_stage_that_it_needs(diary, tmp_path):
    """Of all folds, while it goes on, and what earlier drivers asked for."""
    search, store = ToySearch(diary), Store(str(tmp_path / "store"))
    journal = Journal(store, search.name)
    journal.claim(search.identity)
    lister = StageLister(search, journal, store)
    lister.catch_up()
    assert stages_of(store, search.name) == set(), "a list all the same"
    asked = [{"pretrain.alpha": 0.5, "student.gamma": gamma} for gamma in (0.1, 0.45, 0.9)]
    keys = [
        {s.key for trial in search.trials(params) for s in trial.stage.lineage()}
        for params in (asked[0], asked[2])
    ]
    assert len(keys[0]) == 1 + 2 * 2
    journal.ask(0, asked[0])
    journal.ask(1, asked[1])  # cannot be trained
    lister.catch_up()
    assert stages_of(store, search.name) == keys[0]
    journal.ask(2, asked[2])
    again = StageLister(search, Journal(store, search.name), store)
    again.catch_up()
    assert stages_of(store, search.name) == keys[0] | keys[1]


def trained(diary):
    return Counter(line.rsplit(" ", 1)[0] for line in diary.read_text().splitlines())


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A search of 24 toys, and what it trained."""
    home = tmp_path_factory.mktemp("ended")
    (home / "diary").touch()
    search, store = ToySearch(home / "diary"), Store(str(home / "store"))
    return search, searched(search, store, 24), trained(home / "diary"), store


def test_every_kind_of_end_is_told_and_none_ends_the_search(ended):
    _, journal, _, _ = ended
    by = {number: told.outcome for number, told in journal.outcomes.items()}
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
    for number, told in journal.outcomes.items():
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
    lucky = TrialOutcome(999, "stopped", (), ((2, 9.9),))
    journal.outcomes[999], journal.asked[999] = (
        lucky,
        {"pretrain.alpha": 0.1, "student.gamma": 0.9},
    )
    try:
        assert best(journal) == ranked
        assert "| 999" not in report(search, journal)
        assert lucky.values(1) is None
    finally:
        del journal.outcomes[999], journal.asked[999]


def test_optuna_holds_early_stopped_trials_as_pruned_with_their_curve(ended):
    search, journal, _, _ = ended
    trials = rebuilt(search, journal, []).study.trials
    states = Counter(trial.state.name for trial in trials)
    complete = len(best(journal))
    assert states == {"COMPLETE": complete, "PRUNED": len(journal.outcomes) - complete}
    for number, trial in enumerate(trials):
        assert trial.params == pytest.approx(journal.asked[number])
        if journal.outcomes[number].outcome == "stopped":
            assert trial.intermediate_values == dict(journal.outcomes[number].curve)


@pytest.mark.parametrize("most", [1, 12])
def test_an_interrupted_search_goes_on_to_the_same_end(ended, most, tmp_path, diary):
    whole = ended[1]
    search, store = ToySearch(diary), Store(str(tmp_path / "store"))
    with pytest.raises(KeyboardInterrupt):
        searched(search, store, 24, LocalFollower(store, most))
    assert missing(Journal(store, "toys"), 24)
    journal = searched(search, store, 24)
    assert journal.asked == whole.asked
    timeless = [{n: replace(t, time=0) for n, t in j.outcomes.items()} for j in (journal, whole)]
    assert timeless[0] == timeless[1]
    assert trained(diary) == ended[2], "nothing was trained twice"
    before = diary.read_text()
    searched(search, store, 24)
    assert diary.read_text() == before
    assert len(searched(search, store, 26).outcomes) > len(whole.outcomes)


def test_a_torn_line_and_a_second_word_change_nothing(ended, tmp_path):
    _, journal, _, store = ended
    copy = Store(str(tmp_path / "store"))
    for entry in store.studies.read_lines("toys/search.jsonl"):
        copy.studies.append_line("toys/search.jsonl", entry)
    copy.studies.append_line("toys/search.jsonl", {"event": "asked", "number": 0, "params": {}})
    with (tmp_path / "store/studies/toys/search.jsonl").open("a") as file:
        file.write('{"event": "told", "num')
    again = Journal(copy, "toys")
    assert (again.asked, again.outcomes, again.order) == (
        journal.asked,
        journal.outcomes,
        journal.order,
    )


def test_another_search_under_the_same_name_is_refused(ended):
    _, journal, _, _ = ended
    with pytest.raises(BadInput, match="a: 1 before, 2 now"):
        journal.claim(FACTS | {"a": 2})


def test_mlflow_has_one_run_per_trial_and_stage_with_its_status(ended, tmp_path):
    search, whole, _, store = ended
    told = {one.outcome: one for one in whole.outcomes.values()}  # one of each kind
    asked = {one.number: whole.asked[one.number] for one in told.values()}
    journal = SimpleNamespace(asked=asked, outcomes={one.number: one for one in told.values()})
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "toys", (tmp_path / "a").as_uri())
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "slices.png").write_bytes(b"picture")
    for _ in range(2):
        runs = SearchLogger(search, journal, store, tracker)
        runs.catch_up()
        runs.conclude("found", pictures)
    assert tracker.list_files(runs.parent, "figures") == ["figures/slices.png"]
    with pytest.raises(BadInput, match="'toys' is a search: its findings are search.md"):
        load_records(tracker, "toys")
    tracked = list(Tracker(tracker.uri, "toys").runs())
    trials = [run for run in tracked if run.tags["vpbsd.kind"] == "search-trial"]
    assert len(trials) == len(journal.outcomes)
    stages = {run.tags["vpbsd.key"]: run for run in tracked if run.tags["vpbsd.kind"] == "stage"}
    filed = [run for run in tracked if run.tags["vpbsd.kind"] == "stages"]
    assert len(tracked) == 1 + len(filed) + len(trials) + len(stages)
    assert len(filed) == 1
    begun = {
        stage.key
        for number, params in asked.items()
        if journal.outcomes[number].outcome != "infeasible"
        for trial in search.trials(params)
        for stage in trial.stage.lineage()
        if store.state(stage.key) == "stored" or store.checkpoints.names(stage.key)
    }
    assert stages.keys() == begun
    for key, run in stages.items():
        stored = store.state(key) == "stored"
        assert run.status == ("FINISHED" if stored else "KILLED")
        assert run.tags["vpbsd.reused"] == ("stored before this study ran" if stored else "no")
    for run in trials:
        told = journal.outcomes[int(run.name.removeprefix("trial-"))]
        assert run.status == STATUS[told.outcome]
        assert (run.status == "FAILED") == (told.outcome == "failed")
        assert run.params["student.gamma"] == str(journal.asked[told.number]["student.gamma"])
        assert run.metrics.get("objective") == told.value
        curve = tracker.client.get_metric_history(run.run_id, "val/dsc")
        assert [(m.step, m.value) for m in curve] == list(told.curve)


def test_the_command_that_a_search_ends_with_shows_no_password():
    there = "postgresql://lab:secret@db/mlflow"
    args = dict(preset="laptop", data=None, folds=2, split=None, set=[], store="s", tracking=there)
    args |= {"phantom": "wide", "normalise": "none", "protocol": None}
    words = script._given(SimpleNamespace(**args))
    assert words[-2:] == ["--tracking", "postgresql://db/mlflow"]
    assert words[:6] == ["--preset", "laptop", "--folds", "2", "--phantom", "wide"]


@pytest.mark.parametrize(("row", "said"), [({"dsc": float("nan")}, "nan"), ({}, "missing")])
def test_a_trial_without_a_score_fails_and_the_search_goes_on(row, said, tmp_path, diary):
    """Every configuration with a gamma above a half is measured in vain."""

    class Unmeasured(ToySearch):
        def trials(self, params):
            for trial in super().trials(params):
                vain = params["student.gamma"] > 0.5
                stage = replace(trial.stage, row=row)
                yield replace(trial, stage=stage) if vain else trial

    journal = searched(Unmeasured(diary), Store(str(tmp_path / "store")), 12)
    vain = {n: t for n, t in journal.outcomes.items() if journal.asked[n]["student.gamma"] > 0.5}
    failed = [t for t in vain.values() if t.outcome == "failed"]
    assert failed
    assert all(t.reason.endswith(f"the DSC of a volume is {said}") for t in failed)
    assert not any(t.outcome == "complete" for t in vain.values())
    assert sum(t.outcome != "infeasible" for t in journal.outcomes.values()) == 12


def test_finished_searches_warm_another_but_are_not_its_results(ended, capsys, tmp_path, diary):
    search, journal, _, _ = ended
    other = ToySearch(
        diary,
        name="other",
        space=replace(search.space, student=(replace(STUDENTS, values=Range(0, 0.8)),)),
    )
    sampler = rebuilt(other, Journal(Store(str(tmp_path)), "other"), [journal])
    fits = [t for t in best(journal) if journal.asked[t.number]["student.gamma"] <= 0.8]
    assert 0 < len(fits) < len(best(journal))
    assert [t.value for t in sampler.study.trials] == pytest.approx([t.value for t in fits])
    assert (
        f"{len(fits)} of {len(best(journal))} complete trials of toys fit"
        in capsys.readouterr().out
    )


def test_an_interrupted_search_leaves_no_run_behind_and_goes_on(tmp_path, diary):
    search, store = ToySearch(diary), Store(str(tmp_path / "store"))
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "toys", (tmp_path / "a").as_uri())
    with pytest.raises(KeyboardInterrupt):
        searched(search, store, 6, LocalFollower(store, 2))
    runs = SearchLogger(search, Journal(store, "toys"), store, tracker)
    runs.interrupt()
    assert {run.status for run in tracker.runs()} == {"KILLED", "FINISHED"}
    journal = searched(search, store, 6)
    tracker = Tracker(tracker.uri, "toys")
    SearchLogger(search, journal, store, tracker).conclude("found")
    by = {run.tags["vpbsd.unit"]: run.status for run in tracker.runs()}
    assert by["search"] == "FINISHED"
    for number, told in journal.outcomes.items():
        assert by[f"trial:{number}"] == STATUS[told.outcome]
    assert "RUNNING" not in by.values()
