"""What README, CONTRIBUTING and docs/ say is so: paths, commands, terms, pictures."""

import importlib.util
import re
import shlex
import sys
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from textwrap import dedent
from typing import get_args

import pytest
from packaging.requirements import Requirement

import vpbsd_sweeps
from vpbsd.__main__ import OWN
from vpbsd.cli import Parser
from vpbsd.pipeline.arms import GROUPS
from vpbsd.pipeline.stages import Family, Role
from vpbsd.settings import PRESETS
from vpbsd_sweeps.cli.options import settings_of
from vpbsd_sweeps.reporting.columns import COLUMNS
from vpbsd_sweeps.study.study import check_arms
from vpbsd_sweeps.tuning.journal import Outcome
from vpbsd_sweeps.tuning.search_spec import SAMPLERS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED = re.compile(r"`((?:vpbsd|vpbsd_sweeps|sweeps|tests|benchmarks|cluster|docs)/[\w./]*)`")
MADE_IN_THE_TEXT = {"vpbsd/methods/pi.py", "docs/pictures/"}
LINK = re.compile(r"(?:\]\(|src=\")([^)\"#]+)")


class Parsed(Exception):
    """A command line was understood; nothing was run."""


@pytest.fixture
def understand(monkeypatch):
    """A function that takes the words of a `vpbsd` command to its parser and no further."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    commands = {own.name: own.value for own in OWN} | scripts["vpbsd.commands"]
    parse = Parser.parse_args

    def stopped(self, *words):
        raise Parsed(parse(self, *words))

    def understand(words):
        module, _, function = commands[words[0]].partition(":")
        monkeypatch.setattr(Parser, "parse_args", stopped)
        monkeypatch.setattr(sys, "argv", ["vpbsd", *words[1:]])
        with pytest.raises(Parsed) as parsed:
            getattr(import_module(module), function)()
        return parsed.value.args[0]

    return understand


def commands_of(page):
    """Every command of ours in a page's blocks, those within `ray exec '...'` too, as words."""
    text = page.read_text()
    fenced = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = [line for line in plain.splitlines() if line.startswith("    ")]
    for line in [*fenced, *indented]:
        words = shlex.split(line, comments=True)
        for one in [words, *(shlex.split(word) for word in words[1:] if " " in word)]:
            if one[:1] == ["vpbsd"] and "|" not in one:
                yield one[1:]
            elif one[:1] == ["python"] and one[1].startswith("sweeps/"):
                assert (ROOT / one[1]).exists(), one
                yield [Path(one[1]).stem, *one[2:]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_exist(page):
    paths = set(NAMED.findall(page.read_text())) - MADE_IN_THE_TEXT
    missing = [path for path in paths if not (ROOT / path).exists() and "NAME" not in path]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_understood(page, understand):
    for words in commands_of(page):
        args = understand(words)
        if hasattr(args, "preset"):
            args.set = getattr(args, "set", [])
            settings_of(args)
        if hasattr(args, "arms"):
            check_arms(args.arms.split(","))


def test_the_readme_has_commands():
    assert len(list(commands_of(ROOT / "README.md"))) > 10


def test_torch_is_pinned_for_the_suite_and_free_for_users():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (torch,) = [r for r in map(Requirement, project["dependencies"]) if r.name == "torch"]
    assert all(each in torch.specifier for each in ("2.11.0", "2.14.1", "2.15.0"))
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    assert pins["torch"] in torch.specifier
    assert pins["torch"] == version("torch").partition("+")[0], "the suite runs with it"


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name for page in PAGES for name in re.findall(r"[ `]make ([a-z-]+)`", page.read_text())
    }
    assert named
    assert named <= targets


def test_tables_of_arms_are_complete():
    rows = re.findall(
        r"^\| `(\w+)`.*\| (.*) \|$", (ROOT / "docs/sweeps.md").read_text(), re.MULTILINE
    )
    told = {table: tuple(re.findall(r"`(\w+)`", arms)) for table, arms in rows if table in GROUPS}
    assert told == GROUPS


def test_rooms_of_the_architecture_are_those_there_are():
    rows = re.findall(
        r"^\| `(\w+)/` \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE
    )
    there = [
        path.parent.name
        for top in ("vpbsd_sweeps", "vpbsd")
        for path in sorted((ROOT / top).glob("*/__init__.py"))
    ]
    assert sorted(rows) == sorted(there)


@pytest.mark.parametrize(
    "terms",
    [
        get_args(Family),
        get_args(Role),
        get_args(Outcome),
        [heading.split()[0] for heading in COLUMNS.values()],
        list(PRESETS),
        list(SAMPLERS),
    ],
    ids=["families", "roles", "outcomes", "metrics", "presets", "samplers"],
)
def test_the_glossary_knows(terms):
    glossary = (ROOT / "docs/glossary.md").read_text()
    assert [term for term in terms if not re.search(rf"\b{re.escape(term)}\b", glossary)] == []


def test_the_study_from_python_is_that_of_the_package():
    block = r"```python\n(from vpbsd_sweeps.*?)```"
    (shown,) = re.findall(block, (ROOT / "README.md").read_text(), re.DOTALL)
    told = re.search(r"    from vpbsd_sweeps.*?\n\n(?=\w)", vpbsd_sweeps.__doc__, re.DOTALL)[0]
    assert shown.strip() == dedent(told).strip()


def test_pictures_are_those_that_are_drawn(tmp_path):
    spec = importlib.util.spec_from_file_location("draw", ROOT / "docs/draw.py")
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    draw.main(tmp_path)
    words = re.compile(r"<dc:description>(.*?)</dc:description>", re.DOTALL)
    for drawn in sorted(tmp_path.iterdir()):
        shown = words.search((ROOT / "docs/pictures" / drawn.name).read_text())[1]
        assert words.search(drawn.read_text())[1] == shown, f"run docs/draw.py: {drawn.name}"
    paths = [path for _, path, _ in (*draw.STAGE, *draw.NUMBER)]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    rooms = {path.parent.name for path in (ROOT / "vpbsd_sweeps").glob("*/__init__.py")}
    assert {room[0] for room in draw.ROOMS} == rooms
