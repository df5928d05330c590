"""Two kinds of store, and a folder to be committed."""

from uuid import uuid4

import fsspec
import pytest

import vpbsd_sweeps.store.results
from vpbsd_sweeps.store.results import Store


@pytest.fixture(autouse=True)
def _process(monkeypatch, tmp_path):
    monkeypatch.setenv("VPBSD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vpbsd_sweeps.store.results, "_verified", set())


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    if request.param == "local":
        yield Store(str(tmp_path / "store"))
        return
    url = f"memory://{uuid4().hex}"
    yield Store(url)
    files = fsspec.filesystem("memory")
    if files.exists(url):
        files.rm(url, recursive=True)


@pytest.fixture
def folder(tmp_path):
    """Two files of 3 and 5 bytes."""
    made = tmp_path / "made"
    (made / "zarr" / "c").mkdir(parents=True)
    (made / "a.bin").write_bytes(b"abc")
    (made / "zarr" / "c" / "0").write_bytes(b"01234")
    return made
