"""The section of settings for who is tested on whom."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vpbsd.config import Grid
from vpbsd.section import Later, Section


class Protocol(Section):
    """Who is tested on whom."""

    folds: int = Field(5, ge=2)
    split: Literal["group", "space", "named"] = "group"
    """Folds of whole groups (across acquisitions), or of regions within volumes (within); named:
    one split of groups in the order of their names, as published data sets have it."""
    tested: Annotated[int | tuple[str, ...] | None, Later()] = None
    """Groups that a named split tests: so many, the last ones, or those of these names. The others
    train; the first `train_groups` of them, by name, keep their labels."""
    stride: Annotated[Grid | None, Later()] = None
    """Voxels (z, y, x) from one window of an evaluation to the next, whose answers have equal
    weight; null: half a patch, blended with Gaussians."""
    margin: int = Field(16, ge=0)
    """Voxels left out between training and test regions of a spatial fold."""
    pretrain_on: Literal["auto", "unlabelled", "all", "own"] = "auto"
    """Volumes the teacher is pre-trained on; auto: the unlabelled ones, all if there are none;
    own: the images of the fold's labelled training parts alone, without their labels."""
    train_groups: Annotated[int | None, Later(), Field(ge=1)] = None
    """Training groups per fold that keep their labels; the others are unlabelled. null: all."""
    draw: Annotated[int, Later(), Field(ge=0)] = 0
    """Number of the random order of a fold's groups, whose first keep their labels (nested); in a
    named split 0 is the order of their names."""

    @property
    def count(self) -> int:
        """How many folds there are: a named split is one."""
        return 1 if self.split == "named" else self.folds

    @model_validator(mode="after")
    def _a_named_split_says_whom_it_tests(self) -> Protocol:
        if (self.split == "named") != bool(self.tested):
            raise ValueError(
                "split=named and tested go together: give both, such as "
                "--set protocol.split=named --set protocol.tested=20"
            )
        return self
