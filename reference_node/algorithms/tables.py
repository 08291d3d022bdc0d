"""Tables on disk, CSV and Parquet, read and written in streams: one batch of rows is in memory at a time.

Guarantees: a CSV value is taken as the text that stands there (leading zeros stay, nothing is guessed); a Parquet
value keeps its type, and as an identifier it is the text of an integer or the string itself; a missing identifier is
refused with its row, a value of more than 131072 characters with row and column, a name with control characters, and
whatever the libraries cannot read: none of their errors comes through. Rows are written in the order of the input or,
on demand, by identifier (bytes of its UTF-8).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from reference_node.algorithms.errors import InputRefused
from reference_node.domain.text import steers

Mask = npt.NDArray[np.bool_]
_BLOCK_BYTES: Final = 4 << 20
_HEADER_LIMIT: Final = 1 << 20  # characters
_ROWS: Final = 1 << 16
_SUFFIXES: Final = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}


class Writer(Protocol):
    """What both writers of pyarrow have in common."""

    def write_table(self, table: Any) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table file; the kind follows the suffix."""

    path: Path

    @property
    def kind(self) -> str:
        """Return csv or parquet."""
        try:
            return _SUFFIXES[self.path.suffix.lower()]
        except KeyError:
            raise InputRefused(f"{self.path.name}: neither .csv nor .parquet") from None

    def columns(self) -> list[str]:
        """Return the names of the columns."""
        try:
            if self.kind == "parquet":
                names = list(pq.read_schema(self.path).names)
            else:
                with self.path.open(encoding="utf-8-sig", newline="") as file:
                    names = next(csv.reader(self._lines(file)), [])
        except csv.Error as wrong:
            raise InputRefused(f"{self.path.name}: the header cannot be read: {wrong}") from wrong
        except (OSError, pa.ArrowException, UnicodeDecodeError) as wrong:
            raise self._unreadable(wrong) from wrong
        if len(set(names)) != len(names):
            raise InputRefused(f"{self.path.name} names a column twice")
        if any(steers(name) for name in names):
            raise InputRefused(f"{self.path.name}: the header holds control characters")
        return names

    def batches(self, columns: list[str] | None = None) -> Iterator[Any]:
        """Yield record batches, of these columns or of all."""
        present = self.columns()
        for name in columns or ():
            if name not in present:
                raise InputRefused(f"{self.path.name} has no column {name}")
        try:
            if self.kind == "parquet":
                with pq.ParquetFile(self.path) as file:
                    yield from file.iter_batches(batch_size=_ROWS, columns=columns)
            else:
                yield from self._csv(present, columns)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as wrong:
            raise self._unreadable(wrong) from wrong

    def _unreadable(self, wrong: Exception) -> InputRefused:
        """Return the refusal of a file that its library cannot read; its words may hold values and are left out."""
        if "straddling" in str(wrong):
            most = _BLOCK_BYTES >> 20
            return InputRefused(f"{self.path.name} cannot be read as {self.kind}: a row is longer than {most} MiB")
        return InputRefused(f"{self.path.name} cannot be read as {self.kind}: {type(wrong).__name__}")

    def _lines(self, file: TextIO) -> Iterator[str]:
        """Yield the lines of the header; one without an end is not read to its end."""
        while line := file.readline(_HEADER_LIMIT + 1):
            if len(line) > _HEADER_LIMIT:
                raise InputRefused(f"{self.path.name}: the header is longer than {_HEADER_LIMIT} characters")
            yield line

    def _csv(self, present: list[str], columns: list[str] | None) -> Iterator[Any]:
        convert = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(present, pa.string()), include_columns=columns, strings_can_be_null=False
        )
        read = pa_csv.ReadOptions(block_size=_BLOCK_BYTES)
        parse = pa_csv.ParseOptions(newlines_in_values=True)
        if self._has_no_rows():
            return
        with pa_csv.open_csv(self.path, read_options=read, convert_options=convert, parse_options=parse) as reader:
            seen = 0
            for batch in reader:
                self._check_lengths(batch, seen)
                seen += len(batch)
                yield batch

    def _check_lengths(self, batch: Any, seen: int) -> None:
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            lengths = pc.utf8_length(values)
            if (pc.max(lengths).as_py() or 0) > csv.field_size_limit():
                row = seen + pc.index(pc.greater(lengths, csv.field_size_limit()), True).as_py() + 1
                most = f"a value of more than {csv.field_size_limit()} characters"
                raise InputRefused(f"{self.path.name}: {most} in row {row}, column {name}")

    def _has_no_rows(self) -> bool:
        """Tell whether nothing but white space follows the header."""
        with self.path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
            next(csv.reader(self._lines(file)), None)
            while piece := file.readline(_HEADER_LIMIT):
                if piece.strip():
                    return False
            return True

    def identifiers(self, column: str) -> Iterator[list[str]]:
        """Yield the identifiers in the order of the rows."""
        seen = 0
        for batch in self.batches([column]):
            values = _as_text(batch.column(0), column)
            if (missing := _missing(values)) is not None:
                raise InputRefused(f"{self.path.name}: column {column} is empty in row {seen + missing + 1}")
            seen += len(values)
            yield values.to_pylist()

    def keep(self, rows: Mask, target: Path, *, by: str | None = None) -> None:
        """Write the rows that the mask keeps, in the order of the input or by the identifier in the column `by`."""
        writer: Writer | None = None
        held, at = [], 0
        try:
            for batch in self.batches():
                kept = pa.table(batch.filter(pa.array(rows[at : at + len(batch)])))
                at += len(batch)
                if by is not None:
                    held.append(kept)
                    continue
                writer = writer or _writer(target, kept.schema)
                writer.write_table(kept)
            if held and by is not None:
                table = pa.concat_tables(held)
                order = pc.sort_indices(pc.cast(_as_text(table.column(by), by), pa.binary()))
                writer = _writer(target, table.schema)
                writer.write_table(table.take(order))
            if writer is None:
                writer = _writer(target, self._schema())
        finally:
            if writer is not None:
                writer.close()

    def _schema(self) -> Any:
        if self.kind == "parquet":
            return pq.read_schema(self.path)
        return pa.schema([(name, pa.string()) for name in self.columns()])


def _writer(target: Path, schema: Any) -> Writer:
    made: Writer = (pq.ParquetWriter if Table(target).kind == "parquet" else pa_csv.CSVWriter)(target, schema)
    return made


def _missing(values: Any) -> int | None:
    """Return the place of the first value that is null or empty; CSV knows no difference between them."""
    at = np.flatnonzero(pc.fill_null(pc.equal(values, ""), True).to_numpy(zero_copy_only=False))
    return int(at[0]) if at.size else None


def _as_text(values: Any, column: str) -> Any:
    """Return identifiers as strings; only strings and integers have one text each."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = pc.cast(values, kind.value_type), kind.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
        raise InputRefused(f"column {column} holds {kind}; identifiers are strings or integers")
    return pc.cast(values, pa.string())
