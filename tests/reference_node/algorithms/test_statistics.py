"""The component `statistics` is exact, opens to result parties only, and refuses what its bounds do not hold."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_node.algorithms.channel import LocalChannel
from reference_node.algorithms.errors import (
    BatchRefused,
    CountRefused,
    HandshakeRefused,
    InputRefused,
    ParamsRefused,
)
from reference_node.algorithms.sharing.additive import AGREEMENT, SHARE
from reference_node.algorithms.statistics.component import StatisticsParams
from reference_node.proto import sharing_pb2
from tests.reference_node.algorithms.parties import component, outputs, play

PARTIES = ("guest.0", "host.0", "host.1")
decimals = st.decimals(min_value=Decimal(-9999999999999), max_value=Decimal(9999999999999), places=9, allow_nan=False)


def csv_table(folder: Path, name: str, values: Sequence[str], column: str = "x") -> Path:
    """Write a table of one column of numbers."""
    path = folder / f"{name}.csv"
    path.write_text("".join(f"{line}\n" for line in [column, *(value or '""' for value in values)]), encoding="utf-8")
    return path


def run(tables: Mapping[str, Path | None], folder: Path, **params: Any) -> dict[str, Any]:
    """Run all parties with the same parameters, but for those without a table, which do not contribute."""
    acts = {}
    for name, table in tables.items():
        mine = {"columns": "x", **params, **({} if table else {"contribute": "false"})}
        acts[name] = component("statistics", mine, table, folder / f"{name}.json", "result")
    return play(acts, timeout=5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(decimals, max_size=20), min_size=2, max_size=3))
def test_sum_and_mean_equal_the_fractions(columns: list[list[Decimal]]) -> None:
    """With two and three parties the sum equals that of the fractions, and the mean in over 120 bits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = {
            party: csv_table(folder, party, [format(value, "f") for value in column])
            for party, column in zip(PARTIES, columns, strict=False)
        }
        ended = run(tables, folder, scale=9, max_abs="10000000000000")
        values = [Fraction(value) for column in columns for value in column]
        for party in tables:
            result = outputs(ended, party).summary["result"]["x"]
            assert result == json.loads((folder / f"{party}.json").read_text(encoding="utf-8"))["x"]
            assert result["count"] == len(values)
            assert Fraction(result["sum"]) == sum(values)
            if values:
                mean = sum(values) / len(values)
                assert Fraction(result["mean_exact"]) == mean
                assert abs(Fraction(result["mean"]) - mean) <= abs(mean) / 2**120
            else:
                assert result["mean"] is None


def test_result_opens_to_result_parties_only(tmp_path: Path) -> None:
    """Of three parties, one of them without data, only the one named gets numbers."""
    tables = {
        "guest.0": csv_table(tmp_path, "a", ["1.5", "2.5"]),
        "host.0": csv_table(tmp_path, "b", ["-0.25"]),
        "arbiter.0": None,
    }
    ended = run(tables, tmp_path, result_parties="arbiter.0")
    assert outputs(ended, "arbiter.0").summary["result"]["x"]["sum"] == "3.750000"
    for name in ("guest.0", "host.0"):
        assert outputs(ended, name).files == {}
        assert "result" not in outputs(ended, name).summary


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, -2, 3], pa.int32()),
        pa.array([0.1, 0.2, 1e-5]),
        pa.array([Decimal("1.25"), Decimal("-7.50"), Decimal("0.01")], pa.decimal128(10, 2)),
        pa.array([2**63 - 1, 2**63 - 1, -(2**63)], pa.int64()),
        pa.array(["1e3", "-0.5", "+2"]),
    ],
)
def test_types_of_parquet_enter_as_the_decimals_they_show(tmp_path: Path, column: pa.Array) -> None:
    """Integers, doubles, decimals and text are summed as their decimal text, with nothing rounded."""
    pq.write_table(pa.table({"x": column}), tmp_path / "a.parquet")
    tables = {"guest.0": tmp_path / "a.parquet", "host.0": None}
    ended = run(tables, tmp_path, max_abs=str(10**19))
    expected = sum(Fraction(str(value)) for value in column.to_pylist())
    assert Fraction(outputs(ended, "guest.0").summary["result"]["x"]["sum"]) == expected


def test_empty_values_are_refused_or_left_out(tmp_path: Path) -> None:
    """An empty value stops the run with its row, or counts neither in the sum nor in the count."""
    tables = {"guest.0": csv_table(tmp_path, "a", ["1", "", "3"]), "host.0": csv_table(tmp_path, "b", ["5"])}
    refused = run(tables, tmp_path)["guest.0"]
    assert isinstance(refused, InputRefused)
    assert "row 2" in str(refused)
    result = outputs(run(tables, tmp_path, empty="skip"), "host.0").summary["result"]["x"]
    assert (result["count"], result["mean"]) == (3, "3")


