"""The roster: every method's config, as one type that is checked and searchable."""

from vpbsd.methods.fitnets import FitNetsConfig
from vpbsd.methods.patterns import PatternsConfig
from vpbsd.methods.supervised import SupervisedConfig
from vpbsd.methods.vpbsd import VpbSDConfig

MethodConfig = PatternsConfig | SupervisedConfig | VpbSDConfig | FitNetsConfig
