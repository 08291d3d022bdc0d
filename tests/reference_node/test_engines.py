"""Components of other providers: what they are told, what they refuse, and what they may take (5.3-c, 8.5)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reference_node.algorithms.errors import InputRefused, ParamsRefused, PeerRefused
from reference_node.algorithms.tables import Table
from reference_node.domain.task import Cause
from reference_node.engines import spu_product, spu_psi
from reference_node.engines.told import Told
from reference_node.engines.told import run as run_component
from reference_node.runtime import catalogue
from reference_node.runtime.environment import variables
from reference_node.runtime.launcher import Launcher
from reference_node.schedule import material
from tests.reference_node.jobbing import CATALOGUE, agree_flow, allied, config, dag, part, workers
from tests.reference_node.test_runtime import run, work
from tests.reference_node.transport.conftest import PARTIES, TOKEN, served

HOLD = "held = bytearray({size} << 20); import time; time.sleep(60)"


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """One warm server for the tests of this module."""
    found = Launcher(CATALOGUE)
    yield found
    found.close()


def test_a_commands_resident_memory_is_bounded(launcher: Launcher, tmp_path: Path) -> None:
    """What it and its children hold counts together; reserving address space is free."""
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{HOLD.format(size=400)}'])"
    reserve = "import mmap; mmap.mmap(-1, 4 << 30)"
    ended = run(launcher, work(tmp_path, command=f'{sys.executable} -c "{child}"', memory_mib=200))
    assert (ended.cause, ended.detail) == (Cause.MEMORY_EXCEEDED, "more than 200 MiB")
    assert run(launcher, work(tmp_path, command=f'{sys.executable} -c "{reserve}"', memory_mib=200)).cause is None


def told(tmp_path: Path, **fields: Any) -> Told:
    """Return what a component reads out of the variables that the runtime writes."""
    return Told.read(variables(work(tmp_path, **fields)))


def test_a_command_reads_what_the_runtime_writes(tmp_path: Path) -> None:
    """Parties in the order of their ranks, files by port, parameters as texts."""
    found = told(tmp_path, parameters={"id": "user", "max_abs": 7}, inputs={"table": tmp_path / "a b.csv"})
    assert (found.me, found.rank, dict(found.nodes)) == ("guest.0", 0, {"guest.0": "node-a", "host.0": "node-b"})
    assert (found.inputs["table"], found.outputs["out"]) == (tmp_path / "a b.csv", tmp_path / "made" / "out.csv")
    assert (found.parameters, found.job_id) == ({"id": "user", "max_abs": "7"}, "job-1")
    assert (found.ranks(()), found.ranks(("host.0",))) == ((0, 1), (1,))
    with pytest.raises(ParamsRefused, match=r"host\.1 is not a party"):
        found.ranks(("host.1",))


def test_a_failure_ends_with_a_status_even_where_the_node_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The words of a worded failure are told, of others the kind only."""
    environ = variables(work(tmp_path, address="http://127.0.0.1:9"))

    def refuse(_told: Told) -> dict[str, Any]:
        raise InputRefused("row 3 is empty")

    def stumble(_told: Told) -> dict[str, Any]:
        raise ValueError(str(tmp_path))

    assert [run_component(environ, refuse), run_component(environ, stumble)] == [1, 1]
    said = capsys.readouterr().err
    assert "INPUT_INVALID: row 3 is empty" in said
    assert "ValueError" in said
    assert "callback failed: ConnectionError" in said
    assert str(tmp_path) not in said


def table(tmp_path: Path, text: str) -> Table:
    """Return a CSV table."""
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    return Table(path)


def test_the_engine_gets_distinct_plain_identifiers(tmp_path: Path) -> None:
    """What it finds selects the rows; repeated ones are kept, cut to the first, or refused."""
    rows, keys, target = table(tmp_path, "id,v\nb,1\n007,2\nb,3\nc,4\n"), tmp_path / "k.csv", tmp_path / "o.csv"
    params = spu_psi.PsiParams.parse({"id": "id"})
    assert spu_psi.write_keys(rows, params, keys) == (4, 3)
    assert keys.read_text() == "id\nb\n007\nc\n"
    keys.write_text('"id"\n007\nb\n')
    assert spu_psi.keep(rows, params, keys, target) == {"intersection": 2, "rows_kept": 3}
    first = spu_psi.PsiParams.parse({"id": "id", "duplicates": "first", "order": "id"})
    assert spu_psi.keep(rows, first, keys, target) == {"intersection": 2, "rows_kept": 2}
    assert [row.as_py() for batch in Table(target).batches(["v"]) for row in batch.column(0)] == ["2", "1"]
    with pytest.raises(InputRefused, match="repeat"):
        spu_psi.write_keys(rows, spu_psi.PsiParams.parse({"id": "id", "duplicates": "refuse"}), keys)


