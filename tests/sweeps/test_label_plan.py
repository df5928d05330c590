"""A study of label efficiency is planned: counts, draws, shared stages."""

import pytest

from tests import small
from vpbsd.data.folds import make_folds
from vpbsd.errors import BadInput
from vpbsd.pipeline.recipes import trial
from vpbsd_sweeps.store.results import Store
from vpbsd_sweeps.study.label_studies import (
    counts_of,
    label_studies,
    make_label_plan,
    siblings,
)
from vpbsd_sweeps.study.study import Study


@pytest.mark.parametrize("text", ["", "0", "1,", "1,2.5", "1;2", "-1", "every"])
def test_counts_that_are_none_are_refused(text):
    with pytest.raises(BadInput, match="numbers of labelled groups, or all: 1,2,4,all"):
        counts_of(text)


def test_studies_that_belong_together_are_known_by_their_names():
    known = ["a-labels10", "a-labelsall", "a-labels2", "a", "a-labels", "b-labels1", "xa-labels1"]
    found = {"a-labels2": 2, "a-labels10": 10, "a-labelsall": None}
    assert siblings("a", known) == siblings("a-labels2", known) == found
    assert list(siblings("a", known)) == list(found)
    assert siblings("b-labelsall", known) == {"b-labels1": 1}
    assert siblings("c", known) == {}


def studies(volumes, counts, **changes):
    s = small.settings(**changes)
    study = Study("s", s, volumes, ("light_unet", "baseline_mid"))
    return label_studies(study, counts)


def families(plan):
    found = [stage.family for stage in plan.inventory.stages]
    return {name: found.count(name) for name in dict.fromkeys(found)}


def test_a_plan_counts_shared_stages_once(volumes, cheap, tmp_path):
    """Three folds; two training groups each, so the counts are 1 and all.

    With all images in pre-training, no label changes it: one per fold, for both counts. Per
    count and fold a fine-tuning, two students and two evaluations; but two folds draw the same
    group, so their supervised students of one label are one.
    """
    both = studies(volumes, (1, None), protocol__pretrain_on="all")
    plan = make_label_plan(both, Store(str(tmp_path)))
    assert [study.name for study in both.studies] == ["s-labels1", "s-labelsall"]
    one, every = (families(p) for p in plan.plans)
    drawn = {part.volume.group for fold in both.studies[0].folds for part in fold.train}
    assert len(drawn) == 2
    assert (one["student"], every["student"]) == (3 + 2, 3 + 3)
    together = families(plan)
    assert together["pre-training"] == one["pre-training"] == every["pre-training"] == 3
    assert together["fine-tuning"] == 2 * one["fine-tuning"] == 6
    assert together["student"] == 5 + 6
    assert together["evaluation"] == 2 * one["evaluation"] == 12
    lines = list(plan.lines())
    assert (
        lines[0]
        == f"study s-labels1: 2 arms, 3 folds, 1 seeds = 6 trials on {sum(one.values())} stages"
    )
    assert lines[1].endswith(f"on {sum(every.values())} stages, 3 of them counted above")
    assert lines[2] == f"all 2 studies: {sum(together.values())} stages"
    assert "student               12 |     11 |      0 |       0" in lines
    assert plan.requested()["pre-training"] == 6, "each trial that needs one, on its own"


@pytest.mark.parametrize("arm", ["light_unet", "baseline_mid", "teacher", "mt"])
def test_labels_and_their_draw_change_what_is_trained(arm, volumes, cheap):
    def key(**protocol):
        s = small.settings(protocol__pretrain_on="all", **protocol)
        return trial(s, arm, make_folds(volumes, s.protocol)[0], 0).upstream["network"].key

    draws = {key(protocol__train_groups=1, protocol__draw=draw) for draw in range(8)}
    assert len(draws) == 2, "either of two groups"
    assert key() == key(protocol__draw=1) not in draws


def test_the_study_with_all_labels_is_the_one_without_the_option(volumes, cheap):
    (every,) = studies(volumes, (None,)).studies
    plain = Study("s", small.settings(), volumes, ("light_unet", "baseline_mid"))
    assert every.identity == plain.identity
    assert [t.stage.key for t in every.trials] == [t.stage.key for t in plain.trials]


def test_labels_are_taken_away_by_one_option_only(volumes):
    with pytest.raises(BadInput, match="--labels sets protocol.train_groups"):
        studies(volumes, (1,), protocol__train_groups=1)
