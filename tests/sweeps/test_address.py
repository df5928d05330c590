"""A cluster that is not there is noticed within seconds, in one line that names it."""

import socket
import threading

import pytest

from vpbsd.errors import BadInput
from vpbsd_sweeps.execution import address, cluster
from vpbsd_sweeps.execution.address import cluster_address


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(address, "HEAD_ON_THIS_HOST", tmp_path / "ray_current_cluster")


@pytest.fixture
def listening():
    """Starts servers that say the given bytes to whoever connects; returns HOST:PORT."""
    servers = []

    def start(greeting=b""):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve():
            caller, _ = server.accept()
            caller.sendall(greeting)
            servers.append(caller)

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def deserted():
    """HOST:PORT of a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_no_cluster_is_none(monkeypatch):
    assert cluster_address() is None
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert cluster_address() is None


def test_a_port_where_nobody_listens(monkeypatch, deserted):
    monkeypatch.setenv("RAY_ADDRESS", deserted)
    with pytest.raises(BadInput, match=f"RAY_ADDRESS={deserted} does not answer .*unset RAY_ADD"):
        cluster_address()


def test_a_server_that_never_speaks(monkeypatch, listening):
    monkeypatch.setattr(address, "PATIENCE", 0.3)
    monkeypatch.setenv("RAY_ADDRESS", listening())
    with pytest.raises(BadInput, match=r"does not answer \(timed out\)"):
        cluster_address()


def test_a_server_that_is_no_ray(monkeypatch, listening):
    monkeypatch.setenv("RAY_ADDRESS", listening(b"SSH-2.0-OpenSSH_9.6\r\n"))
    with pytest.raises(BadInput, match="is something else than Ray"):
        cluster_address()


def test_a_head_that_went_without_a_word(deserted):
    address.HEAD_ON_THIS_HOST.write_text(deserted)
    with pytest.raises(BadInput, match=rf"ray_current_cluster names, {deserted}, .*ray stop does"):
        cluster_address()


@pytest.mark.parametrize("given", ["ray://head:10001", "head", "head:port", "http://head:8265"])
def test_what_is_no_address(monkeypatch, given):
    monkeypatch.setenv("RAY_ADDRESS", given)
    with pytest.raises(BadInput, match=f"RAY_ADDRESS={given} is not HOST:PORT .*ray exec"):
        cluster_address()


def test_auto_wants_a_head_here(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(BadInput, match="no head runs on this host"):
        cluster_address()


@pytest.mark.usefixtures("two_cores")
def test_a_ray_that_runs_is_found(monkeypatch):
    """Of two ways to name it: the real greeting of a real head."""
    import ray

    there = ray.get_runtime_context().gcs_address
    address.HEAD_ON_THIS_HOST.write_text(there)
    assert cluster_address() == there
    monkeypatch.setenv("RAY_ADDRESS", there)
    assert cluster_address() == there


def test_a_local_ray_that_does_not_start_is_one_line(monkeypatch):
    def overloaded(**options):
        raise Exception("The current node timed out during startup.\nMore of it.")

    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster.ray, "init", overloaded)
    with pytest.raises(BadInput, match="a local Ray did not start .*: the machine may"):
        cluster.connect(local=True)
