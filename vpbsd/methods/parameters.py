"""Every number that methods are tuned by, declared once: meaning, allowed range, what is searched.

Settings and the configs of methods both take their fields from here; only defaults are theirs.
Symbols and equations are those of VpbSD (docs/method.md).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vpbsd.search_ranges import Choice, Range, Searched

On = Literal["both", "labelled"]
Alpha = Annotated[
    float,
    Field(ge=0, description="alpha of eq. 5: weight of the codebook loss L_cb"),
    Searched(Range(0.01, 1, log=True)),
]
SkipDrop = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="chance that a sample loses all its skips in pre-training; 0 lets the decoder "
        "bypass the codebook. All at once: dropped one by one, all five are gone in 1 of 32 "
        "samples only, and after 200 steps the codes carried nothing (bypass gap -6e-6 of .058, "
        "measured on the phantom)",
    ),
    Searched(Choice((0.0, 0.5, 1.0))),
]
Reconstruction = Annotated[
    Literal["mse", "l1"],
    Field(description="L_rec of eq. 6: squared or absolute error of the rebuilt patch"),
    Searched(Choice(("mse", "l1"))),
]
RebuiltAt = Annotated[
    Literal[1, 2],
    Field(
        description="2: half the resolution is rebuilt, three to four times faster on a CPU "
        "(benchmarks/half_resolution.py). Where all skips are dropped little is lost: a code "
        "stands for 32 x 32 x 32 voxels and says nothing of single ones"
    ),
]
Beta = Annotated[
    float,
    Field(
        ge=0,
        description="beta of eq. 10: largest weight of L_semi; 0 leaves the term and the "
        "pseudo-labels out",
    ),
    Searched(Range(0.1, 1, log=True)),
]
RampEpochs = Annotated[
    float,
    Field(ge=0, description="epochs of the Gaussian ramp to beta (Temporal Ensembling's warm-up)"),
    Searched(Choice((40.0, 80.0, 150.0, 300.0))),
]
Gamma = Annotated[
    float,
    Field(
        ge=0,
        description="gamma of eq. 10: weight of L_dis; 0 leaves the term and the codes out",
    ),
    Searched(Range(0.1, 10, log=True)),
]
DistilOn = Annotated[
    On,
    Field(description="patches that L_dis of eq. 12 is taken over"),
    Searched(Choice(("both", "labelled"))),
]
Mid = Annotated[
    float,
    Field(gt=0, description="weight of L_mid of Table 3, in the arms that have it"),
    Searched(Range(0.1, 100, log=True)),
]
OthersOn = Annotated[
    On,
    Field(description="patches that the older distilling methods learn from"),
    Searched(Choice(("both", "labelled"))),
]
Pseudo = Annotated[
    Literal["hard", "soft"],
    Field(description="pseudo-labels of eq. 11: the teacher's mask, or its vessel probability"),
]
ClDice = Annotated[
    float,
    Field(
        ge=0,
        lt=1,
        description="share a of soft-clDice in the supervised loss; 0 leaves the term out",
    ),
]
ClDiceIterations = Annotated[
    int,
    Field(
        ge=1, description="erosions of its soft skeleton: at least the largest radius in voxels"
    ),
]
ConsistencyWeight = Annotated[
    float,
    Field(
        ge=0,
        description="largest weight of the unlabelled term; 0 leaves it and the unlabelled "
        "patches out",
    ),
]
RampShare = Annotated[
    float,
    Field(
        gt=0,
        le=1,
        description="share of all steps over which that weight rises: the whole run, as in the "
        "papers' code",
    ),
]
Decay = Annotated[float, Field(ge=0, lt=1, description="largest decay of the moving average")]
Noise = Annotated[
    float,
    Field(
        ge=0,
        description="noise that the average sees, in deviations of the patch; clipped at twice "
        "that",
    ),
]
Passes = Annotated[
    int, Field(ge=1, description="T of UA-MT: noisy passes that uncertainty is read from")
]
Certain = Annotated[
    float, Field(ge=0, le=1, description="first threshold of UA-MT, as a share of ln 2")
]
