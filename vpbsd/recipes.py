"""Recipes: every published setting is a function, every arm is another one with one thing changed.

A recipe names rows of stages. Names are for people; stages with the same config are the same
stage, whichever arm asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from vpbsd.config import (
    Codebook,
    Data,
    LightNet,
    Optim,
    Protocol,
    Sampling,
    Section,
    SwinNet,
    override,
)
from vpbsd.data.folds import Fold
from vpbsd.data.lattice import cells
from vpbsd.errors import BadInput
from vpbsd.methods.fitnets import FitNetsConfig
from vpbsd.methods.patterns import TOKENS_PER_CODE, PatternsConfig
from vpbsd.methods.roster import MethodConfig
from vpbsd.methods.supervised import SupervisedConfig
from vpbsd.methods.vpbsd import VpbSDConfig
from vpbsd.networks.build import teacher_width
from vpbsd.stages import Evaluate, Role, SaidField, Stage, Targets, Train
from vpbsd.train import Precision

FROZEN_IN_FINE_TUNING = ("quantiser", "reconstruction")
"""Codebook, alignment and the head that only pre-training uses."""


class Pretrain(Section):
    """Stage 1: the teacher and its vessel patterns."""

    network: SwinNet = SwinNet(codebook=Codebook())
    alpha: float = Field(0.1, ge=0)
    reconstruction: Literal["mse", "l1"] = "mse"
    skip_drop: float = Field(0.5, ge=0, le=1)
    optim: Optim = Optim(lr=1e-3, epochs=80, clip=1.0)


class Student(Section):
    """Stage 3: the student, and the weights of what the teacher says."""

    network: LightNet = LightNet()
    beta: float = Field(1.0, ge=0)
    ramp_epochs: float = Field(80, ge=0)
    gamma: float = Field(1.0, ge=0)
    mid: float = Field(1.0, gt=0)
    """Weight of L_mid, in the arms that have it."""
    distil_on: Literal["both", "labelled"] = "both"
    optim: Optim = Optim(lr=1e-2, epochs=300)


class Settings(Section):
    """Everything that can be set; `--set path=value` changes one field."""

    data: Data = Data()
    sampling: Sampling = Sampling()
    protocol: Protocol = Protocol()
    augment: bool = True
    precision: Precision = "fp32"
    pretrain: Pretrain = Pretrain()
    finetune: Optim = Optim(lr=1e-5, epochs=30, clip=1.0, lr_of={"network.net.out": 1e-3})
    student: Student = Student()


def paper() -> Settings:
    """VpbSD as published, its gaps filled as docs/method.md says."""
    return Settings()


def laptop() -> Settings:
    """Small networks and budgets: the whole ablation in minutes on two cores.

    Pre-training was tuned on the phantom of data seed 0, one teacher seed: perplexity 7.5 of 16,
    bypass gap .0061 of .044 (with skip_drop .75: 3.9 and .0026, void). It is fragile: on data
    seed 45 the same settings were void (4.0 and .0042, .0043 needed).
    """
    return override(
        paper(),
        {
            "data.patch": (32, 64, 64),
            "sampling.patches": 64,
            "protocol.folds": 3,
            "pretrain.network": SwinNet(
                feature_size=12,
                window_size=4,
                depths=(1, 1, 1, 1),
                codebook=Codebook(size=16, warm=0.3, kappa_factor=4.0),
            ).model_dump(),
            "pretrain.skip_drop": 1.0,
            "pretrain.optim.lr": 2e-3,
            "pretrain.optim.final_ratio": 0.1,
            "pretrain.optim.epochs": 20,
            "pretrain.optim.steps_per_epoch": 10,
            "finetune.lr": 2e-3,
            "finetune.final_ratio": 0.1,
            "finetune.lr_of": {"network.net.swinViT": 1e-4},
            "finetune.epochs": 5,
            "finetune.steps_per_epoch": 10,
            "student.ramp_epochs": 5,
            "student.optim.epochs": 15,
            "student.optim.steps_per_epoch": 10,
        },
    )


PRESETS: dict[str, Callable[[], Settings]] = {"paper": paper, "laptop": laptop}

Change = Callable[[Settings], MethodConfig | None]
"""From settings to the student's method; None: the arm is the teacher itself."""


