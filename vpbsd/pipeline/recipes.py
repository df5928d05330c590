"""Recipes: from settings, an arm and a fold to the rows of stages that it rests on.

Names are for people; stages with the same config are the same stage, whichever arm asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from vpbsd.config import TargetField
from vpbsd.data.folds import Fold, Part, held_out
from vpbsd.data.volumes import VolumeInfo
from vpbsd.errors import BadInput
from vpbsd.methods.configs import MethodConfig, PatternsConfig, SupervisedConfig
from vpbsd.methods.distilling_configs import FitNetsConfig, VpbSDConfig
from vpbsd.methods.rival_configs import SimCVDConfig, WithTransformer
from vpbsd.optim import Optim
from vpbsd.overrides import override
from vpbsd.pipeline.anisotropy import HALVINGS, planned
from vpbsd.pipeline.arms import ARMS, EXTERNAL, FIRST_PHASES, THRESHOLDS
from vpbsd.pipeline.crossings import fixed, parted
from vpbsd.pipeline.pretexts import pretrained_unetr, teacher
from vpbsd.pipeline.pretraining_arms import PRETRAINED
from vpbsd.pipeline.stage_config import Evaluate, Examine, External, Targets, Threshold, Train
from vpbsd.pipeline.stages import Role, Stage
from vpbsd.pipeline.teachers import from_scratch, train_config, unetr
from vpbsd.pipeline.trust import STUDENT, TEACHER
from vpbsd.settings import Settings, Student


def trial(s: Settings, arm: str, fold: Fold, seed: int, teacher_seed: int = 0) -> Stage:
    """Builds the evaluation an arm ends with; its `lineage()` is all it rests on."""
    if arm in THRESHOLDS:
        return threshold(s, arm, fold)
    trained = deliverable(s, arm, fold, seed, teacher_seed)
    config = Evaluate(data=s.data, precision=s.precision, stride=s.protocol.stride)
    return Stage(config, {"test": fold.test}, {"network": trained}, 0, f"evaluate {arm}")


def deliverable(s: Settings, arm: str, fold: Fold, seed: int, teacher_seed: int = 0) -> Stage:
    """Builds the training stage whose network an arm delivers.

    Raises:
        BadInput: The arm trains nothing.
    """
    if arm in THRESHOLDS:
        raise BadInput(
            f"arm '{arm}' is a threshold: it trains no network that could be delivered; choose "
            "another arm"
        )
    s = planned(override(s, fixed(arm)), fold.train)
    base, _ = parted(arm)
    if base not in VNETS:
        _refuse_odd_sides(s, arm)
    method = ARMS[base](s)
    if method is None:
        return TRAINED_REFERENCES[base](s, fold, teacher_seed)
    codes = any(says == "codes" for says, _ in method.needs_targets)
    spoken = teacher(s, fold, teacher_seed, codes=codes)
    last, before = student(s, method, fold, seed, spoken, arm), FIRST_PHASES.get(base)
    if before is None:
        return last
    split, first = _split(s.student), before(s)
    assert first is not None
    begun = student(s, first, fold, seed, spoken, f"{arm}, first phase")
    return _phase(last, {"start": _phase(begun, {}, until_epoch=split)}, from_epoch=split)


def vnet(s: Settings, fold: Fold, seed: int) -> Stage:
    """Builds V-Net on labels alone."""
    return _on_vnet(s, SupervisedConfig(network=s.rivals.vnet), fold, seed, "vnet")


def simcvd_vnet(s: Settings, fold: Fold, seed: int) -> Stage:
    """Builds SimCVD on its paper's network."""
    simcvd = s.rivals.simcvd.in_use()
    method = SimCVDConfig(network=s.rivals.vnet, simcvd=simcvd)
    return _on_vnet(s, method, fold, seed, "simcvd_vnet")


