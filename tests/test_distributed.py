"""Two processes that train together compute what one computes alone; see vpbsd/ranks.py."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing import spawn

from tests import small
from vpbsd import distributed as ranks
from vpbsd.config import LightNet
from vpbsd.data.folds import whole_volume
from vpbsd.data.volumes import list_volumes
from vpbsd.errors import BadInput
from vpbsd.methods.configs import PatternsConfig, SupervisedConfig
from vpbsd.methods.roster import build_method
from vpbsd.optim import Optim
from vpbsd.safetensors_io import read_tensors
from vpbsd.training import checkpoint
from vpbsd.training.loop import Training, fit

CPU = torch.device("cpu")


def trained(folder, out):
    """Steps before k-means and after, of a thin volume with padding and a whole one."""
    parts = tuple(whole_volume(v) for v in list_volumes(folder) if v.name in ("v2", "v4"))
    pool = small.Kept((), parts).pool(batch=2)
    method = build_method(PatternsConfig(network=small.NETWORK, skip_drop=0.2), 3)
    optim = Optim(name="sgd", lr=0.1, weight_decay=0.0, epochs=3, clip=1.0, batch=2)
    training = Training(method, optim, 2)
    rows = [p.row for p in fit(training, pool, CPU) if p.row is not None]
    checkpoint.save(Path(f"{out}.state"), training, rows)
    Path(f"{out}.rows").write_text(json.dumps(rows))


def one_of_two(rank, folder, home):
    """What each of two processes does; it leaves what it saw in the folder."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{home}/meeting", rank=rank, world_size=2)
    told = differentiated(rank) | {"refused": refused()}
    Path(home, f"{rank}.json").write_text(json.dumps(told))
    trained(folder, f"{home}/{rank}")


def differentiated(rank):
    """Each process holds one half of x; the loss is made of all of it."""
    x = torch.tensor([[1.0, 2.0], [3.0, 5.0]])[rank : rank + 1]
    scale = torch.tensor(2.0, requires_grad=True)
    first_only, unused = (torch.ones(1, requires_grad=True) for _ in range(2))
    if rank == 0:
        first_only.grad = torch.tensor([8.0])
    everything = ranks.gather(scale * x)
    weight = torch.tensor([[1.0, 0.0], [1.0, 1.0]])[rank : rank + 1]
    mean = (scale * x * weight).sum() / weight.sum()
    part = ranks.rescale_mean(mean, weight)
    (everything.prod() + part).backward()
    ranks.average_gradients([scale, first_only, unused])
    return {
        "together": everything.tolist(),
        "mean": float(ranks.average(part)),
        "gradients": [float(scale.grad), float(first_only.grad), unused.grad],
        "own": [ranks.own_slice(6).start, ranks.own_slice(6).stop],
    }


def refused():
    method = build_method(SupervisedConfig(network=LightNet()), 0)
    with pytest.raises(ValueError, match="dealt out") as uneven:
        ranks.own_slice(3)
    with pytest.raises(ValueError, match="cannot be trained") as other:
        next(fit(Training(method, Optim(lr=0.1, epochs=1), 1), None, CPU))
    batch = PatternsConfig(network=small.NETWORK.model_copy(update={"norm": "batch"}))
    with pytest.raises(BadInput, match="batch norm") as normed:
        next(fit(Training(build_method(batch, 0), Optim(lr=0.1, epochs=1), 1), None, CPU))
    return [str(error.value) for error in (uneven, other, normed)]


@pytest.fixture(scope="module")
def seen(folder, tmp_path_factory):
    """The folder in which two processes and one have left what they computed."""
    home = tmp_path_factory.mktemp("ranks")
    spawn(one_of_two, (folder, home), nprocs=2)
    trained(folder, home / "alone")
    return home


def told(home):
    return [json.loads((home / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes_train_as_one(seen):
    alone, *pair = (json.loads((seen / f"{name}.rows").read_text()) for name in ("alone", 0, 1))
    assert pair[0] == pair[1], "both tell the same"
    assert [row.keys() for row in pair[0]] == [row.keys() for row in alone]
    for ours, whole_batch in zip(pair[0], alone, strict=True):
        assert ours == pytest.approx(whole_batch, rel=1e-3)
    alone, *pair = (read_tensors(seen / f"{name}.state")[0] for name in ("alone", 0, 1))
    for name, tensor in alone.items():
        assert torch.equal(pair[0][name], pair[1][name]), name
        torch.testing.assert_close(pair[0][name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_sums_over_the_batch_and_their_gradients_by_hand(seen):
    """With scale s: s^4 * 30 + s * (1 + 3 + 5) / 3, of which the derivative at 2 is 960 + 3."""
    for one in told(seen):
        assert one["together"] == [[2.0, 4.0], [6.0, 10.0]]
        assert one["mean"] == pytest.approx(6.0)
        assert one["gradients"] == [pytest.approx(963.0), 4.0, None]
    assert [one["own"] for one in told(seen)] == [[0, 3], [3, 6]]


@pytest.mark.slow
def test_what_cannot_be_dealt_out_is_refused(seen):
    for one in told(seen):
        assert one["refused"] == [
            "a batch of 3 cannot be dealt out to 2 processes",
            "Supervised cannot be trained by 2 processes",
            "batch norm takes the moments of each process's own patches, so several processes "
            "train another network than one: use one GPU per stage, or the network's own norm",
        ]


def test_alone_nothing_changes():
    x = torch.randn(4, 3, requires_grad=True)
    assert ranks.gather(x) is x
    assert ranks.rescale_mean(x, torch.zeros(1)) is x
    assert ranks.own_slice(5) == slice(0, 5)
    assert (ranks.ranks(), ranks.rank()) == (1, 0)
