"""Job files: what they mean to the nodes, and what is said of those that are wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reference_node.operator import plan
from reference_node.operator.client import NodeClient
from reference_node.operator.example import write_example
from reference_node.operator.jobfile import JobFile, load_job
from reference_node.operator.keys import JobFileError
from reference_node.operator.plan import Hand

NOBODY = NodeClient("nobody", "http://127.0.0.1:9", "token")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The job file of the example, with a little data."""
    return write_example(tmp_path, rows=10)[0]


def hands(job: JobFile) -> dict[str, Hand]:
    """Stand nodes beside the job that nobody has started."""
    return {
        label: Hand(node, f"node-{label}", f"http://{label}", f"grpc://{label}:1") for label, node in job.nodes.items()
    }


def test_the_example_means_a_dag_of_two_components(example: Path) -> None:
    """Ports, versions and identifier columns come from the self-descriptions and the datasets."""
    job = load_job(example)
    described = plan.describe(NOBODY, job)
    psi, mean = plan.dag_of(job, described)["components"]
    assert psi["input"] == [{"key": "table", "type": "dataset"}]
    assert psi["output"] == [{"key": "joined", "type": "dataset"}]
    assert mean["input"] == [{"key": "psi.joined", "type": "dataset"}]
    assert (psi["componentName"], psi["provider"], psi["version"]) == ("intersection", "hutong", "1.0.0")
    config = plan.config_of(job, described, hands(job))
    assert config["role"] == {"guest": ["node-city"], "host": ["node-park"], "arbiter": []}
    assert config["initiator"] == {"role": "guest", "node_id": "node-city"}
    assert config["job_params"] == {"common": {"priority": 5, "timeout": 600}}
    assert config["task_params"]["common"] == {"mean": {"columns": ["kwh"], "scale": 3}}
    assert config["task_params"]["host"] == {"0": {"psi": {"input": {"table": "meters"}, "id": "enterprise"}}}


def test_transport_scheduler_priority_and_own_parameters_are_passed_on(example: Path) -> None:
    """A node without a role schedules, no node is told where another is, a node's own parameter stays its own."""
    text = example.read_text().replace('# transport = "grpc"', 'transport = "grpc"\nscheduler = "hub"\npriority = 9')
    text = text.replace("[[components]]", "[nodes.hub]\nstart = true\n\n[[components]]", 1)
    example.write_text(text + 'params_of.park = { empty = "skip" }\n')
    job = load_job(example)
    config = plan.config_of(job, plan.describe(NOBODY, job), hands(job))
    assert config["job_params"] == {
        "common": {"priority": 9, "timeout": 600, "scheduler": "node-hub", "transport": "grpc"},
    }
    assert config["task_params"]["host"]["0"]["mean"] == {"empty": "skip"}
    assert "mean" not in config["task_params"]["guest"]["0"]


