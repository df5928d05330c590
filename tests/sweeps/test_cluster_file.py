"""ray_cluster.yaml holds what the pinned Ray's launcher accepts; checked without a cloud."""

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

FILE = Path(__file__).parents[2] / "ray_cluster.yaml"


def test_the_launcher_accepts_it():
    validate_config(prepare_config(yaml.safe_load(FILE.read_text())))


def test_a_typo_would_be_caught():
    config = yaml.safe_load(FILE.read_text())
    config["max_worker"] = config.pop("max_workers")
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(config))


def test_one_auth_mode_on_every_node():
    config = yaml.safe_load(FILE.read_text())
    for place in ("head_start_ray_commands", "worker_start_ray_commands"):
        start = next(c for c in config[place] if "ray start" in c)
        assert "RAY_AUTH_MODE=token" in start
