"""A search as a picture: how the objective goes with each setting, alone and on average."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from vpbsd.search_ranges import Range
from vpbsd_sweeps.reporting.drawing import OKABE_ITO, panels, save
from vpbsd_sweeps.tuning.sampler import importances
from vpbsd_sweeps.tuning.space import Parameter, Params, Space

Array = NDArray[np.float64]
Finished = Sequence[tuple[Params, float]]
POINTS = 25  # of a curve over a range
MOST = 9  # settings shown


def draw_search(space: Space, finished: Finished, folder: Path) -> None:
    """Writes ``slices`` into a folder, as PNG and SVG, if there is anything to draw."""
    figure = slices(space, finished)
    if figure is not None:
        save(figure, folder / "slices")


def slices(space: Space, finished: Finished) -> Figure | None:
    """Draws a panel per setting, the most important first: trials as dots, and a line.

    The line is the partial dependence: the mean answer of a random forest, fitted to all trials,
    when this one setting is set and the others stay as they were tried; drawn where there are
    trials enough to tell importances too. A trial in which a setting did not matter is no dot in
    its panel.

    Args:
        space: What was searched.
        finished: Configuration and objective of trials at full budget on all folds, no others.

    Returns:
        None where fewer than two trials differ in any setting.
    """
    shares = importances(space, finished)
    varied = [p for p in (*space.teacher, *space.student) if len(_tried(p, finished)) > 1]
    if not varied:
        return None
    shown = sorted(varied, key=lambda p: -(shares or {}).get(p.path, 0.0))[:MOST]
    figure, axes = panels(len(shown), 3, (3.3, 2.4), share=True)
    forest = _fitted(varied, finished) if shares else None
    for at, parameter in zip(axes, shown, strict=True):
        own = [(params[parameter.path], v) for params, v in finished if parameter.path in params]
        at.plot([_place(parameter, x) for x, _ in own], [v for _, v in own], "o", ms=4, mfc="none")
        if forest is not None:
            grid = _grid(parameter)
            line = partial_dependence(forest, _table(varied, finished), varied, parameter, grid)
            at.plot(grid, line, color=OKABE_ITO[1], lw=2)
        share = f" ({shares.get(parameter.path, 0.0):.0%})" if shares else ""
        at.set_title(_name(parameter, shown) + share, fontsize=9)
        _axis(at, parameter)
    axes[0].set_ylabel("DSC held out")
    return figure


def partial_dependence(
    forest: RandomForestRegressor,
    table: Array,
    varied: Sequence[Parameter],
    parameter: Parameter,
    grid: Array,
) -> Array:
    """Averages predictions over the trials with one setting set to each point: (points,)."""
    column, means = list(varied).index(parameter), []
    for point in grid:
        changed = table.copy()
        changed[:, column] = point
        means.append(forest.predict(changed).mean())
    return np.array(means)


def _fitted(varied: Sequence[Parameter], finished: Finished) -> RandomForestRegressor:
    forest = RandomForestRegressor(n_estimators=100, min_samples_leaf=2, random_state=0)
    return forest.fit(_table(varied, finished), [value for _, value in finished])


def _table(varied: Sequence[Parameter], finished: Finished) -> Array:
    """Makes (trials, settings); -1 where a setting did not matter to a trial."""
    rows = [
        [_place(p, params[p.path]) if p.path in params else -1.0 for p in varied]
        for params, _ in finished
    ]
    return np.array(rows, np.float64)


def _place(parameter: Parameter, value: object) -> float:
    """Places a value on its panel's axis: a number as it is, one of some by its rank there."""
    if isinstance(parameter.values, Range):
        assert isinstance(value, int | float)
        return float(value)
    return float([repr(v) for v in parameter.values.values].index(repr(value)))


def _grid(parameter: Parameter) -> Array:
    values = parameter.values
    if not isinstance(values, Range):
        return np.arange(len(values.values), dtype=np.float64)
    between = np.geomspace if values.log else np.linspace
    return np.asarray(between(values.low, values.high, POINTS), np.float64)


def _tried(parameter: Parameter, finished: Finished) -> set[str]:
    return {repr(params[parameter.path]) for params, _ in finished if parameter.path in params}


def _name(parameter: Parameter, shown: Sequence[Parameter]) -> str:
    """Takes the last word of a path, and the one before where another panel has that too."""
    words = parameter.path.split(".")
    alike = [p for p in shown if p.path.rpartition(".")[2] == words[-1]]
    return ".".join(words[-2:] if len(alike) > 1 else words[-1:])


def _axis(at: Axes, parameter: Parameter) -> None:
    values = parameter.values
    if isinstance(values, Range):
        if values.log:
            at.set_xscale("log")
            few = values.high / values.low > 30  # whole decades are ticks enough
            at.xaxis.set_major_locator(LogLocator(subs=(1.0,) if few else (1.0, 2.0, 5.0)))
            at.xaxis.set_major_formatter("{x:g}")
            at.xaxis.set_minor_formatter(NullFormatter())
        at.tick_params(axis="x", labelsize=7)
    else:
        names = [str(v).replace(" ", "") for v in values.values]
        at.set_xticks(range(len(names)), names, fontsize=7)
        at.set_xlim(-0.5, len(names) - 0.5)
    at.grid(alpha=0.3)