def _vpbsd(s: Settings, **changes: object) -> VpbSDConfig:
    student = s.student
    return VpbSDConfig(
        network=student.network,
        beta=student.beta,
        ramp_epochs=student.ramp_epochs,
        gamma=student.gamma,
        distil_on=student.distil_on,
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


ARMS: dict[str, Change] = {
    "teacher": lambda s: None,
    "light_unet": lambda s: SupervisedConfig(network=s.student.network),
    "vpbsd_wo_dis": lambda s: _vpbsd(s, gamma=0.0),
    "vpbsd_wo_semi": lambda s: _vpbsd(s, beta=0.0, distil_on="labelled"),
    "baseline_mid": lambda s: _fitnets(s, 0.0, "labelled"),
    "baseline_mid_semi": lambda s: _fitnets(s, s.student.beta, "both"),
    "vpbsd": _vpbsd,
}
"""Rows of the paper's Table 3, in its order."""

TITLES = {
    "teacher": "SwinUNETR teacher",
    "light_unet": "Light UNet (baseline)",
    "vpbsd_wo_dis": "VpbSD w/o L_dis",
    "vpbsd_wo_semi": "VpbSD w/o L_semi",
    "baseline_mid": "Baseline + L_mid",
    "baseline_mid_semi": "Baseline + L_semi + L_mid",
    "vpbsd": "VpbSD",
}


def trial(s: Settings, arm: str, fold: Fold, seed: int, teacher_seed: int = 0) -> Stage:
    """The evaluation an arm ends with; its `lineage()` is all it rests on."""
    trained = deliverable(s, arm, fold, seed, teacher_seed)
    config = Evaluate(data=s.data, precision=s.precision)
    return Stage(config, {"test": fold.test}, {"network": trained}, 0, f"evaluate {arm}")


def deliverable(s: Settings, arm: str, fold: Fold, seed: int, teacher_seed: int = 0) -> Stage:
    """The training stage whose network an arm delivers."""
    method = ARMS[arm](s)
    if method is None:
        return teacher(s, fold, teacher_seed)
    return student(s, method, fold, seed, teacher(s, fold, teacher_seed), arm)


def pretraining(s: Settings, fold: Fold, seed: int) -> Stage:
    """Stage 1 on unlabelled parts.

    Raises:
        BadInput: The warm-up sees too few tokens to start the codebook from.
    """
    config = PatternsConfig(
        network=_gridded(s),
        alpha=s.pretrain.alpha,
        reconstruction=s.pretrain.reconstruction,
        skip_drop=s.pretrain.skip_drop,
    )
    _refuse_short_warm_up(s, config, fold)
    train = _train(s, config, s.pretrain.optim, s.sampling)
    return Stage(train, {"unlabelled": fold.unlabelled}, {}, seed, "pre-training")


def teacher(s: Settings, fold: Fold, seed: int) -> Stage:
    """Stage 2 on the labelled parts of a fold."""
    config = SupervisedConfig(network=_gridded(s), frozen=FROZEN_IN_FINE_TUNING)
    train = _train(s, config, s.finetune, None)
    start = {"start": pretraining(s, fold, seed)}
    return Stage(train, {"labelled": fold.train}, start, seed, "fine-tuning")


def student(
    s: Settings, method: MethodConfig, fold: Fold, seed: int, spoken: Stage, arm: str
) -> Stage:
    """Stage 3; only what a weight makes use of becomes an upstream stage."""
    asks = getattr(method, "asks", ())
    upstream = {f"{says}_{role}": said(s, spoken, says, role, fold) for says, role in asks}
    parts: dict[Role, tuple[object, ...]] = {"labelled": fold.train}
    unlabelled = any(role == "unlabelled" for _, role in asks)
    if unlabelled:
        parts["unlabelled"] = fold.unlabelled
    train = _train(s, method, s.student.optim, s.sampling if unlabelled else None)
    return Stage(train, parts, upstream, seed, arm)  # type: ignore[arg-type]


def said(s: Settings, spoken: Stage, says: SaidField, role: Role, fold: Fold) -> Stage:
    """One field of what the teacher says about the patches of one role."""
    parts = fold.train if role == "labelled" else fold.unlabelled
    sampling = s.sampling if role == "unlabelled" else None
    config = Targets(says=says, data=s.data, sampling=sampling, precision=s.precision)
    return Stage(config, {role: parts}, {"teacher": spoken}, 0, f"{says} of {role} patches")


def _train(s: Settings, method: MethodConfig, optim: Optim, sampling: Sampling | None) -> Train:
    return Train(
        method=method,
        data=s.data,
        sampling=sampling,
        augment=s.augment,
        optim=optim,
        precision=s.precision,
    )


def _gridded(s: Settings) -> SwinNet:
    """The teacher's network, its codebook told the grid and the student's deepest width."""
    z, y, x = (side // 32 for side in s.data.patch)
    width = s.student.network.widths[-1]
    grid = (z, y, x) if _book(s).alignment == "linear_flat" else (2, 2, 2)
    book = _book(s).model_copy(update={"grid": grid, "width": width})
    return s.pretrain.network.model_copy(update={"codebook": book})


def _book(s: Settings) -> Codebook:
    if s.pretrain.network.codebook is None:
        raise BadInput("setting 'pretrain.network.codebook' is empty: VpbSD needs a codebook")
    return s.pretrain.network.codebook


def _refuse_short_warm_up(s: Settings, config: PatternsConfig, fold: Fold) -> None:
    optim, (z, y, x) = s.pretrain.optim, s.data.patch
    patches = min(s.sampling.patches, len(cells(fold.unlabelled, s.data.patch)))
    steps = optim.steps_per_epoch or -(-patches // optim.batch)
    warm = config.warm_steps(steps * optim.epochs)
    tokens = warm * optim.batch * (z * y * x // 32**3)
    needed = TOKENS_PER_CODE * config.book.size
    if tokens < needed:
        raise BadInput(
            f"the warm-up of pre-training sees {tokens} tokens, but {config.book.size} codes "
            f"start from {needed}: raise pretrain.network.codebook.warm or pretrain.optim.epochs, "
            "or lower pretrain.network.codebook.size"
        )