def _on_vnet(s: Settings, method: MethodConfig, fold: Fold, seed: int, label: str) -> Stage:
    """Builds a training of V-Net under its own optimiser, or the budget of other references."""
    stage = from_scratch(s, method, fold, seed, label)
    if s.rivals.vnet_optim is None:
        return stage
    return replace(stage, config=stage.config.model_copy(update={"optim": s.rivals.vnet_optim}))


def threshold(s: Settings, arm: str, fold: Fold) -> Stage:
    """Builds a threshold arm: one stage, which reads training labels only where its rule does."""
    rule = THRESHOLDS[arm]
    parts: dict[Role, tuple[Part, ...]] = {"labelled": fold.train} if rule == "labels" else {}
    config = Threshold(rule=rule, data=s.data)
    return Stage(config, {**parts, "test": fold.test}, {}, 0, f"evaluate {arm}")


def external(s: Settings, arm: str, fold: Fold, masks: Mapping[str, VolumeInfo]) -> Stage:
    """Builds the stage that scores the masks of another tool on the test parts of a fold.

    Args:
        s: Of the study; what its pictures are drawn by.
        arm: Begins with `EXTERNAL`.
        fold: Whose test parts are scored.
        masks: By the name of their volume.
    """
    parts = tuple(Part(masks[part.volume.name], part.box) for part in fold.test)
    config = External(data=s.data)
    return Stage(config, {"test": fold.test, "masks": parts}, {}, 0, f"evaluate {arm}")


VNETS: dict[str, Callable[[Settings, Fold, int], Stage]] = {
    "vnet": vnet,
    "simcvd_vnet": simcvd_vnet,
}
"""Those on V-Net, which halves a patch four times."""

TRAINED_REFERENCES: dict[str, Callable[[Settings, Fold, int], Stage]] = {
    "teacher": teacher,
    "teacher_no_pretrain": teacher,
    "unetr": unetr,
    **VNETS,
    **dict.fromkeys(PRETRAINED, teacher),
    "comparative_unetr": pretrained_unetr,
}
"""Networks that are no student: their stage, from settings, fold and teacher seed."""

REFERENCES = frozenset({*TRAINED_REFERENCES, *THRESHOLDS})
"""Arms that are no student: they know no student seed, and never compete."""


def is_reference(arm: str) -> bool:
    """Tells whether an arm is no student: one of `REFERENCES`, or masks of another tool."""
    return arm in REFERENCES or arm.startswith(EXTERNAL)


def light_unet(s: Settings, fold: Fold, seed: int, label: str) -> Stage:
    """Builds the supervised student alone, for which no teacher need be possible."""
    s = planned(s, fold.train)
    _refuse_odd_sides(s, "light_unet")
    train = train_config(s, SupervisedConfig(network=s.student.network), s.student.optim, None)
    return Stage(train, {"labelled": fold.train}, {}, seed, label)


def student(
    s: Settings, method: MethodConfig, fold: Fold, seed: int, spoken: Stage, arm: str
) -> Stage:
    """Builds stage 3; only what a weight makes use of becomes an upstream stage."""
    wanted = method.needs_targets
    upstream = {f"{says}_{role}": said(s, spoken, says, role, fold) for says, role in wanted}
    learns_masks = isinstance(method, VpbSDConfig | FitNetsConfig) and method.beta > 0
    if s.student.trust == "measured" and learns_masks:
        upstream |= rivals(s, spoken, fold)
    parts: dict[Role, tuple[object, ...]] = {"labelled": fold.train}
    targets = any(role == "unlabelled" for _, role in wanted)
    unlabelled = targets or method.draws_unlabelled
    if unlabelled:
        parts["unlabelled"] = fold.unlabelled
    train = train_config(s, method, _optim(s, method), s.sampling if unlabelled else None)
    return Stage(train, parts, upstream, seed, arm)  # type: ignore[arg-type]


