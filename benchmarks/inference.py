"""Segmenting whole volumes against window by window, on generated noise: rates and their ratios.

    python benchmarks/inference.py                 # some minutes; one core, then all
    python benchmarks/inference.py --side 512      # of the volume that both sides segment

The same weights on all sides, in one run, in turns; medians of several runs. First the interior of
a large volume on one core: a block through `predict_block`, which reads half-overlapping windows
one at a time, and the same block as a tile, with its context and its share of the deep levels of a
region. Then a whole volume on all cores: MONAI's sliding_window_inference (overlap .5, Gaussian,
the quickest of some batch sizes) against ours. Then, what an empty block costs, and how often
chunks are decoded. Last, the exported file in ONNX Runtime and in OpenVINO (pip install onnx
onnxruntime openvino).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from vpbsd.config import Data, LightNet
from vpbsd.data.chunks import ChunkReader
from vpbsd.data.tissue import Cells
from vpbsd.data.volume_writer import write_array
from vpbsd.data.volumes import Volume
from vpbsd.inference.folded import FoldedUNet
from vpbsd.inference.mask import MaskFile
from vpbsd.inference.model import write_settings
from vpbsd.inference.onnx import INPUT, Probabilities, export_onnx
from vpbsd.inference.sliding_window import predict_block
from vpbsd.inference.tiling import TiledNetwork, Tiling
from vpbsd.inference.whole import WholeVolume
from vpbsd.inference.work import Work, here
from vpbsd.networks.build import build_network, load_network, save_network

PATCH = (32, 64, 64)
BATCHES = (1, 4, 16)
EDGE = 160


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", type=int, default=512, help="of a volume of 128 planes")
    parser.add_argument("--only", choices=["interior", "volume", "stored", "backends"])
    parser.add_argument("--model", type=Path, help="a model folder; default: untrained weights")
    given = parser.parse_args()
    network = load_network(given.model) if given.model else untrained()
    cores = torch.get_num_threads()
    if given.only in (None, "interior"):
        torch.set_num_threads(1)
        interior(network, given.runs)
        torch.set_num_threads(cores)
    if given.only in (None, "volume"):
        volume(network, given.side, given.runs, cores)
    if given.only in (None, "stored"):
        stored(network, given.side)
    if given.only in (None, "backends"):
        torch.set_num_threads(1)
        backends(network, given.runs)


def untrained() -> torch.nn.Module:
    """A network with running statistics of noise."""
    network = build_network(LightNet(norm="batch"), 0).train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(2, 1, *PATCH))
    return network.eval()


def interior(network: torch.nn.Module, runs: int) -> None:
    """A block of 256^3 within a large volume: windows, and its tile with its share of the rest."""
    side, region = Tiling().side, Tiling().region
    image = np.random.default_rng(0).random((side + 128,) * 3, np.float32)
    block = tuple(slice(64, 64 + 128) for _ in range(3))  # windows cost alike, so half a side
    old = [
        timed(lambda: predict_block(network, lambda b: image[b], image.shape, PATCH, block))
        for _ in range(runs)
    ]
    folded = FoldedUNet(network)
    wide = region + 2 * EDGE
    share = (region / side) ** 3
    tile = torch.rand(1, 1, *(side + 64,) * 3).contiguous(memory_format=torch.channels_last_3d)
    seen = torch.rand(1, 1, *(side + 32,) * 3).contiguous(memory_format=torch.channels_last_3d)
    below = torch.rand(1, folded.width, *((side + 64) // 8,) * 3)
    context = torch.rand(1, folded.width, *(wide // 8,) * 3)
    parts: dict[str, list[float]] = {"context": [], "deep": [], "fine": []}
    with torch.inference_mode():
        for _ in range(runs):
            parts["context"].append(timed(lambda: folded.context(seen)))
            parts["deep"].append(timed(lambda: folded.deep(context)) / share)
            parts["fine"].append(timed(lambda: folded.fine(tile, below)))
    new = sum(median(times) for times in parts.values())
    rates = 128**3 / median(old) / 1e6, side**3 / new / 1e6
    shown = ", ".join(f"{name} {median(times) / new:.0%}" for name, times in parts.items())
    print(f"interior, one core: windows {rates[0]:.2f}, tiles {rates[1]:.2f} M voxels/s", end="")
    print(f", ratio {rates[1] / rates[0]:.1f} ({shown})")


def volume(network: torch.nn.Module, side: int, runs: int, cores: int) -> None:
    """A whole volume in memory, and whether both give one mask where MONAI sees all at once."""
    shape = (128, side, side)
    image = np.random.default_rng(1).random(shape, np.float32)
    x = torch.from_numpy(image)[None, None]

    def monai(batch: int) -> NDArray[np.float32]:
        with torch.inference_mode():
            found = sliding_window_inference(
                x, PATCH, batch, lambda w: network(w).logits, overlap=0.5, mode="gaussian"
            )
        return (found[0, 1] - found[0, 0]).numpy()

    def ours() -> NDArray[np.float32]:
        run = TiledNetwork(FoldedUNet(network), lambda b: image[b], shape)
        answer, blocks = np.empty(shape, np.float32), run.tiling.blocks(shape)
        context, deep = (np.empty(run.feature_shape, np.float32) for _ in range(2))
        boxes = run.deep_boxes(blocks, blocks)
        for tile in run.context_boxes(boxes):
            context[run.cells(tile)] = run.context(tile)
        for box in boxes:
            deep[run.cells(box)] = run.deep(box, context)
        for block in blocks:
            answer[block] = run.logits(block, deep)
        return answer

    first = {batch: timed(lambda batch=batch: monai(batch)) for batch in BATCHES}
    best = min(first, key=lambda batch: first[batch])
    theirs, mine = [], []
    for _ in range(runs):
        theirs.append(timed(lambda: monai(best)))
        mine.append(timed(ours))
    rates = [np.prod(shape) / median(times) / 1e6 for times in (theirs, mine)]
    print(f"volume {shape}, {cores} cores: MONAI (batch {best}) {rates[0]:.2f}, ", end="")
    print(f"ours {rates[1]:.2f} M voxels/s, ratio {rates[1] / rates[0]:.1f}", flush=True)
    with torch.inference_mode():
        logits = network(x).logits[0]
    exact = (logits[1] - logits[0]).numpy()
    equal = [np.mean((answer > 0) == (exact > 0)) for answer in (ours(), monai(best))]
    print(f"equal to one pass over all: ours {equal[0]:.5%}, blended windows {equal[1]:.3%}")


def stored(network: torch.nn.Module, side: int) -> None:
    """A volume on disk, half of it empty: decoded chunks, and what an empty block costs."""
    shape = (128, side, side)
    rng = np.random.default_rng(2)
    image = (gaussian_filter(rng.normal(size=shape), 1.5) * 3000 + 2000).astype(np.uint16)
    image[:, :, side // 2 :] = 0
    with tempfile.TemporaryDirectory() as folder:
        info = write_array(folder, "v", image, spacing_um=None, group="v")
        opened = Volume(info)
        reader = ChunkReader(opened)
        cells = Cells(*np.asarray(opened.cells[:]))
        tiling = Tiling(128, 128)
        run = WholeVolume(network, Data(patch=PATCH), reader, cells, "v", tiling=tiling)
        file = MaskFile(Path(folder, "mask"), info, {}, tiling.side)
        before, blocks = reader.decoded, run.blocks()
        rounds = run.rounds(blocks)
        with here(Work(run, file)) as do:
            full = timed(lambda: [list(do(pieces)) for pieces in rounds]) / len(blocks)
        empty = [b for b in file.left() if not run.tissue.touches(b)]
        nothing = timed(lambda: [file.write_empty(block) for block in empty]) / len(empty)
        chunks = np.prod([-(-n // c) for n, c in zip(shape, opened.image.chunks, strict=True)])
    print(f"{reader.decoded - before} chunks were decoded, of {chunks}, half of them empty")
    print(f"a block of tissue {full:.2f} s, an empty one {nothing:.4f} s: 1/{full / nothing:.0f}")


def backends(network: torch.nn.Module, runs: int) -> None:
    """A patch of 128^3 on one core: torch against the exported file in two other programs."""
    import onnxruntime
    import openvino

    ours = Probabilities(network).eval()
    image = np.random.default_rng(3).random((1, 1, 128, 128, 128), np.float32)
    x = torch.from_numpy(image).contiguous(memory_format=torch.channels_last_3d)
    with tempfile.TemporaryDirectory() as folder:
        model, path = Path(folder, "model"), Path(folder, "student.onnx")
        model.mkdir()
        save_network(model, network, LightNet(norm="batch"))
        write_settings(model, Data(patch=PATCH))
        export_onnx(model, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options)
        core = openvino.Core()
        asked = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        compiled = core.compile_model(core.read_model(path), "CPU", asked)
    sides = {
        "torch": lambda: ours(x).numpy(),
        "onnxruntime": lambda: session.run(None, {INPUT: image})[0],
        "openvino": lambda: compiled({INPUT: image})[0],
    }
    with torch.inference_mode():
        answers = {name: side() for name, side in sides.items()}  # the first one is slow
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(runs):
            for name, side in sides.items():
                times[name].append(timed(side))
    exact = answers["torch"]
    for name, found in times.items():
        answer = answers[name]
        print(f"{name}: {128**3 / median(found) / 1e6:.2f} M voxels/s, ", end="")
        print(f"ratio {median(times['torch']) / median(found):.2f}, ", end="")
        print(f"off by {np.abs(answer - exact).max():.1e}, ", end="")
        print(f"mask equal {np.mean((answer > 0.5) == (exact > 0.5)):.4%}")


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
