"""Small settings, patches and made-up targets that several test files need."""

from typing import NamedTuple

import numpy as np
import torch

from vpbsd.config import Codebook, Data, SwinNet, UnetrNet
from vpbsd.data.lattice import PatchSet
from vpbsd.data.patches import (
    Labelled,
    PatchesWithTargets,
    Pool,
    Semi,
    TeacherTargets,
    Unlabelled,
)
from vpbsd.overrides import override
from vpbsd.settings import laptop

PATCH = (32, 32, 64)
DATA = Data(patch=PATCH)
CODES = 4
NETWORK = SwinNet(
    feature_size=12, window_size=4, depths=(1, 1, 1, 1), codebook=Codebook(size=CODES, warm=0.5)
)
PLAIN = NETWORK.model_copy(update={"codebook": None})
UNETR = UnetrNet(feature_size=2, hidden_size=8, mlp_dim=8, num_heads=2, patch=PATCH)
SHAPES = {"codes": (32, 1, 1, 2), "pseudo": (1, *PATCH), "features": (192, 1, 1, 2)}
SHAPES |= {"features16": (96, 2, 2, 4), "margin": (1, *PATCH)}


def settings(**changes):
    """Two or four steps per stage; `changes` have __ for the dots of their paths."""
    base = {
        "data.patch": PATCH,
        "sampling.patches": 2,
        "sampling.background_share": 1.0,
        "protocol.folds": 3,
        "pretrain.network": NETWORK.model_dump(),
        "pretrain.skip_drop": 0.5,
        "pretrain.rebuilt_at": 1,
        "pretrain.optim.epochs": 2,
        "pretrain.optim.steps_per_epoch": 2,
        "pretrain.optim.batch": 1,
        "unetr": UNETR.model_dump(),
        "finetune.epochs": 1,
        "finetune.steps_per_epoch": 2,
        "student.ramp_epochs": 1,
        "student.optim.epochs": 2,
        "student.optim.steps_per_epoch": 3,
    }
    more = {name.replace("__", "."): value for name, value in changes.items()}
    return override(laptop(), base | more)


class MadeUpTargets:
    """Targets that no teacher computed, one array per patch, the same for the same patch."""

    def __init__(self, field, seed=0):
        self.field, self.seed = field, seed

    def __getitem__(self, i):
        rng = np.random.default_rng([self.seed, i])
        values = rng.standard_normal(SHAPES[self.field]).astype(np.float32)
        return (values > 1).astype(np.float32) if self.field == "pseudo" else values


class Kept(NamedTuple):
    """Parts that are read from a folder anew by each pool."""

    labelled: tuple
    unlabelled: tuple

    def pool(self, asks=(), seed=0, augment=True, batch=2, unlabelled=True, drawn=DATA):
        """Patches of both roles with made-up targets of the fields that a method asks for."""

        def with_targets(role, parts, salt):
            targets = {name: MadeUpTargets(name, salt) for name, of in asks if of == role}
            data = drawn if role == "unlabelled" else DATA
            return PatchesWithTargets(PatchSet(parts, data), targets)

        return Pool(
            labelled=with_targets("labelled", self.labelled, 1),
            unlabelled=with_targets("unlabelled", self.unlabelled, 2) if unlabelled else None,
            batch=batch,
            seed=seed,
            augment=augment,
        )


def semi_batch(shape):
    """Random patches (B, 1, D, H, W) of both kinds; the last planes from 20 on are padding."""
    draw = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(shape)
    valid[:, :, 20:] = 0
    labelled = Labelled(draw[0], (draw[0] > 0.8).float(), valid, TeacherTargets())
    return Semi(labelled, Unlabelled(draw[1], valid, TeacherTargets()))
