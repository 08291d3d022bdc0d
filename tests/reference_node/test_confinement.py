"""Components reach nothing of the node's: keys, tokens, database, tasks, its process; the start says what holds."""

from __future__ import annotations

import json
import logging
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reference_node.app import _bounds, create_app, node_of
from reference_node.config import Config, load_config
from reference_node.domain.task import Cause
from reference_node.errors import ConfigError
from reference_node.runtime import confinement, landlock, namespaces
from reference_node.runtime.catalogue import Builtin
from reference_node.runtime.confinement import Bounds, Means, Way, probe, without
from reference_node.runtime.contract import Exit, Key, Work
from reference_node.runtime.environment import of_server
from reference_node.runtime.launcher import Launcher
from reference_node.server import _say_confinement
from tests.reference_node import prying
from tests.reference_node.served import Served
from tests.reference_node.sharing import SECURITY
from tests.waiting import eventually

PRY = "pry"
CATALOGUE = {
    (PRY, "1.0.0"): Builtin(
        {"componentName": PRY, "version": "1.0.0", "provider": "hutong"}, "tests.reference_node.prying:pry"
    )
}
COMMAND = f"{sys.executable} {Path(prying.__file__).resolve()}"
READS_ALL_FILES = 1 << 1
SECRET = "HUTONG_TEST_KEK"
FOUND = probe()
WAYS = [way for way in (Way.LANDLOCK, Way.NAMESPACES) if way is FOUND.way or way is Way.NAMESPACES]


def means(way: Way) -> Means:
    """Return the means of a way, or skip what this kernel has not: the start says so, which is tested below."""
    if way is Way.NAMESPACES and not confinement._namespaced():
        pytest.skip("this kernel gives no user and mount namespaces")
    return FOUND if way is Way.LANDLOCK else Means(way)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return the data folder of a node that has begun, with another task's files and a dataset in it."""
    folder = tmp_path / "node-a"
    node_of(create_app(Config(data=folder, node_id="node-a", background=False))).close()
    other = folder / "tasks" / "task_other" / "guest.0.1"
    other.mkdir(parents=True)
    (other / "result.csv").write_text("42\n")
    (other.parent / "log.jsonl").write_text("{}\n")
    (folder / "declared.csv").write_text("declared")
    (folder / "undeclared.csv").write_text("undeclared")
    (tmp_path / "tls.key").write_text("a key that lies elsewhere")
    return folder


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    """Return the port of the component's own node, and of another service of the machine."""
    with socket.create_server(("127.0.0.1", 0)) as own, socket.create_server(("127.0.0.1", 0)) as other:
        yield own.getsockname()[1], other.getsockname()[1]


