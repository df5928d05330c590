"""A study may grow: more arms and seeds under its name add trials; all else stays as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from vpbsd.errors import BadInput
from vpbsd_sweeps.store.studies import differences
from vpbsd_sweeps.study.external import with_known
from vpbsd_sweeps.study.study import Study, check_arm

IDENTITY = "study.json"
"""What makes a study this study, in the store."""
GROWS = ("arms", "seeds", "external")
WHY = {
    "data": "data: other volumes, labels or groups than before",
    "primary": "{}, and the metric that decides is chosen before results are seen",
    "settings.protocol.folds": "{}, and then each volume is tested by other networks",
}
"""Field -> how its change is described, where both values alone say too little."""


def grown(study: Study, known: Mapping[str, Any] | None) -> Study:
    """Returns a study with the arms and seeds that it has already, then those asked for.

    A study never shrinks: what is asked for now is added to what was asked for before.

    Args:
        study: As it is asked for.
        known: The identity stored under its name; None: the name is free.

    Raises:
        BadInput: A setting or the data differ; each is named, with both values.
    """
    if known is None:
        return study
    study = replace(study, primary=study.primary or known.get("primary"))
    changed = [_described(line) for line in differences(_fixed(study.identity), _fixed(known))]
    if changed:
        raise BadInput(
            f"study '{study.name}' was started with another configuration "
            f"({'; '.join(changed)}): arms and seeds may be added, nothing else may change; pass "
            "--study NAME for a new one"
        )
    masks = with_known(study.external, known.get("external", {}), study.volumes, study.name)
    theirs = {one.arm for one in masks}
    every = (a if a in theirs else check_arm(a) for a in [*known["arms"], *study.arms])
    seeds = tuple(dict.fromkeys([*known["seeds"], *study.seeds]))
    return replace(study, arms=tuple(dict.fromkeys(every)), seeds=seeds, external=masks)


def growth(study: Study, known: Mapping[str, Any] | None) -> Iterator[str]:
    """Yields a line on what a grown study has that it had not before, if there is anything."""
    if known is None:
        return
    names = {"arms": study.arms, "seeds": tuple(study.seeds)}
    new = {kind: [n for n in names[kind] if n not in known[kind]] for kind in names}
    if not any(new.values()):
        return
    before = replace(study, arms=tuple(known["arms"]), seeds=tuple(known["seeds"]))
    more = len(study.trials) - len(before.trials)
    what = (f"{kind} {', '.join(map(str, some))}" for kind, some in new.items() if some)
    yield f"grows by {' and '.join(what)}: {more} new trials beside {len(before.trials)}"


def _fixed(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in identity.items() if name not in GROWS}


def _described(line: str) -> str:
    return WHY.get(line.partition(":")[0], "{}").format(line)
