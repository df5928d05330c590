"""Which stages void a trial, or leave it unproven: one rule for tables, status and search.

A void trial does not count. One that is unproven keeps its numbers, but it is never the best:
the code words that its student learned were found to carry nothing, so L_dis claims nothing.
"""

from __future__ import annotations

from vpbsd.pipeline.recipes import examination
from vpbsd.pipeline.stage_config import Targets
from vpbsd.pipeline.stages import Stage


def voided_by(evaluation: Stage) -> list[Stage]:
    """Returns the stages of a trial that make it void if they are void themselves.

    A void codebook voids the arms that learn its code words. Those whose teacher was merely
    pre-trained beside it keep their numbers, with a note.
    """
    lineage = list(evaluation.lineage())
    learns = any(map(_says_codes, lineage))
    return [stage for stage in lineage if learns or stage.family != "pre-training"]


def examined_by(evaluation: Stage) -> Stage | None:
    """Returns the examination that leaves a trial unproven if it finds that codes carry nothing.

    None of an arm that learns no code words, or random ones: it claims nothing by them.
    """
    for stage in filter(_says_codes, evaluation.lineage()):
        assert isinstance(stage.config, Targets)
        if not stage.config.random_codes:
            return examination(stage.upstream["teacher"])
    return None


def _says_codes(stage: Stage) -> bool:
    return isinstance(stage.config, Targets) and stage.config.says == "codes"
