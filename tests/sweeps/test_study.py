"""Which stages a setting belongs to: every one changes exactly those."""

from typing import Literal, get_args, get_origin

from vpbsd.data.folds import make_folds
from vpbsd.optim import Optim
from vpbsd.overrides import override
from vpbsd.pipeline.recipes import trial
from vpbsd.section import Section

ARMS = ("light_unet", "vpbsd", "baseline_mid", "kd", "fitnets", "vid", "ab")
ARMS += ("mt", "uamt", "me", "unetr", "vpbsd_no_pretrain", "vpbsd_cldice")
RIVALS = ("s2dc", "comparative", "contrastive", "chaitanya")
ARMS += RIVALS
BASE = {
    "protocol.folds": 2,
    "protocol.margin": 8,
    "finetune.epochs": 2,
    "student.optim.epochs": 4,
}
OTHER = {
    "data.patch": (32, 32, 96),
    "protocol.folds": 3,
    "protocol.pretrain_on": "all",
    "protocol.stride": (16, 16, 16),
    "pretrain.optim.plateaus": 2,
    "student.optim.plateaus": 2,
    "finetune.plateaus": 2,
    "pretrain.network.feature_size": 24,
    "pretrain.network.depths": (1, 1, 1, 2),
    "pretrain.network.num_heads": (3, 6, 12, 12),
    "pretrain.network.codebook.size": 3,
    "pretrain.network.codebook.grid": (2, 2, 1),
    "pretrain.network.codebook.kappa": 2.0,
    "pretrain.network.codebook.warm": 0.6,
    "student.network.widths": (4, 16, 20, 64),
    "student.network.z_halvings": 4,
    "student.first_phase": 0.5,
    "rivals.mcsc.scales": (2,),
    "rivals.transformer_size": 24,
    "unetr.hidden_size": 16,
    "unetr.num_heads": 4,
    "unetr.patch": (32, 64, 64),
}
"""Another value of the settings that not just any value fits."""
BESIDE = {
    "data.window": {"data.intensity": "window", "data.window": (0, 99)},
    "protocol.tested": {"protocol.split": "named", "protocol.tested": 1},
    "protocol.split": {"protocol.split": "named", "protocol.tested": 1},
    **{
        f"{stage}.optim.momentum": {f"{stage}.optim.name": "sgd", f"{stage}.optim.momentum": 0.9}
        for stage in ("pretrain", "student")
    },
    "finetune.momentum": {"finetune.name": "sgd", "finetune.momentum": 0.9},
    "rivals.vnet_optim": {"rivals.vnet_optim": Optim(lr=0.1, epochs=2).model_dump()},
}
"""Settings that go together with another one."""

