"""Manners of the command line, and the default data set it makes when none is given."""

import shlex
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vpbsd import __main__ as program
from vpbsd import cli
from vpbsd.cli import Parser, invocation, run_main
from vpbsd.data import phantom, phantom_set
from vpbsd.data.phantom import PhantomVolume
from vpbsd.data.volumes import list_volumes, open_volume
from vpbsd.errors import BadInput


def ended(run):
    with pytest.raises(SystemExit) as caught:
        run()
    return caught.value.code


def test_an_unknown_option_is_answered_with_the_nearest(capsys):
    parser = Parser(prog="p")
    parser.add_argument("--folds")
    parser.add_argument("--seeds")
    assert ended(lambda: parser.parse_args(["--fold s", "3"])) == 2
    assert ended(lambda: parser.parse_args(["--sedes", "3"])) == 2
    assert capsys.readouterr().err.splitlines()[1] == (
        "error: there is no option --sedes; did you mean '--seeds'?"
    )


def test_other_mistakes_keep_argparses_words(capsys):
    parser = Parser(prog="p")
    parser.add_argument("volume")
    assert ended(lambda: parser.parse_args([])) == 2
    assert capsys.readouterr().err == "error: the following arguments are required: volume\n"


def _bad():
    raise BadInput("no such thing: give another")


def _interrupted():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("run", "code", "says"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (_bad, 2, "error: no such thing: give another\n"),
        (_interrupted, 130, "interrupted: the same command goes on from here\n"),
    ],
)
def test_how_programs_end(run, code, says, capsys):
    assert ended(lambda: run_main(run)) == code
    assert capsys.readouterr().err == says


def test_list_shows_every_volume(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["vpbsd", "list", str(folder)])
    assert program.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["v0", "v1", "v2", "v3", "v4"]
    assert lines[1].startswith("v1  group animal1  20x64x70  3x1.625x1.625 um  label (")
    assert lines[4].endswith("no label")


def test_the_phantom_is_made_once_and_then_found(tmp_path, monkeypatch, capsys):
    image = np.arange(10 * 11 * 12, dtype=np.uint16).reshape(10, 11, 12)
    label = (image > 900).astype(np.uint8)
    made = [PhantomVolume("a", "A", image, label), PhantomVolume("b", "B", image, None)]
    monkeypatch.setattr(phantom, "phantom_volumes", lambda: iter(made))
    folder = phantom_set.phantom_folder(tmp_path)
    a, b = list_volumes(folder)
    assert (a.group, a.labelled, b.labelled) == ("A", True, False)
    np.testing.assert_array_equal(open_volume(a).image_block(np.s_[:, :, :]), image)
    np.testing.assert_array_equal(open_volume(a).label_block(np.s_[:, :, :]), label)
    assert "once" in capsys.readouterr().err
    monkeypatch.setattr(phantom, "phantom_volumes", None)
    assert phantom_set.phantom_folder(tmp_path) == folder
    assert capsys.readouterr().err == ""
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


def test_a_phantom_left_half_made_is_made_anew(tmp_path, monkeypatch):
    image = np.arange(1000, dtype=np.uint16).reshape(10, 10, 10)

    def stopped():
        yield PhantomVolume("a", "A", image, None)
        raise KeyboardInterrupt

    monkeypatch.setattr(phantom, "phantom_volumes", stopped)
    with pytest.raises(KeyboardInterrupt):
        phantom_set.phantom_folder(tmp_path)
    made = [PhantomVolume("b", "B", image, None)]
    monkeypatch.setattr(phantom, "phantom_volumes", lambda: iter(made))
    assert [v.name for v in list_volumes(phantom_set.phantom_folder(tmp_path))] == ["b"]


@pytest.mark.parametrize(
    ("how", "interrupts", "code", "says"),
    [
        (signal.SIGINT, signal.default_int_handler, 130, "interrupted"),
        (signal.SIGTERM, signal.default_int_handler, 143, "terminated"),
        (signal.SIGTERM, signal.SIG_IGN, 143, "terminated"),  # started in a script's background
    ],
)
def test_a_signal_ends_in_one_line(how, interrupts, code, says, capsys):
    before = signal.getsignal(signal.SIGTERM)
    had = signal.signal(signal.SIGINT, interrupts)
    try:
        with pytest.raises(SystemExit) as ended:
            run_main(lambda: signal.raise_signal(how))
    finally:
        signal.signal(signal.SIGINT, had)
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == code
    assert capsys.readouterr().err == f"{says}: the same command goes on from here\n"