def rivals(s: Settings, spoken: Stage, fold: Fold) -> dict[str, Stage]:
    """Builds what measures a teacher: it and a Light UNet without the labels of one group, on it.

    Its pre-training is the fold's own: the pool that it will label was seen without labels too.

    Raises:
        BadInput: The fold has one training group only.
    """
    if len({part.volume.group for part in fold.train}) < 2:
        raise BadInput(
            f"student.trust=measured: fold {fold.index} trains on one group only, so none can be "
            "left out to measure its teacher on: use more groups, or student.trust=always"
        )
    inner = held_out(replace(fold, unlabelled=fold.train))
    light = SupervisedConfig(network=s.student.network)
    train, seed = train_config(s, light, s.student.optim, None), spoken.seed
    labelled: dict[Role, tuple[Part, ...]] = {"labelled": inner.train}
    tuned = replace(spoken, parts=labelled, label=f"{spoken.label}, one group out")
    rival = Stage(train, labelled, {}, seed, "light_unet, one group out")
    measure = Evaluate(data=s.data, precision=s.precision)
    return {
        name: Stage(measure, {"test": inner.test}, {"network": net}, 0, f"evaluate {net.label}")
        for name, net in ((TEACHER, tuned), (STUDENT, rival))
    }


def said(s: Settings, spoken: Stage, says: TargetField, role: Role, fold: Fold) -> Stage:
    """Builds the stage of one field of the teacher's targets, on the patches of one role."""
    parts = fold.train if role == "labelled" else fold.unlabelled
    sampling = s.sampling if role == "unlabelled" else None
    random = says == "codes" and s.student.random_codes
    config = Targets(
        says=says,
        random_codes=random,
        turned=says == "codes" and s.student.turned_codes and s.augment,
        data=s.data,
        sampling=sampling,
        precision=s.precision,
    )
    seed, name = (spoken.seed, f"random {says}") if random else (0, says)
    return Stage(config, {role: parts}, {"teacher": spoken}, seed, f"{name} of {role} patches")


def examination(tuned: Stage) -> Stage:
    """Builds the examination of a teacher's code words, on the labelled parts it was tuned on."""
    assert isinstance(tuned.config, Train)
    upstream, scale = {"teacher": tuned}, 1
    if "start" in tuned.upstream:
        before = tuned.upstream["start"]
        assert isinstance(before.config, Train)
        method = before.config.method
        if isinstance(method, PatternsConfig):  # others rebuild nothing
            upstream["pretrained"], scale = before, method.rebuilt_at
    config = Examine(rebuilt_at=scale, data=tuned.config.data, precision=tuned.config.precision)
    parts: dict[Role, tuple[Part, ...]] = {"labelled": tuned.parts["labelled"]}
    return Stage(config, parts, upstream, 0, f"examine codes of {tuned.label}")


def _optim(s: Settings, method: MethodConfig) -> Optim:
    """Gives what is trained beside a student its own rates."""
    beside = method.lr_of if isinstance(method, WithTransformer) else {}
    return s.student.optim.model_copy(update={"lr_of": s.student.optim.lr_of | beside})


def _phase(whole: Stage, start: dict[str, Stage], **span: int) -> Stage:
    """Cuts a training to some epochs of its schedule, from another stage's student."""
    assert isinstance(whole.config, Train)
    optim = whole.config.optim.model_copy(update=span)
    config = whole.config.model_copy(update={"optim": optim})
    return replace(whole, config=config, upstream={**whole.upstream, **start})


def _split(settings: Student) -> int:
    """Chooses the epoch at which the second phase takes over; each has at least one."""
    epochs = settings.optim.epochs
    if epochs < 2:
        raise BadInput("setting 'student.optim.epochs': an arm of two phases needs 2 or more")
    return min(max(1, round(settings.first_phase * epochs)), epochs - 1)


def _refuse_odd_sides(s: Settings, arm: str) -> None:
    deepest = 2**HALVINGS
    if any(side % deepest for side in s.data.patch):
        larger = ",".join(str(-(-side // deepest) * deepest) for side in s.data.patch)
        raise BadInput(
            f"patch {s.data.patch_text}: arm '{arm}' halves it five times, so every side must be "
            f"a multiple of {deepest}: pass --set data.patch=[{larger}], or the arms "
            f"{' and '.join(VNETS)}"
        )