def plan(data: Path, ports: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return what the component tries."""
    secrets = ["vault.key", "vault-keys.json", "node-key-sm3-sm2.sealed", "operator-token", "node.db", "undeclared.csv"]
    secrets += ["tasks/task_other/guest.0.1/result.csv", "tasks/task_other/log.jsonl"]
    read = [str(data / name) for name in secrets]
    assert all(Path(path).exists() for path in read)
    me = os.getpid()
    return {
        "read": [
            *read,
            str(data.parent / "tls.key"),
            *(f"/proc/{me}/{name}" for name in ("environ", "mem", "maps", f"root{data}/vault.key")),
        ],
        "write": [str(data / "mine"), str(data / "tasks/task_other/mine"), str(data / "node.db")],
        "cut": [str(data / "node.db"), str(data / "tasks/task_other/log.jsonl")],
        "list": [str(data), str(data / "tasks")],
        "processes": [me],
        "ports": list(ports),
    }


def pried(data: Path, way: Means, command: str | None, planned: Mapping[str, Any], own: int, **bounds: Any) -> Exit:
    """Run the component to its end, by the real runner."""
    launcher = Launcher(CATALOGUE, bounds=Bounds((data, data.parent / "tls.key"), **bounds), means=way)
    key = Key("task_pry", "guest", 1)
    folder = data / "tasks" / key.task_id / "guest.0.1"
    folder.parent.mkdir(exist_ok=True)
    try:
        launcher.start(
            Work(
                key=key,
                job_id="job-1",
                task_name="pry",
                me="guest.0",
                component={"componentName": PRY, "version": "1.0.0"},
                description={},
                command=command,
                parameters={"plan": planned},
                inputs={"table": data / "declared.csv"},
                outputs={"out": folder / "out.json"},
                parties={"guest.0": "node-a"},
                institutions={"node-a": "inst-a"},
                session_id="session_job-1",
                token="token-of-the-test",
                trace_id="trace",
                folder=folder,
                log=folder.parent / "log.jsonl",
                address=f"http://127.0.0.1:{own}",
            )
        )
        found: list[Exit] = []
        eventually(lambda: found.extend(launcher.exits()) or found, within=60)
    finally:
        launcher.close()
    return found[0]


def said(ended: Exit, command: str | None) -> dict[str, Any]:
    """Return what the component says of its attempts."""
    assert ended.cause is None, ended
    found = ended.summary if command is None else json.loads(Path(ended.files["out"]).read_text())
    assert found is not None
    return dict(found)


@pytest.mark.parametrize("command", [None, COMMAND], ids=["own", "command"])
@pytest.mark.parametrize("way", WAYS)
def test_a_component_gets_at_nothing_of_the_nodes(
    data: Path, ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch, way: Way, command: str | None
) -> None:
    """Every attempt is refused, whichever way the kernel gives; what is declared, and its own folder, it has."""
    monkeypatch.setenv(SECRET, "00" * 32)
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    bound = means(way)
    planned = plan(data, ports)
    found = said(pried(data, bound, command, planned, ports[0]), command)
    assert found["inputs"] == {"table": "declared"}
    tried = found["attempts"]
    assert tried.pop(f"connect {ports[0]}") == "done"
    if "network" in bound.open:
        tried.pop(f"connect {ports[1]}")
    if "signals" in bound.open:
        tried = {name: came for name, came in tried.items() if not name.startswith("signal ")}
    if way is Way.NAMESPACES:  # there it sees an empty folder, and files that are empty
        assert _emptied(tried, data)
    else:
        assert {came.partition(":")[0] for came in tried.values()} == {"refused"}, tried
    assert {path: path.read_bytes() for path in before} == before
    assert not (data / "mine").exists()


def _emptied(tried: dict[str, str], data: Path) -> bool:
    """Tell whether all that was done was done to what is empty: the data folder's stand-in, a hidden file's."""
    empty = {
        f"list {data}",
        f"list {data / 'tasks'}",
        f"read {data.parent / 'tls.key'}",
        f"link {data.parent / 'tls.key'}",
    }
    done = {name for name, came in tried.items() if came == "done"}
    assert done <= empty, done - empty
    return True


@pytest.mark.parametrize("command", [None, COMMAND], ids=["own", "command"])
@pytest.mark.parametrize("way", WAYS)
def test_a_component_has_no_privileges_and_knows_no_secret_of_the_environment(
    data: Path, monkeypatch: pytest.MonkeyPatch, way: Way, command: str | None
) -> None:
    """It leads a session, gains nothing, has no open file of the node's, and the contract's variables only."""
    monkeypatch.setenv(SECRET, "00" * 32)
    nothing: dict[str, Any] = {key: [] for key in ("read", "write", "cut", "list", "processes", "ports")}
    about = said(pried(data, means(way), command, nothing, 9), command)["about"]
    assert SECRET not in about["environ"]
    assert {"config.token", "system.transport", "HOME"} <= set(about["environ"])
    assert about["capabilities"] & ~READS_ALL_FILES == 0
    assert (about["privileges"], about["session"]) == ("1", True)
    assert about["files"] == [0, 1, 2]


def test_the_same_component_succeeds_where_nothing_confines_it(data: Path, ports: tuple[int, int]) -> None:
    """What the others are refused is refused by the confinement, and by nothing else."""
    tried = said(pried(data, Means(Way.NONE), None, {**plan(data, ports), "cut": []}, ports[0]), None)["attempts"]
    assert tried[f"read {data / 'vault.key'}"] == "done"
    assert tried[f"write {data / 'mine'}"] == "done"
    assert tried[f"connect {ports[1]}"] == "done"


@pytest.mark.skipif(FOUND.way is not Way.LANDLOCK, reason="only Landlock bounds the network")
def test_an_operator_grants_folders_and_the_network(data: Path, ports: tuple[int, int], tmp_path: Path) -> None:
    """What [components] names is there beside the usual, but never what is hidden."""
    engine = tmp_path / "engine"
    engine.mkdir()
    (engine / "model.bin").write_text("x")
    planned = {**plan(data, ports), "read": [str(engine / "model.bin"), str(data / "vault.key")], "write": []}
    granted = {"readable": (tmp_path,), "network": confinement.ANY}
    tried = said(pried(data, FOUND, None, planned, ports[0], **granted), None)["attempts"]
    assert tried[f"read {engine / 'model.bin'}"] == tried[f"connect {ports[1]}"] == "done"
    assert tried[f"read {data / 'vault.key'}"].startswith("refused")


def test_a_file_beyond_the_bound_is_not_written(data: Path) -> None:
    """A component that floods the disk ends, and says by which signal."""
    command = f'{sys.executable} -c \'open("flood", "wb").write(bytes(8 << 20)).real\''
    ended = pried(data, FOUND, command, {}, 9, file_mib=1)
    assert ended.cause is not None
    flood = data / "tasks/task_pry/guest.0.1/flood"
    assert flood.stat().st_size <= 1 << 20


def test_what_the_kernel_takes_back_runs_nothing(data: Path) -> None:
    """A component is not run without what the start has promised."""
    for command in (None, COMMAND):
        ended = pried(data, FOUND, command, {}, 9, file_mib=1 << 60)  # more than a kernel takes for a bound
        assert (ended.cause, ended.summary, dict(ended.files)) == (Cause.COMPONENT_FAILED, None, {})
        told = (data / "tasks/task_pry/log.jsonl").read_text()
        assert "this component could not be confined" in told
        (data / "tasks/task_pry/log.jsonl").unlink()


@pytest.mark.parametrize(
    ("abi", "namespaced", "found", "left_open"),
    [
        (7, False, Means(Way.LANDLOCK, 7), ()),
        (4, True, Means(Way.LANDLOCK, 4), ("signals",)),
        (3, True, Means(Way.LANDLOCK, 3), ("network", "signals")),
        (2, True, Means(Way.NAMESPACES), ("network", "signals")),
        (2, False, Means(Way.LANDLOCK, 2), ("cutting", "network", "signals")),
        (0, True, Means(Way.NAMESPACES), ("network", "signals")),
        (0, False, Means(Way.NONE), ("files", "processes", "network", "signals")),
    ],
)
def test_the_best_that_the_kernel_gives_is_taken(
    monkeypatch: pytest.MonkeyPatch, abi: int, namespaced: bool, found: Means, left_open: tuple[str, ...]
) -> None:
    """Landlock, else namespaces, else nothing; what stays open is named."""
    monkeypatch.setattr(sys, "platform", "linux")
    assert probe(lambda: abi, lambda: namespaced) == found
    assert found.open == left_open


def test_another_system_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is not asked by calls of Linux."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert probe(lambda: pytest.fail("asked"), lambda: pytest.fail("asked")) == Means(Way.NONE)


@pytest.mark.parametrize(
    ("way", "level", "words"),
    [
        (Means(Way.NONE), logging.WARNING, "components are not confined"),
        (Means(Way.NAMESPACES), logging.INFO, "components are confined"),
        (Means(Way.LANDLOCK, 7), logging.INFO, "components are confined"),
    ],
)
def test_the_start_says_what_holds(caplog: pytest.LogCaptureFixture, way: Means, level: int, words: str) -> None:
    """One line, a warning with its remedy where nothing confines components."""
    node = replace(node_of(create_app(Config(node_id="node-a", background=False))), means=way)
    with caplog.at_level(logging.INFO, "reference_node"):
        _say_confinement(node)
    node.close()
    (line,) = [row for row in caplog.records if words in row.getMessage()]
    shown = json.loads(line.getMessage())
    assert line.levelno == level
    assert (shown["confined_by"], shown["open"]) == (way.way.value, list(way.open))
    assert ("hint" in shown) is (way.way is Way.NONE)


def test_all_places_of_the_nodes_are_hidden(tmp_path: Path) -> None:
    """The configuration that was read, data, keys, backups, the database, wherever they lie."""
    names = ("data", "key", "tls.key", "gap", "copies", "evidence", "elsewhere.db", "node.toml")
    data, key, tls, gap, copies, evidence, database, file = (tmp_path / name for name in names)
    file.write_text(
        f'[store]\ndata = "{data}"\nkey_file = "{key}"\nbackup = "{copies}"\nurl = "sqlite:///{database}"\n'
        f'[tls]\nkey = "{tls}"\n[gap]\nfolder = "{gap}"\n[evidence]\nbackup = "{evidence}"\n'
        '[components]\nreadable = ["/srv/engine"]\nhidden = ["/opt/x"]\nnetwork = "any"\n[job]\nfile_mib = 7\n'
    )
    found = _bounds(load_config(file))
    assert set(found.hidden) == {data, key, tls, gap, copies, evidence, database, file, Path("/opt/x")}
    assert (found.readable, found.network, found.file_mib) == ((Path("/srv/engine"),), "any", 7)


def test_hidden_places_are_taken_out_of_what_is_allowed(tmp_path: Path) -> None:
    """A folder that holds something hidden is allowed by its other entries, and links to hidden places are not."""
    for name in ("opt/tool/bin", "opt/node/data", "opt/node/lib"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "opt/link").symlink_to(tmp_path / "opt/node/data")
    hidden = [tmp_path / "opt/node/data"]
    found = set(without([tmp_path / "opt", tmp_path / "opt/node/data/x", tmp_path / "none"], hidden))
    assert found == {tmp_path / "opt/tool", tmp_path / "opt/node/lib", tmp_path / "none"}


def test_programs_bring_what_lies_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """But neither a home nor the root, and nothing that depends on the working folder."""
    monkeypatch.setenv("HOME", "/srv/person")
    path = (
        "/srv/engine/bin:/srv/person/bin:/home/other/bin:/root/bin:/bin:/srv/tools::bin:./sbin:/srv/person/.env/shims"
    )
    assert [str(place) for place in confinement._programs(path)] == [
        *("/srv/engine", "/srv/person/bin", "/home/other/bin", "/root/bin", "/bin", "/srv/tools", "/srv/person/.env"),
    ]


def test_the_fork_server_is_told_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is what a component may see of the node's."""
    monkeypatch.setenv(SECRET, "x")
    monkeypatch.setenv("NODE_TOKEN", "x")
    assert {SECRET, "NODE_TOKEN"} & set(of_server()) == set()
    assert "PATH" in of_server()


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('readable = ["engine"]', r"\[components\] readable = .* a list of absolute paths"),
        ('hidden = "x"', r"\[components\] hidden = .* a list of absolute paths"),
        ('writable = "/x"', r"\[components\] writable = .* a list of absolute paths"),
        ('network = "some"', r"\[components\] network = .* one of node, any"),
    ],
)
def test_what_components_may_reach_is_checked(tmp_path: Path, line: str, wanted: str) -> None:
    """A wrong value is told by section and key."""
    (tmp_path / "node.toml").write_text(f"[components]\n{line}\n")
    with pytest.raises(ConfigError, match=wanted):
        load_config(tmp_path / "node.toml")


