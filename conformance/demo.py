"""Two reference nodes as processes on loopback, for `hutong certify --demo`.

The first is the node under test, with another process on standby (`site`), the second a real peer for it. Both live in
a temporary directory and end with the demonstration, also on Ctrl-C or on an error; only processes started here are
ended.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from conformance.harness import ip_versions
from conformance.harness.errors import HarnessError, UsageError
from conformance.harness.verdict import ExitCode
from conformance.site import Site

LOCKOUT_SECONDS = 2
LINGER_SECONDS = 1
SETTINGS = f"[job]\nsession_linger_seconds = {LINGER_SECONDS}\n"
HOSTS = ("127.0.0.1", "::1")
STANDBY = "standby = true\n\n[store]\nbackup = {}\nbackup_seconds = 2\n"
BACKUP_SECONDS = 5  # an interval, the node's look at the clock, and the snapshot itself
GRPC = "\n[channel]\ngrpc_port = {}\n"
REVOKED = "hutong-node-revoked"
BEYOND = "hutong-node-beyond"
SUITES = {"gm": "sm2", "intl": "p256"}
START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Served:
    """A reference node that runs as a process."""

    node_id: str
    address: str
    others: tuple[str, ...]
    grpc: str
    token_file: Path
    data: Path
    process: subprocess.Popen[str]


@dataclass(frozen=True, slots=True)
class Secured:
    """The CA of a demonstration over TLS, made by `hutong pki` like anybody's."""

    mode: str
    ca: Path
    handshake_seconds: float = 10.0

    @classmethod
    def found(cls, mode: str, folder: Path) -> Self:
        """Make the CA."""
        _pki("init", str(folder), "--suite", SUITES[mode])
        _pki("issue", REVOKED, "--address", "127.0.0.1:0", "--ca", str(folder))
        _pki("revoke", REVOKED, "--ca", str(folder))
        return cls(mode, folder)

    def settings(self, node_id: str, *ports: int) -> str:
        """Certify a node at its ports and return what its configuration says about TLS."""
        places = [_at(host, port) for port in ports for host in _hosts()]
        addresses = [word for place in places for word in ("--address", place)]
        _pki("issue", node_id, *addresses, "--ca", str(self.ca))
        own = self.ca / node_id
        files = {"certificate": own / "certificate.pem", "key": own / "key.pem"}
        files |= {"ca": self.ca / "ca.pem", "crl": self.ca / "ca.crl"}
        lines = [f"{name} = {json.dumps(str(path))}" for name, path in files.items()]
        return "\n".join(
            ["", "[tls]", f'mode = "{self.mode}"', *lines, f"handshake_seconds = {self.handshake_seconds}", ""]
        )

    def profile(self) -> dict[str, str]:
        """Return what the profile says about TLS: the harness issues certificates to the nodes that it plays."""
        issuer = {"issuer": str(self.ca / "ca.pem"), "issuer_key": str(self.ca / "ca-key.pem")}
        own = self.ca / REVOKED
        revoked = {"revoked": str(own / "certificate.pem"), "revoked_key": str(own / "key.pem")}
        return {"mode": self.mode, "ca": str(self.ca / "ca.pem"), "crl": str(self.ca / "ca.crl"), **issuer, **revoked}

    def hooks(self) -> dict[str, list[str]]:
        """Return the command of a profile by which a certificate is revoked."""
        return {"revoke": [sys.executable, "-m", "conformance.cli", "pki", "revoke", "--ca", str(self.ca)]}


