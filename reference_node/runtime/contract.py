"""What the schedule asks of whatever runs components, and what a component is to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from reference_node.domain.task import Cause


class LaunchFailed(Exception):
    """A component could not be started; the words say why, `cause` what is told of it."""

    cause = Cause.NOT_LAUNCHED


@dataclass(frozen=True, slots=True)
class Key:
    """One attempt of this node's part in a task, in one role."""

    task_id: str
    role: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """A file of the node's own, a dataset or a model, with its digest on record: None where there is none.

    `kept` is the proof of a dataset, with what told then that the file is still the same.
    """

    kind: str
    resource_id: str
    path: Path
    digest: str | None
    kept: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt with everything that the component is told.

    `parties` are the nodes of those that take part, by name in the order of their ranks; `inputs` and `outputs` are
    files by the component's ports; `memory_mib` bounds the address space of a built-in component, and the resident
    memory of a command with all that it has started: engines reserve far more than they use. None does not. Of the
    datasets and models among the inputs `recorded` holds what is on record, by port.
    """

    key: Key
    job_id: str
    task_name: str
    me: str
    component: Mapping[str, Any]
    description: Mapping[str, Any]
    command: str | None
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Path]
    outputs: Mapping[str, Path]
    parties: Mapping[str, str]
    institutions: Mapping[str, str]
    session_id: str
    token: str = field(repr=False)
    trace_id: str
    folder: Path
    log: Path
    address: str
    memory_mib: int | None = None
    recorded: Mapping[str, Recorded] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exit:
    """How an attempt ended; `files` are the outputs that are there, `summary` what a component says of its result."""

    key: Key
    cause: Cause | None = None
    detail: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, Any] | None = None


class Runner(Protocol):
    """Whatever runs components; any thread may use it."""

    def start(self, work: Work) -> None:
        """Begin; raise LaunchFailed."""

    def stop(self, key: Key) -> None:
        """End an attempt, and whatever it has started, at once; one that is not running is no error."""

    def alive(self, key: Key) -> bool:
        """Tell whether an attempt runs, or has ended without `exits` having told of it."""

    def exits(self) -> Sequence[Exit]:
        """Return the attempts that have ended since the last call."""

    def close(self) -> None:
        """End everything."""


@runtime_checkable
class WarmRunner(Runner, Protocol):
    """What takes time to be ready, and can be told that a job is about to run."""

    def warm(self) -> None:
        """Have ready what takes time."""
