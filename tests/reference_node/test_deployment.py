"""The documents of a deployment say what the node takes."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from reference_node.config import load_config

FOLDER = Path(__file__).parents[2] / "docs" / "deployment"


def test_the_replicas_configuration_is_one() -> None:
    """The node takes the file that the compose file gives to the replicas, and it is of a shared database."""
    config = load_config(FOLDER / "node.toml")
    assert (config.database or "").startswith("postgresql+psycopg://")
    assert str(config.key_file) == "/run/secrets/key"


def test_the_compose_file_has_two_replicas_of_one_node() -> None:
    """Both run the same command on the same configuration, and the balancer knows both."""
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert services["one"]["command"] == services["two"]["command"]
    assert services["one"]["volumes"][0] == services["two"]["volumes"][0]
    port = load_config(FOLDER / "node.toml").port
    balancer = (FOLDER / "haproxy.cfg").read_text(encoding="utf-8")
    assert set(re.findall(r"server \w+ (\w+:\d+)", balancer)) == {f"one:{port}", f"two:{port}"}
