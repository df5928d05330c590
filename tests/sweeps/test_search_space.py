"""What a search searches: parameters, the stages they belong to, what is never read."""

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.test_stage_keys import info
from vpbsd.data.folds import held_out, make_folds
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.data.volumes import list_volumes
from vpbsd.errors import BadInput
from vpbsd.overrides import override, parse_changes
from vpbsd.search_ranges import Choice, Range
from vpbsd.settings import PRESETS, laptop, paper
from vpbsd_sweeps.reporting.search_tables import command
from vpbsd_sweeps.study.study import check_arms
from vpbsd_sweeps.tuning.default_space import SPACE, space_of, touched
from vpbsd_sweeps.tuning.sampler import ConfigSampler
from vpbsd_sweeps.tuning.search_spec import Search, scheduler_of, stage_of
from vpbsd_sweeps.tuning.space import Parameter, Space

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


def test_every_parameter_changes_exactly_the_stages_it_should(volumes):
    """Of the arm that uses it; a teacher's setting changes all below, a student's only those."""
    arms = {"kd": "kd", "vid": "vid", "ab": "ab", "others_on": "kd", "mid": "baseline_mid"}
    arms |= {"first_phase": "ab", "simcvd": "simcvd", "mcsc": "mcsc", "dico": "dico"}
    arms |= {"transformer_lr": "mcsc", "cps": "cps"}  # after mcsc, which has a cps of its own
    arms |= {"s2dc": "vpbsd_on_s2dc", "slices": "vpbsd_on_contrastive"}
    arms["chaitanya"] = "vpbsd_on_chaitanya"
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

    only = {p.path for p in space.teacher if p.when} - drawn("copy").keys()
    names = ("tau_start", "tau_floor", "tau_share", "noise", "kappa_factor")
    assert only == {f"{BOOK}.{name}" for name in names}
    assert only <= drawn("gumbel").keys()
    fixed = Space(override(space.settings, {f"{BOOK}.straight_through": "copy"}), (), ())
    tau = Parameter("x", Range(0, 1), (f"{BOOK}.straight_through", "gumbel"))
    assert replace(fixed, teacher=(tau,)).draw(lambda p: 0.5) == {}, "by what is set, too"


RIVALS = {
    "cps": "cps.weight",
    "simcvd": "simcvd.contrast simcvd.pairwise simcvd.consistency simcvd.temperature "
    "simcvd.dropout simcvd.pool simcvd.slices simcvd.decay",
    "simcvd_wo_contrast": "simcvd.pairwise simcvd.consistency simcvd.decay",
    "simcvd_inpainting": "simcvd.contrast simcvd.pairwise simcvd.consistency simcvd.temperature "
    "simcvd.pool simcvd.slices simcvd.decay",
    "mcsc": "mcsc.cps mcsc.contrast mcsc.temperature mcsc.start_share transformer_lr",
    "dico": "dico.weight dico.adversarial transformer_lr",
}


@pytest.mark.parametrize("arm", RIVALS)
def test_a_rival_is_searched_by_what_is_its_own(arm, volumes):
    found = made_space(override(laptop(), {"data.patch": (32, 32, 64)}), volumes, arm)
    own = {p.path for p in found.student if p.path.startswith("rivals.")}
    assert own == {f"rivals.{path}" for path in RIVALS[arm].split()}
    assert {p.path.split(".")[0] for p in found.teacher} <= {"data"}


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
    for trial in search.trials({}):
        folds.append(trial.fold)
        read = {p.identity for s in trial.stage.lineage() for ps in s.parts.values() for p in ps}
        assert not read & tested[trial.fold]
        held = {p.volume.group for p in trial.stage.parts["test"]}
        below = [s for s in trial.stage.lineage() if s is not trial.stage]
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
    trials = list(searched(volumes, space, seeds=(0, 1)).trials({}))
    students = [trial.stage.upstream["network"] for trial in trials]
    assert ["validation" in student.parts for student in students] == [True] + 5 * [False]
    assert [(trial.seed, trial.fold) for trial in trials] == [
        (s, f) for s in (0, 1) for f in (0, 1, 2)
    ]


def test_students_of_one_teacher_share_all_of_it(volumes, space):
    search = searched(volumes, space)
    sampler = ConfigSampler(space, "random", 0, students_per_teacher=4)
    drawn = [sampler.ask(i) for i in range(8)]
    stages = [list(next(search.trials(params)).stage.lineage()) for params in drawn]
    unique = {f: len({s.key for row in stages for s in row if s.family == f}) for f in ALL}
    assert unique["pre-training"] == unique["fine-tuning"] == 2
    assert unique["student"] == unique["evaluation"] == 8
    assert unique["targets"] <= 2 * 3


def test_students_are_compared_at_four_looks_and_never_in_their_own_ramp(volumes, space):
    """Of 20 epochs with a look every second one; the ramps of the space are up to 30 long."""
    search = searched(volumes, space)
    assert search.rungs == (2, 4, 8, 16)
    for ramp, judged in ((4.0, (4, 8, 16)), (8.0, (8, 16)), (15.0, (16,)), (30.0, ())):
        own = search.rungs_of({"student.ramp_epochs": ramp})
        assert own == {rung: rung for rung in judged}
    no_ramp = searched(volumes, space, arm="mt").rungs_of({"student.ramp_epochs": 8.0})
    assert list(no_ramp) == [2, 4, 8, 16]


