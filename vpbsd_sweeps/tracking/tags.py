"""Names of MLflow's tags and kinds of runs, and the filters that find them: each written once.

They are stored in databases that live for years, so none of them may change.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "vpbsd."
PARENT = "mlflow.parentRunId"

UNIT = "vpbsd.unit"  # what a run stands for, such as ``trial:NAME``; one run each
ROWS_SENT = "vpbsd.rows"
KIND = "vpbsd.kind"
COMMIT = "vpbsd.commit"
REASON = "vpbsd.reason"

STUDY_IDENTITY = "vpbsd.facts"  # of a sweep or a search
ARMS = "vpbsd.arms"  # of a sweep, for people
DATA = "vpbsd.data"
STORE = "vpbsd.store"
GROUPS = "vpbsd.groups"  # volume -> group: of a sweep, or of a trial's test volumes

ARM = "vpbsd.arm"
FOLD = "vpbsd.fold"
SEED = "vpbsd.seed"
STAGES = "vpbsd.stages"  # label -> key
TIMING = "vpbsd.timing"  # key of the stage that timed a trial's network
VOID = "vpbsd.void"  # why a trial does not count
UNPROVEN = "vpbsd.unproven"  # why one that counts is never the best: its codes carry nothing
EXAMINATION = "vpbsd.examination"  # key of the stage that examined the codes it learned
NOTE = "vpbsd.note"  # what is to be known of one that counts
OUTCOME = "vpbsd.outcome"  # of a search's trial

KEY = "vpbsd.key"
FAMILY = "vpbsd.family"
REUSED = "vpbsd.reused"
RESULT = "vpbsd.result"

FINAL_STAGE = "vpbsd.stage"  # of a final student
RULE = "vpbsd.rule"
TRIALS = "vpbsd.trials"

NORMALISATION = "vpbsd.normalise"  # of a sweep: what was chosen per fold, as people read it

SWEEP_KIND = "sweep"
TRIAL_KIND = "trial"
STAGE_KIND = "stage"
LEVEL_KIND = "stages"  # of the run that stages are filed under
SEARCH_KIND = "search"
SEARCH_TRIAL_KIND = "search-trial"
FINAL_KIND = "final"
NORMALISE_KIND = "normalise"
NORMALISE_TRIAL_KIND = "normalise-trial"


def of_kind(kind: str) -> str:
    """Returns the filter, in MLflow's language, for runs of a kind.

    >>> of_kind(TRIAL_KIND)
    "tags.`vpbsd.kind` = 'trial'"
    """
    return f"tags.`{KIND}` = '{kind}'"


def without_prefix(tags: Mapping[str, str]) -> dict[str, str]:
    """Returns our own tags of a run, by what follows the prefix.

    >>> without_prefix({"vpbsd.arm": "kd", "mlflow.user": "me"})
    {'arm': 'kd'}
    """
    return {k.removeprefix(PREFIX): v for k, v in tags.items() if k.startswith(PREFIX)}
