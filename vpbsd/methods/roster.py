"""The roster: every method's config, as one type that is checked and searchable."""

from vpbsd.methods.ab import AbConfig
from vpbsd.methods.entropy import EntropyConfig
from vpbsd.methods.fitnets import FitNetsConfig
from vpbsd.methods.hints import HintsConfig
from vpbsd.methods.kd import KdConfig
from vpbsd.methods.mean_teacher import MeanTeacherConfig
from vpbsd.methods.patterns import PatternsConfig
from vpbsd.methods.supervised import SupervisedConfig
from vpbsd.methods.uncertain_teacher import UncertainTeacherConfig
from vpbsd.methods.vid import VidConfig
from vpbsd.methods.vpbsd import VpbSDConfig

MethodConfig = (
    PatternsConfig
    | SupervisedConfig
    | VpbSDConfig
    | FitNetsConfig
    | MeanTeacherConfig
    | UncertainTeacherConfig
    | EntropyConfig
    | HintsConfig
    | KdConfig
    | VidConfig
    | AbConfig
)
