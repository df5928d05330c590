"""Settings: everything that can be set, section by section, and the presets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from vpbsd.config import (
    Codebook,
    Data,
    LightNet,
    Optim,
    Precision,
    Protocol,
    Sampling,
    Section,
    SwinNet,
    UnetrNet,
)
from vpbsd.methods.ab import Ab
from vpbsd.methods.kd import Kd
from vpbsd.methods.vid import Vid
from vpbsd.overrides import override


class Pretrain(Section):
    """Stage 1: the teacher and its vessel patterns."""

    enabled: bool = True
    """If not, the teacher is trained on labels from scratch, for the epochs of both stages at the
    rate of this one, and k-means starts its codebook afterwards."""
    network: SwinNet = SwinNet(codebook=Codebook())
    alpha: float = Field(0.1, ge=0)
    reconstruction: Literal["mse", "l1"] = "mse"
    skip_drop: float = Field(0.5, ge=0, le=1)
    rebuilt_at: Literal[1, 2] = 1
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
    pseudo: Literal["hard", "soft"] = "hard"
    """What VpbSD's pseudo-labels are: the teacher's mask, or its vessel probability."""
    random_codes: bool = False
    """Whether the student learns random code words in place of the teacher's."""
    cldice: float = Field(0.0, ge=0, lt=1)
    """Share of soft-clDice in VpbSD's supervised loss."""
    cldice_iterations: int = Field(10, ge=1)
    kd: Kd = Kd()
    vid: Vid = Vid()
    ab: Ab = Ab()
    others_on: Literal["both", "labelled"] = "labelled"
    """Patches that the older distilling methods learn from."""
    first_phase: float = Field(0.2, gt=0, lt=1)
    """Share of the epochs that the first phase takes, in the arms that have two."""
    optim: Optim = Optim(lr=1e-2, epochs=300)


class Consistency(Section):
    """The semi-supervised baselines: Mean Teacher, UA-MT and entropy minimisation."""

    weight: float = Field(0.1, ge=0)
    ramp_share: float = Field(1.0, gt=0, le=1)
    decay: float = Field(0.99, ge=0, lt=1)
    noise: float = Field(0.1, ge=0)
    passes: int = Field(8, ge=1)
    certain: float = Field(0.75, ge=0, le=1)


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
    consistency: Consistency = Consistency()
    unetr: UnetrNet = UnetrNet()


def paper() -> Settings:
    """VpbSD as published, its gaps filled as docs/method.md says."""
    return Settings()


def laptop() -> Settings:
    """Small networks and budgets: the whole ablation in minutes on two cores.

    Pre-training on phantoms of the data seeds 32 (the default) and 7: argmin perplexity 11.5 and
    13.9 of 16 codes, bypass gap 22 and 29 % of the error with shuffled codes; on five unlabelled
    real volumes 4.9 and 24 % (99.5th percentile clipped). Rates and budgets were tuned on the
    default phantom. gamma: at 1 L_dis outweighs all else in a short run, VpbSD's DSC over three
    folds was .815; .827 at .1. Students' rates fall to a tenth only: at the paper's hundredth 250
    steps end half trained, baseline .825 against .844. Fine-tuning of 50 steps leaves a teacher
    (.824) that knows no more than the students it is to teach; see docs/method.md.
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
            "pretrain.rebuilt_at": 2,
            "pretrain.optim.lr": 2e-3,
            "pretrain.optim.final_ratio": 0.1,
            "pretrain.optim.epochs": 20,
            "pretrain.optim.steps_per_epoch": 10,
            "pretrain.optim.batch": 4,
            "finetune.lr": 8e-3,
            "finetune.final_ratio": 0.1,
            "finetune.lr_of": {"network.net.swinViT": 1e-5},
            "finetune.epochs": 12,
            "finetune.steps_per_epoch": 10,
            "unetr": UnetrNet(
                feature_size=4, hidden_size=96, mlp_dim=192, num_heads=6
            ).model_dump(),
            "student.gamma": 0.1,
            "student.ramp_epochs": 7,
            "student.cldice_iterations": 5,
            "student.optim.final_ratio": 0.1,
            "student.optim.epochs": 20,
            "student.optim.steps_per_epoch": 10,
        },
    )


PRESETS: dict[str, Callable[[], Settings]] = {"paper": paper, "laptop": laptop}