def test_schedules_of_several_lengths_meet_at_the_same_share(volumes, space):
    """Of 35 epochs with a look every third: 14 of 140 are 3.5 of 35, so the look at 6 counts."""
    lengths = Parameter("student.optim.epochs", Choice((35, 140)))
    fixed = override(space.settings, {"student.ramp_epochs": 7})
    search = searched(volumes, Space(fixed, (), (lengths,)))
    assert search.rungs == (14, 28, 56, 112)
    assert search.rungs_of({"student.optim.epochs": 35}) == {9: 28, 15: 56, 30: 112}
    assert search.rungs_of({}) == {8: 56, 16: 112}, "20 epochs, those before 7 in the ramp"


GOLDEN = json.loads((Path(__file__).parents[1] / "golden/spaces.json").read_text())


@pytest.mark.parametrize("preset", GOLDEN)
def test_the_default_spaces_are_those_that_were(preset):
    settings = PRESETS[preset]()
    some = tuple(info(n, labelled=n < 6) for n in range(9))
    fold = held_out(make_folds(some, settings.protocol)[0])
    for arm, lines in GOLDEN[preset].items():
        space = space_of(settings, preset, stage_of(arm, fold), [], students=False)
        assert list(space.lines()) == lines, arm


def test_the_command_reproduces_the_best_settings(volumes, space):
    search = searched(volumes, space)
    params = {"student.gamma": 0.1 + 0.2, "student.network.widths": [4, 8, 16, 32]}
    params |= {"student.distil_on": "labelled"}
    words = shlex.split(command(search, params, ["--preset", "laptop"]))
    words = words[words.index("ablation") + 1 :]
    assert words[:4] == ["--preset", "laptop", "--arms", "light_unet,vpbsd"]
    changes = parse_changes([w for w in words[4:] if w != "--set"])
    assert override(laptop(), changes) == override(laptop(), params)


def test_the_command_names_the_arm_and_not_the_table_of_its_name(volumes, space):
    words = shlex.split(command(searched(volumes, space, arm="simcvd"), {}, []))
    assert check_arms(words[words.index("--arms") + 1].split(",")) == ("light_unet", "simcvd")
    assert len(check_arms(["light_unet", "simcvd"])) > 10


def test_paper_space_is_the_published_one(volumes):
    sizes = next(p for p in SPACE if p.path == f"{BOOK}.size")
    assert sizes.values == Choice((64, 128, 256, 512, 1024))
    for parameter in SPACE:
        ends = parameter.values.ends if parameter.path != "student.optim.batch" else (1,)
        assert [override(paper(), {parameter.path: value}) for value in ends]


def test_a_clip_that_would_erase_a_volume_cannot_be_trained(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "data")
    image = np.zeros((32, 64, 64), np.uint16)
    image[:, 0] = np.arange(64)  # 63 of 64 rows are 0
    write_volume(
        tmp_path / "data", "dark", [image], VolumeMetadata(image.shape, "uint16", None, "f")
    )
    volumes = list_volumes(tmp_path / "data")
    settings = override(laptop(), {"data.patch": (32, 32, 64), "data.clip_percentile": 99.5})
    search = searched(volumes, made_space(settings, volumes, "light_unet"))
    assert len(list(search.trials({}))) == len(search.folds)
    with pytest.raises(BadInput, match="volume dark: percentile 95 "):
        next(search.trials({"data.clip_percentile": 95.0}))


def test_a_search_takes_what_each_of_its_folds_chose(volumes, space):
    plain = searched(volumes, space.without({"data.clip_percentile"}))
    assert "data.clip_percentile" not in {p.path for p in plain.space.teacher}
    chosen = replace(plain, choices={1: {"data.clip_percentile": 99.0}})
    trials = list(chosen.trials({"student.gamma": 0.5}))
    assert [t.stage.config.data.clip_percentile for t in trials] == [95.0, 99.0, 95.0]
    assert {t.stage.upstream["network"].config.method.gamma for t in trials} == {0.5}
    assert "choices" not in plain.identity
    assert chosen.identity["choices"] == {"1": {"data.clip_percentile": 99.0}}


def test_who_stops_students_is_part_of_a_search_only_where_it_is_another(volumes, space):
    known = searched(volumes, space).identity
    assert "scheduler" not in known, "searches that began before go on"
    assert searched(volumes, space, scheduler="asha").identity == known | {"scheduler": "asha"}
    assert scheduler_of("tpe", None) == "median"
    assert scheduler_of("nsga2", None) == scheduler_of("tpe", "none") == "none"
    assert "scheduler" not in searched(volumes, space, sampler="nsga2", scheduler="none").identity
    with pytest.raises(BadInput, match="--scheduler asha ranks students by DSC alone"):
        scheduler_of("nsga2", "asha")
