"""Comparative against contrastive pre-training: time per step, and until S4's criterion stops it.

    python benchmarks/pretraining_speed.py [--network swin_unetr] [--seeds 3] [--most 100]

The paper reports pre-training that is up to 17 times faster (5.27 h against 0.3 h, and 116.66 h
against 16.38 h), by its own stopping rule: an objective within a hundredth of the mean of the ten
steps before. Here both train the same network on the same patches of generated volumes in one
process with one thread, steps of the two in turn, AdamW at 1e-4, the encoder first, then encoder
and decoder. CPU seconds; the share of a step that the loss itself takes is measured beside it.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from statistics import median

import torch

from vpbsd.config import Sampling, SwinNet, UnetrNet
from vpbsd.data.folds import whole_volume
from vpbsd.data.lattice import sample
from vpbsd.data.patches import PatchesWithTargets, Pool, Unlabelled, draw_corresponding
from vpbsd.data.phantom_set import phantom_folder
from vpbsd.data.volumes import list_volumes
from vpbsd.losses.slices import comparative_loss, contrastive_loss, slice_similarities
from vpbsd.methods.method import Clock
from vpbsd.methods.pretraining_configs import ComparativeConfig, ContrastiveConfig
from vpbsd.methods.roster import build_method
from vpbsd.settings import laptop

BATCH, RATE, DECAY = 4, 1e-4, 0.01
PHASES = {"encoder": 0, "encoder and decoder": 10**6}
"""Phase -> number of its first step; the schedule has twice as many steps as the larger."""


class Run:
    """One pre-training, step by step."""

    def __init__(self, config: ComparativeConfig | ContrastiveConfig, seed: int) -> None:
        self.method = build_method(config, seed).train()
        trained = [p for p in self.method.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(trained, lr=RATE, weight_decay=DECAY)
        self.seconds: dict[str, list[float]] = {name: [] for name in PHASES}

    def stopped(self, phase: str) -> int | None:
        """Steps after which the criterion stops a phase; None: not yet."""
        return (self.method.latent if phase == "encoder" else self.method.mask).step

    def step(self, batch: Unlabelled, phase: str, number: int) -> None:
        """Takes one step and notes how long it took."""
        clock, began = Clock(PHASES[phase] + number, 10, 2 * 10**6), time.process_time()
        (loss,) = self.method.losses(batch, clock).values()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.seconds[phase].append(time.process_time() - began)

    def until_stop(self, phase: str, most: int) -> float:
        """CPU seconds until the criterion, or all that were spent."""
        return sum(self.seconds[phase][: (self.stopped(phase) or most) + 1])


def loss_seconds(name: str, slabs: int, runs: int = 30) -> float:
    """CPU seconds of cosines, loss and gradient for slices of 64 x 64 voxels."""
    losses = {
        "comparative": comparative_loss,
        "contrastive": partial(contrastive_loss, tau=1.0),
    }
    loss = losses[name]
    slices, taken = torch.rand(BATCH, slabs, 64 * 64, requires_grad=True), []
    for _ in range(runs):
        began = time.process_time()
        loss(slice_similarities(slices), torch.ones(BATCH, slabs)).backward()
        taken.append(time.process_time() - began)
    return median(taken)


def pool_of(patch: tuple[int, int, int], seed: int) -> Pool:
    """Makes the patches of the phantom's unlabelled volumes."""
    volumes = list_volumes(phantom_folder(Path("runs"), "plain"))
    parts = tuple(whole_volume(v) for v in volumes if not v.labelled)
    data = laptop().data.model_copy(update={"patch": patch})
    patches = sample(parts, data, Sampling(patches=64))
    return Pool(None, PatchesWithTargets(patches, {}), BATCH, seed, augment=True)


def trained(network: SwinNet | UnetrNet, pool: Pool, seed: int, most: int) -> dict[str, Run]:
    """Trains both, steps in turn, each phase until both have stopped or the most steps."""
    configs = {"comparative": ComparativeConfig, "contrastive": ContrastiveConfig}
    runs = {name: Run(config(network=network), seed) for name, config in configs.items()}
    for phase in PHASES:
        for number in range(most):
            going = [run for run in runs.values() if run.stopped(phase) is None]
            batch = draw_corresponding(pool, number) if going else None
            for run in going:
                run.step(batch, phase, number)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=("unetr", "swin_unetr"), default="unetr")
    parser.add_argument("--patch", type=int, default=64, help="side of a patch in voxels")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most", type=int, default=100, help="steps of a phase (paper: 10000)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    patch, s = (args.patch,) * 3, laptop()
    network: SwinNet | UnetrNet = s.pretrain.network.model_copy(update={"codebook": None})
    if args.network == "unetr":
        network = s.unetr.model_copy(update={"patch": patch})
    print(f"{args.network}, patches of {args.patch}^3, {BATCH} volumes a step, P = 4", flush=True)
    for slabs in (4, 8, 16):
        a, b = (loss_seconds(name, slabs) for name in ("comparative", "contrastive"))
        print(f"loss alone, P = {slabs}: {1e3 * a:.2f} and {1e3 * b:.2f} ms, ratio {b / a:.2f}")
    spent: dict[str, float] = {"comparative": 0.0, "contrastive": 0.0}
    for seed in range(args.seeds):
        for name, run in trained(network, pool_of(patch, seed), seed, args.most).items():
            for phase in PHASES:
                stop, seconds = run.stopped(phase), run.until_stop(phase, args.most)
                spent[name] += seconds
                print(
                    f"seed {seed} {name:<12} {phase:<20} "
                    f"{median(run.seconds[phase]):.3f} s a step, "
                    f"{'no stop' if stop is None else f'stops after {stop}'}: {seconds:.1f} s",
                    flush=True,
                )
    ratio = spent["contrastive"] / spent["comparative"]
    print(f"until both phases stop, all seeds: contrastive takes {ratio:.2f} times comparative")


if __name__ == "__main__":
    main()
