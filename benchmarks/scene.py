"""What benchmarks of training work on: generated volumes, their patches, a student."""

from __future__ import annotations

from pathlib import Path

from vpbsd.config import Data, Grid
from vpbsd.data.folds import Part, whole_volume
from vpbsd.data.lattice import PatchSet
from vpbsd.data.patches import PatchesWithTargets, Pool, draw_labelled
from vpbsd.data.phantom_set import phantom_folder
from vpbsd.data.volumes import list_volumes
from vpbsd.methods.configs import SupervisedConfig
from vpbsd.methods.roster import build_method
from vpbsd.methods.supervised import Supervised
from vpbsd.optim import Optim
from vpbsd.settings import laptop
from vpbsd.training.loop import Training

BATCH = 2
OPTIM = Optim(lr=0.01, epochs=10**6, batch=BATCH)


def labelled_parts() -> tuple[Part, ...]:
    """The labelled volumes of the default phantom, whole."""
    volumes = list_volumes(phantom_folder(Path("runs")))
    return tuple(whole_volume(v) for v in volumes if v.labelled)


def pool_of(parts: tuple[Part, ...], patch: Grid) -> Pool:
    """Makes the labelled patches of the parts, augmented."""
    patches = PatchSet(parts, Data(patch=patch))
    return Pool(PatchesWithTargets(patches, {}), None, BATCH, 0, augment=True)


def student(steps: int) -> Training:
    """Makes the training of a Light UNet on labels, an epoch of so many steps."""
    method = build_method(SupervisedConfig(network=laptop().student.network), 0)
    assert isinstance(method, Supervised)
    assert type(method).draws is draw_labelled
    return Training(method, OPTIM, steps)
