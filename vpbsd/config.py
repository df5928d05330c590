"""Configuration: every section of settings and stages, checked where it is owned.

Every section is a frozen pydantic model that refuses unknown fields. What belongs to a stage is
what its section holds, so "which parameter touches which stage" is declared by where it lives.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from vpbsd.search_ranges import Choice, Range, Searched
from vpbsd.section import Later, Section

Grid = tuple[int, int, int]
Alignment = Literal["conv1", "linear", "chsel", "linear_flat"]
Precision = Literal["fp32", "bf16"]
Supervision = Literal["dice", "dice_ce"]
"""Loss on labels: Dice alone, or half of it and half cross entropy."""
Classes = Annotated[int, Later(), Field(ge=2)]
"""C: values of a label, and logits, background included; recipes give it the data set's."""
TargetField = Literal["codes", "pseudo", "features", "features16", "margin"]
"""What a teacher can provide about a patch, see `vpbsd.pipeline.targets.say`."""
TargetOf = tuple[TargetField, Literal["labelled", "unlabelled"]]
"""A field, and the patches that it is wanted of."""


class Data(Section):
    """How a volume becomes patches."""

    patch: Grid = (64, 64, 64)
    """Patch sides (z, y, x) in voxels; multiples of 32, and not 32 on every axis. V-Net takes
    multiples of 16."""
    clip_percentile: Annotated[
        float, Field(gt=50, le=100), Searched(Choice((95.0, 99.0, 99.5)))
    ] = 95.0
    """Voxels above this percentile of their volume are clipped (VpbSD 4.1.1)."""
    intensity: Annotated[Literal["percentile", "zscore", "match", "local", "window"], Later()] = (
        "percentile"
    )
    """Clip at the percentile; deviations of the tissue from its median; ranks of a fixed
    distribution; after the clip, contrast with the 32^3 voxels around; or `window` as it is."""
    window: Annotated[tuple[float, float] | None, Later()] = None
    """Intensities that become 0 and 1, the same in every volume, as of CT in Hounsfield units:
    [-160, 240] for soft tissue."""
    classes: Classes = 2

    @model_validator(mode="after")
    def _patch_fits_the_teacher(self) -> Data:
        if any(n % 16 or n <= 0 for n in self.patch) or all(n <= 32 for n in self.patch):
            raise ValueError(
                f"patch {self.patch_text} is not one the teacher can take: every side must be a "
                "multiple of 32 and at least one larger than 32, such as 64x64x64 or 32x64x64"
            )
        return self

    @model_validator(mode="after")
    def _a_window_is_stated_where_it_is_used(self) -> Data:
        if (self.intensity == "window") != (self.window is not None):
            raise ValueError(
                "intensity=window and window go together: give both, such as "
                "--set data.intensity=window --set data.window=[-160,240]"
            )
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError("the first number of data.window must be below the second")
        return self

    @property
    def patch_text(self) -> str:
        """Sides of the patch as people write them: 64x64x64."""
        return "x".join(map(str, self.patch))


class Sampling(Section):
    """Which unlabelled patches are drawn; only stages that draw some have it."""

    patches: int = Field(1000, ge=1)
    """Seeded sample of lattice cells over all unlabelled volumes."""
    background_share: float = Field(0.1, ge=0, le=1)
    """At most this share of `patches` may show background only."""


class SwinNet(Section):
    """The teacher: MONAI's SwinUNETR, with or without a vessel-pattern codebook at its bottom."""

    name: Literal["swin_unetr"] = "swin_unetr"
    feature_size: int = Field(48, ge=12, multiple_of=12)
    depths: tuple[int, int, int, int] = (2, 2, 2, 2)
    num_heads: tuple[int, int, int, int] = (3, 6, 12, 24)
    window_size: int = Field(7, ge=2)
    codebook: Codebook | None = None
    decode_codes: bool = True
    """Whether segmenting goes through the nearest codes; if not, the codebook is a side branch."""
    norm: Annotated[Literal["instance", "batch"], Later()] = "instance"
    """Of the decoder and the skips."""
    intensity_path: Annotated[bool, Later()] = False
    """Whether each voxel's own intensity adds to its logits, past all norms."""
    classes: Classes = 2

    @property
    def deepest_width(self) -> int:
        """Channels d_t of the deepest state."""
        return 16 * self.feature_size

    @property
    def coded_width(self) -> int:
        """Channels of the state that codes replace: d_t, or fewer where cells are finer."""
        cell = 32 if self.codebook is None else self.codebook.cell
        return self.feature_size * cell // 2


GUMBEL = ("straight_through", "gumbel")
"""The deterministic copy draws no sample: temperature, kappa and noise mean nothing to it."""


TOKENS_PER_CODE = 20
"""k-means starts the codebook of pre-training from the recent tokens of so many cells of 32^3
voxels per code word."""


