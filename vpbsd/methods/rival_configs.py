"""Configs of rival semi-supervised methods, a section of settings and a config each; no torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from vpbsd.config import StudentSection, Supervision
from vpbsd.methods.parameters import RampShare
from vpbsd.search_ranges import Range, Searched
from vpbsd.section import Section


class Cps(Section):
    """How much two students count that learn from each other (Chen et al. 2021)."""

    weight: Annotated[float, Field(ge=0), Searched(Range(0.01, 10, log=True))] = 0.1
    """lambda: largest weight of the cross terms; 0 leaves them and unlabelled patches out."""
    ramp_share: RampShare = 1.0


class CpsConfig(StudentSection):
    """Cross pseudo supervision: both students have the network, and how labels supervise them."""

    numerics: ClassVar[int] = 1
    name: Literal["cps"] = "cps"
    sup: Supervision = "dice_ce"
    cps: Cps = Cps()

    @property
    def draws_unlabelled(self) -> bool:
        """True with a weight; the teacher is asked nothing about those patches."""
        return self.cps.weight > 0
