"""Tables that cannot be read are refused in our words, with the place, whatever the libraries raise (8.6)."""

from __future__ import annotations

import csv
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_node.algorithms.errors import InputRefused
from reference_node.algorithms.tables import Table

LIMIT = csv.field_size_limit()
_FOLDER = tempfile.TemporaryDirectory(prefix="hutong-tables-")


def _table(folder: Path, content: bytes, name: str = "t.csv") -> Table:
    (folder / name).write_bytes(content)
    return Table(folder / name)


def _read(table: Table) -> int:
    return sum(len(batch) for batch in table.batches())


@pytest.mark.parametrize("rows_before", [0, 1, 3000])
def test_a_value_that_is_too_long_is_refused_with_row_and_column(tmp_path: Path, rows_before: int) -> None:
    """In the first row as in a later one; one character less is taken."""
    head = b"id,note\n" + b"x,y\n" * rows_before
    long = _table(tmp_path, head + b"z," + b"n" * (LIMIT + 1) + b"\n")
    with pytest.raises(InputRefused, match=rf"in row {rows_before + 1}, column note$"):
        _read(long)
    assert _read(_table(tmp_path, head + b"z," + b"n" * LIMIT + b"\n")) == rows_before + 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"id," + b"n" * (LIMIT + 1) + b"\nx,y\n", "the header cannot be read"),
        (b"n" * (2 << 20), "the header is longer than"),
        (b"id,no\0te\nx,y\n", "the header holds control characters"),
        (b"id\n" + b"n" * (5 << 20) + b"\n", "in row 1, column id"),
        (b"id\n" + b"n" * (20 << 20) + b"\n", "a row is longer than 4 MiB|in row 1, column id"),
        (b"id\n\xff\xfe\n", "cannot be read as csv"),
        (b"\xff\xfe", "cannot be read as csv"),
        (b"id,note\nx\n", "cannot be read as csv"),
        (b"id,id\nx,y\n", "names a column twice"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    """Names, lines and values that are too long, NUL, what is no UTF-8, rows of another width."""
    with pytest.raises(InputRefused, match=said):
        _read(_table(tmp_path, content))


def test_only_white_space_after_the_header_is_no_row(tmp_path: Path) -> None:
    """A table of a header alone, with or without empty lines, has no rows."""
    for content in (b"id", b"id\n", b"id\r\n\r\n\n"):
        assert _read(_table(tmp_path, content)) == 0


@given(st.binary(max_size=200), st.sampled_from([".csv", ".parquet"]))
@settings(max_examples=200, deadline=None)
def test_no_bytes_let_an_error_of_a_library_through(content: bytes, suffix: str) -> None:
    """Whatever a file holds is read or refused."""
    folder = Path(_FOLDER.name)
    table = _table(folder, b"id,note\n" + content if suffix == ".csv" else content, "any" + suffix)
    try:
        _read(table)
        for column in table.columns():
            list(table.identifiers(column))
    except InputRefused:
        pass


@given(st.integers(0, 2**31), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_no_damage_to_a_parquet_file_lets_one_through(seed: int, flips: int) -> None:
    """A sound file with some bytes changed is read or refused."""
    folder = Path(_FOLDER.name)
    pq.write_table(pa.table({"id": ["a", "b"] * 50, "n": list(range(100))}), folder / "sound.parquet")
    content = bytearray((folder / "sound.parquet").read_bytes())
    chance = np.random.default_rng(seed)
    for at in chance.integers(0, len(content), flips):
        content[at] ^= int(chance.integers(1, 256))
    with suppress(InputRefused):
        _read(_table(folder, bytes(content), "damaged.parquet"))
