"""run(): one stage from its inputs to a folder of results, a generator with resumable steps."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vpbsd import checkpoint, targets
from vpbsd.checkpoint import Row
from vpbsd.config import canonical
from vpbsd.data.folds import Part
from vpbsd.data.lattice import PatchSet, sample
from vpbsd.data.patches import Asked, Pool
from vpbsd.evaluate import evaluate
from vpbsd.examine import Findings, code_drift
from vpbsd.methods.method import Method
from vpbsd.networks.build import WEIGHTS, build_network, load_network, save_network
from vpbsd.networks.swin_unetr import SwinTeacher
from vpbsd.pictures import save_png
from vpbsd.randomness import generator
from vpbsd.stages import Evaluate, Role, Stage, Targets, Timing, Train
from vpbsd.tensors import load_weights, read_tensors, write_tensors
from vpbsd.timing import BLOCKS, CUBE, block_times, size_of
from vpbsd.train import Training, fit
from vpbsd.validation import Validation

Inputs = Mapping[str, Path]
"""Input name of a stage -> the folder of that upstream result."""
PATCHES_PER_STEP = 64  # that a teacher speaks about between two checkpoints


@dataclass(frozen=True)
class Step:
    """A piece of work done.

    Attributes:
        rows: All rows so far, one per finished epoch or volume; the same list grows.
        share: Of the stage that is done, in [0, 1].
        save: Writes a checkpoint from which `run` goes on exactly here.
    """

    rows: list[Row]
    share: float
    save: Callable[[Path], None]


def run(stage: Stage, inputs: Inputs, out: Path, resume: Path | None = None) -> Iterator[Step]:
    """Runs a stage and leaves its result in `out`.

    Args:
        stage: What to do.
        inputs: Results of its upstream stages.
        out: An empty folder; holds `stage.json`, `rows.json`, `summary.json`, pictures and the
            weights or targets when the generator ends.
        resume: A checkpoint that a `Step` of this stage saved.

    Yields:
        Steps, at least one per epoch, volume or 64 patches, or every five minutes of training.

    Raises:
        Diverged: A loss is not finite.
    """
    (out / "stage.json").write_text(canonical(stage.describe()))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = stage.config
    if isinstance(config, Train):
        yield from _train(stage, config, inputs, out, resume, device)
    elif isinstance(config, Targets):
        yield from _targets(stage, config, inputs, out, resume, device)
    elif isinstance(config, Timing):
        yield from _timing(config, out, device)
    else:
        yield from _evaluate(stage, config, inputs, out, resume, device)


def _train(
    stage: Stage,
    config: Train,
    inputs: Inputs,
    out: Path,
    resume: Path | None,
    device: torch.device,
) -> Iterator[Step]:
    method: Method[Any] = config.method.build(stage.seed)
    if "start" in inputs:
        load_weights(inputs["start"] / WEIGHTS, method.deliverable)
    pool = make_pool(stage, config, inputs)
    steps = config.optim.steps_per_epoch or pool.passes(type(method).draws)
    method.to(device)
    training = Training(method, config.optim, steps)
    rows = [] if resume is None else checkpoint.load(resume, training)
    watched = Validation(stage.parts.get("validation", ()), config)
    for progress in fit(training, pool, device, config.precision):
        if progress.row is not None:
            seen = watched.row(method, progress.row, device)
            rows.append({**progress.row, **seen, "time": time.time()})
        yield Step(rows, training.share, lambda path: checkpoint.save(path, training, rows))
    found = method.examine(pool)
    found.numbers |= _drift(method, inputs, pool, device)
    found.numbers["params_train"] = float(
        sum(p.numel() for p in method.parameters() if p.requires_grad)
    )
    save_network(out, method.deliverable, config.method.network)
    _conclude(out, rows, found)


def make_pool(stage: Stage, config: Train, inputs: Inputs) -> Pool:
    """The patches a training draws from, with what the teacher said about them."""

    def asked(role: Role) -> Asked | None:
        if role not in stage.parts:
            return None
        patches = patch_set(stage.parts[role], role, config)
        suffix = f"_{role}"
        said = {
            name.removesuffix(suffix): targets.StoredAnswers(folder, name.removesuffix(suffix))
            for name, folder in inputs.items()
            if name.endswith(suffix) and name != "start"
        }
        return Asked(patches, said)

    return Pool(
        labelled=asked("labelled"),
        unlabelled=asked("unlabelled"),
        batch=config.optim.batch,
        seed=stage.seed,
        augment=config.augment,
    )


def patch_set(parts: tuple[Part, ...], role: Role, config: Train | Targets) -> PatchSet:
    """All lattice cells of labelled parts, the shared sample of unlabelled ones."""
    if role == "labelled":
        return PatchSet(parts, config.data)
    assert config.sampling is not None, "stages with unlabelled patches say which"
    return PatchSet(parts, config.data, sample(parts, config.data, config.sampling))


def _targets(
    stage: Stage,
    config: Targets,
    inputs: Inputs,
    out: Path,
    resume: Path | None,
    device: torch.device,
) -> Iterator[Step]:
    teacher = load_network(inputs["teacher"])
    assert isinstance(teacher, SwinTeacher)
    if config.random_codes:
        assert teacher.quantiser is not None, "codes come from a teacher with a codebook"
        teacher.quantiser.codebook.randomise(generator(stage.seed, "random codes"))
    teacher.to(device)
    (role,) = stage.parts
    patches = patch_set(stage.parts[role], role, config)
    said = [] if resume is None else list(read_tensors(resume)[0]["said"].numpy())
    for i in range(len(said), len(patches)):
        image = torch.from_numpy(patches.image(i))[None, None].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            said.append(targets.say(teacher, image, config.says)[0].cpu().numpy())
        patches.forget()
        if len(said) % PATCHES_PER_STEP == 0:
            yield Step([], len(said) / len(patches), lambda path: _save_said(path, said))
    targets.write(out, config.says, said)
    _conclude(out, [], Findings({"patches": float(len(said)), **_said_numbers(config, said)}))


def _evaluate(
    stage: Stage,
    config: Evaluate,
    inputs: Inputs,
    out: Path,
    resume: Path | None,
    device: torch.device,
) -> Iterator[Step]:
    network = load_network(inputs["network"]).to(device)
    rows: list[Row] = []
    pictures: dict[str, np.ndarray] = {}
    if resume is not None:
        tensors, metadata = read_tensors(resume)
        rows = json.loads(metadata["rows"])
        pictures = {name: tensor.numpy() for name, tensor in tensors.items()}
    left = stage.parts["test"][len(rows) :]
    for row, shown in evaluate(network, left, config.data, config.precision):
        for kind, picture in shown.items():
            pictures[f"{kind}_{len(rows)}_{row['volume']}"] = picture
        rows.append({**row, "time": time.time()})
        share = len(rows) / len(stage.parts["test"])
        yield Step(rows, share, lambda path: _save_rows(path, rows, pictures))
    _conclude(out, rows, Findings(size_of(network, config.data.patch), None, pictures))


def _timing(config: Timing, out: Path, device: torch.device) -> Iterator[Step]:
    """Milliseconds per 64^3 voxels; weights do not matter, and a few seconds need no resuming."""
    network = build_network(config.network, 0).to(device).eval()
    scale = CUBE / math.prod(config.patch)
    rows: list[Row] = []
    for i, ms in enumerate(block_times(network, config.patch, config.precision)):
        rows.append({"block": i + 1.0, "ms_per_block": scale * ms, "time": time.time()})
        if len(rows) % 10 == 0:
            yield Step(rows, len(rows) / BLOCKS, lambda path: _save_rows(path, rows, {}))
    times = np.array([row["ms_per_block"] for row in rows], float)
    numbers = {"ms_per_block": float(times.mean()), "ms_sd": float(times.std(ddof=1))}
    numbers |= size_of(network, config.patch)
    _conclude(out, rows, Findings(numbers))


def _drift(
    method: Method[Any], inputs: Inputs, pool: Pool, device: torch.device
) -> dict[str, float]:
    """How far fine-tuning moved tokens across codes, where there are codes."""
    after = method.deliverable
    if "start" not in inputs or not isinstance(after, SwinTeacher) or after.quantiser is None:
        return {}
    before = load_network(inputs["start"]).to(device)
    assert isinstance(before, SwinTeacher)
    assert pool.labelled is not None
    return code_drift(before, after, pool.labelled.patches)


def _said_numbers(config: Targets, said: list[np.ndarray]) -> dict[str, float]:
    return {"pseudo_vessel_share": float(np.mean(said))} if config.says == "pseudo" else {}


def _save_said(path: Path, said: list[np.ndarray]) -> None:
    write_tensors(path, {"said": torch.from_numpy(np.stack(said))}, {})


def _save_rows(path: Path, rows: list[Row], pictures: dict[str, np.ndarray]) -> None:
    tensors = {name: torch.from_numpy(picture) for name, picture in pictures.items()}
    write_tensors(path, tensors, {"rows": json.dumps(rows)})


def _conclude(out: Path, rows: list[Row], found: Findings) -> None:
    """Rows, numbers, verdict and pictures of a finished stage."""
    (out / "rows.json").write_text(json.dumps(rows))
    summary = {"numbers": found.numbers, "void": found.void}
    (out / "summary.json").write_text(json.dumps(summary))
    for name, picture in found.pictures.items():
        save_png(out / f"{name}.png", picture)