def test_namespaces_are_tried_in_a_process_of_their_own() -> None:
    """The command that asks answers by its exit status, and says the same as the call."""
    done = subprocess.run([sys.executable, "-m", namespaces.__name__], check=False, timeout=60)
    assert (done.returncode == 0) == confinement._namespaced() == namespaces.available()


def test_the_version_of_landlock_is_a_number() -> None:
    """Where there is none it is 0, and never an error."""
    assert 0 <= landlock.abi() < 1000


@pytest.mark.slow
def test_a_command_of_a_served_node_cannot_read_its_key(tmp_path: Path) -> None:
    """By the whole way: registered, in a flow, in a job, run by the node's process, whose own memory it cannot read."""
    node = Served(tmp_path, "node-a", seal_files=False)
    try:
        assert node.ready["components"] == FOUND.words()
        wanted = plan_of(node)
        tried = outcome(node, wanted)
        assert tried.pop(f"connect {node.address.rpartition(':')[2]}") == "done"
        if FOUND.way is Way.LANDLOCK:
            assert {came.partition(":")[0] for came in tried.values()} == {"refused"}, tried
        elif FOUND.way is Way.NONE:
            assert tried[f"read {node.folder / 'vault.key'}"] == "done"  # as the start has said
        assert Path(f"/proc/{node.process.pid}/environ").stat().st_uid == 0  # not its own user's to read
    finally:
        node.stop()


