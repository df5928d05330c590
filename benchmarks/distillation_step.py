"""A distillation step with stored targets against one with the teacher online, paper sizes.

    python -m benchmarks.distillation_step             # Swin UNETR 48 at 64^3: a minute or two
    python -m benchmarks.distillation_step --device cuda --batch 2

The same student, losses (VpbSD: labels, pseudo-labels, codes) and patches. Online, the frozen
teacher sees both batches in each step, once, without a gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.sides import arguments, head, in_turns, row
from vpbsd.config import Codebook
from vpbsd.data.patches import Labelled, Semi, TeacherTargets, Unlabelled
from vpbsd.losses.classes import decided
from vpbsd.losses.segmentation import vessel_probability
from vpbsd.methods.distilling_configs import VpbSDConfig
from vpbsd.methods.method import Clock
from vpbsd.methods.roster import build_method
from vpbsd.networks.build import build_network
from vpbsd.networks.quantiser import grid_of
from vpbsd.networks.swin_unetr import SwinTeacher
from vpbsd.settings import PRESETS

CLOCK = Clock(100, 10, 1000)


def online(teacher: SwinTeacher, image: Tensor) -> TeacherTargets:
    """What the teacher says of patches, computed now."""
    with torch.no_grad():
        hidden = teacher.encode(image)
        state = teacher.coded_state(hidden)
        assert teacher.quantiser is not None
        quantised, info = teacher.quantiser(state)
        codes = grid_of(info.chosen, tuple(state.shape[2:])).float()
        said = teacher.decode(image, hidden, quantised if teacher.decode_codes else None)
        pseudo = decided(vessel_probability(said.logits))
    return TeacherTargets(codes=codes, pseudo=pseudo)


def main() -> None:
    parser = arguments(__doc__, runs=3, on_gpus=True)
    parser.add_argument("--preset", default="paper", choices=sorted(PRESETS))
    parser.add_argument("--batch", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    s, device = PRESETS[given.preset](), torch.device(given.device)
    width = s.student.network.widths[-1]
    book = (s.pretrain.network.codebook or Codebook()).model_copy(update={"width": width})
    teacher = build_network(s.pretrain.network.model_copy(update={"codebook": book}), 0)
    assert isinstance(teacher, SwinTeacher)
    teacher.eval().to(device)
    config = VpbSDConfig(network=s.student.network, beta=0.1, ramp_epochs=1, gamma=0.1)
    method = build_method(config, 0).train()
    method.to(device, memory_format=torch.channels_last_3d)
    optimiser = torch.optim.Adam(method.parameters())
    image = torch.rand(2, given.batch, 1, *s.data.patch, device=device)
    label, valid = (image[0] > 0.9).float(), torch.ones_like(image[0])
    stored = [online(teacher, x) for x in image]

    def step(said: Callable[[int], TeacherTargets]) -> None:
        labelled = Labelled(image[0], label, valid, said(0))
        terms = method.losses(Semi(labelled, Unlabelled(image[1], valid, said(1))), CLOCK)
        weights = method.weights(CLOCK)
        optimiser.zero_grad()
        torch.stack([weights[name] * terms[name] for name in terms]).sum().backward()
        optimiser.step()

    head(given.device)
    sides = {
        "online": lambda: step(lambda i: online(teacher, image[i])),
        "stored": lambda: step(lambda i: stored[i]),
    }
    size = "x".join(map(str, s.data.patch))
    row(f"distillation step, {given.preset}, {size}", in_turns(sides, given.runs), 40)


if __name__ == "__main__":
    main()
