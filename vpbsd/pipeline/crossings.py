"""Crossings: any student on a teacher that is pre-trained by any method, as an arm of its own.

`kd_on_s2dc` is the arm `kd` with a teacher that S2DC pre-trained. A pair that has a name already
goes by that: `vpbsd` without pre-training is `vpbsd_no_pretrain`. Fine-tuning is a setting
(`finetune`), the same for all.
"""

from __future__ import annotations

from collections.abc import Iterable

from vpbsd.errors import BadInput
from vpbsd.overrides import nearest
from vpbsd.pipeline.arms import ARMS, EXTERNAL, FIRST_PHASES, FIXED, THRESHOLDS, TITLES
from vpbsd.settings import paper

ON = "_on_"
PRETRAININGS: dict[str, tuple[str, dict[str, object]]] = {
    "patterns": ("vessel patterns", {"pretrain.pretext": "patterns"}),
    "s2dc": ("S2DC", {"pretrain.pretext": "s2dc"}),
    "comparative": ("comparative", {"pretrain.pretext": "comparative"}),
    "contrastive": ("contrastive", {"pretrain.pretext": "contrastive"}),
    "chaitanya": ("Chaitanya's", {"pretrain.pretext": "chaitanya"}),
    "none": ("none", {"pretrain.enabled": False}),
}
"""Name -> what people call it, and what it sets."""
MATRIX = ("patterns", "s2dc", "comparative", "contrastive", "none")
STUDENTS = ("teacher", "vpbsd_wo_dis", "kd", "vpbsd")
"""Columns and rows of the matrix that `compare --pretraining` measures unless told otherwise."""
NAMED = {
    **{("teacher", name): name for name in PRETRAININGS if name in ARMS},
    ("teacher", "none"): "teacher_no_pretrain",
    ("vpbsd", "none"): "vpbsd_no_pretrain",
}
"""Pairs that are arms of their own."""


def crossed(arm: str, pretraining: str) -> str:
    """Finds the name of an arm on a teacher that is pre-trained so.

    >>> crossed("kd", "s2dc"), crossed("kd", "patterns"), crossed("teacher", "none")
    ('kd_on_s2dc', 'kd', 'teacher_no_pretrain')
    """
    if pretraining == "patterns":
        return arm
    return NAMED.get((arm, pretraining), f"{arm}{ON}{pretraining}")


def parted(arm: str) -> tuple[str, str | None]:
    """Takes an arm apart: the one in `ARMS`, and the pre-training it is crossed with, if it is.

    >>> parted("kd_on_s2dc"), parted("kd")
    (('kd', 's2dc'), ('kd', None))
    """
    base, on, pretraining = arm.partition(ON)
    return (base, pretraining) if on else (arm, None)


def fixed(arm: str) -> dict[str, object]:
    """Returns what an arm sets, as `--set` would."""
    base, pretraining = parted(arm)
    own = FIXED.get(base, {})
    return own if pretraining is None else own | PRETRAININGS[pretraining][1]


def arm_title(arm: str) -> str:
    """Returns an arm's name as people say it.

    >>> arm_title("kd_on_s2dc"), arm_title("kd"), arm_title("external:nnU-Net")
    ('KD, teacher pre-trained: S2DC', 'KD', 'nnU-Net (external)')
    """
    if arm.startswith(EXTERNAL):
        return f"{arm.removeprefix(EXTERNAL)} (external)"
    base, pretraining = parted(arm)
    known = TITLES.get(base, base)
    if pretraining not in PRETRAININGS:
        return TITLES.get(arm, arm)
    return f"{known}, teacher pre-trained: {PRETRAININGS[pretraining][0]}"


def check_crossing(arm: str) -> str:
    """Returns the name by which a crossing goes.

    Raises:
        BadInput: One of the two does not exist, or the arm has no teacher to be pre-trained.
    """
    base, pretraining = parted(arm)
    if pretraining not in PRETRAININGS:
        raise BadInput(
            f"--arms {arm}: there is no pre-training '{pretraining}'"
            f"{nearest(pretraining or '', list(PRETRAININGS))}"
        )
    if base not in ARMS or base in THRESHOLDS:
        raise BadInput(f"--arms {arm}: there is no arm '{base}'{nearest(base, list(ARMS))}")
    if not learns_from_teacher(base):
        raise BadInput(
            f"--arms {arm}: arm '{base}' has no teacher, or settles how that is pre-trained "
            f"itself: ask for {base}"
        )
    return crossed(base, pretraining)


def learns_from_teacher(arm: str) -> bool:
    """Tells whether an arm of `ARMS` rests on a teacher and leaves open how it is pre-trained."""
    if FIXED.get(arm, {}).keys() & {"pretrain.enabled", "pretrain.pretext"}:
        return False
    method = ARMS[arm](paper())
    return arm in {"teacher", *FIRST_PHASES} or (method is not None and bool(method.needs_targets))


def matrix(arms: Iterable[str]) -> list[str]:
    """Crosses arms with every pre-training of the matrix; those without a teacher stay alone."""
    return [
        name
        for arm in arms
        for name in ([crossed(arm, how) for how in MATRIX] if learns_from_teacher(arm) else [arm])
    ]
