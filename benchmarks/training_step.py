"""The student's training step against a plain eager fp32 loop with a torch DataLoader.

    python -m benchmarks.training_step                   # laptop patch and 64^3, batch 2
    python -m benchmarks.training_step --device cuda     # and bf16

The same network, Dice loss, Adam, clipping and turns of the same volumes. The plain loop reads
each patch of its volume when it is asked for, as a Dataset does that holds no more than it must,
in contiguous memory, and asks for the loss in each step. Beside it: the share of the time in which
our loop waits for data.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks import scene
from benchmarks.sides import arguments, head, in_turns, row
from vpbsd.config import Grid, Precision
from vpbsd.data.lattice import PatchSet
from vpbsd.data.patches import Pool
from vpbsd.losses.segmentation import dice_loss, vessel_probability
from vpbsd.networks.build import build_network
from vpbsd.settings import laptop
from vpbsd.training import loop

STEPS = 10


class Patches(Dataset[tuple[Tensor, Tensor]]):
    """Image and label of each patch, flipped and turned at random."""

    def __init__(self, patches: PatchSet) -> None:
        self.patches = patches

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        pair = (
            torch.from_numpy(self.patches.image(i))[None],
            torch.from_numpy(self.patches.label(i)),
        )
        self.patches.forget(i)
        axes = [axis for axis in (1, 2, 3) if torch.rand(()) < 0.5]
        quarters = int(torch.randint(4, ()))
        image, label = (torch.rot90(x.flip(axes), quarters, (2, 3)) for x in pair)
        return image, label


class Plain:
    """The loop that one would write first."""

    def __init__(self, pool: Pool, device: torch.device) -> None:
        assert pool.labelled is not None
        self.network = build_network(laptop().student.network, 0).to(device).train()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=0.01)
        self.device = device
        data = Patches(pool.labelled.patches)
        self.loader = DataLoader(data, batch_size=scene.BATCH, shuffle=True)
        self.batches: Iterator[list[Tensor]] = iter(())

    def __call__(self) -> None:
        """Takes some steps."""
        for _ in range(STEPS):
            image, label = (x.to(self.device) for x in self._next())
            loss = dice_loss(vessel_probability(self.network(image).logits), label)
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimiser.step()
            loss.item()

    def _next(self) -> list[Tensor]:
        try:
            return next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            return next(self.batches)


class Ours:
    """`fit`, an epoch at a time; notes what it waits for batches."""

    def __init__(self, pool: Pool, device: torch.device, precision: Precision) -> None:
        self.waited, self.spent = 0.0, 0.0
        self.epochs = loop.fit(scene.student(STEPS), pool, device, precision)
        self.drawn = loop.prefetched
        loop.prefetched = self._timed  # type: ignore[assignment]

    def __call__(self) -> None:
        """Takes an epoch."""
        began = time.perf_counter()
        next(self.epochs)
        self.spent += time.perf_counter() - began

    def _timed(self, *given: object) -> Iterator[object]:
        batches = self.drawn(*given)
        while True:
            began = time.perf_counter()
            batch = next(batches)
            self.waited += time.perf_counter() - began
            yield batch


def main() -> None:
    given = arguments(__doc__, runs=7, on_gpus=True).parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    head(given.device)
    parts = scene.labelled_parts()
    patches: list[Grid] = [(32, 64, 64), (64, 64, 64)]
    for patch in patches:
        for precision in ("fp32", "bf16")[: 1 + (given.device == "cuda")]:
            plain, ours = (scene.pool_of(parts, patch) for _ in range(2))
            mine = Ours(ours, device, precision)
            seconds = in_turns({"plain": Plain(plain, device), "ours": mine}, given.runs)
            name = f"student's step, {'x'.join(map(str, patch))}, {precision}"
            row(name, seconds, 1.5 if given.device == "cpu" else 5, STEPS)
            mine.epochs.close()
            loop.prefetched = mine.drawn
            print(f"| waiting for data | | {mine.waited / mine.spent:.2%} | | < 2 % |", flush=True)


if __name__ == "__main__":
    main()