def test_a_program_that_has_ended_well_is_not_killed_on_its_way_out():
    leaving = "atexit.register(signal.raise_signal, signal.SIGTERM)"
    code = f"import atexit, signal; {leaving}; from vpbsd.cli import run_main; run_main(int)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Makes this process look as if it had been started by a command line in `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def start(typed, script=None, python=None, path=""):
        monkeypatch.setenv("PATH", path)
        monkeypatch.setattr(sys, "orig_argv", [typed])
        monkeypatch.setattr(sys, "executable", str(python or Path(typed).absolute()))
        spec = None if script else SimpleNamespace(name="vpbsd.__main__")
        main = SimpleNamespace(__spec__=spec, __file__=script and str(script))
        monkeypatch.setitem(sys.modules, "__main__", main)

    return start


def _program(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_commands_are_shown_as_this_one_was_called(started, tmp_path):
    bin_ = tmp_path / ".venv" / "bin"
    python, vpbsd = _program(bin_ / "python"), _program(bin_ / "vpbsd")
    sweeps = tmp_path / "sweeps"
    for name in ("ablation.py", "final.py"):
        _program(sweeps / name)
    started("python", path=str(bin_), python=python)
    assert invocation("final") == "python -m vpbsd final"
    started(".venv/bin/python")
    assert invocation("final") == ".venv/bin/python -m vpbsd final"
    started(".venv/bin/python", sweeps / "ablation.py")
    assert invocation("final") == ".venv/bin/python sweeps/final.py"
    assert invocation("segment") == ".venv/bin/python -m vpbsd segment"
    started("python", sweeps / "ablation.py", python, str(bin_))
    assert invocation("final") == "python sweeps/final.py"
    started(str(python), vpbsd, python, str(bin_))
    assert invocation("final") == "vpbsd final"
    started(str(python), vpbsd, python)
    assert invocation("final") == ".venv/bin/vpbsd final"


def test_another_python_of_that_name_is_not_offered(started, tmp_path):
    other = _program(tmp_path / "other" / "python")
    python = _program(tmp_path / "my room" / "python")
    started("python", python=python, path=str(other.parent))
    assert shlex.split(invocation("final"))[0] == "my room/python"


def test_a_command_is_found_handed_its_words_and_its_code_kept(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(cli, "toy", lambda: seen.append(sys.argv[1:]) or 3, raising=False)
    toy = EntryPoint("toy", "vpbsd.cli:toy", program.GROUP)
    monkeypatch.setattr(program, "entry_points", lambda group: (toy,))
    monkeypatch.setattr(sys, "argv", ["vpbsd", "toy", "--help"])
    assert program.main() == 3
    assert seen == [["--help"]]
    monkeypatch.setattr(sys, "argv", ["vpbsd", "--help"])
    assert program.main() == 0
    shown = capsys.readouterr().out
    own, _, sweeps = shown.partition("sweeps:\n")
    assert "\n  list      List the volumes of a data folder" in own
    assert sweeps.startswith("  toy       Manners of the command line")


def test_an_unknown_command_is_answered_with_the_nearest(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["vpbsd", "segmant"])
    with pytest.raises(BadInput, match="there is no command 'segmant'; did you mean 'segment'?"):
        program.main()


def test_help_loads_no_library_and_is_there_at_once():
    code = (
        "import sys; from vpbsd.__main__ import main; sys.argv = ['vpbsd', '--help']; main()\n"
        "print(sorted({'torch', 'ray', 'mlflow', 'zarr', 'numpy'} & {*sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_check_shows_groups_and_the_folds_a_sweep_would_make(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vpbsd", "check", str(folder), "--folds", "3"])
    assert program.main() == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].startswith("v0  group animal0  32x64x64")
    assert "group animal4: 1 volume" in shown
    assert any(line.startswith("note: v1 (20 x 64 x 70 voxels) is thinner") for line in shown)
    assert shown[-3:] == [
        "fold 0: trains on v1, v2; tests on v0; pre-trains on v3, v4",
        "fold 1: trains on v0, v2; tests on v1; pre-trains on v3, v4",
        "fold 2: trains on v0, v1; tests on v2; pre-trains on v3, v4",
    ]


def test_check_refuses_what_a_sweep_would_refuse(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vpbsd", "check", str(folder), "--folds", "7"])
    with pytest.raises(BadInput, match="7 folds need as many groups"):
        program.main()


@pytest.mark.parametrize("command", ["segment", "graph", "regions"])
@pytest.mark.parametrize("given", ["0", "-1", "two"])
def test_a_number_of_processes_is_1_or_more(command, given, monkeypatch, capsys):
    words = {"segment": ["m", "v", "o"], "graph": ["m", "o"], "regions": ["m", "a", "o"]}[command]
    monkeypatch.setattr(sys, "argv", ["vpbsd", command, *words, f"--workers={given}"])
    with pytest.raises(SystemExit) as ended:
        program.script()
    assert ended.value.code == 2
    assert f"{given} is no number of processes: give 1 or more" in capsys.readouterr().err
