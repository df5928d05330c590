"""Every number that methods are tuned by, declared once: meaning, allowed range, what is searched.

Settings and the configs of methods both take their fields from here; only defaults are theirs.
Symbols and equations are those of VpbSD (docs/method.md), where none other is named.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vpbsd.search_ranges import Choice, Range, Searched

On = Literal["both", "labelled"]
Alpha = Annotated[float, Field(ge=0), Searched(Range(0.01, 1, log=True))]
"""alpha of eq. 5: weight of the codebook loss L_cb."""
SkipDrop = Annotated[float, Field(ge=0, le=1), Searched(Choice((0.0, 0.5, 1.0)))]
"""Chance that a sample loses all its skips in pre-training; 0 lets the decoder bypass the
codebook. All at once: dropped one by one, all five are gone in 1 of 32 samples only, and after 200
steps the codes carried nothing (bypass gap -6e-6 of .058, measured on the phantom)."""
CodesAlone = Annotated[float, Field(ge=0, le=1)]
"""Chance that a sample loses its skips in fine-tuning too: without it the decoder segments from
its skips, and codes mean nothing to the mask."""
Reconstruction = Annotated[Literal["mse", "l1"], Searched(Choice(("mse", "l1")))]
"""L_rec of eq. 6: squared or absolute error of the rebuilt patch."""
RebuiltAt = Literal[1, 2]
"""2: half the resolution is rebuilt, three to four times faster on a CPU
(benchmarks/half_resolution.py). Where all skips are dropped little is lost: a code stands for 32 x
32 x 32 voxels and says nothing of single ones."""
Partitions = Annotated[int, Field(ge=2), Searched(Choice((2, 4, 8)))]
"""P of S4: slabs of equal depth that each axis of a patch is cut into."""
EncoderShare = Annotated[float, Field(gt=0, le=1), Searched(Choice((0.3, 0.5, 1.0)))]
"""Share of all steps that compare slices of the encoder's state; the others compare slices of the
vessel probability, through the decoder. 1: the encoder alone is pre-trained."""
SliceTau = Annotated[float, Field(gt=0), Searched(Choice((0.1, 0.5, 1.0)))]
"""Temperature of the contrast between slices; 1 in eq. 3 of S4, .1 in Chaitanya's."""
TermWeight = Annotated[float, Field(ge=0), Searched(Range(0.1, 2, log=True))]
"""Weight of one of the three terms of eq. 9 of S2; 0 leaves it out."""
GlobalTau = Annotated[float, Field(gt=0), Searched(Choice((0.07, 0.2, 0.9)))]
"""tau of eq. 1 of S2."""
MatchTau = Annotated[float, Field(gt=0), Searched(Range(0.05, 1, log=True))]
"""Divides the cosines that a matcher is given. The paper has none, but then a dual softmax of N
tokens cannot get below 2 ln(1 + (N - 1) e^-2): 6.03 of 9.94 for 144 tokens."""
TeacherDecay = Annotated[float, Field(ge=0, lt=1), Searched(Choice((0.99, 0.999)))]
"""Largest decay of the moving average that gives the other view."""
Keys = Annotated[int, Field(ge=1), Searched(Choice((90, 360, 1440)))]
"""K of eq. 1 of S2: keys of earlier crops that are kept as negatives."""
Matcher = Annotated[Literal["dual", "sinkhorn"], Searched(Choice(("dual", "sinkhorn")))]
"""What makes a soft matching of similarities: the dual softmax of eq. 4 of S2, or Sinkhorn."""
Beta = Annotated[float, Field(ge=0), Searched(Range(0.1, 1, log=True))]
"""beta of eq. 10: largest weight of L_semi; 0 leaves the term and the pseudo-labels out."""
RampEpochs = Annotated[float, Field(ge=0), Searched(Choice((40.0, 80.0, 150.0, 300.0)))]
"""Epochs of the Gaussian ramp to beta (Temporal Ensembling's warm-up)."""
Gamma = Annotated[float, Field(ge=0), Searched(Range(0.1, 10, log=True))]
"""gamma of eq. 10: weight of L_dis; 0 leaves the term and the codes out."""
DistilOn = Annotated[On, Searched(Choice(("both", "labelled")))]
"""Patches that L_dis of eq. 12 is taken over."""
Mid = Annotated[float, Field(gt=0), Searched(Range(0.1, 100, log=True))]
"""Weight of L_mid of Table 3, in the arms that have it."""
OthersOn = Annotated[On, Searched(Choice(("both", "labelled")))]
"""Patches that the older distilling methods learn from."""
Pseudo = Literal["hard", "soft"]
"""Pseudo-labels of eq. 11: the teacher's mask, or its vessel probability."""
ClDice = Annotated[float, Field(ge=0, lt=1)]
"""Share a of soft-clDice in the supervised loss; 0 leaves the term out."""
ClDiceIterations = Annotated[int, Field(ge=1)]
"""Erosions of its soft skeleton: at least the largest radius in voxels."""
ConsistencyWeight = Annotated[float, Field(ge=0)]
"""Largest weight of the unlabelled term; 0 leaves it and the unlabelled patches out."""
RampShare = Annotated[float, Field(gt=0, le=1)]
"""Share of all steps over which that weight rises: the whole run, as in the papers' code."""
Decay = Annotated[float, Field(ge=0, lt=1)]
"""Largest decay of the moving average."""
Noise = Annotated[float, Field(ge=0)]
"""Noise that the average sees, in deviations of the patch; clipped at twice that."""
Passes = Annotated[int, Field(ge=1)]
"""T of UA-MT: noisy passes that uncertainty is read from."""
Certain = Annotated[float, Field(ge=0, le=1)]
"""First threshold of UA-MT, as a share of ln C."""
