"""What a search found: its best configurations, what mattered, and how to measure the best.

Only trials at full budget on all folds and seeds count here. One that was stopped early has a
value at another epoch on one fold, and such a value is no result.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter

import numpy as np

from vpbsd.cli import invocation
from vpbsd.pipeline.crossings import arm_title
from vpbsd.search_ranges import Value
from vpbsd_sweeps.reporting.grid import Grid, Item, markdown
from vpbsd_sweeps.reporting.significance import Scores, Spread, spreads
from vpbsd_sweeps.study.study import asked
from vpbsd_sweeps.tuning.journal import Journal, TrialOutcome
from vpbsd_sweeps.tuning.ranking import best, pareto_front
from vpbsd_sweeps.tuning.sampler import ENOUGH_FOR_IMPORTANCES, importances
from vpbsd_sweeps.tuning.search_spec import Search
from vpbsd_sweeps.tuning.space import Params


def held_out_dsc(outcome: TrialOutcome, folds: int) -> Spread:
    """Averages a trial's DSC over folds; seeds are averaged within a fold first.

    Each run has one held-out group, so a fold's one score stands for its group and its volumes.
    """
    run = np.arange(len(outcome.scores))
    fold, seed = (run % folds).astype(np.str_), (run // folds).astype(np.str_)
    return spreads(Scores(np.array(outcome.scores), fold, fold, fold, seed)).folds


def report(search: Search, journal: Journal, most: int = 5) -> str:
    """Writes the best, importances and remarks as Markdown."""
    ranked = best(journal)
    counts = Counter(outcome.outcome for outcome in journal.outcomes.values())
    ended = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
    parts = [f"{len(journal.outcomes)} trials of {arm_title(search.arm)}: {ended or 'none'}\n"]
    parts.append(_table(search, journal, ranked[:most]))
    parts.append(_importances(search, journal, ranked))
    return "\n".join(parts)


def command(search: Search, params: Params, given: list[str]) -> str:
    """Writes the ablation that measures a configuration on test folds, which no search reads."""
    sets = [f"{path}={_shown(value)}" for path, value in params.items()]
    words = [*given, "--arms", f"light_unet,{asked(search.arm)}"]
    words += [word for change in sets for word in ("--set", change)]
    return f"{invocation('ablation')} {shlex.join(words)}"


def _table(search: Search, journal: Journal, shown: list[TrialOutcome]) -> str:
    if not shown:
        return "no trial is complete: give it more --trials\n"
    ranked = best(journal) if search.sampler == "nsga2" else []
    front = pareto_front((t.cost or 0.0, t.value or 0.0) for t in ranked)
    rows = []
    for trial in shown:
        params = journal.asked[trial.number]
        mark = "*" if (trial.cost or 0.0, trial.value or 0.0) in front else ""
        cost = "-" if trial.cost is None else f"{trial.cost:.3f}"
        settings = " ".join(f"{_short(p)}={_rounded(v)}" for p, v in params.items())
        texts = (str(held_out_dsc(trial, len(search.folds))), cost, settings)
        rows.append([Item(str(trial.number), mark=mark), *map(Item, texts)])
    notes = [
        "DSC: mean ± standard deviation over folds, on a training group held out of all stages; "
        "no test fold was read. The best of several is optimistic: measure it with the command "
        "below."
    ]
    if front:
        notes.append(
            "* no other trial is better at this cost (GMAC of one patch; latency is not measured)"
        )
    return markdown(Grid(["trial", "DSC", "GMAC", "configuration"], rows, notes))


def _importances(search: Search, journal: Journal, ranked: list[TrialOutcome]) -> str:
    finished = [(journal.asked[trial.number], trial.value or 0.0) for trial in ranked]
    shares = importances(search.space, finished)
    if shares is None:
        return (
            f"importances need {ENOUGH_FOR_IMPORTANCES} complete trials that differ, "
            f"there are {len(ranked)}\n"
        )
    rows = [[Item(path), Item(f"{share:.0%}")] for path, share in shares.items() if share >= 0.005]
    basis = f"PED-ANOVA over the {len(ranked)} complete trials."
    teachers = len({_shown(search.space.teacher_of(params)) for params, _ in finished})
    if search.space.teacher and teachers < ENOUGH_FOR_IMPORTANCES:
        basis += f" They had {teachers} teachers: shares of a teacher's settings rest on so few."
    return markdown(Grid(["setting", "share of the spread explained"], rows, [basis]))


def _shown(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _rounded(value: Value) -> str:
    """Writes a value for people; the command below the table has all digits."""
    return f"{value:.3g}" if isinstance(value, float) else _shown(value)


def _short(path: str) -> str:
    return path.removeprefix("pretrain.network.").removeprefix("student.")
