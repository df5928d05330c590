"""A real local Ray with two cores for all tests of the engine; databases that MLflow laid out."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

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


@pytest.fixture(scope="session", autouse=True)
def _databases_begin_as_copies(tmp_path_factory):
    """MLflow takes seconds to lay out a database: here it does so once, and others are copies."""
    from mlflow.store.db import utils
    from sqlalchemy import create_engine

    lay_out = utils._initialize_tables
    empty = tmp_path_factory.mktemp("mlflow") / "empty.db"

    def copy(engine):
        file = engine.url.database
        if engine.dialect.name != "sqlite" or not file or Path(file).stat().st_size:
            lay_out(engine)
            return
        if not empty.exists():
            first = create_engine(f"sqlite:///{empty}")
            lay_out(first)
            first.dispose()
        with (
            closing(sqlite3.connect(empty)) as source,
            closing(sqlite3.connect(file)) as target,
        ):
            source.backup(target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "_initialize_tables", copy)
        yield


@pytest.fixture(scope="session", autouse=True)
def _databases_wait_for_no_disk():
    """Each call to MLflow is a commit; here no database need outlive a power failure."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def relax(connection, _):
        if isinstance(connection, sqlite3.Connection):
            with suppress(sqlite3.DatabaseError):  # the file is none, which MLflow says
                connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", relax)
    yield
    event.remove(Engine, "connect", relax)
