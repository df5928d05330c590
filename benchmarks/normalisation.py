"""Which normalisation does a short Light UNet need on a data set, chosen without the test groups?

    python benchmarks/normalisation.py --data data/mine

Supervised students of the laptop preset's rates, one thread. Outer folds by group; within the
training volumes of each, inner folds (by group, by region where there is one group only). For each
outer fold the choice of best inner score is taken, and only then its outer score is looked up. The
thresholds below it are chosen on the training volumes, too. Prints a table of DSC, mean over test
volumes; `--out` keeps every number, and what it holds is not computed again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch

from vpbsd.config import Data, LightNet
from vpbsd.data.folds import Fold, Part, make_folds
from vpbsd.data.lattice import PatchSet
from vpbsd.data.patches import PatchesWithTargets, Pool, draw_labelled
from vpbsd.data.volumes import VolumeInfo, list_volumes, open_volume
from vpbsd.inference.sliding_window import reader
from vpbsd.losses.segmentation import vessel_probability
from vpbsd.methods.configs import SupervisedConfig
from vpbsd.methods.roster import build_method
from vpbsd.optim import Optim
from vpbsd.pipeline.anisotropy import z_halvings
from vpbsd.protocol import Protocol
from vpbsd.training.loop import Training, fit

PATCH = (32, 64, 64)
EPOCHS = 20
CPU = torch.device("cpu")
CHOICES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "p95 group": ({"clip_percentile": 95.0}, {}),
    "p99.5 group": ({"clip_percentile": 99.5}, {}),
    "p99.5 group path": ({"clip_percentile": 99.5}, {"intensity_path": True}),
    "p99.5 batch": ({"clip_percentile": 99.5}, {"norm": "batch"}),
    "p99.5 batch path": ({"clip_percentile": 99.5}, {"norm": "batch", "intensity_path": True}),
    "p99.5 batch z": ({"clip_percentile": 99.5}, {"norm": "batch", "z_halvings": "auto"}),
    "match batch": ({"intensity": "match"}, {"norm": "batch"}),
    "match group path": ({"intensity": "match"}, {"intensity_path": True}),
    "zscore batch": ({"intensity": "zscore"}, {"norm": "batch"}),
    "zscore group": ({"intensity": "zscore"}, {}),
    "local batch": ({"intensity": "local", "clip_percentile": 99.5}, {"norm": "batch"}),
    "p99.9 batch": ({"clip_percentile": 99.9}, {"norm": "batch"}),
    "p95 batch": ({"clip_percentile": 95.0}, {"norm": "batch"}),
    "p95 group path": ({"clip_percentile": 95.0}, {"intensity_path": True}),
    "p99.9 group path": ({"clip_percentile": 99.9}, {"intensity_path": True}),
}
"""Settings of `data` and of `student.network`, by a short name."""
THRESHOLDS: dict[str, dict[str, Any]] = {
    "p95": {"clip_percentile": 95.0},
    "p99.5": {"clip_percentile": 99.5},
    "p99.9": {"clip_percentile": 99.9},
    "unclipped": {"clip_percentile": 100.0},
    "match": {"intensity": "match"},
    "zscore": {"intensity": "zscore"},
    "local": {"intensity": "local", "clip_percentile": 99.5},
}


def trained(choice: str, parts: tuple[Part, ...], steps: int, seed: int) -> torch.nn.Module:
    """Trains a supervised student."""
    data, network = CHOICES[choice]
    net = dict(network)
    if net.get("z_halvings") == "auto":
        net["z_halvings"] = z_halvings(tuple(part.volume.spacing_um for part in parts))
    method = build_method(SupervisedConfig(network=LightNet(**net)), seed)
    optim = Optim(lr=1e-2, final_ratio=0.1, epochs=EPOCHS, steps_per_epoch=steps // EPOCHS)
    patches = PatchesWithTargets(PatchSet(parts, Data(patch=PATCH, **data)), {})
    pool = Pool(patches, None, optim.batch, seed, augment=True)
    assert type(method).draws is draw_labelled
    for _ in fit(Training(method, optim, steps // EPOCHS), pool, CPU):
        pass
    return method.deliverable


def scores(choice: str, network: torch.nn.Module, parts: tuple[Part, ...]) -> list[float]:
    """Computes the Dice of each part over the lattice's patches, which hardly overlap: quicker."""
    data = Data(patch=PATCH, **CHOICES[choice][0])
    network.eval()
    return [_score(network, PatchSet([part], data)) for part in parts]


