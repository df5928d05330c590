"""What a search found: its best configurations, what mattered, and how to measure the best.

Only trials at full budget on all folds and seeds count here. One that was stopped early has a
value at another epoch on one fold, and such a value is no result.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator
from statistics import mean, stdev

from sweeps.candidate import Search
from sweeps.journal import Journal, Told
from sweeps.plan import hours, take_stock
from sweeps.sampling import ENOUGH_FOR_IMPORTANCES, importances
from sweeps.space import Params, Value
from sweeps.store import Store
from sweeps.tables import Cell
from vpbsd.arms import TITLES

DEAR = ("pre-training", "fine-tuning", "targets")
"""Families that a change of a student's settings leaves alone, or nearly so."""


def best(journal: Journal) -> list[Told]:
    """Complete trials, the highest objective first."""
    complete = [told for told in journal.told.values() if told.outcome == "complete"]
    return sorted(complete, key=lambda told: (-(told.value or 0.0), told.number))


def cell_of(told: Told, folds: int) -> Cell:
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
    return "python sweeps/ablation.py " + " ".join(map(shlex.quote, words))


def plan_lines(search: Search, store: Store, trials: int) -> Iterator[str]:
    """What a search would train at most; reads manifests, never voxels or weights."""
    stages = [stage for run in search.runs({}) for stage in run.stage.lineage()]
    stock = take_stock(search.name, {stage.key: stage for stage in stages}.values(), store)
    costs = stock.costs()
    dear = sum(costs[stage.key] for stage in stock.stages if stage.family in DEAR)
    cheap = sum(costs[stage.key] for stage in stock.stages if stage.family not in DEAR)
    teachers = -(-trials // search.students_per_teacher) if search.space.teacher else 1
    yield (
        f"search {search.name}: {TITLES[search.arm]}, sampler {search.sampler}, {trials} trials, "
        f"{len(search.folds)} folds, {len(search.seeds)} seeds"
    )
    yield from search.space.lines()
    yield f"teachers       {teachers:>5} at {hours(dear)} with all they say, over all folds"
    yield f"students       {trials:>5} at {hours(cheap)} with evaluation, over all folds and seeds"
    basis = "measured" if stock.seconds else "guessed for one core, nothing measured yet"
    yield (
        f"work at most {hours(teachers * dear + trials * cheap)}, less what is stored and what "
        f"halving stops; a teacher per trial {hours(trials * (dear + cheap))} ({basis})"
    )


def pareto(ranked: list[Told]) -> set[int]:
    """Numbers of the trials that no other beats in DSC without costing more."""
    return {
        one.number
        for one in ranked
        if not any(
            (other.value or 0) >= (one.value or 0)
            and (other.cost or 0) <= (one.cost or 0)
            and (other.value, other.cost) != (one.value, one.cost)
            for other in ranked
        )
    }


def _table(search: Search, journal: Journal, shown: list[Told]) -> list[str]:
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


def _importances(search: Search, journal: Journal, ranked: list[Told]) -> list[str]:
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