PRE, TUNED = {"pre-training"}, {"fine-tuning"}
OTHERWISE = {f"pre-training, {how}" for how in RIVALS}
TUNED_TOO = {f"fine-tuning, {how}" for how in RIVALS}
SCRATCH = {"fine-tuning without pre-training"}
TEACHERS = PRE | SCRATCH
SEMI = {"mt", "uamt", "me"}
VPBSD = {"vpbsd", "vpbsd_no_pretrain", "vpbsd_cldice"}
AB = {"ab, first phase"}
ALONE = {"light_unet"} | SEMI
FROM_DATA = TEACHERS | ALONE | {"unetr"} | OTHERWISE
STUDENTS = ALONE | VPBSD | AB | {"baseline_mid", "kd", "fitnets", "vid"}
SAID = {"codes of unlabelled patches", "pseudo of unlabelled patches"}
STATES = {"features of unlabelled patches", "features16 of unlabelled patches"}
OWN = ("name", "lr", "weight_decay", "momentum")  # of each pre-training
TRAINED = {
    "data": FROM_DATA,
    "augment": FROM_DATA,
    "precision": FROM_DATA,
    "sampling": PRE | SAID | SEMI | OTHERWISE,
    "protocol": TUNED | SCRATCH | ALONE | {"unetr"} | TUNED_TOO,
    "protocol.margin": set(),  # of spatial folds only
    "protocol.pretrain_on": PRE | SAID | SEMI | OTHERWISE,
    "protocol.train_groups": FROM_DATA,
    "protocol.stride": {f"evaluate {arm}" for arm in ARMS},  # it is only measured otherwise
    "protocol.draw": set(),  # nothing is drawn where all keep their labels
    "pretrain": PRE,
    "pretrain.enabled": SCRATCH,
    "pretrain.pretext": {"pre-training, s2dc"},
    "pretrain.s2dc": {"pre-training, s2dc"},
    "pretrain.slices": {"pre-training, comparative", "pre-training, contrastive"},
    "pretrain.slices.tau": {"pre-training, contrastive"},
    "pretrain.chaitanya": {"pre-training, chaitanya"},
    "pretrain.network": TEACHERS | OTHERWISE,
    "pretrain.network.codebook": TEACHERS,
    "pretrain.network.decode_codes": PRE,
    "pretrain.network.codebook.width": set(),  # set by the student's
    "pretrain.network.codebook.grid": set(),  # set by the alignment
    "pretrain.optim": TEACHERS | {"unetr"} | OTHERWISE,
    **{f"pretrain.optim.{own}": TEACHERS | {"unetr"} for own in OWN},
    "pretrain.optim.batch": PRE | OTHERWISE - {"pre-training, s2dc"},  # a region at least
    "finetune": TUNED | TUNED_TOO,
    "finetune.epochs": TUNED | SCRATCH | {"unetr"} | TUNED_TOO,
    "finetune.batch": TUNED | SCRATCH | {"unetr"} | TUNED_TOO,
    "student.network": STUDENTS,
    "student.network.widths": TEACHERS | ALONE,
    "student.beta": VPBSD,
    "student.gamma": VPBSD,
    "student.ramp_epochs": VPBSD | {"baseline_mid", "fitnets"},
    "student.mid": {"baseline_mid", "fitnets"},
    "student.distil_on": VPBSD,
    "student.pseudo": {"margin of unlabelled patches"},
    "student.random_codes": {f"random codes of {x} patches" for x in ("labelled", "unlabelled")},
    "student.turned_codes": {f"codes of {role} patches" for role in ("labelled", "unlabelled")},
    "student.trust": {f"{net}, one group out" for net in ("light_unet", *TUNED, *SCRATCH)},
    "student.cldice": VPBSD - {"vpbsd_cldice"},
    "student.cldice_iterations": {"vpbsd_cldice"},
    "student.kd": {"kd"},
    "student.vid": {"vid"},
    "student.ab": AB,
    "student.others_on": STATES | {"margin of unlabelled patches"},
    "student.first_phase": AB,
    "student.optim": STUDENTS,
    "student.optim.until_epoch": STUDENTS - AB | {"ab"},
    "consistency": SEMI,
    "consistency.decay": {"mt", "uamt"},
    "consistency.noise": {"mt", "uamt"},
    "consistency.passes": {"uamt"},
    "consistency.certain": {"uamt"},
    "rivals": set(),  # of arms of their own, which test_search_space looks at
    "unetr": {"unetr"},
    "unetr.patch": set(),  # set by the data's
}
"""Setting, or section -> the stages whose own key it is part of; what rests on them follows."""


def leaves(section, prefix=""):
    """(path, value, annotation) of every setting that has more than one value."""
    for name, info in type(section).model_fields.items():
        value, path = getattr(section, name), f"{prefix}{name}"
        if isinstance(value, Section):
            yield from leaves(value, f"{path}.")
        elif name != "name" or len(get_args(info.annotation)) > 1:
            yield path, value, info.annotation


def another(path, value, annotation):
    """Some other value that a setting takes."""
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    if path in OTHER:
        return OTHER[path]
    if choices:
        return next(choice for choice in choices if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, dict):
        return {**value, "network": 0.5}
    if value is None:
        return 1
    return value + 1 if isinstance(value, int) else 0.9 * value or 0.5


def changed(before, after):
    """Labels of the stages whose keys changed though none of their upstream's did."""
    labels = set()
    for arm in ARMS:
        known = {stage.label: stage.key for stage in before[arm].lineage()}
        new = {s.key: s for s in after[arm].lineage() if known.get(s.label) != s.key}
        assert after[arm].key in new or not new, "what rests on a change changes"
        labels |= {
            stage.label
            for stage in new.values()
            if not any(up.key in new for up in stage.upstream.values())
        }
    return labels


def test_every_setting_changes_exactly_the_stages_it_belongs_to(volumes, tiny, cheap):
    def ends(settings):
        fold = make_folds(volumes, settings.protocol)[-1]  # that trains on two groups
        return {arm: trial(settings, arm, fold, seed=0) for arm in ARMS}

    base = override(tiny, BASE)
    before, paths = ends(base), list(leaves(base))
    wrong = {}
    for path, value, annotation in paths:
        changes = BESIDE.get(path) or {path: another(path, value, annotation)}
        after = ends(override(base, changes))
        declared = max((p for p in TRAINED if f"{path}.".startswith(f"{p}.")), key=len)
        found = changed(before, after)
        if found != TRAINED[declared]:
            wrong[path] = (found - TRAINED[declared], TRAINED[declared] - found)
    assert wrong == {}, "setting: (too many, missing)"
    assert len(paths) > 90
