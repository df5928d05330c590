"""Arms: every row of every table is a method made of the settings, some of which it may fix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from vpbsd.config import MethodSection
from vpbsd.methods.configs import (
    EntropyConfig,
    MeanTeacherConfig,
    MethodConfig,
    SemiConfig,
    SupervisedConfig,
    UncertainTeacherConfig,
)
from vpbsd.methods.distilling_configs import (
    AbConfig,
    FitNetsConfig,
    HintsConfig,
    KdConfig,
    VidConfig,
    VpbSDConfig,
)
from vpbsd.pipeline import rival_arms
from vpbsd.pipeline.pretraining_arms import PRETRAINED, PRETRAINING_TABLES
from vpbsd.section import derive
from vpbsd.settings import Settings

Change = Callable[[Settings], MethodConfig | None]
"""From settings to the student's method; None: a reference, see `recipes.REFERENCES`."""
THRESHOLDS: dict[str, Literal["labels", "otsu"]] = {"threshold": "labels", "otsu": "otsu"}
"""Arms that train nothing, by the rule that chooses their one grey threshold."""
EXTERNAL = "external:"
"""What the name of an arm begins with whose masks another tool or a person made."""
Older = TypeVar("Older", bound=MethodSection)
Semi = TypeVar("Semi", bound=SemiConfig)


def _vpbsd(s: Settings, **changes: object) -> VpbSDConfig:
    """Takes the student's weights; the iterations of soft-clDice only where it is used."""
    if not s.student.cldice:  # else its iterations would be in the key, and retrain for nothing
        changes["cldice_iterations"] = VpbSDConfig().cldice_iterations
    return derive(VpbSDConfig, s.student, **changes)


def _fitnets(s: Settings, **changes: object) -> FitNetsConfig:
    width = s.pretrain.network.deepest_width
    return derive(FitNetsConfig, s.student, teacher_width=width, gamma=s.student.mid, **changes)


def _baseline_mid(s: Settings) -> FitNetsConfig:
    return _fitnets(s, beta=0.0, distil_on="labelled")


def _kd(s: Settings) -> KdConfig:
    return derive(KdConfig, s.student, distil_on=s.student.others_on)


def _from_states(target: type[Older], s: Settings) -> Older:
    """Makes the config of an older method that learns from the teacher's states."""
    width = s.pretrain.network.deepest_width
    return derive(target, s.student, teacher_width=width, distil_on=s.student.others_on)


def _semi(target: type[Semi], s: Settings) -> Semi:
    return derive(target, s.consistency, network=s.student.network)


def _light_unet(s: Settings) -> SupervisedConfig:
    return SupervisedConfig(network=s.student.network)


ARMS: dict[str, Change] = {
    "teacher": lambda s: None,
    "light_unet": _light_unet,
    "vpbsd_wo_dis": lambda s: _vpbsd(s, gamma=0.0),
    "vpbsd_wo_semi": lambda s: _vpbsd(s, beta=0.0, distil_on="labelled"),
    "baseline_mid": _baseline_mid,
    "baseline_mid_semi": lambda s: _fitnets(s, distil_on="both"),
    "vpbsd": _vpbsd,
    "teacher_no_pretrain": lambda s: None,
    "unetr": lambda s: None,
    **{arm: lambda s: None for arm in PRETRAINED},
    "kd": _kd,
    "fitnets": _baseline_mid,  # the very run of baseline_mid
    "fitnets_two_stage": _kd,
    "vid": lambda s: _from_states(VidConfig, s),
    "ab": _light_unet,
    "mt": lambda s: _semi(MeanTeacherConfig, s),
    "uamt": lambda s: _semi(UncertainTeacherConfig, s),
    "me": lambda s: _semi(EntropyConfig, s),
    "da_conv1": _vpbsd,
    "da_linear": _vpbsd,
    "da_chsel": _vpbsd,
    "da_linear_flat": _vpbsd,
    "vpbsd_random_codes": _vpbsd,
    "vpbsd_fine_codes": _vpbsd,
    "vpbsd_turned_codes": _vpbsd,
    "vpbsd_no_gumbel": _vpbsd,
    "vpbsd_no_pretrain": _vpbsd,
    "vpbsd_soft_pseudo": _vpbsd,
    "vpbsd_cldice": _vpbsd,
    "threshold": lambda s: None,
    "otsu": lambda s: None,
    **rival_arms.ARMS,
}
"""What each arm trains, or trains last; some are another arm's under the settings of `FIXED`."""

