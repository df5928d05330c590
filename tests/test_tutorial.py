"""The tutorial, run from its first line to its last, in an empty folder."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/tutorial.md").read_text()
BLOCK = re.compile(r"```(sh|python|diff)\n(.*?)```", re.DOTALL)


def run(words, home, code=ROOT):
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(code), os.environ.get("PYTHONPATH", "")]),
    }
    ran = subprocess.run(
        [sys.executable, *words], cwd=home, env=env, capture_output=True, text=True, timeout=400
    )
    assert ran.returncode == 0, (words, ran.stderr[-2000:])
    return ran.stdout


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Every command and piece of Python, in order, with what it printed."""
    home = tmp_path_factory.mktemp("tutorial")
    outputs = {}
    for kind, block in BLOCK.findall(TEXT):
        if kind == "python":
            outputs[block] = run(["-c", block], home)
        elif kind == "sh":
            for line in block.splitlines():
                program, *words = shlex.split(line)
                assert program == "vpbsd"
                outputs[line] = run(["-m", "vpbsd", *words], home)
    return home, outputs


def same(text):
    """The text without what differs from machine to machine: decimals, times, bold."""
    return re.sub(r"\d+\.\d+|\d+ (?:s|min|MB)\b|[*]", "~", text)


@pytest.mark.slow
def test_what_it_shows_is_what_comes_out(shown):
    _, outputs = shown
    printed = {line.rstrip() for line in same("".join(outputs.values())).splitlines()}
    blocks = re.findall(r"```text\n(.*?)```", TEXT.split("```diff")[0], re.DOTALL)
    blocks += re.findall(r"```text\n(.*?)```", TEXT.split("## 3.")[1], re.DOTALL)
    for block in blocks:
        lines = [line.rstrip() for line in same(block).splitlines()]
        assert [line for line in lines if line not in printed] == []


@pytest.mark.slow
def test_another_loss_trains_what_learns_through_it(shown, tmp_path):
    home, _ = shown
    for package in ("vpbsd", "vpbsd_sweeps"):
        shutil.copytree(ROOT / package, tmp_path / package)
    (diff,) = re.findall(r"```diff\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "change.diff").write_text(diff)
    subprocess.run(["git", "apply", "--unidiff-zero", "change.diff"], cwd=tmp_path, check=True)
    command = "vpbsd ablation --preset smoke --study squared --plan"
    assert command in TEXT
    plan = same(run(["-m", *shlex.split(command)], home, code=tmp_path))
    (block,) = re.findall(
        r"```text\n(.*?)```", TEXT.split("```diff")[1].split("## 3.")[0], re.DOTALL
    )
    assert [line for line in same(block).splitlines() if line not in plan.splitlines()] == []
