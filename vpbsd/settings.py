"""Settings: everything that can be set, section by section, and the presets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from vpbsd.config import Codebook, Data, LightNet, Precision, Sampling, SwinNet, UnetrNet, VNet
from vpbsd.methods.distilling_configs import Ab, Kd, Vid
from vpbsd.methods.parameters import (
    Alpha,
    Beta,
    Certain,
    ClDice,
    ClDiceIterations,
    CodesAlone,
    ConsistencyWeight,
    Decay,
    DistilOn,
    Gamma,
    Mid,
    Noise,
    OthersOn,
    Passes,
    Pseudo,
    RampEpochs,
    RampShare,
    RebuiltAt,
    Reconstruction,
    SkipDrop,
)
from vpbsd.methods.pretraining_configs import Chaitanya, Pretext, S2dc, Slices
from vpbsd.methods.rival_configs import Cps, Dico, Mcsc, SimCVD
from vpbsd.optim import Optim
from vpbsd.overrides import override
from vpbsd.protocol import Protocol
from vpbsd.search_ranges import Choice, Range, Searched, SearchedWithin
from vpbsd.section import Later, Section


class Pretrain(Section):
    """Stage 1: the teacher and its vessel patterns."""

    enabled: bool = True
    """If not, the teacher is trained on labels from scratch, for the epochs of both stages at the
    rate of this one, and k-means starts its codebook afterwards."""
    network: SwinNet = SwinNet(codebook=Codebook())
    alpha: Alpha = 0.1
    skip_drop: SkipDrop = 0.5
    reconstruction: Reconstruction = "mse"
    rebuilt_at: RebuiltAt = 1
    optim: Optim = Optim(lr=1e-3, epochs=80, clip=1.0)
    pretext: Annotated[Pretext, Later()] = "patterns"
    """What the teacher learns without labels: vessel patterns, or what they are measured against,
    which has the budget of `optim` at a rate of its own."""
    s2dc: Annotated[S2dc, Later()] = S2dc()
    slices: Annotated[Slices, Later()] = Slices()
    chaitanya: Annotated[Chaitanya, Later()] = Chaitanya()


class FineTune(Optim):
    """Stage 2: the optimiser, and whether the decoder must segment from its codes alone."""

    skip_drop: Annotated[CodesAlone, Later()] = 0.0


class Student(Section):
    """Stage 3: the student, and the weights of the teacher's targets."""

    network: LightNet = LightNet()
    optim: Annotated[
        Optim,
        SearchedWithin(
            {
                "lr": Range(1e-3, 3e-2, log=True),
                "final_ratio": Choice((0.1, 0.01, 0.001)),
                "weight_decay": Choice((0.0, 1e-6, 1e-5, 1e-4, 1e-3)),
            }
        ),
    ] = Optim(lr=1e-2, epochs=300)
    beta: Beta = 1.0
    ramp_epochs: RampEpochs = 80
    gamma: Gamma = 1.0
    distil_on: DistilOn = "both"
    mid: Mid = 1.0
    pseudo: Pseudo = "hard"
    random_codes: bool = False
    """Whether the student learns random code words in place of the teacher's."""
    turned_codes: Annotated[bool, Later()] = False
    """Whether it learns the code words of the patch as it is turned, not turned code words."""
    trust: Annotated[Literal["always", "measured"], Later()] = "always"
    """measured: L_semi is off in a fold whose teacher, fine-tuned once more without one training
    group, is worse there than a Light UNet of the same labels."""
    cldice: ClDice = 0.0
    cldice_iterations: ClDiceIterations = 10
    others_on: OthersOn = "labelled"
    first_phase: Annotated[float, Field(gt=0, lt=1), Searched(Choice((0.1, 0.2, 0.33)))] = 0.2
    """Share of the epochs that the first phase takes, in the arms that have two."""
    kd: Kd = Kd()
    vid: Vid = Vid()
    ab: Ab = Ab()


class Consistency(Section):
    """The semi-supervised baselines: Mean Teacher, UA-MT and entropy minimisation."""

    weight: ConsistencyWeight = 0.1
    ramp_share: RampShare = 1.0
    decay: Decay = 0.99
    noise: Noise = 0.1
    passes: Passes = 8
    certain: Certain = 0.75


class Rivals(Section):
    """Other semi-supervised systems, each with a section of its own (docs/rivals.md)."""

    cps: Cps = Cps()
    simcvd: SimCVD = SimCVD()
    vnet: VNet = VNet()
    """SimCVD's own backbone, in the arms `vnet` and `simcvd_vnet`."""
    vnet_optim: Annotated[Optim | None, Later()] = None
    """Optimiser and budget of those arms; null: the budget of a teacher without pre-training."""
    mcsc: Mcsc = Mcsc()
    dico: Dico = Dico()
    transformer_size: int = Field(12, ge=12, multiple_of=12)
    """Feature size of the Swin UNETR that a student is trained beside, else like the teacher."""
    transformer_lr: Annotated[float, Field(gt=0), Searched(Range(1e-4, 1e-2, log=True))] = 1e-3
    """Its first learning rate; it falls as the student's."""


class Settings(Section):
    """Everything that can be set; `--set path=value` changes one field."""

    data: Data = Data()
    sampling: Sampling = Sampling()
    protocol: Protocol = Protocol()
    augment: bool = True
    precision: Precision = "fp32"
    pretrain: Pretrain = Pretrain()
    finetune: Annotated[FineTune, SearchedWithin({"lr": Range(1e-6, 1e-4, log=True)})] = FineTune(
        lr=1e-5, epochs=30, clip=1.0, lr_of={"network.net.out": 1e-3}
    )
    student: Student = Student()
    consistency: Consistency = Consistency()
    unetr: UnetrNet = UnetrNet()
    rivals: Annotated[Rivals, Later()] = Rivals()


def paper() -> Settings:
    """Returns VpbSD as published, its gaps filled as docs/method.md says."""
    return Settings()


def laptop() -> Settings:
    """Returns small networks and budgets: the whole ablation in minutes on two cores.

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


def smoke() -> Settings:
    """Returns the least that runs every stage of the ablation: does all of it work?

    Made for a first look, for tutorials and for tests of whole sweeps, on generated volumes of
    one patch each. Eight steps teach no network anything, so its numbers say nothing about any
    method: the decoder does not read the codes yet (bypass gap 0), so arms that learn code words
    are void, as the table says.
    """
    return override(
        laptop(),
        {
            "sampling.patches": 4,
            "protocol.folds": 2,
            "pretrain.network.codebook.size": 3,
            "pretrain.network.codebook.warm": 0.5,  # 4 steps of 4 patches of 4 tokens: 20 a code
            "pretrain.optim.epochs": 2,
            "pretrain.optim.steps_per_epoch": 4,
            "finetune.epochs": 1,
            "finetune.steps_per_epoch": 3,
            "student.ramp_epochs": 1,
            "student.cldice_iterations": 3,
            "student.optim.epochs": 2,
            "student.optim.steps_per_epoch": 4,
        },
    )


PRESETS: dict[str, Callable[[], Settings]] = {"paper": paper, "laptop": laptop, "smoke": smoke}
