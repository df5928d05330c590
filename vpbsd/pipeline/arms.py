"""Arms: every row of every table is a method made of the settings, some of which it may fix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from vpbsd.methods.ab import AbConfig
from vpbsd.methods.entropy import EntropyConfig
from vpbsd.methods.fitnets import FitNetsConfig
from vpbsd.methods.hints import HintsConfig
from vpbsd.methods.kd import KdConfig
from vpbsd.methods.mean_teacher import MeanTeacherConfig
from vpbsd.methods.roster import MethodConfig
from vpbsd.methods.supervised import SupervisedConfig
from vpbsd.methods.uncertain_teacher import UncertainTeacherConfig
from vpbsd.methods.vid import VidConfig
from vpbsd.methods.vpbsd import VpbSDConfig
from vpbsd.networks.build import teacher_width
from vpbsd.settings import Settings

Change = Callable[[Settings], MethodConfig | None]
"""From settings to the student's method; None: a reference, see `recipes.REFERENCES`."""


def _vpbsd(s: Settings, **changes: object) -> VpbSDConfig:
    student = s.student
    if student.cldice:  # else the number of iterations is nobody's, and retrains nothing
        changes |= {"cldice": student.cldice, "cldice_iterations": student.cldice_iterations}
    return VpbSDConfig(
        network=student.network,
        beta=student.beta,
        ramp_epochs=student.ramp_epochs,
        gamma=student.gamma,
        distil_on=student.distil_on,
        pseudo=student.pseudo,
    ).model_copy(update=changes)


def _fitnets(s: Settings, beta: float, on: Literal["both", "labelled"]) -> FitNetsConfig:
    return FitNetsConfig(
        network=s.student.network,
        teacher_width=teacher_width(s.pretrain.network),
        beta=beta,
        ramp_epochs=s.student.ramp_epochs,
        gamma=s.student.mid,
        distil_on=on,
    )


def _mean_teacher(s: Settings) -> MeanTeacherConfig:
    c = s.consistency
    return MeanTeacherConfig(
        network=s.student.network,
        weight=c.weight,
        ramp_share=c.ramp_share,
        decay=c.decay,
        noise=c.noise,
    )


def _uncertain_teacher(s: Settings) -> UncertainTeacherConfig:
    shared = _mean_teacher(s).model_dump(exclude={"name"})
    c = s.consistency
    return UncertainTeacherConfig(**shared, passes=c.passes, certain=c.certain)


def _entropy(s: Settings) -> EntropyConfig:
    c = s.consistency
    return EntropyConfig(network=s.student.network, weight=c.weight, ramp_share=c.ramp_share)


def _kd(s: Settings) -> KdConfig:
    student = s.student
    return KdConfig(network=student.network, kd=student.kd, distil_on=student.others_on)


def _of_states(s: Settings) -> dict[str, Any]:
    """What the methods share that learn from the teacher's states."""
    return {
        "network": s.student.network,
        "teacher_width": teacher_width(s.pretrain.network),
        "distil_on": s.student.others_on,
    }


def _light_unet(s: Settings) -> SupervisedConfig:
    return SupervisedConfig(network=s.student.network)


ARMS: dict[str, Change] = {
    "teacher": lambda s: None,
    "light_unet": _light_unet,
    "vpbsd_wo_dis": lambda s: _vpbsd(s, gamma=0.0),
    "vpbsd_wo_semi": lambda s: _vpbsd(s, beta=0.0, distil_on="labelled"),
    "baseline_mid": lambda s: _fitnets(s, 0.0, "labelled"),
    "baseline_mid_semi": lambda s: _fitnets(s, s.student.beta, "both"),
    "vpbsd": _vpbsd,
    "teacher_no_pretrain": lambda s: None,
    "unetr": lambda s: None,
    "kd": _kd,
    "fitnets": lambda s: _fitnets(s, 0.0, "labelled"),  # the very run of baseline_mid
    "fitnets_two_stage": _kd,
    "vid": lambda s: VidConfig(vid=s.student.vid, **_of_states(s)),
    "ab": _light_unet,
    "mt": _mean_teacher,
    "uamt": _uncertain_teacher,
    "me": _entropy,
    "da_conv1": _vpbsd,
    "da_linear": _vpbsd,
    "da_chsel": _vpbsd,
    "da_linear_flat": _vpbsd,
    "vpbsd_random_codes": _vpbsd,
    "vpbsd_no_gumbel": _vpbsd,
    "vpbsd_no_pretrain": _vpbsd,
    "vpbsd_soft_pseudo": _vpbsd,
    "vpbsd_cldice": _vpbsd,
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
    ),
    "alignment": ("light_unet", "da_conv1", "da_linear", "da_chsel", "da_linear_flat"),
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
    ),
    "extras": (
        "vpbsd",
        "vpbsd_random_codes",
        "vpbsd_no_gumbel",
        "vpbsd_no_pretrain",
        "vpbsd_soft_pseudo",
        "vpbsd_cldice",
    ),
}
"""Tables by the name that `--arms` takes, their rows in the paper's order where it has them."""

HEADINGS = {
    "table3": "Ablation (the paper's Table 3)",
    "alignment": "Dimension alignment",
    "table1": "Comparison (the paper's Table 1)",
    "extras": "What a reviewer would ask for",
}

FIRST_PHASES: dict[str, Change] = {
    "fitnets_two_stage": lambda s: HintsConfig(**_of_states(s)),
    "ab": lambda s: AbConfig(ab=s.student.ab, **_of_states(s)),
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
    "vpbsd_no_gumbel": {"pretrain.network.codebook.straight_through": "copy"},
    "vpbsd_soft_pseudo": {"student.pseudo": "soft"},
    "vpbsd_cldice": {"student.cldice": 0.5},
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
    "vpbsd_no_gumbel": "VpbSD, nearest codes, no Gumbel",
    "vpbsd_no_pretrain": "VpbSD, no pre-training",
    "vpbsd_soft_pseudo": "VpbSD, soft pseudo-labels",
    "vpbsd_cldice": "VpbSD + soft-clDice",
}
