"""A docstring's first line is a sentence whose verb is the function's, third person present."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("vpbsd", "vpbsd_sweeps")
NOUNS = """
As Is This Its Those These Whether Plus Less Thus Always Besides Vessels Axes Columns Codes Cells
Channels Coordinates Distances Files Fields Groups Images Indices Keys Lines Losses Metrics
Milliseconds Names Numbers Parameters Parts Patches Percentiles Pictures Pieces Points Rows Seconds
Settings Stages States Steps Terms Times Tokens Trials Units Values Volumes Voxels Weights Words
"""
"""First words that end like a verb and are none, and nouns that could be one but are not here."""


def first_line(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    """The first line of a docstring that must begin with a verb; None where none must."""
    decorators = {ast.unparse(one).rpartition(".")[2] for one in function.decorator_list}
    if decorators & {"property", "cached_property", "overload", "setter"}:
        return None
    text = ast.get_docstring(function)
    return text.splitlines()[0] if text else None


def problems(source: str) -> Iterator[tuple[int, str]]:
    """Line and first line of each docstring that begins with no verb; nested ones are free."""
    bodies = [ast.parse(source).body]
    while bodies:
        for node in bodies.pop():
            if isinstance(node, ast.ClassDef):
                bodies.append(node.body)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                line = first_line(node)
                if line is not None and not begins_with_verb(line):
                    yield node.lineno, line


def begins_with_verb(line: str) -> bool:
    """Whether a sentence begins as ``Reads ...`` does: one word, capital, ending with an s."""
    word = line.split()[0].rstrip(",:;")
    return word.isalpha() and word.istitle() and word.endswith("s") and word not in NOUNS.split()


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_begin_with_what_the_function_does(room):
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for line, text in problems(path.read_text())
    ]
    wanted = "begin with a verb in the third person, such as 'Reads', 'Returns' or 'Yields'"
    assert not found, f"{len(found)} docstrings do not {wanted}:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line", ["Of an arm.", "One.", "Whether it is.", "Keys of a trial.", "(B, d) -> (B,).", "`x`."]
)
def test_what_is_no_verb(line):
    assert list(problems(f'class A:\n    def f(self):\n        """{line}"""')) == [(2, line)]


def test_properties_and_nested_functions_may_be_named():
    source = 'class A:\n    @property\n    def x(self):\n        """The x."""\n'
    source += 'def f():\n    """Makes g."""\n    def g():\n        """The inner one."""\n'
    assert not list(problems(source))
