"""Processes of one node on one data folder: one leads, the other stands by and takes over (9.2-e-4)."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from reference_node.app import create_app, node_of
from reference_node.config import Config
from reference_node.node import Node
from tests.reference_node.served import free_port


def _node(folder: Path) -> Node:
    return node_of(create_app(Config(data=folder, node_id="node-a", background=False)))


def test_of_two_processes_on_a_folder_one_leads(tmp_path: Path) -> None:
    """The second leads once the first is gone, and knows then that it has taken over; chores are the leader's."""
    one, two = _node(tmp_path), _node(tmp_path)
    done: list[str] = []
    for name, node in (("one", one), ("two", two)):
        node.chores = (lambda _node, name=name: done.append(name),)  # type: ignore[misc]
    assert one.leadership.held()
    assert not two.leadership.held()
    one.pump()
    two.pump()
    assert done == ["one"]
    one.close()
    assert two.leadership.taken_over()
    two.pump()
    assert done == ["one", "two"]
    two.close()


def test_a_node_that_was_alone_has_not_taken_over(tmp_path: Path) -> None:
    """Neither in memory nor on a folder of its own."""
    memory, folder = node_of(create_app(Config(background=False))), _node(tmp_path)
    for node in (memory, folder):
        assert node.leadership.held()
        assert not node.leadership.taken_over()
        node.close()


def test_a_standby_learns_the_keys_that_the_leader_draws(tmp_path: Path) -> None:
    """What the leader has sealed by a key of its own since is opened by the one that stands by."""
    one, two = _node(tmp_path), _node(tmp_path)
    assert one.leadership.held()
    sealed = one.vault.seal(b"x", b"y", key_id=one.vault.new_key())
    two.pump()
    assert two.vault.open(sealed, b"y") == b"x"
    one.close()
    two.close()


@contextmanager
def _process(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    settings = {"data": str(folder), "node_id": "node-a", "port": port, "standby": True}
    command = [sys.executable, "-m", "reference_node", json.dumps(settings)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _said(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    said: dict[str, Any] = json.loads(process.stdout.readline())
    return said


def _created(address: str, token: str, name: str) -> int:
    body, headers = {"project_id": name, "name": name}, {"authorization": f"Bearer {token}"}
    return requests.post(f"{address}/v1/platform/project/create", json=body, headers=headers, timeout=30).status_code


@pytest.mark.slow
def test_a_standby_serves_at_the_same_address_when_the_leader_is_killed(tmp_path: Path) -> None:
    """It says that it stands by, listens once the other is gone, and has what the other has answered as done."""
    port = free_port()
    with _process(tmp_path, port) as one:
        ready = _said(one)
        with _process(tmp_path, port) as two:
            assert _said(two) == {"event": "standby", "node_id": "node-a"}
            token = (tmp_path / "operator-token").read_text().strip()
            assert _created(ready["address"], token, "prj-1") == 200
            one.kill()
            assert _said(two) == ready
            assert _created(ready["address"], token, "prj-1") == 409
            assert _created(ready["address"], token, "prj-2") == 200


@pytest.mark.slow
def test_a_node_whose_every_write_fails_refuses_acts_and_goes_on_afterwards(tmp_path: Path) -> None:
    """9.2-d-4: refused with 503 while the system takes no byte more, nothing half kept, served again at once."""
    with _process(tmp_path, 0) as process:
        address = _said(process)["address"]
        token = (tmp_path / "operator-token").read_text().strip()
        assert _created(address, token, "prj-1") == 200
        hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, hard))
        assert _created(address, token, "prj-2") == 503
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert _created(address, token, "prj-2") == 200
        assert _created(address, token, "prj-1") == 409
