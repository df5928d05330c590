"""A data set, settings and one whole trial, all as small as the networks allow."""

import json
import os
import signal
from typing import NamedTuple
from urllib.request import Request, urlopen

import pytest
import torch

from tests import small
from vpbsd import config
from vpbsd.data.folds import make_folds
from vpbsd.data.phantom import SPACING_UM, phantom
from vpbsd.data.volume_checks import VolumeMetadata
from vpbsd.data.volume_writer import write_volume
from vpbsd.data.volumes import list_volumes
from vpbsd.evaluation import codebook_health as examine
from vpbsd.pipeline import recipes, run, run_targets
from vpbsd.pipeline.stage_config import Train
from vpbsd.training import loop as train

os.environ.setdefault("RAY_worker_niceness", "0")  # at 15 a busy machine starves its workers
SHAPES = {0: (32, 64, 64), 1: (20, 64, 70), 2: (32, 64, 64), 3: (32, 64, 64), 4: (20, 64, 70)}
"""Volume of each animal; those of 1 and 4 are thinner than any patch."""
LABELLED = 3
WANTS_S3 = "the tests of S3 want s3fs, boto3 and moto: pip install -e '.[dev]'"


class Done(NamedTuple):
    """A stage that was run: its folder, and a checkpoint after each of its steps."""

    stage: object
    inputs: dict
    folder: object
    saved: list

    @property
    def rows(self):
        return json.loads((self.folder / "rows.json").read_text())

    @property
    def summary(self):
        return json.loads((self.folder / "summary.json").read_text())


def pytest_configure():
    """Hears Ctrl-C, and lets programs hear it, where a shell began the tests in its background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # what several threads add up depends on how many there are


@pytest.fixture(autouse=True)
def _signals():
    """Gives Ctrl-C back to pytest after programs that were run in its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Three labelled animals and two without label."""
    home = tmp_path_factory.mktemp("volumes")
    for number, shape in SHAPES.items():
        image, label = phantom(number, shape)
        metadata = VolumeMetadata(shape, "uint16", SPACING_UM, f"animal{number}")
        write_volume(home, f"v{number}", [image], metadata, [label] if number < LABELLED else None)
    return home


@pytest.fixture(scope="session")
def volumes(folder):
    return list_volumes(folder)


@pytest.fixture(scope="session")
def tiny():
    """Settings of which a whole trial takes seconds."""
    return small.settings()


@pytest.fixture(scope="session")
def folds(volumes, tiny):
    return make_folds(volumes, tiny.protocol)


@pytest.fixture
def cheap(monkeypatch):
    """Fewer tokens per code word than anyone should use, so that a few steps are enough."""
    _cheapen(monkeypatch)


@pytest.fixture
def small_steps(monkeypatch, cheap):
    """Steps as small as those of `trial`."""
    monkeypatch.setattr(train, "MOST_SECONDS_BETWEEN_YIELDS", -1.0)
    monkeypatch.setattr(run_targets, "PATCHES_PER_STEP", 2)


@pytest.fixture(scope="session")
def trial(tiny, folds, tmp_path_factory):
    """Every stage of one VpbSD trial, run: label -> Done."""
    with pytest.MonkeyPatch.context() as patch:
        _cheapen(patch)
        patch.setattr(train, "MOST_SECONDS_BETWEEN_YIELDS", -1.0)  # a checkpoint each step
        patch.setattr(run_targets, "PATCHES_PER_STEP", 2)
        last = recipes.trial(tiny, "vpbsd", folds[0], seed=0)
        done: dict[str, Done] = {}
        for stage in last.lineage():
            done[stage.label] = _run(stage, done, tmp_path_factory.mktemp(stage.family))
    return done


@pytest.fixture
def bucket(monkeypatch):
    """A client of an S3 server on this host, with an empty bucket called results."""
    s3fs = pytest.importorskip("s3fs", reason=WANTS_S3)
    server = pytest.importorskip("moto.server", reason=WANTS_S3)
    boto3 = pytest.importorskip("boto3", reason=WANTS_S3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()  # one that knows an earlier server
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    url = f"http://{host}:{port}"
    urlopen(Request(f"{url}/moto-api/reset", method="POST")).close()  # a process holds one S3
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    client = boto3.client("s3")
    client.create_bucket(Bucket="results")
    yield client
    running.stop()


@pytest.fixture
def s3(monkeypatch):
    """An S3 on this host that counts its requests and can be away."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    import s3fs

    from tests.sweeps.s3 import S3Server

    with S3Server() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield server


def _cheapen(patch):
    patch.setattr(config, "TOKENS_PER_CODE", 1)
    patch.setattr(examine, "TOKENS_PER_CODE", 1)


def _run(stage, done, home):
    by_key = {one.stage.key: one.folder for one in done.values()}
    inputs = {name: by_key[upstream.key] for name, upstream in stage.upstream.items()}
    folder, saved = home / "result", []
    folder.mkdir()
    for step in run.run(stage, inputs, folder):
        saved.append(home / f"{len(saved)}.safetensors")
        step.save(saved[-1])
    assert saved or not isinstance(stage.config, Train)
    return Done(stage, inputs, folder, saved)
