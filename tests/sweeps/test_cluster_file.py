"""The cluster's descriptions hold what the pinned Ray's launcher accepts; no cloud is asked."""

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

HOME = Path(__file__).parents[2]
FILES = {path.name: path for path in sorted(HOME.glob("ray_cluster*.yaml"))}


@pytest.fixture(params=FILES)
def config(request):
    return yaml.safe_load(FILES[request.param].read_text())


def test_there_are_three():
    assert list(FILES) == ["ray_cluster.gcp.yaml", "ray_cluster.onprem.yaml", "ray_cluster.yaml"]


def test_the_launcher_accepts_it(config):
    validate_config(prepare_config(config))


def test_a_typo_would_be_caught(config):
    config["max_worker"] = config.pop("max_workers", 2)
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(config))


def test_one_auth_mode_and_one_token_on_every_node(config):
    for place in ("head_start_ray_commands", "worker_start_ray_commands"):
        (start,) = [command for command in config[place] if "ray start" in command]
        assert start.startswith("export RAY_AUTH_MODE=token; ")
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert (
        "export PATH=\\$HOME/venv/bin:\\$PATH RAY_AUTH_MODE=token"
        in (HOME / "cluster" / "setup.sh").read_text()
    ), "what ray exec runs"


def test_nothing_listens_to_the_outside(config):
    """Ray's default keeps the dashboard on loopback; MLflow and PostgreSQL are told to."""
    commands = [c for place, some in config.items() if place.endswith("commands") for c in some]
    assert not any("0.0.0.0" in command or "--dashboard-host" in command for command in commands)
    head = (HOME / "cluster" / "head.sh").read_text()
    assert "--host 127.0.0.1" in head
    assert "0.0.0.0" not in head
    assert "SecurityGroup" not in yaml.dump(config), "Ray's own: ssh only, and among the nodes"


def test_every_variant_sets_its_nodes_up_by_the_same_scripts(config):
    (setup,) = config["setup_commands"]
    place, _, script = setup.partition(" ")
    assert place.startswith("VPBSD_PLACE=")
    assert "YOUR-" in place
    assert script == "bash ~/vpbsd/cluster/setup.sh"
    assert config["head_start_ray_commands"][0] == "bash ~/vpbsd/cluster/head.sh"


def test_the_package_itself_is_copied(config):
    """An unanchored `data` would leave vpbsd/data behind."""
    assert config["file_mounts"]["~/vpbsd"] == "."
    folders = {path.name for path in (HOME / "vpbsd").iterdir()} | {".git"}
    assert not folders & set(config["rsync_exclude"])
