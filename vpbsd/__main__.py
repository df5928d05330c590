"""`vpbsd COMMAND ...`, or `python -m vpbsd COMMAND ...`: finds the command and hands over.

Commands on data and models are our own. Other packages add theirs as entry points of the group
`vpbsd.commands`, as `vpbsd_sweeps` does in pyproject.toml: this package imports none of them.
Only the module of the command that was asked for is imported.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from vpbsd.cli import invocation, run_main
from vpbsd.errors import BadInput

GROUP = "vpbsd.commands"
OWN = tuple(
    EntryPoint(name, f"vpbsd.commands.{module}:main", GROUP)
    for name, module in (
        ("import", "importing"),
        ("list", "listing"),
        ("check", "checking"),
        ("segment", "segmenting"),
        ("export", "exporting"),
        ("graph", "graphing"),
        ("regions", "regional"),
    )
)


def main() -> int:
    """Runs the command that the command line names.

    Raises:
        BadInput: There is no such command; the nearest is offered.
    """
    commands = {found.name: found for found in (*OWN, *entry_points(group=GROUP))}
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print("\n".join(_help(tuple(commands.values()))))
        return 0 if len(sys.argv) > 1 else 2
    if name == "--version":
        print(version("vpbsd"))
        return 0
    if name not in commands:
        from vpbsd.overrides import nearest  # no other command needs pydantic so early

        raise BadInput(f"there is no command '{name}'{nearest(name, list(commands))}")
    del sys.argv[1]
    return commands[name].load()() or 0


def script() -> NoReturn:
    """Runs `main` as the program `vpbsd`."""
    run_main(main)


def _help(commands: tuple[EntryPoint, ...]) -> Iterator[str]:
    called = invocation("COMMAND")
    yield f"usage: {called} ...\n\nVpbSD: small vessel segmenters for 3-D microscopy."
    own = [command for command in commands if command in OWN]
    others = [command for command in commands if command not in OWN]
    for heading, some in (("data and models", own), ("sweeps", others)):
        if some:
            yield f"\n{heading}:"
            yield from (f"  {command.name:<9} {_about(command)}" for command in some)
    yield f"\n{called} --help says more."


def _about(command: EntryPoint) -> str:
    """Reads the first line of a command's docstring from its source, which costs no import."""
    spec = find_spec(command.module)
    if spec is None or spec.origin is None:
        return ""
    return (ast.get_docstring(ast.parse(Path(spec.origin).read_text("utf-8"))) or "").split("\n")[
        0
    ]


if __name__ == "__main__":
    script()