def plan_of(node: Served) -> dict[str, Any]:
    """Return what the command tries at a node that runs."""
    pid = node.process.pid
    names = ("vault.key", "vault-keys.json", "operator-token", "node.db")
    return {
        "read": [*(str(node.folder / name) for name in names), f"/proc/{pid}/environ", f"/proc/{pid}/mem"],
        "write": [str(node.folder / "mine")],
        "cut": [],
        "list": [str(node.folder), str(node.folder / "tasks")],
        "processes": [pid],
        "ports": [int(node.address.rpartition(":")[2])],
    }


def outcome(node: Served, planned: Mapping[str, Any]) -> dict[str, str]:
    """Register the command, run it in a job of the node's own, and return what came of its attempts."""
    copied = node.folder.parent / "pry.py"
    copied.write_text(Path(prying.__file__).read_text())
    part = {"name": "p", "componentName": PRY, "version": "1.0.0", "provider": "hutong", "input": [], "output": []}
    dag = {"version": "1.0", "components": [{**part, "output": [{"key": "out", "type": "report"}]}]}
    node.own(
        "ownComponentRegister",
        imageUrl=PRY,
        address=shlex.join([sys.executable, str(copied)]),
        address_type="COMMAND",
        component_info={
            "componentName": PRY,
            "title": PRY,
            "provider": "hutong",
            "version": "1.0.0",
            "roleList": ["guest"],
            "storageEngine": ["local"],
            "inputParam": [{"name": "plan", "title": "plan", "type": "string", "optional": False}],
            "inputData": [],
            "outputData": [{"name": "out", "category": "report", "title": "out", "dataFormat": ["json"]}],
            "result": [],
            "security": SECURITY,
        },
    )
    node.own("ownProjectCreate", project_id="prj-1", name="project")
    flow = node.own("ownFlowCreate", project_id="prj-1", name="flow", dag=dag)["flow_id"]
    config = {
        "version": "1.0",
        "initiator": {"role": "guest", "node_id": node.name},
        "role": {"guest": [node.name], "host": [], "arbiter": []},
        "job_params": {"common": {"timeout": 120}},
        "task_params": {"common": {"p": {"plan": json.dumps(planned)}}},
    }
    job = node.own("ownJobCreate", flow_id=flow, dag=dag, config=config)["job_id"]
    eventually(lambda: node.job(job)["job_status"] == "READY", within=30)
    node.own("ownJobStart", job_id=job)
    eventually(lambda: node.job(job)["job_status"] == "FINISHED", within=60)
    (output,) = node.tasks(job)["p"]["outputs"]
    return dict(json.loads(Path(output["output_content"]["location"]).read_text())["attempts"])