@torch.no_grad()
def _score(network: torch.nn.Module, patches: PatchSet) -> float:
    masks, truths = [], []
    for i in range(len(patches)):
        valid = patches.valid(i) > 0
        logits = network(torch.from_numpy(patches.image(i))[None, None]).logits
        masks.append((vessel_probability(logits)[0, 0] > 0.5).numpy()[valid])
        truths.append(patches.label(i)[0][valid] > 0)
    return dice(np.concatenate(masks), np.concatenate(truths))


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (mask & truth).sum() / max(mask.sum() + truth.sum(), 1))


def threshold_scores(data: dict[str, Any], folds: tuple[Fold, ...]) -> list[float]:
    """Computes the Dice of each test part under the threshold of best mean Dice in training.

    Of the normalised image: what a network that sees intensities alone could do.
    """
    curves = {part: curve(part, Data(patch=PATCH, **data)) for f in folds for part in f.test}
    chosen = [int(np.argmax(np.mean([curves[part] for part in f.train], 0))) for f in folds]
    return [float(curves[p][at]) for f, at in zip(folds, chosen, strict=True) for p in f.test]


def curve(part: Part, data: Data) -> np.ndarray:
    """Computes the Dice of every threshold k / 1000."""
    z, y, x = (slice(0, n) for n in part.shape)
    box = tuple(slice(low, high) for low, high in part.box)
    truth = open_volume(part.volume).label_block((box[0], box[1], box[2])) > 0
    level = np.round(1000 * reader(part, data)((z, y, x))).astype(int)
    hits, marked = (
        np.bincount(chosen, minlength=1001)[::-1].cumsum()[::-1]
        for chosen in (level[truth], level.ravel())
    )
    return 2 * hits / (marked + truth.sum())


def inner(fold: Fold) -> tuple[Fold, ...]:
    """Splits the training volumes of a fold in two, by group if there are two groups."""
    volumes: dict[str, VolumeInfo] = {part.volume.name: part.volume for part in fold.train}
    by_group = len({v.group for v in volumes.values()}) > 1
    protocol = Protocol(folds=2, split="group" if by_group else "space", pretrain_on="all")
    return make_folds(tuple(volumes.values()), protocol)


def measured(
    choice: str, fold: Fold, splits_inside: int, steps: int, seed: int
) -> Iterator[tuple[str, dict[str, float]]]:
    """Trains and measures one choice on the inner folds and on the outer one."""
    for kind, splits in (("inner", inner(fold)[:splits_inside]), ("outer", (fold,))):
        found: dict[str, float] = {}
        for split in splits:
            network = trained(choice, split.train, steps, seed)
            values = scores(choice, network, split.test)
            names = (f"{p.volume.name} {p.box}" for p in split.test)
            found |= dict(zip(names, values, strict=True))
        yield kind, found


def table(rows: dict[str, dict[str, float]], folds: tuple[Fold, ...]) -> str:
    """Writes the DSC of each fixed choice, then of the nested one."""
    done = [c for c in CHOICES if all(f"{c}/{f.index}/outer" in rows for f in folds)]

    def of(choice: str, kind: str, fold: Fold) -> list[float]:
        return list(rows[f"{choice}/{fold.index}/{kind}"].values())

    lines = ["| choice | inner | outer |", "|---|---|---|"]
    for c in done:
        both = (mean(v for f in folds for v in of(c, kind, f)) for kind in ("inner", "outer"))
        lines.append(f"| {c} | {' | '.join(f'{score:.3f}' for score in both)} |")
    if not done:
        return "\n".join(lines)
    chosen = [max(done, key=lambda c: mean(of(c, "inner", f))) for f in folds]
    nested = mean(v for c, f in zip(chosen, folds, strict=True) for v in of(c, "outer", f))
    lines.append(f"| nested: {', '.join(chosen)} | | {nested:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="imported volumes, labelled")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--inner", type=int, default=2, help="inner folds that are run, 1 or 2")
    parser.add_argument("--steps", type=int, default=200, help=f"a multiple of {EPOCHS}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("normalisation.json"))
    parser.add_argument(
        "--only", nargs="*", default=list(CHOICES), help="names of choices, or none"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    protocol = Protocol(folds=args.folds, pretrain_on="all")
    folds = make_folds(list_volumes(args.data), protocol)
    rows: dict[str, dict[str, float]] = (
        json.loads(args.out.read_text()) if args.out.exists() else {}
    )
    for fold in folds:
        for choice in args.only:
            if f"{choice}/{fold.index}/outer" in rows:
                continue
            for kind, found in measured(choice, fold, args.inner, args.steps, args.seed):
                rows[f"{choice}/{fold.index}/{kind}"] = found
                print(choice, fold.index, kind, round(mean(found.values()), 3), flush=True)
            args.out.write_text(json.dumps(rows, indent=1))
    print(table(rows, folds))
    for name, data in THRESHOLDS.items():
        print(f"| threshold, {name} | | {mean(threshold_scores(data, folds)):.3f} |", flush=True)


if __name__ == "__main__":
    main()
