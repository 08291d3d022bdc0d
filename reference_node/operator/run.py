"""A job from its file to its end: nodes, agreements, creation, start, and what came of it at every node.

Guarantees: whatever happens, nodes that were started here are ended; a job that was started is stopped if it is given
up before its end; a node that dies or falls silent ends the run with its name, and not with an endless wait.

>>> outcome = run(load_job(Path("demo/job.toml")), watcher)
>>> outcome.finished, outcome.outputs[0].content
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from reference_node.operator import plan
from reference_node.operator.agreements import Agreements
from reference_node.operator.client import NodeClient, OperatorError, Unreachable, wait_for
from reference_node.operator.jobfile import JobFile, NodeEntry
from reference_node.operator.plan import Hand, Hands
from reference_node.operator.processes import Process
from reference_node.operator.results import FOLDER, Results

_OVER: Final = ("FINISHED", "REJECTED")
_FAILED: Final = "FAILED"
_NOT_FETCHED: Final = "OUTPUT_NOT_FETCHED"
_CONSEQUENCES: Final = (None, "STOPPED", "PARTNER_ENDED")
_SHARE: Final = re.compile(r"(\d{1,3})% (.+)")
_STOP_SECONDS: Final = 15.0
_SILENT_SECONDS: Final = 60.0
_SETTLE_SECONDS: Final = 30.0
_LAST_LINES: Final = 12


class Watcher(Protocol):
    """Who is told how it goes."""

    def say(self, words: str) -> None:
        """Something was done, or is waited for."""

    def task(self, name: str, status: str, share: int, words: str) -> None:
        """How a task is: its state, how far in percent, and what it says of it."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a task has put out at one node; of a file where it lies here."""

    node: str
    task: str
    kind: str
    content: Mapping[str, Any]
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Which task failed, where and why; the end of its log there."""

    task: str
    node: str
    cause: str
    detail: str
    log: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job has ended."""

    job_id: str
    status: str
    cause: str | None
    detail: str
    seconds: float
    tasks: Mapping[str, str]
    outputs: tuple[Output, ...] = ()
    failures: tuple[Failure, ...] = field(default=())

    @property
    def finished(self) -> bool:
        """Whether every task has succeeded, and what it has put out is here."""
        return self.status == "FINISHED" and self.cause is None and not self.failures


def run(job: JobFile, watcher: Watcher, *, patience: float = 600.0, out: Path | None = None) -> Outcome:
    """Run a job; raise OperatorError where it does not come to run.

    `patience` bounds the wait for other operators. Files go to `out`, by default `results` beside the job file.
    """
    with ExitStack() as stack:
        processes = {node.label: _started(stack, node, watcher) for node in job.nodes.values() if node.started_here}
        hands = {node.label: _hand(stack, node, processes.get(node.label)) for node in job.nodes.values()}
        results = Results(out or job.path.parent / FOLDER)
        return _Run(job, hands, processes, watcher, results).through(patience)


def _started(stack: ExitStack, node: NodeEntry, watcher: Watcher) -> Process:
    settings: dict[str, Any] = {"node_id": node.label, "port": node.port, "grpc_port": 0}
    if node.data is None:
        raise OperatorError(f"{node.label} is not to be started here")
    places = [Path(dataset.location).parent for dataset in node.datasets.values() if dataset.location is not None]
    if places:
        settings["dataset_folders"] = [str(place) for place in dict.fromkeys(places)]
    process = Process.start(node.data, **settings)
    stack.callback(process.end)
    watcher.say(f"{node.label} listens at {process.address}, its files are in {node.data}")
    return process


def _hand(stack: ExitStack, node: NodeEntry, process: Process | None) -> Hand:
    if process is not None:
        client = NodeClient(node.label, process.address, process.token)
        stack.callback(client.close)
        return Hand(node, process.node_id, process.address, process.grpc, client)
    if node.token is None:
        return Hand(node, node.node_id, node.address)
    client = NodeClient(node.label, node.address, node.token)
    stack.callback(client.close)
    record = client.known("ownNodeQuery", node_id=node.node_id)
    if record is None:
        raise OperatorError(
            f"{node.label}: the node at {node.address} is not {node.node_id}",
            hint="Its ready line says its id; node_id in the job file does where the table has another name.",
        )
    return Hand(node, node.node_id, node.address, None, client, str(record["address"]))