@pytest.mark.parametrize(
    ("values", "params"),
    [
        (["1.1234567"], {}),
        (["many"], {}),
        (["nan"], {}),
        (["1000001"], {"max_abs": "1000000"}),
        (["-1000000.000001"], {"max_abs": "1000000"}),
        (["1", "2", "3"], {"max_rows": 2}),
        ([str(10**37)], {}),
    ],
)
def test_values_that_break_the_bounds_are_refused(tmp_path: Path, values: list[str], params: dict[str, Any]) -> None:
    """More digits than the scale, no number, a value beyond max_abs, more rows than max_rows: refused, not rounded."""
    tables = {"guest.0": csv_table(tmp_path, "a", values), "host.0": None}
    assert isinstance(run(tables, tmp_path, **params)["guest.0"], InputRefused)


def test_value_at_the_bound_is_taken(tmp_path: Path) -> None:
    """The bound itself is allowed, at both ends."""
    tables = {"guest.0": csv_table(tmp_path, "a", ["1000000", "-1000000.000000"]), "host.0": None}
    assert outputs(run(tables, tmp_path, max_abs="1000000"), "host.0").summary["result"]["x"]["sum"] == "0.000000"


@pytest.mark.parametrize(
    ("bounds", "bits"),
    [
        ({"scale": 0, "max_abs": "1000", "max_rows": 1000}, 64),
        ({}, 128),
        ({"scale": 0, "max_abs": str(2**62), "max_rows": 1}, 128),
        ({"scale": 0, "max_abs": str(2**62 - 1), "max_rows": 1}, 64),
        ({"scale": 18, "max_abs": str(10**19), "max_rows": 10**12}, 192),
    ],
)
def test_modulus_holds_every_sum_that_the_bounds_allow(bounds: dict[str, Any], bits: int) -> None:
    """The width is the smallest that holds parties x rows x bound x scale with its sign."""
    assert StatisticsParams.parse({"columns": "x", **bounds}).ring(2).bits == bits


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({}, "/params/columns"),
        ({"columns": []}, "/params/columns"),
        ({"columns": "x", "scale": 19}, "/params/scale"),
        ({"columns": "x", "max_abs": "0"}, "/params/max_abs"),
        ({"columns": "x", "scale": 18, "max_abs": "1" + "0" * 30}, "/params/max_abs"),
        ({"columns": "x", "contribute": "perhaps"}, "/params/contribute"),
        ({"columns": "x,x"}, "/params/columns"),
    ],
)
def test_wrong_parameters_are_refused_with_their_place(params: dict[str, Any], pointer: str) -> None:
    """What is missing or out of bounds is named by a pointer."""
    with pytest.raises(ParamsRefused) as refused:
        StatisticsParams.parse(params)
    assert refused.value.pointer == pointer


def test_one_party_alone_is_refused(tmp_path: Path) -> None:
    """A sum among one is no joint statistic."""
    assert isinstance(run({"guest.0": csv_table(tmp_path, "a", ["1"])}, tmp_path)["guest.0"], ParamsRefused)


@pytest.mark.parametrize("change", [{"scale": 5}, {"columns": "y"}, {"result_parties": "guest.0"}, {"max_rows": 7}])
def test_parties_that_hold_to_different_things_stop_before_data_move(tmp_path: Path, change: dict[str, Any]) -> None:
    """A difference in scale, columns, receivers or bounds is refused, and no share was sent."""
    table = csv_table(tmp_path, "a", ["1"])
    sent: list[str] = []

    def watched(channel: LocalChannel) -> Any:
        class Watched(LocalChannel):
            def send(self, to: str, tag: str, payload: bytes) -> None:
                sent.append(tag)
                super().send(to, tag, payload)

        act = component("statistics", {"columns": "x", **change}, table, None, "result")
        return act(Watched(channel.me, channel.parties, channel.hub))

    ended = play({"guest.0": component("statistics", {"columns": "x"}, table, None, "result"), "host.0": watched})
    assert isinstance(ended["guest.0"], HandshakeRefused) or isinstance(ended["host.0"], HandshakeRefused)
    assert set(sent) <= {AGREEMENT}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"modulus_bits": 64}, BatchRefused),
        ({"values": bytes(31)}, BatchRefused),
        ({"values": bytes(16), "count": 1}, CountRefused),
        ({"count": 3}, CountRefused),
        (None, BatchRefused),
    ],
)
def test_malformed_shares_are_refused(tmp_path: Path, fields: dict[str, Any] | None, error: type[Exception]) -> None:
    """Shares of another width, length or count, and noise, end the run."""

    def hostile(channel: LocalChannel) -> None:
        channel.send("guest.0", AGREEMENT, channel.recv("guest.0", AGREEMENT))
        good = {"modulus_bits": 128, "count": 2, "values": bytes(32)}
        raw = b"\xff\xff" if fields is None else sharing_pb2.ShareVector(**(good | fields)).SerializeToString()
        channel.send("guest.0", SHARE, raw)

    honest = component("statistics", {"columns": "x"}, csv_table(tmp_path, "a", ["1"]), None, "result")
    assert type(play({"guest.0": honest, "host.0": hostile}, timeout=5)["guest.0"]) is error
