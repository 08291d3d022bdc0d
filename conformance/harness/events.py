"""`events.jsonl`: the truth of a run, from which every report is folded.

One JSON object a line: a header, then scenarios, exchanges, check and requirement results as they come, and a footer
with the outcome and the SM3 digest of every byte before it. A file without a footer is truncated and a file whose
digest differs was changed: neither is ever green. Secrets are taken out when a line is written, not later.

>>> run = read_events(path)                                                # doctest: +SKIP
>>> run.outcome("shall")                                                   # doctest: +SKIP
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from cryptography.hazmat.primitives.hashes import SM3, Hash

from conformance.harness.errors import UsageError
from conformance.harness.records import CheckResult, Exchange, Stop, Transcript
from conformance.harness.verdict import Outcome, RequirementResult

SCHEMA = 1
MASK = "***"
_SECRET_LENGTH = 8
_SECRET_HEADERS = ("authorization", "cookie", "set-cookie", "proxy-authorization")


def mask(exchange: Mapping[str, Any], secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Return the JSON form of an exchange without credentials of the target's operator.

    Secrets shorter than eight characters are masked in their header only: elsewhere they would be found by chance.
    """
    long = tuple(secret for secret in secrets if len(secret) >= _SECRET_LENGTH)
    row: dict[str, Any] = _hidden(exchange, long)
    for part in ("request", "answer"):
        headers = (row.get(part) or {}).get("headers", {})
        for name in headers:
            if name in _SECRET_HEADERS:
                headers[name] = MASK
    return row


def _hidden(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {name: _hidden(inner, secrets) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(inner, secrets) for inner in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
    return value


class EventWriter:
    """Appends events to a file; each line is flushed, so that a live view can follow it. Thread-safe."""

    def __init__(self, path: Path, secrets: Iterable[str] = ()) -> None:
        self._file: TextIO = path.open("x", encoding="utf-8")
        self._secrets = tuple(secrets)
        self._digest = Hash(SM3())
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def _write(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
        self._digest.update(line.encode())
        self._file.write(line)
        self._file.flush()

    def write(self, kind: str, row: Mapping[str, Any]) -> None:
        """Append one event."""
        with self._lock:
            self._write({"type": kind, **row})

    def header(self, row: Mapping[str, Any]) -> None:
        """Open the run."""
        self.write("header", {"schema": SCHEMA, **row})

    def exchange(self, exchange: Exchange) -> None:
        """Record one exchange, masked."""
        self.write("exchange", mask(exchange.to_json(), self._secrets))

    def transcript(self, transcript: Transcript) -> None:
        """Record the end of a scenario; its exchanges were recorded as they happened."""
        facts = json.loads(json.dumps(dict(transcript.facts), ensure_ascii=False, default=str))
        stop = transcript.stop.to_json() if transcript.stop else None
        self.write("scenario", {"name": transcript.scenario, "facts": facts, "stop": stop})

    def footer(self, row: Mapping[str, Any]) -> None:
        """Close the run with its outcome and the digest of all lines before."""
        with self._lock:
            self._write({"type": "footer", **row, "sm3": self._digest.copy().finalize().hex()})


@dataclass(slots=True)
class Run:
    """A recorded run, read back."""

    header: dict[str, Any] = field(default_factory=dict)
    transcripts: dict[str, Transcript] = field(default_factory=dict)
    checks: list[CheckResult] = field(default_factory=list)
    requirements: list[dict[str, Any]] = field(default_factory=list)
    footer: dict[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def intact(self) -> bool:
        """Whether the file is whole and unchanged."""
        return not self.problem

    def outcome(self, level: str) -> Outcome:
        """Return the recorded outcome at a level; a file that is not intact is void."""
        return Outcome(self.footer["outcome"][level]) if self.intact else Outcome.VOID

    def exchanges(self) -> Iterator[Exchange]:
        """Yield every exchange of every scenario."""
        for transcript in self.transcripts.values():
            yield from transcript.exchanges


def _stamp(lines: list[str]) -> str:
    """Return what is wrong with the file as a whole ("" when nothing is)."""
    last = json.loads(lines[-1]) if lines else {}
    if last.get("type") != "footer":
        return "truncated: the file has no footer"
    digest = Hash(SM3())
    digest.update("".join(lines[:-1]).encode())
    return "" if digest.finalize().hex() == last["sm3"] else "changed: the digest in the footer does not match"


def _fill(run: Run, rows: Iterable[Mapping[str, Any]]) -> None:
    exchanges: dict[str, list[Exchange]] = {}
    for row in rows:
        match row["type"]:
            case "header":
                run.header = dict(row)
            case "exchange":
                exchanges.setdefault(row["scenario"], []).append(Exchange.from_json(dict(row)))
            case "scenario":
                name = row["name"]
                stop = Stop.from_json(row["stop"]) if row["stop"] else None
                run.transcripts[name] = Transcript(name, tuple(exchanges.get(name, ())), row["facts"], stop)
            case "check":
                run.checks.append(CheckResult.from_json(dict(row)))
            case "requirement":
                run.requirements.append(dict(row))
            case "footer":
                run.footer = dict(row)


def read_events(path: Path) -> Run:
    """Read a run back; whether it is whole and unchanged stands in `problem`. Raises UsageError when it cannot be."""
    run = Run()
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            run.problem = "truncated: the last line is not whole"
            lines.pop()
        rows = [json.loads(line) for line in lines]
        if not rows or rows[0].get("type") != "header":
            raise UsageError(f"{path}: not an event file", hint="Its first line must be the header of a run.")
        _fill(run, rows)
        run.problem = run.problem or _stamp(lines)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}", hint="Give the events.jsonl of a run.") from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise UsageError(f"{path}: not an event file, or changed: {exc}", hint="Run the certification again.") from exc
    return run


def write_results(
    writer: EventWriter, checks: Iterable[CheckResult], requirements: Iterable[RequirementResult]
) -> None:
    """Record what the judge says."""
    for check in checks:
        writer.write("check", check.to_json())
    for requirement in requirements:
        writer.write("requirement", requirement.to_json())