@pytest.mark.parametrize("identifier", ['"a,b"', '"a""b"', '"a\nb"'])
def test_identifiers_that_the_engine_cannot_sort_are_refused(tmp_path: Path, identifier: str) -> None:
    """They would be taken apart; the row is told, the identifier is not."""
    rows = table(tmp_path, f"id\nplain\n{identifier}\n")
    with pytest.raises(InputRefused, match="row 2"):
        spu_psi.write_keys(rows, spu_psi.PsiParams.parse({"id": "id"}), tmp_path / "k.csv")


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("x\n1\nabc\n", {}),
        ("x\n1\nnan\n", {}),
        ("x\n10001\n", {}),
        ("x\n", {}),
        ("y\n1\n", {}),
    ],
)
def test_columns_that_no_product_can_be_made_of_are_refused(tmp_path: Path, text: str, params: dict[str, Any]) -> None:
    """Neither words nor missing values, nor numbers beyond the bound, nor an empty table."""
    with pytest.raises(InputRefused):
        spu_product.read(table(tmp_path, text), spu_product.ProductParams.parse({"column": "x", **params}))


def test_sums_that_could_wrap_around_are_refused(tmp_path: Path) -> None:
    """Rows times the square of the bound must fit the fixed-point numbers."""
    rows = table(tmp_path, "x\n" + "1\n" * 9)
    given = {"column": "x", "max_abs": str(2**21)}
    with pytest.raises(ParamsRefused, match="max_abs"):
        spu_product.read(rows, spu_product.ProductParams.parse(given))
    alone = spu_product.ProductParams.parse({**given, "operation": "product"})
    assert spu_product.read(rows, alone).tolist() == [1.0] * 9


def test_shares_travel_whole_or_not_at_all() -> None:
    """A share comes apart as it was put together; a message that is cut short is refused."""
    message = spu_product.pack(b"meta", [b"one", b""])
    assert spu_product.unpack(message) == (b"meta", [b"one", b""])
    for broken in (message[:-1], message + b"\0", b""):
        with pytest.raises(PeerRefused):
            spu_product.unpack(broken)


def test_components_whose_engine_is_not_installed_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue leaves them out and says what brings them; with the engine they are commands."""
    with monkeypatch.context() as patched:
        patched.setattr(catalogue.importlib.util, "find_spec", lambda _name: None)
        without = catalogue.builtins.__wrapped__()
        assert {row.description["provider"] for row in without.values()} == {"hutong"}
        assert (catalogue.remedy("secretflow"), catalogue.remedy("hutong")) == ("pip install 'hutong[spu]'", None)
        patched.setattr(catalogue.importlib.util, "find_spec", lambda name: name)
        found = catalogue.builtins.__wrapped__()
        assert catalogue.remedy("secretflow") is None
        commands = {code: row.command for (code, _), row in found.items() if row.command is not None}
    assert set(commands) == {"spu-psi", "spu-product"}
    assert commands["spu-psi"] == f"{sys.executable} -m reference_node.engines.spu_psi"
    assert all(json.dumps(row.description) for row in found.values())


def test_a_job_of_components_that_are_not_installed_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pointer names the place, the hint the command that brings the engine."""
    monkeypatch.setattr(catalogue, "_installed", lambda _engine: False)
    with workers("node-a", "node-b") as (a, b):
        allied(a, b)
        described = dag({**part("a", "spu-psi"), "provider": "secretflow"})
        flow_id = agree_flow(a, b, dag=described)
        reply = a.own("ownJobCreate", flow_id=flow_id, dag=described, config=config(a, b))
    assert (reply.error, reply.data["pointer"]) == ("RESOURCE_NOT_FOUND", "/dag/components/0/componentName")
    assert reply.data["hint"] == "pip install 'hutong[spu]'"


def test_a_session_within_another_ends_with_it(tmp_path: Path) -> None:
    """What a job has opened is gone with the job's session."""
    with served(tmp_path) as (a, _):
        a.sessions.open("outer", TOKEN, PARTIES)
        a.sessions.open("inner", TOKEN, PARTIES, within="outer")
        a.sessions.open("other", TOKEN, PARTIES)
        a.sessions.close("outer")
        assert a.sessions.counters()["open"] == 1


def test_each_attempt_of_a_command_has_a_session_of_its_own() -> None:
    """Named after the task; what an earlier attempt has left cannot reach a later one."""
    names = [material.task_session_id("task_1", attempt) for attempt in (1, 2)]
    assert names == ["session_task_1", "session_task_1.2"]
