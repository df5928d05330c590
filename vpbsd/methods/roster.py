"""The roster: which method a config describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vpbsd.config import MethodSection
from vpbsd.methods.ab import ActivationBoundaries
from vpbsd.methods.chaitanya import Chaitanya
from vpbsd.methods.comparative import Comparative
from vpbsd.methods.configs import (
    EntropyConfig,
    MeanTeacherConfig,
    PatternsConfig,
    SupervisedConfig,
    UncertainTeacherConfig,
)
from vpbsd.methods.contrastive import Contrastive
from vpbsd.methods.cross_pseudo import CrossPseudo
from vpbsd.methods.dico import Dico
from vpbsd.methods.distilling_configs import (
    AbConfig,
    FitNetsConfig,
    HintsConfig,
    KdConfig,
    VidConfig,
    VpbSDConfig,
)
from vpbsd.methods.entropy import Entropy
from vpbsd.methods.fitnets import FitNets
from vpbsd.methods.hints import Hints
from vpbsd.methods.kd import Distillation
from vpbsd.methods.mcsc import Mcsc
from vpbsd.methods.mean_teacher import MeanTeacher
from vpbsd.methods.method import Method
from vpbsd.methods.patterns import Patterns
from vpbsd.methods.pretraining_configs import (
    ChaitanyaConfig,
    ComparativeConfig,
    ContrastiveConfig,
    S2dcConfig,
)
from vpbsd.methods.rival_configs import CpsConfig, DicoConfig, McscConfig, SimCVDConfig
from vpbsd.methods.s2dc import S2dc
from vpbsd.methods.simcvd import SimCVD
from vpbsd.methods.supervised import Supervised
from vpbsd.methods.uncertain_teacher import UncertainTeacher
from vpbsd.methods.vid import VariationalDistillation
from vpbsd.methods.vpbsd import VpbSD

METHODS: Mapping[type[MethodSection], Callable[[Any, int], Method[Any]]] = {
    PatternsConfig: Patterns,
    S2dcConfig: S2dc,
    ComparativeConfig: Comparative,
    ContrastiveConfig: Contrastive,
    ChaitanyaConfig: Chaitanya,
    SupervisedConfig: Supervised,
    VpbSDConfig: VpbSD,
    FitNetsConfig: FitNets,
    MeanTeacherConfig: MeanTeacher,
    UncertainTeacherConfig: UncertainTeacher,
    EntropyConfig: Entropy,
    HintsConfig: Hints,
    KdConfig: Distillation,
    VidConfig: VariationalDistillation,
    AbConfig: ActivationBoundaries,
    CpsConfig: CrossPseudo,
    SimCVDConfig: SimCVD,
    McscConfig: Mcsc,
    DicoConfig: Dico,
}


def build_method(config: MethodSection, seed: int) -> Method[Any]:
    """Makes a method with its networks freshly initialised, each from its own stream of the seed.

    The student is built first and from a stream that all methods share, so that every arm of a
    study starts from one student.
    """
    return METHODS[type(config)](config, seed)
