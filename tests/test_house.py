"""The rooms of the house: imports point down, no files in a circle, no file too long.

Every import counts, also within functions and under TYPE_CHECKING. A package's own __init__ only
hands names on, so it is not looked at.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
ROOMS = (
    *("commands", "api", "cli", "drivers", "deployment", "reporting", "tracking", "monitor"),
    *("tuning", "study", "execution", "store"),
    *("patience", "messages", "periodic", "units", "provenance"),
)
"""Of vpbsd_sweeps, from top to bottom: a room may import from itself and from rooms below."""
MAY_IMPORT = {
    "ray": {"vpbsd_sweeps/execution"},
    "optuna": {"vpbsd_sweeps/tuning"},
    "mlflow": {"vpbsd_sweeps/tracking", "vpbsd_sweeps/deployment"},
}
LONGEST = 300  # lines of a file


def _files():
    every = [*(HOME / "vpbsd").rglob("*.py"), *(HOME / "vpbsd_sweeps").rglob("*.py")]
    return {
        ".".join(path.relative_to(HOME).with_suffix("").parts): path
        for path in sorted(every)
        if path.name != "__init__.py"
    }


FILES = _files()


def imported(path):
    """Every module, or name of a module, that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written out"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows():
    """(file, file that it imports), both as modules of ours."""
    for name, path in FILES.items():
        for target in imported(path):
            found = target if target in FILES else target.rpartition(".")[0]
            if found in FILES:
                yield name, found


def room(module):
    return module.split(".")[1]


def external():
    """(file, library that only some rooms may import)."""
    for name, path in FILES.items():
        for target in {target.split(".")[0] for target in imported(path)}:
            if target in MAY_IMPORT:
                yield name, target


def test_the_science_knows_nothing_of_sweeps():
    names = [name for name in FILES if name.startswith("vpbsd.")]
    wrong = [n for n in names for t in imported(FILES[n]) if t.split(".")[0] == "vpbsd_sweeps"]
    assert wrong == []


@pytest.mark.parametrize("library", MAY_IMPORT)
def test_only_some_rooms_import_a_library(library):
    users = {"/".join(name.split(".")[:2]) for name, found in external() if found == library}
    assert users <= MAY_IMPORT[library], "others ask the room that may"
    assert users, "the table names a library that nobody uses"


def test_every_room_has_its_place():
    rooms = {room(name) for name in FILES if name.startswith("vpbsd_sweeps.")}
    assert rooms <= set(ROOMS)


def test_imports_between_rooms_point_down():
    ours = [pair for pair in arrows() if all(end.startswith("vpbsd_sweeps.") for end in pair)]
    up = [pair for pair in ours if ROOMS.index(room(pair[0])) > ROOMS.index(room(pair[1]))]
    assert up == []
    assert len(ours) > 50, "imports are found"


def test_no_files_import_each_other_in_a_circle():
    graph = {name: set() for name in FILES}
    for name, target in arrows():
        graph[name].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' - '.join(error.args[1])}")


def test_no_file_is_too_long():
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in FILES.items()}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}
