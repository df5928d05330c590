"""Recipes of teachers whose pre-training is another than VpbSD's: S2DC, comparisons of slices.

Whatever pre-trains a teacher has one budget, the epochs, steps and batch of `pretrain.optim`; rate
and optimiser are those of each paper. It is fine-tuned as VpbSD's is. It has no code words: a
student that learns some gets those that k-means makes of the fine-tuned teacher's tokens, as where
there is no pre-training.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from vpbsd.config import SwinNet, UnetrNet
from vpbsd.data.correspondence import volumes_in
from vpbsd.data.folds import Fold
from vpbsd.errors import BadInput
from vpbsd.methods.configs import MethodConfig, SupervisedConfig
from vpbsd.methods.pretraining_configs import (
    ChaitanyaConfig,
    ComparativeConfig,
    ContrastiveConfig,
    Pretext,
    S2dc,
    S2dcConfig,
    Slices,
)
from vpbsd.optim import Optim
from vpbsd.pipeline.stages import Stage
from vpbsd.pipeline.teachers import (
    FROZEN_IN_FINE_TUNING,
    gridded,
    refuse_few_tokens,
    scratch,
    train_config,
    tuned,
)
from vpbsd.section import derive
from vpbsd.settings import Settings

UNETR_TOKEN = 16
"""Side in voxels of what UNETR makes a token of."""
Made = tuple[MethodConfig, dict[str, object]]
"""A method's config, and what its optimiser has of its own."""


def teacher(s: Settings, fold: Fold, seed: int, *, codes: bool = False) -> Stage:
    """Builds the fine-tuned teacher of a fold; the only stage where nothing is pre-trained.

    Args:
        s: Whose `pretrain` says how it is pre-trained, if at all.
        fold: Its labelled parts fine-tune, its unlabelled ones pre-train.
        seed: Of both.
        codes: Whether a student will ask for code words.
    """
    if not s.pretrain.enabled:
        return scratch(s, fold, seed)
    if s.pretrain.pretext == "patterns":
        return tuned(s, fold, seed)
    plain = s.pretrain.network.model_copy(update={"codebook": None, "decode_codes": True})
    network = gridded(s).model_copy(update={"decode_codes": False}) if codes else plain
    if codes:
        refuse_few_tokens(s, fold)
    config = SupervisedConfig(
        network=network,
        frozen=FROZEN_IN_FINE_TUNING,
        starts_codebook=codes,
        skip_drop=s.finetune.skip_drop,
    )
    return _fine_tuned(s, config, _pretrained(s, plain, fold, seed), fold, codes=codes)


def pretrained_unetr(s: Settings, fold: Fold, seed: int) -> Stage:
    """Builds a UNETR that is pre-trained by slices, S4's own network, then fine-tuned."""
    network = s.unetr.model_copy(update={"patch": s.data.patch})
    config = SupervisedConfig(network=network)
    return _fine_tuned(s, config, _pretrained(s, network, fold, seed), fold)


def _fine_tuned(
    s: Settings, config: SupervisedConfig, before: Stage, fold: Fold, *, codes: bool = False
) -> Stage:
    train = train_config(s, config, derive(Optim, s.finetune), None)
    label = before.label.replace("pre-training", "fine-tuning") + (", codes" if codes else "")
    return Stage(train, {"labelled": fold.train}, {"start": before}, before.seed, label)


def _pretrained(s: Settings, network: SwinNet | UnetrNet, fold: Fold, seed: int) -> Stage:
    pretext = s.pretrain.pretext
    method, own = METHODS[pretext](s, network)
    if pretext != "s2dc":
        _refuse_one_volume(fold)
    optim = s.pretrain.optim.model_copy(update=own | {"momentum": 0.0})  # none is SGD
    train = train_config(s, method, optim, s.sampling)
    what = pretext if isinstance(network, SwinNet) else f"{pretext}, {network.name}"
    label = f"pre-training, {what}"
    return Stage(train, {"unlabelled": fold.unlabelled}, {}, seed, label)


def _slices(s: Settings, network: SwinNet | UnetrNet) -> Slices:
    own, patch = s.pretrain.slices, s.data.patch
    there = min(patch) // 2 if isinstance(network, SwinNet) else max(patch) // UNETR_TOKEN
    _refuse_few_slices(there, own.partitions, "pretrain.slices.partitions")
    return own


def _comparative(s: Settings, network: SwinNet | UnetrNet) -> Made:
    own = _slices(s, network)
    return derive(ComparativeConfig, own, network=network), _adamw(own)


def _contrastive(s: Settings, network: SwinNet | UnetrNet) -> Made:
    own = _slices(s, network)
    return derive(ContrastiveConfig, own, network=network), _adamw(own)


def _chaitanya(s: Settings, network: SwinNet | UnetrNet) -> Made:
    own = s.pretrain.chaitanya
    _refuse_few_slices(s.data.patch[0] // 2, own.partitions, "pretrain.chaitanya.partitions")
    config = derive(ChaitanyaConfig, own, network=network, patch=s.data.patch)
    return config, {"name": "adam", "lr": own.lr, "weight_decay": 0.0}


def _s2dc(s: Settings, network: SwinNet | UnetrNet) -> Made:
    regions = max(1, s.pretrain.optim.batch // prod(S2dcConfig.piece))
    config = derive(S2dcConfig, s.pretrain.s2dc, network=network)
    return config, _adamw(s.pretrain.s2dc) | {"batch": regions}


METHODS: dict[Pretext, Callable[[Settings, SwinNet | UnetrNet], Made]] = {
    "comparative": _comparative,
    "contrastive": _contrastive,
    "chaitanya": _chaitanya,
    "s2dc": _s2dc,
}
"""By the name that `pretrain.pretext` takes."""


def _adamw(own: Slices | S2dc) -> dict[str, object]:
    return {"name": "adamw", "lr": own.lr, "weight_decay": own.weight_decay}


def _refuse_one_volume(fold: Fold) -> None:
    if volumes_in(fold.unlabelled) < 2:
        raise BadInput(
            f"fold {fold.index} has one unlabelled volume only, and this pre-training compares "
            "slices of different ones: pass --set protocol.pretrain_on=all"
        )


def _refuse_few_slices(slices: int, slabs: int, path: str) -> None:
    if slices < slabs:
        raise BadInput(
            f"setting '{path}': a patch has {slices} slices of what the encoder sees there, too "
            f"few for {slabs} slabs: lower it, or raise data.patch"
        )