class _Run:
    """One run of one job."""

    def __init__(
        self, job: JobFile, hands: Hands, processes: Mapping[str, Process], watcher: Watcher, results: Results
    ) -> None:
        self._results = results
        self._job, self._hands, self._processes, self._watcher = job, hands, processes, watcher
        self._clients = {hand.label: hand.client for hand in hands.values() if hand.client is not None}
        self._client = self._clients[job.initiator]
        self._began = time.monotonic()

    def through(self, patience: float) -> Outcome:
        """Run it to its end."""
        described = plan.describe(self._client, self._job)
        dag = plan.dag_of(self._job, described)
        config = plan.config_of(self._job, described, self._hands)
        agreements = Agreements(self._job, self._hands, self._watcher.say, patience)
        agreements.contracts()
        self._tell_of_transport()
        agreements.project()
        agreements.data()
        flow_id = agreements.flow(dag, config)
        job_id = str(self._client.own("ownJobCreate", flow_id=flow_id, dag=dag, config=config)["job_id"])
        self._watcher.say(f"job {job_id}")
        with self._given_up(job_id):
            self._start(job_id, patience)
            record = self._followed(job_id)
        return self._outcome(record)

    def _tell_of_transport(self) -> None:
        """Say which party is reached over HTTP although the job asks for gRPC."""
        for node in self._job.parties if self._job.transport == "grpc" else ():
            hand = self._hands[node.label]
            known = {} if hand.grpc else self._client.known("ownNodeQuery", node_id=hand.node_id) or {}
            if not hand.grpc and "grpc_address" not in known:
                self._watcher.say(f"{node.label} announces no address for gRPC: it is reached over HTTP")

    @contextlib.contextmanager
    def _given_up(self, job_id: str) -> Iterator[None]:
        """Stop the job, and wait until it is, where it is left before its end."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(OperatorError):
                self._watcher.say(f"stopping {job_id}")
                self._client.own("ownJobStop", job_id=job_id)
                wait_for(lambda: self._over_everywhere(job_id), _STOP_SECONDS)
            raise

    def _start(self, job_id: str, patience: float) -> None:
        """Start the job once its parties have taken it."""
        record = wait_for(lambda: self._past(job_id, "PENDING"), patience)
        if record is None:
            raise OperatorError(f"{job_id}: not every party has taken the job within {patience:g} seconds")
        if record["job_status"] == "READY":
            self._client.own("ownJobStart", job_id=job_id)

    def _past(self, job_id: str, status: str) -> dict[str, Any] | None:
        record = self._client.own("ownJobQuery", job_id=job_id)
        return None if record["job_status"] == status else record

    def _followed(self, job_id: str) -> dict[str, Any]:
        """Return the job's record once it is over, telling on the way how it goes."""
        heard = [time.monotonic()]
        bound = self._job.timeout + _SILENT_SECONDS
        record = wait_for(lambda: self._look(job_id, heard), bound)
        if record is None:
            raise OperatorError(f"{job_id} is not over {_SILENT_SECONDS:g} seconds after its time-out")
        wait_for(lambda: self._over_everywhere(job_id), _SETTLE_SECONDS)
        return record

    def _look(self, job_id: str, heard: list[float]) -> dict[str, Any] | None:
        for label, process in self._processes.items():
            if not process.alive:
                raise OperatorError(
                    f"node {label} has ended with status {process.process.returncode}", hint=f"Its log: {process.log}"
                )
        try:
            record = self._client.own("ownJobQuery", job_id=job_id)
            self._tell(job_id, record)
        except OperatorError:  # it may be on its way up again
            if time.monotonic() - heard[0] > _SILENT_SECONDS:
                raise
            return None
        heard[0] = time.monotonic()
        return record if record["job_status"] in _OVER else None

    def _tell(self, job_id: str, record: Mapping[str, Any]) -> None:
        rows = {row["task_name"]: row for row in self._client.every("ownTaskList", job_id=job_id)}
        for name, status in record["status"].items():
            share, words = 0, ""
            if name in rows and status != "PENDING":
                share, words = self._share(rows[name]["task_id"])
            self._watcher.task(name, status, 100 if status == "SUCCESS" else share, words)

    def _share(self, task_id: str) -> tuple[int, str]:
        """Return how far a task says that it is at the initiator."""
        for line in _log(self._client, task_id, 3):
            found = _SHARE.search(line)
            if found:
                return int(found[1]), found[2]
        return 0, ""

    def _over_everywhere(self, job_id: str) -> bool:
        """Whether the job is over at every node that we can ask and that has to do with it."""
        for client in self._clients.values():
            try:
                record = client.known("ownJobQuery", job_id=job_id)
            except Unreachable:
                continue
            if record is not None and record["job_status"] not in _OVER:
                return False
        return True

    def _outcome(self, record: Mapping[str, Any]) -> Outcome:
        job_id = str(record["job_id"])
        outputs: list[Output] = []
        failed: list[Failure] = []
        for label, client in self._clients.items():
            try:
                rows = list(client.every("ownTaskList", job_id=job_id))
            except OperatorError:  # it is gone, or has nothing to do with the job
                continue
            for row in rows:
                for item in row.get("outputs", []):
                    try:
                        outputs.append(self._output(label, client, row, item))
                    except OperatorError as failure:
                        failed.append(Failure(str(row["task_name"]), label, _NOT_FETCHED, str(failure), ()))
                if row["status"] == _FAILED:
                    failed.append(_failure(label, client, row))
        first = [item for item in failed if item.cause not in _CONSEQUENCES]
        return Outcome(
            job_id=job_id,
            status=str(record["job_status"]),
            cause=record.get("end_reason"),
            detail=str(record.get("detail", "")),
            seconds=round(time.monotonic() - self._began, 1),
            tasks=dict(record["status"]),
            outputs=tuple(outputs),
            failures=tuple(first or failed),
        )

    def _output(self, label: str, client: NodeClient, row: Mapping[str, Any], item: Mapping[str, Any]) -> Output:
        content = item["output_content"]
        path = self._results.fetch(client, label, row, content)
        file = None if path is None else str(path)
        return Output(label, str(row["task_name"]), str(item["output_type"]), content, file)


def _failure(label: str, client: NodeClient, row: Mapping[str, Any]) -> Failure:
    lines = tuple(reversed(list(_log(client, row["task_id"], _LAST_LINES))))
    cause, detail = str(row.get("end_reason", "")), str(row.get("detail", ""))
    return Failure(str(row["task_name"]), label, cause, detail, lines)


def _log(client: NodeClient, task_id: str, length: int) -> Iterator[str]:
    """Yield the last lines of a task's log, the last first."""
    found = client.own("ownTaskLog", task_id=task_id, log_level="INFO", start=0, length=length, order="desc")
    for line in found["lines"]:
        yield f"{line['level']} {line['content']}"