GROUPS: dict[str, tuple[str, ...]] = {
    "table3": (
        "teacher",
        "light_unet",
        "vpbsd_wo_dis",
        "vpbsd_wo_semi",
        "baseline_mid",
        "baseline_mid_semi",
        "vpbsd",
        *THRESHOLDS,
    ),
    "alignment": (
        "light_unet",
        "da_conv1",
        "da_linear",
        "da_chsel",
        "da_linear_flat",
        *THRESHOLDS,
    ),
    "table1": (
        "unetr",
        "teacher_no_pretrain",
        "teacher",
        "light_unet",
        "kd",
        "fitnets",
        "fitnets_two_stage",
        "vid",
        "ab",
        "mt",
        "uamt",
        "me",
        "vpbsd",
        *THRESHOLDS,
    ),
    "extras": (
        "vpbsd",
        "vpbsd_random_codes",
        "vpbsd_fine_codes",
        "vpbsd_turned_codes",
        "vpbsd_no_gumbel",
        "vpbsd_no_pretrain",
        "vpbsd_soft_pseudo",
        "vpbsd_cldice",
        *THRESHOLDS,
    ),
    **{table: (*rows, *THRESHOLDS) for table, rows in rival_arms.TABLES.items()},
    **{name: (*arms, *THRESHOLDS) for name, (_, arms) in PRETRAINING_TABLES.items()},
}
"""Tables by the name that `--arms` takes, their rows in the paper's order where it has them."""

HEADINGS = {
    "table3": "Ablation (the paper's Table 3)",
    "alignment": "Dimension alignment",
    "table1": "Comparison (the paper's Table 1)",
    "extras": "What a reviewer would ask for",
    **rival_arms.HEADINGS,
    **{name: heading for name, (heading, _) in PRETRAINING_TABLES.items()},
}

FIRST_PHASES: dict[str, Change] = {
    "fitnets_two_stage": lambda s: _from_states(HintsConfig, s),
    "ab": lambda s: _from_states(AbConfig, s),
}
"""What an arm's student goes through before, for a share of the epochs of one schedule."""

FIXED: dict[str, dict[str, object]] = {
    **{
        f"da_{kind}": {"pretrain.network.codebook.alignment": kind}
        for kind in ("conv1", "linear", "chsel", "linear_flat")
    },
    "teacher_no_pretrain": {"pretrain.enabled": False},
    "vpbsd_no_pretrain": {"pretrain.enabled": False},
    "vpbsd_random_codes": {"student.random_codes": True},
    "vpbsd_fine_codes": {"pretrain.network.codebook.cell": 8, "student.turned_codes": True},
    "vpbsd_turned_codes": {"student.turned_codes": True},
    "vpbsd_no_gumbel": {"pretrain.network.codebook.straight_through": "copy"},
    "vpbsd_soft_pseudo": {"student.pseudo": "soft"},
    "vpbsd_cldice": {"student.cldice": 0.5},
    **rival_arms.FIXED,
    **{arm: fixed for arm, (_, fixed) in PRETRAINED.items()},
}
"""What an arm sets, as `--set` would; the arm's stages follow from it."""

TITLES = {
    "teacher": "SwinUNETR teacher",
    "light_unet": "Light UNet (baseline)",
    "vpbsd_wo_dis": "VpbSD w/o L_dis",
    "vpbsd_wo_semi": "VpbSD w/o L_semi",
    "baseline_mid": "Baseline + L_mid",
    "baseline_mid_semi": "Baseline + L_semi + L_mid",
    "vpbsd": "VpbSD",
    "teacher_no_pretrain": "SwinUNETR, no pre-training",
    "unetr": "UNETR",
    **{arm: title for arm, (title, _) in PRETRAINED.items()},
    "kd": "KD",
    "fitnets": "FitNets",
    "fitnets_two_stage": "FitNets, original two stages",
    "vid": "VID",
    "ab": "AB",
    "mt": "Mean Teacher",
    "uamt": "UA-MT",
    "me": "Entropy minimisation",
    "da_conv1": "VpbSD, DA 1x1 convolution",
    "da_linear": "VpbSD, DA linear",
    "da_chsel": "VpbSD, DA channel selection",
    "da_linear_flat": "VpbSD, DA linear over the grid",
    "vpbsd_random_codes": "VpbSD, random codes",
    "vpbsd_fine_codes": "VpbSD, codes of 8^3 voxels",
    "vpbsd_turned_codes": "VpbSD, codes of the turned patch",
    "vpbsd_no_gumbel": "VpbSD, nearest codes, no Gumbel",
    "vpbsd_no_pretrain": "VpbSD, no pre-training",
    "vpbsd_soft_pseudo": "VpbSD, soft pseudo-labels",
    "vpbsd_cldice": "VpbSD + soft-clDice",
    "threshold": "Threshold of the training groups",
    "otsu": "Otsu's threshold",
    **rival_arms.TITLES,
}
