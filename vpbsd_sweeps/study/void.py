"""Which stages void a trial: one rule for tables, status and search."""

from __future__ import annotations

from vpbsd.pipeline.stage_config import Targets
from vpbsd.pipeline.stages import Stage


def voided_by(evaluation: Stage) -> list[Stage]:
    """Returns the stages of a trial that make it void if they are void themselves.

    A void codebook voids the arms that learn its code words. Those whose teacher was merely
    pre-trained beside it keep their numbers, with a note.
    """
    lineage = list(evaluation.lineage())
    learns = any(isinstance(s.config, Targets) and s.config.says == "codes" for s in lineage)
    return [stage for stage in lineage if learns or stage.family != "pre-training"]