def _pki(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "conformance.cli", "pki", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HarnessError(f"hutong pki {words[0]} failed", hint=done.stderr[-2000:])


def _gap_settings(folder: Path, address: str) -> str:
    """Return what a configuration says of the gap; the node goes on serving the others over sockets."""
    lines = ["", "[node]", f"address = {json.dumps(address)}", "", "[gap]"]
    return "\n".join([*lines, f"folder = {json.dumps(str(folder))}", f"partners = [{json.dumps(BEYOND)}]", ""])


def _hosts() -> list[str]:
    """Return the loopback addresses of this machine, of one version of IP or of both."""
    return [host for host in HOSTS if not ip_versions.missing(host)]


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def serve(
    data: Path,
    node_id: str,
    *,
    faults: Sequence[str] = (),
    secured: Secured | None = None,
    gap: Path | None = None,
    ports: tuple[int, int] | None = None,
    server: Mapping[str, object] | None = None,
) -> Iterator[Served]:
    """Run one reference node on a free port until the block ends; `gap` is its folder for a partner behind a gap.

    With `ports` it has a backup, and serves there as soon as no other process on its folder does; `server` goes into
    that section of its configuration.
    """
    port = 0 if secured is None and gap is None else _free_port()  # a certificate names the ports, and [node] the one
    grpc_port = 0 if secured is None else _free_port()
    port, grpc_port = ports or (port, grpc_port)
    command = [sys.executable, "-m", "conformance.cli", "node", "--port", str(port), "--data", str(data)]
    command += ["--id", node_id]
    settings = data.with_suffix(".toml")
    if not settings.exists():  # else a process was started with them before
        settings.write_text(
            SETTINGS
            + f"\n[datasets]\nfolders = [{json.dumps(str(data.with_name('datasets')))}]\n"
            + f"\n[server]\nhost = {json.dumps(_hosts())}\n"
            + "".join(f"{key} = {json.dumps(value)}\n" for key, value in (server or {}).items())
            + ("" if ports is None else STANDBY.format(json.dumps(str(data.with_suffix(".backup")))))
            + GRPC.format(grpc_port)
            + ("" if secured is None else secured.settings(node_id, port, grpc_port))
            + (
                ""
                if gap is None
                else _gap_settings(gap, f"{'http' if secured is None else 'https'}://127.0.0.1:{port}")
            ),
            encoding="utf-8",
        )
    command += ["--config", str(settings), "--lockout-seconds", str(LOCKOUT_SECONDS)]
    for fault in faults:
        command += ["--fault", fault]
    log = data.with_suffix(".log")
    with log.open("a", encoding="utf-8") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            kind = UsageError if process.wait(timeout=START_SECONDS) == ExitCode.USAGE else HarnessError
            raise kind(f"the reference node {node_id} did not start", hint=log.read_text(encoding="utf-8")[-2000:])
        ready = json.loads(line)
        others = tuple(ready.get("addresses", ())[1:])
        yield Served(
            node_id, ready.get("address", ""), others, ready.get("grpc", ""), data / "operator-token", data, process
        )
    finally:
        _end(process)


@contextmanager
def relay(folder: Path, faults: Sequence[str] = ()) -> Iterator[dict[str, object]]:
    """Run a relay between two nodes that the suite plays until the block ends; hand out its section of a profile."""
    hutong = [sys.executable, "-m", "conformance.cli", "gap"]
    made = subprocess.run([*hutong, "prepare", str(folder)], capture_output=True, text=True, check=True)
    state, errors = folder / "state", folder / "relay.log"
    command = [*hutong, "run", "--policy", str(folder / "gap.toml"), "--state", str(state)]
    for side in ("outer", "inner"):
        command += [f"--{side}", str(folder / side)]
    for fault in faults:
        command += ["--fault", fault]
    with errors.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        if not (process.stdout and process.stdout.readline()):
            raise HarnessError("the relay did not start", hint=errors.read_text(encoding="utf-8")[-2000:])
        told = {"evidence": [*hutong, "evidence", "--state", str(state)], "key": str(state / "relay.pem")}
        yield {**tomllib.loads(made.stdout)["gap"]["relay"], **told}
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


@contextmanager
def two_nodes(faults: Sequence[str] = (), tls: str = "off") -> Iterator[dict[str, object]]:
    """Run the node under test (with these faults) and a healthy peer; hand out the profile of the first."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hutong-demo-")))
        secured = None if tls == "off" else Secured.found(tls, root / "ca")
        start = partial(
            serve,
            root / "target",
            "hutong-node-1",
            faults=faults,
            secured=secured,
            gap=root / "gap",
            ports=(_free_port(), _free_port()),
        )
        site = stack.enter_context(Site(start, root / "target"))
        target = site.serving
        peer = stack.enter_context(serve(root / "peer", "hutong-node-2", secured=secured))
        between = stack.enter_context(relay(root / "relay", faults))
        gap = {"folder": str(root / "gap" / BEYOND), "partner": BEYOND, "relay": between}
        hooks = site.hooks() | ({} if secured is None else secured.hooks())
        profile = profile_of(target, peer, hooks) | {"gap": gap}
        yield profile if secured is None else {**profile, "tls": secured.profile()}


def _datasets(target: Served) -> Path:
    """Return the folder from which the node under test reads files of datasets."""
    folder = target.data.with_name("datasets")
    folder.mkdir(exist_ok=True)
    return folder


def profile_of(target: Served, peer: Served, hooks: Mapping[str, list[str]]) -> dict[str, object]:
    """Return the profile with which the demonstration certifies its first node."""
    return {
        "target": {
            "name": "Hutong reference node",
            "url": target.address,
            "node_id": target.node_id,
            **({"grpc": target.grpc} if target.grpc else {}),
            **({"other_url": target.others[0]} if target.others else {}),
        },
        "operator": {"token_file": str(target.token_file)},
        "auditor": {"token_file": str(target.data / "auditor-token")},
        "timings": {
            "lockout_seconds": LOCKOUT_SECONDS,
            "session_linger_seconds": LINGER_SECONDS,
            "backup_seconds": BACKUP_SECONDS,
        },
        "operator_hooks": {
            "storage_path": [str(target.data)],
            "logs_path": [str(target.data.with_suffix(".log"))],
            "datasets_path": str(_datasets(target)),
            "tamper": [sys.executable, "-m", "conformance.selftest.tampering", str(target.data / "node.db")],
            **hooks,
        },
        "peer": {"url": peer.address, "node_id": peer.node_id, "token_file": str(peer.token_file)},
    }