class Codebook(Section):
    """Vessel patterns: N code words of the student's deepest width (VpbSD eq. 8-9)."""

    size: Annotated[int, Field(ge=2), Searched(Choice((64, 128, 256, 512, 1024)))] = 128
    """N: how many code words."""
    width: int = Field(32, ge=2)
    """d_s: channels of a code word; recipes give it the student's width on the codes' grid."""
    cell: Annotated[Literal[32, 16, 8], Later()] = 32
    """Side in voxels of the cube that one code stands for: 32 at the bottleneck, as published; 16
    or 8 takes the state at that resolution, and nothing coarser reaches the decoder."""
    alignment: Annotated[
        Alignment, Searched(Choice(("conv1", "linear", "chsel", "linear_flat")))
    ] = "conv1"
    """DA of eq. 8: what brings the teacher's deepest state to the width of the codes."""
    grid: Grid = (2, 2, 2)
    """Tokens of a patch (z, y, x), which only linear_flat needs to know."""
    commitment: Annotated[float, Field(ge=0), Searched(Range(0.05, 2, log=True))] = 0.25
    """lambda of eq. 9."""
    warm: Annotated[float, Field(gt=0, lt=1), Searched(Choice((0.1, 0.2, 0.3)))] = 0.2
    """Share of all steps trained without quantisation before k-means starts the codebook."""
    straight_through: Annotated[
        Literal["gumbel", "copy"], Searched(Choice(("gumbel", "copy")))
    ] = "gumbel"
    """How gradients pass the codes: a Gumbel-softmax sample, or the nearest code, copied."""
    tau_start: Annotated[float, Field(gt=0), Searched(Range(1, 4), GUMBEL)] = 2.0
    """Temperature of the first sample."""
    tau_floor: Annotated[float, Field(gt=0), Searched(Range(0.1, 0.9), GUMBEL)] = 0.5
    """Temperature that it falls to."""
    tau_share: Annotated[float, Field(gt=0, le=1), Searched(Range(0.3, 1), GUMBEL)] = 0.7
    """Share of all steps after which the temperature has reached its floor."""
    noise: Annotated[Literal["post", "pre"], Searched(Choice(("post", "pre")), GUMBEL)] = "post"
    """Whether Gumbel noise is added to the scaled logits (post) or scaled with them (pre)."""
    kappa: float | Literal["auto"] = "auto"
    """Scale of the logits -kappa * squared distance; auto: sampled and nearest code agree half
    of the time on the calibration tokens."""
    kappa_factor: Annotated[float, Field(gt=0), Searched(Range(0.1, 30, log=True), GUMBEL)] = 1.0
    """Multiplies an automatic kappa; this is what a search varies."""

    @property
    def start_tokens(self) -> int:
        """Tokens that k-means starts from: of the same patches, however fine their cells are."""
        return TOKENS_PER_CODE * self.size * self.per_cube

    @property
    def per_cube(self) -> int:
        """Tokens of 32^3 voxels."""
        return (32 // self.cell) ** 3

    @model_validator(mode="after")
    def _automatic_kappa_can_be_found(self) -> Codebook:
        if self.kappa == "auto" and self.size < 3:
            raise ValueError(
                "an automatic kappa makes sampled and nearest codes agree in half of all draws, "
                "and 2 codes do so by chance: use at least 3 codes or give kappa a number"
            )
        return self


class LightNet(Section):
    """The student: Light UNet, 0.12 M parameters (VpbSD 4.1.2)."""

    name: Literal["light_unet"] = "light_unet"
    widths: tuple[int, int, int, int] = (4, 16, 20, 32)
    norm: Annotated[Literal["group", "batch"], Later()] = "group"
    """Group norm takes each patch's own moments, so it cannot see how bright a patch is; batch
    norm deploys those of the training patches."""
    intensity_path: Annotated[bool, Later()] = False
    """Whether each voxel's own intensity adds to its logits, past all norms."""
    z_halvings: Annotated[Annotated[int, Field(ge=0, le=5)] | Literal["auto"], Later()] = 5
    """Of the five halvings, how many shorten z, the last ones; auto: log2(z / xy voxel size) fewer
    than five, by the median of the training volumes."""
    classes: Classes = 2

    def width_at(self, cell: int) -> int:
        """Returns the channels of the state in which a token stands for cell^3 voxels.

        >>> [LightNet().width_at(cell) for cell in (8, 16, 32)]
        [20, 32, 32]
        """
        return self.widths[min(cell.bit_length() - 2, 3)]


class UnetrNet(Section):
    """A reference: MONAI's UNETR, whose twelve layers are fixed."""

    name: Literal["unetr"] = "unetr"
    feature_size: int = Field(16, ge=1)
    hidden_size: int = Field(768, ge=1)
    mlp_dim: int = Field(3072, ge=1)
    num_heads: int = Field(12, ge=1)
    patch: Grid = (64, 64, 64)
    """The one patch it takes; recipes give it that of the data."""
    classes: Classes = 2

    @model_validator(mode="after")
    def _heads_share_a_token(self) -> UnetrNet:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is no multiple of num_heads {self.num_heads}"
            )
        return self


class VNet(Section):
    """A reference: MONAI's V-Net, whose widths of 16 to 256 are fixed."""

    name: Literal["vnet"] = "vnet"
    dropout: float = Field(0.5, ge=0, lt=1)
    """Chance that a channel is dropped while training, where V-Net has dropout."""
    classes: Classes = 2


SwinNet.model_rebuild()
Network = SwinNet | LightNet | UnetrNet | VNet


class MethodSection(Section):
    """Config of a method: what it trains, and what it needs besides labelled patches.

    A subclass has a `name` that no other has, and narrows the network to the kinds it can train.
    """

    numerics: ClassVar[int]
    """Raised by hand when the method gives other results for the same config."""
    numerics_bf16: ClassVar[int] = 0
    """Raised instead where results are others in bf16 alone; there it is added."""
    network: Network = Field(discriminator="name")
    """What it delivers."""

    @property
    def needs_targets(self) -> tuple[TargetOf, ...]:
        """What a teacher must provide beforehand; nothing by default."""
        return ()

    @property
    def draws_unlabelled(self) -> bool:
        """True if unlabelled patches are drawn even though no teacher's targets go with them."""
        return False


class StudentSection(MethodSection):
    """Config of a method that trains a student, which is what it delivers."""

    network: LightNet = LightNet()
