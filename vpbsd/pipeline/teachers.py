"""Recipes of teachers: pre-training, fine-tuning, and what is trained on labels from scratch.

VpbSD's own pre-training is here, those that it is compared with are in `pretexts`.
"""

from __future__ import annotations

from vpbsd.config import Codebook, Sampling, SwinNet
from vpbsd.data.folds import Fold, Part
from vpbsd.data.lattice import cells
from vpbsd.data.turns import FLIPS
from vpbsd.errors import BadInput
from vpbsd.methods.configs import MethodConfig, PatternsConfig, SupervisedConfig
from vpbsd.optim import Optim
from vpbsd.pipeline.stage_config import Train
from vpbsd.pipeline.stages import Role, Stage
from vpbsd.section import derive
from vpbsd.settings import Settings

FROZEN_IN_FINE_TUNING = ("quantiser", "reconstruction")
"""Codebook, alignment and the head that only pre-training uses."""


def pretraining(s: Settings, fold: Fold, seed: int) -> Stage:
    """Builds stage 1, on unlabelled parts.

    Raises:
        BadInput: The warm-up sees too few tokens to start the codebook from.
    """
    config = derive(PatternsConfig, s.pretrain, network=gridded(s))
    _refuse_short_warm_up(s, config, fold)
    train = train_config(s, config, s.pretrain.optim, s.sampling)
    return Stage(train, {"unlabelled": fold.unlabelled}, {}, seed, "pre-training")


def tuned(s: Settings, fold: Fold, seed: int) -> Stage:
    """Builds stage 2 of VpbSD, on the labelled parts of a fold."""
    config = SupervisedConfig(
        network=gridded(s), frozen=FROZEN_IN_FINE_TUNING, skip_drop=s.finetune.skip_drop
    )
    train = train_config(s, config, derive(Optim, s.finetune), None)
    start = {"start": pretraining(s, fold, seed)}
    return Stage(train, {"labelled": fold.train}, start, seed, "fine-tuning")


def unetr(s: Settings, fold: Fold, seed: int) -> Stage:
    """Builds a reference of another kind, under the budget of a teacher without pre-training."""
    network = s.unetr.model_copy(update={"patch": s.data.patch})
    return from_scratch(s, SupervisedConfig(network=network), fold, seed, "unetr")


def train_config(
    s: Settings, method: MethodConfig, optim: Optim, sampling: Sampling | None
) -> Train:
    """Makes the config of a training of the settings' data."""
    return Train(
        method=method,
        data=s.data,
        sampling=sampling,
        augment=s.augment,
        optim=optim,
        precision=s.precision,
    )


def scratch(s: Settings, fold: Fold, seed: int) -> Stage:
    """Builds the teacher on labels alone; its decoder never sees its codes."""
    network = gridded(s).model_copy(update={"decode_codes": False})
    refuse_few_tokens(s, fold)
    config = SupervisedConfig(network=network, frozen=FROZEN_IN_FINE_TUNING, starts_codebook=True)
    return from_scratch(s, config, fold, seed, "fine-tuning without pre-training")


def from_scratch(s: Settings, method: MethodConfig, fold: Fold, seed: int, label: str) -> Stage:
    """Builds training without a teacher for as many epochs as a teacher has in both stages."""
    first = s.pretrain.optim
    spent = {"epochs": first.epochs + s.finetune.epochs, "batch": s.finetune.batch}
    optim = first.model_copy(update=spent)
    parts: dict[Role, tuple[Part, ...]] = {"labelled": fold.train}
    if method.draws_unlabelled:
        parts["unlabelled"] = fold.unlabelled
    sampling = s.sampling if method.draws_unlabelled else None
    return Stage(train_config(s, method, optim, sampling), parts, {}, seed, label)


def gridded(s: Settings) -> SwinNet:
    """Tells the codebook of the teacher's network its grid and the student's width there."""
    z, y, x = (side // _book(s).cell for side in s.data.patch)
    width = s.student.network.width_at(_book(s).cell)
    grid = (z, y, x) if _book(s).alignment == "linear_flat" else (2, 2, 2)
    book = _book(s).model_copy(update={"grid": grid, "width": width})
    return s.pretrain.network.model_copy(update={"codebook": book})


def _book(s: Settings) -> Codebook:
    if s.pretrain.network.codebook is None:
        raise BadInput("setting 'pretrain.network.codebook' is empty: VpbSD needs a codebook")
    return s.pretrain.network.codebook


def refuse_few_tokens(s: Settings, fold: Fold) -> None:
    """Refuses labelled patches that k-means could not start a codebook from.

    Raises:
        BadInput: Fewer tokens than code words.
    """
    size, (z, y, x) = _book(s).size, s.data.patch
    patches = len(cells(fold.train, s.data.patch)) * len(FLIPS)
    tokens = patches * (z * y * x // _book(s).cell ** 3)
    if tokens < size:
        raise BadInput(
            f"the labelled patches of a fold have {tokens} tokens with their flips, too few to "
            f"start {size} codes from: lower pretrain.network.codebook.size"
        )


def _refuse_short_warm_up(s: Settings, config: PatternsConfig, fold: Fold) -> None:
    optim, (z, y, x) = s.pretrain.optim, s.data.patch
    patches = min(s.sampling.patches, len(cells(fold.unlabelled, s.data.patch)))
    steps = optim.steps_per_epoch or -(-patches // optim.batch)
    warm = config.warm_steps(steps * optim.epochs)
    tokens = warm * optim.batch * (z * y * x // config.book.cell**3)
    needed = config.book.start_tokens
    if tokens < needed:
        raise BadInput(
            f"the warm-up of pre-training sees {tokens} tokens, but {config.book.size} codes "
            f"start from {needed}: raise pretrain.network.codebook.warm or pretrain.optim.epochs, "
            "or lower pretrain.network.codebook.size"
        )
