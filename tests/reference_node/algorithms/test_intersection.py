"""The component `intersection` equals the plaintext on both sides and gives a result to result parties only."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_node.algorithms.channel import LocalChannel
from reference_node.algorithms.contract import Outputs
from reference_node.algorithms.errors import HandshakeRefused, InputRefused, ParamsRefused
from reference_node.algorithms.psi.intersection import IntersectionParams
from tests.reference_node.algorithms.parties import GUEST, HOST, component, outputs, play

SUITES = ("x25519-sha256", "sm2-sm3")
identifiers = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


def write_csv(path: Path, rows: Sequence[str]) -> Path:
    """Write a table with an identifier and the number of the row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "row"])
        writer.writerows([identifier, at] for at, identifier in enumerate(rows))
    return path


def read_csv(path: Path) -> list[tuple[str, str]]:
    """Read a table back."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(identifier, row) for identifier, row in list(csv.reader(file))[1:]]


def intersect(folder: Path, own: Sequence[str], other: Sequence[str], **params: Any) -> dict[str, Outputs]:
    """Run both sides over these identifiers."""
    return run_tables(write_csv(folder / "a.csv", own), write_csv(folder / "b.csv", other), folder, **params)


def run_tables(first: Path, second: Path, folder: Path, **params: Any) -> dict[str, Outputs]:
    """Run both sides over these tables."""
    given_params = {"id": "id", "workers": 1, **params}
    ended = play(
        {
            GUEST: component("intersection", given_params, first, folder / "guest.csv", "joined"),
            HOST: component("intersection", given_params, second, folder / "host.csv", "joined"),
        }
    )
    return {name: outputs(ended, name) for name in ended}


@settings(max_examples=12, deadline=None)
@given(st.lists(identifiers, max_size=60), st.lists(identifiers, max_size=60), st.sets(identifiers, max_size=30))
def test_result_is_the_plaintext_intersection(own: list[str], other: list[str], shared: set[str]) -> None:
    """Each side gets exactly its rows whose identifier the other has, in the order of its input, repeats included."""
    own, other = [*own, *sorted(shared)], [*sorted(shared), *other]
    with tempfile.TemporaryDirectory() as folder:
        found = intersect(Path(folder), own, other, suites="x25519-sha256", batch_size=7)
        for name, mine, theirs in ((GUEST, own, other), (HOST, other, own)):
            expected = [(row, str(at)) for at, row in enumerate(mine) if row in set(theirs)]
            assert read_csv(found[name].files["joined"]) == expected
            assert found[name].summary["intersection"] == len(set(own) & set(other))
            assert found[name].summary["items"] == len(set(mine))
            assert found[name].summary["peer_items"] == len(set(theirs))


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 2000), st.integers(1, 700))
def test_any_sizes_and_batches(own: int, other: int, offset: int, batch_size: int) -> None:
    """Sets of 0 to 2000 items, in batches of any size, meet in exactly what they share."""
    with tempfile.TemporaryDirectory() as folder:
        mine, theirs = range(own), range(offset, offset + other)
        found = intersect(
            Path(folder), [str(at) for at in mine], [str(at) for at in theirs], suites=SUITES[0], batch_size=batch_size
        )
        expected = sorted(set(mine) & set(theirs))
        assert [int(row) for row, _ in read_csv(found[GUEST].files["joined"])] == expected
        assert [int(row) for row, _ in read_csv(found[HOST].files["joined"])] == expected


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("receiver", [GUEST, HOST])
def test_only_the_result_party_gets_a_result(tmp_path: Path, suite: str, receiver: str) -> None:
    """In both suites and directions, one side gets the intersection, the other neither rows nor their number."""
    own, other = [f"用户{at}" for at in range(40)], [f"用户{at}" for at in range(25, 70)]
    found = intersect(tmp_path, own, other, suites=suite, result_parties=receiver, batch_size=16)
    silent = HOST if receiver == GUEST else GUEST
    assert {row for row, _ in read_csv(found[receiver].files["joined"])} == {f"用户{at}" for at in range(25, 40)}
    assert found[silent].files == {}
    assert not {"intersection", "rows_kept"} & set(found[silent].summary)
    assert not (tmp_path / f"{silent.removesuffix('.0')}.csv").exists()
    assert found[GUEST].summary["transcript"] == found[HOST].summary["transcript"]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize(("own", "other"), [(0, 0), (0, 5), (5, 0), (2000, 1)])
def test_sizes_at_the_edges(tmp_path: Path, suite: str, own: int, other: int) -> None:
    """Empty sets, and sets of very different size, are no special case."""
    if suite == "sm2-sm3":
        own = min(own, 50)
    found = intersect(tmp_path, [f"{at:05}" for at in range(own)], [f"{at:05}" for at in range(other)], suites=suite)
    assert [output.summary["intersection"] for output in found.values()] == [min(own, other)] * 2


def test_result_ordered_by_identifier_aligns_both_sides(tmp_path: Path) -> None:
    """Sorted by identifier, with repeats reduced to the first, row for row the two results name the same."""
    own, other = ["b", "Z", "é", "b", "10", "9", "x"], ["9", "é", "10", "Z", "Z", "b", "y"]
    found = intersect(tmp_path, own, other, suites=["x25519-sha256"], order="id", duplicates="first")
    names = [[row for row, _ in read_csv(output.files["joined"])] for output in found.values()]
    assert names[0] == names[1] == ["10", "9", "Z", "b", "é"]


def test_parquet_keeps_types_and_meets_csv(tmp_path: Path) -> None:
    """Integer identifiers of Parquet meet the same digits in CSV; a leading zero makes another identifier."""
    pq.write_table(pa.table({"id": [1, 2, 3, 40], "x": [0.5, 1.5, 2.5, 3.5]}), tmp_path / "a.parquet")
    second = write_csv(tmp_path / "b.csv", ["2", "03", "40", "5"])
    ended = play(
        {
            GUEST: component(
                "intersection", {"id": "id"}, tmp_path / "a.parquet", tmp_path / "joined.parquet", "joined"
            ),
            HOST: component("intersection", {"id": "id"}, second, tmp_path / "joined.csv", "joined"),
        }
    )
    outputs(ended, HOST)
    assert pq.read_table(outputs(ended, GUEST).files["joined"]).to_pydict() == {"id": [2, 40], "x": [1.5, 3.5]}
    assert [row for row, _ in read_csv(tmp_path / "joined.csv")] == ["2", "40"]


def test_suite_is_the_choosers_first_that_both_have(tmp_path: Path) -> None:
    """The side of rank 0 decides by its own preference among what the other offers."""
    table = write_csv(tmp_path / "a.csv", ["1", "2"])
    ended = play(
        {
            GUEST: component("intersection", {"id": "id"}, table, None, "joined"),
            HOST: component("intersection", {"id": "id", "suites": "x25519-sha256,sm2-sm3"}, table, None, "joined"),
        }
    )
    assert [outputs(ended, name).summary["suite"] for name in (GUEST, HOST)] == ["sm2-sm3", "sm2-sm3"]


@pytest.mark.parametrize(("changed", "code"), [({"suites": "sm2-sm3"}, 31100203), ({"result_parties": HOST}, 31100200)])
def test_sides_that_do_not_agree_end_with_the_handshake(tmp_path: Path, changed: dict[str, str], code: int) -> None:
    """Without a common suite, or with other result parties, both sides refuse with the same error code."""
    table = write_csv(tmp_path / "a.csv", ["1", "2"])
    params = {"id": "id", "suites": "x25519-sha256"}
    ended = play(
        {
            GUEST: component("intersection", params, table, None, "joined"),
            HOST: component("intersection", params | changed, table, None, "joined"),
        }
    )
    assert isinstance(ended[GUEST], HandshakeRefused)
    assert ended[GUEST].error_code == code
    if isinstance(ended[HOST], HandshakeRefused):  # else its channel was closed first
        assert ended[HOST].error_code == code


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    """The share that progress reports never falls and ends at 1."""
    from reference_node.algorithms import ALGORITHMS
    from reference_node.algorithms.contract import Inputs

    table, seen = write_csv(tmp_path / "a.csv", [str(at) for at in range(50)]), []
    params = {"id": "id", "suites": "x25519-sha256", "batch_size": 8}

    def guest(channel: LocalChannel) -> Outputs:
        inputs = Inputs({"table": table}, progress=lambda share, _word: seen.append(share))
        return ALGORITHMS["intersection"].start(channel, params, inputs)

    outputs(play({GUEST: guest, HOST: component("intersection", params, table, None, "joined")}), GUEST)
    assert max(seen) == 1.0
    assert all(0 < share <= 1 for share in seen)


@pytest.mark.parametrize(
    ("given_params", "pointer"),
    [
        ({}, "/params/id"),
        ({"id": "id", "suites": "p256"}, "/params/suites"),
        ({"id": "id", "batch_size": "0"}, "/params/batch_size"),
        ({"id": "id", "batch_size": "many"}, "/params/batch_size"),
        ({"id": "id", "order": "random"}, "/params/order"),
        ({"id": "id", "result_parties": "guest.0,guest.0"}, "/params/result_parties"),
        ({"id": "id", "colour": "red"}, "/params/colour"),
    ],
)
def test_wrong_parameters_are_refused_with_their_place(given_params: dict[str, Any], pointer: str) -> None:
    """What is missing, out of bounds or unknown is named by a pointer."""
    with pytest.raises(ParamsRefused) as refused:
        IntersectionParams.parse(given_params)
    assert refused.value.pointer == pointer


def test_result_party_that_does_not_take_part_is_refused(tmp_path: Path) -> None:
    """A result party that is not among the parties is refused before anything is sent."""
    act = component(
        "intersection", {"id": "id", "result_parties": "host.1"}, write_csv(tmp_path / "a.csv", []), None, ""
    )
    ended = play({GUEST: act, HOST: act})
    assert isinstance(ended[GUEST], ParamsRefused)


@pytest.mark.parametrize(
    ("text", "params", "says"),
    [
        ("id,x\n1,2\n,3\n", {}, "empty in row 2"),
        ("name\n1\n", {}, "no column id"),
        ("id,id\n1,2\n", {}, "twice"),
        ("id\n1\n1\n", {"duplicates": "refuse"}, "1 rows repeat"),
    ],
)
def test_tables_that_break_their_promise_are_refused(
    tmp_path: Path, text: str, params: dict[str, str], says: str
) -> None:
    """An empty identifier, a missing or doubled column, and refused repeats stop the run with the place."""
    table = tmp_path / "a.csv"
    table.write_text(text, encoding="utf-8")
    act = component("intersection", {"id": "id", **params}, table, None, "joined")
    ended = play({GUEST: act, HOST: act})
    assert isinstance(ended[GUEST], InputRefused)
    assert says in str(ended[GUEST])
