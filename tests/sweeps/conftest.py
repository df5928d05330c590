"""A real local Ray with two cores for all tests of the engine."""

import os

import pytest

import vpbsd_sweeps  # noqa: F401 (sets what Ray reads when it is imported, so before any test does)


@pytest.fixture(scope="session")
def two_cores():
    os.environ["VPBSD_CHECKPOINT_SECONDS"] = "0"  # workers inherit it: save after every epoch
    from vpbsd_sweeps.execution import cluster

    cluster.connect(cpus=2, local=True)
    yield
    import ray

    ray.shutdown()
    del os.environ["VPBSD_CHECKPOINT_SECONDS"]