def test_a_job_file_may_be_json_with_standing_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words in JSON; a token from a file, another from the environment; files as bare texts."""
    (tmp_path / "token").write_text("t-o-k-e-n\n")
    (tmp_path / "a.csv").write_text("id\n1\n")
    monkeypatch.setenv("OTHER_TOKEN", "other")
    nodes = {
        "a": {"role": "guest", "address": "http://a", "token_file": "token", "datasets": {"ids": "a.csv"}},
        "b": {"role": "host", "address": "http://b/", "token_env": "OTHER_TOKEN"},
        "c": {"role": "host", "address": "http://c", "node_id": "node-c", "datasets": {"ids": {"dataset_id": "x"}}},
    }
    file = tmp_path / "job.json"
    file.write_text(json.dumps({"initiator": "a", "nodes": nodes, "components": [{"component": "statistics"}]}))
    job = load_job(file)
    assert [(node.token, node.address, node.ours) for node in job.parties] == [
        ("t-o-k-e-n", "http://a", True),
        ("other", "http://b", True),
        (None, "http://c", False),
    ]
    assert job.nodes["a"].datasets["ids"].location == str(tmp_path / "a.csv")
    assert job.nodes["c"].datasets["ids"].dataset_id == "x"
    assert "t-o-k-e-n" not in repr(job)


def swapped(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("change", "place", "remedy"),
    [
        (swapped("timeout =", "timout ="), "there is no key timout", "Did you mean timeout?"),
        (swapped("role =", "rolle ="), "nodes.city: there is no key rolle", "Did you mean role?"),
        (swapped('"host"', '"hots"'), "nodes.park.role = 'hots'", "Did you mean host?"),
        (swapped("timeout = 600", "timeout = 0"), "timeout = 0 is not a whole number from 1", ""),
        (swapped("timeout = 600", "priority = true"), "priority = True", ""),
        (swapped('# transport = "grpc"', 'transport = "http2"'), "transport = 'http2'", "Did you mean http?"),
        (swapped('# scheduler = "park"', 'scheduler = "hub"'), "scheduler = 'hub'", "Valid: city, park."),
        (swapped("city.parquet", "nowhere.parquet"), "nodes.city.datasets.meters.file: there is no file", ""),
        (swapped('file = "city.parquet"', 'location = "t.xlsx"'), "t.xlsx is neither CSV nor Parquet", ".csv"),
        (swapped('park = "meters" }', 'park = "metres" }'), "components.psi.input.table.park", "Did you mean meters?"),
        (swapped('{ city = "meters"', '{ town = "meters"'), "components.psi.input.table", "Valid: city, park."),
        (swapped('"psi.joined"', '"sip.joined"'), "components.mean.input.table: there is no component above", "psi"),
        (swapped('"psi.joined"', '"joined"'), "names neither an output nor datasets", "psi.joined"),
        (swapped('name = "mean"', 'name = "psi"'), "two components have this name", ""),
        (swapped('role = "host"\n', ""), "a job needs a guest and a host", "role"),
        (swapped('role = "host"\nstart', 'role = "host"\naddress = "http://b"\nstart'), "nodes.park.address", ""),
        (swapped('role = "host"\nstart = true', 'role = "host"\naddress = "b:1"\nnode_id = "b"'), "is not an addr", ""),
        (
            swapped('role = "host"\nstart = true', 'role = "host"\naddress = "http://b"\ntoken_env = "NO"'),
            "has no NO",
            "",
        ),
        (
            swapped('role = "host"\nstart = true', 'role = "host"\naddress = "http://b"\ntoken_file = "none"'),
            "cannot be read",
            "operator-token",
        ),
        (lambda text: text[: text.index("[[components]]")], "components is missing", "[[components]]"),
        (lambda _text: 'name = "x"', "nodes is missing", "[nodes.a]"),
        (lambda _text: "name = ", "Invalid value", "TOML"),
    ],
)
def test_a_wrong_job_file_is_told_by_its_place(
    example: Path, change: Callable[[str], str], place: str, remedy: str
) -> None:
    """The message names the place and what is wrong with it, the hint what was meant or what is valid."""
    before = example.read_text()
    after = change(before)
    assert after != before
    example.write_text(after)
    with pytest.raises(JobFileError) as refused:
        load_job(example)
    assert place in str(refused.value)
    assert remedy in refused.value.hint


@pytest.mark.parametrize(
    ("change", "place", "remedy"),
    [
        (swapped("input.table = {", "input.tabel = {"), "intersection has no input tabel", "Did you mean table?"),
        (swapped('input.table = "psi.joined"', ""), "components.mean.input.table is missing", "table"),
        (swapped('"psi.joined"', '"psi.jointed"'), "psi has no output jointed", "Did you mean joined?"),
    ],
)
def test_what_a_component_does_not_have_is_told(
    example: Path, change: Callable[[str], str], place: str, remedy: str
) -> None:
    """Ports are held against the self-description before anything is sent."""
    example.write_text(change(example.read_text()))
    job = load_job(example)
    with pytest.raises(JobFileError) as refused:
        plan.dag_of(job, plan.describe(NOBODY, job))
    assert place in str(refused.value)
    assert remedy in refused.value.hint


def test_a_standing_node_announces_where_it_takes_grpc(example: Path) -> None:
    """The file cannot say it: where a node is, its contract says."""
    text = example.read_text().replace('# transport = "grpc"', 'transport = "grpc"')
    standing = 'role = "host"\naddress = "http://b"\nnode_id = "b"'
    example.write_text(text.replace('role = "host"\nstart = true', standing))
    assert load_job(example).nodes["park"].address == "http://b"
    example.write_text(text.replace('role = "host"\nstart = true', standing + '\ngrpc = "grpc://b:9"'))
    with pytest.raises(JobFileError, match=r"nodes.park: there is no key grpc"):
        load_job(example)


def test_a_job_that_is_not_ours_to_begin_is_refused(example: Path) -> None:
    """The initiator's operator has to be at hand."""
    text = example.read_text().replace(
        'role = "guest"\nstart = true', 'role = "guest"\naddress = "http://a"\nnode_id = "a"'
    )
    example.write_text(text)
    with pytest.raises(JobFileError, match="the initiator needs a role"):
        load_job(example)
