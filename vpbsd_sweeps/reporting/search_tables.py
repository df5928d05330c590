"""What a search found: its best configurations, what mattered, and how to measure the best.

Only trials at full budget on all folds and seeds count here. One that was stopped early has a
value at another epoch on one fold, and such a value is no result.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from statistics import mean, stdev

from vpbsd.cli import invocation
from vpbsd.pipeline.arms import TITLES
from vpbsd.search_ranges import Value
from vpbsd_sweeps.reporting.aggregates import Cell
from vpbsd_sweeps.tuning.journal import Journal, TrialOutcome
from vpbsd_sweeps.tuning.ranking import best, pareto
from vpbsd_sweeps.tuning.sampler import ENOUGH_FOR_IMPORTANCES, importances
from vpbsd_sweeps.tuning.search_spec import Search
from vpbsd_sweeps.tuning.space import Params


def cell_of(told: TrialOutcome, folds: int) -> Cell:
    """Mean and spread over folds; seeds are averaged within a fold first."""
    per_fold = [mean(told.scores[fold::folds]) for fold in range(folds)]
    return Cell(mean(per_fold), stdev(per_fold) if folds > 1 else float("nan"), folds)


def report(search: Search, journal: Journal, most: int = 5) -> str:
    """Table of the best, importances and remarks, as Markdown."""
    ranked = best(journal)
    counts = Counter(told.outcome for told in journal.told.values())
    told = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
    lines = [f"{len(journal.told)} trials of {TITLES[search.arm]}: {told or 'none'}", ""]
    lines += _table(search, journal, ranked[:most])
    lines += ["", *_importances(search, journal, ranked), ""]
    return "\n".join(lines)


def command(search: Search, params: Params, given: list[str]) -> str:
    """The ablation that measures a configuration on the test folds, which no search reads."""
    sets = [f"{path}={_shown(value)}" for path, value in params.items()]
    words = [*given, "--arms", f"light_unet,{search.arm}"]
    words += [word for change in sets for word in ("--set", change)]
    return f"{invocation('ablation')} {shlex.join(words)}"


def _table(search: Search, journal: Journal, shown: list[TrialOutcome]) -> list[str]:
    if not shown:
        return ["no trial is complete: give it more --trials"]
    front = pareto(best(journal)) if search.sampler == "nsga2" else set()
    rows = ["| trial | DSC | GMAC | configuration |", "|---|---|---|---|"]
    for told in shown:
        params = " ".join(
            f"{_short(p)}={_rounded(v)}" for p, v in journal.asked[told.number].items()
        )
        mark = " *" if told.number in front else ""
        cost = "-" if told.cost is None else f"{told.cost:.3f}"
        dsc = cell_of(told, len(search.folds))
        rows.append(f"| {told.number}{mark} | {dsc} | {cost} | {params} |")
    note = (
        "DSC: mean ± standard deviation over folds, on a training group held out of all stages; "
        "no test fold was read. The best of several is optimistic: measure it with the command "
        "below."
    )
    marked = [
        "* no other trial is better at this cost (GMAC of one patch; latency is not measured)"
    ]
    return [*rows, "", note, *(marked if front else [])]


def _importances(search: Search, journal: Journal, ranked: list[TrialOutcome]) -> list[str]:
    finished = [(journal.asked[told.number], told.value or 0.0) for told in ranked]
    shares = importances(search.space, finished)
    if shares is None:
        return [
            f"importances need {ENOUGH_FOR_IMPORTANCES} complete trials that differ, "
            f"there are {len(ranked)}"
        ]
    rows = [f"| {path} | {share:.0%} |" for path, share in shares.items() if share >= 0.005]
    head = ["| setting | share of the spread explained |", "|---|---|"]
    basis = f"PED-ANOVA over the {len(ranked)} complete trials."
    teachers = len({_shown(search.space.teacher_of(params)) for params, _ in finished})
    if search.space.teacher and teachers < ENOUGH_FOR_IMPORTANCES:
        basis += f" They had {teachers} teachers: shares of a teacher's settings rest on so few."
    return [*head, *rows, "", basis]


def _shown(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _rounded(value: Value) -> str:
    """For people; the command below the table has all digits."""
    return f"{value:.3g}" if isinstance(value, float) else _shown(value)


def _short(path: str) -> str:
    return path.removeprefix("pretrain.network.").removeprefix("student.")
