"""`hutong pki`: a small certification authority for trials, in SM2 or P-256 (9.2-a)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from conformance.commands.console import fail, json_out, out
from conformance.harness.errors import UsageError
from conformance.harness.verdict import ExitCode

pki = typer.Typer(no_args_is_help=True, help="Certify nodes with a small CA of your own · 自建试验 CA。")

Folder = Annotated[Path, typer.Argument(help="Folder of the CA.")]
CaOption = Annotated[Path, typer.Option("--ca", help="Folder of the CA.")]


@pki.command()
def init(
    folder: Folder,
    suite: Annotated[Literal["sm2", "p256"], typer.Option(help="Keys and signatures of this CA.")] = "sm2",
    name: Annotated[str, typer.Option(help="How the CA calls itself.")] = "Hutong CA",
    days: Annotated[int, typer.Option(min=1, help="How long it lives.")] = 3650,
) -> None:
    """Make a CA · 建立 CA。

    Example: `hutong pki init my-ca --suite sm2`
    """
    from reference_node.security.pki import CA, CRL, Pki

    with _told():
        Pki.init(folder, suite, name, days)
    out.print(f"{folder / CA}\n{folder / CRL}")


@pki.command()
def issue(
    node_id: Annotated[str, typer.Argument(help="Id of the node.")],
    address: Annotated[list[str], typer.Option(help="host:port at which it serves; may be given more than once.")],
    ca: CaOption = Path("ca"),
    role: Annotated[str, typer.Option(help="Its role; a gateway answers for several nodes.")] = "node",
    days: Annotated[int, typer.Option(min=1, help="How long the certificate lives.")] = 365,
    to: Annotated[Path | None, typer.Option("--out", help="Folder of certificate and key.")] = None,
) -> None:
    """Certify a node: id, addresses, port and role · 签发节点证书。

    Example: `hutong pki issue node-a --address 127.0.0.1:8801 --address [::1]:8801 --ca my-ca`
    """
    from reference_node.security.certificates import Address, Holder
    from reference_node.security.pki import Pki

    with _told():
        try:
            holder = Holder(node_id, role, tuple(Address.parse(text) for text in address))
        except ValueError as wrong:
            raise UsageError(str(wrong), hint="Write 127.0.0.1:8801 or [::1]:8801.") from wrong
        files = Pki.open(ca).issue(holder, days, to)
    out.print(f"{files.certificate}\n{files.key}")


@pki.command()
def revoke(
    which: Annotated[str, typer.Argument(help="Number or file of a certificate, or id of a node.")],
    ca: CaOption = Path("ca"),
) -> None:
    """Revoke a certificate, or all of a node's; nodes read the new list by themselves · 吊销证书。"""
    from reference_node.security.pki import Pki

    with _told():
        for row in Pki.open(ca).revoke(which):
            out.print(f"{row.serial} {row.node_id}")


@pki.command()
def crl(
    ca: CaOption = Path("ca"), days: Annotated[int, typer.Option(min=1, help="How long the list is valid.")] = 30
) -> None:
    """Write the revocation list anew, with new dates · 更新吊销列表。"""
    from reference_node.security.pki import Pki

    with _told():
        out.print(str(Pki.open(ca).write_crl(days)))


@pki.command()
def show(ca: CaOption = Path("ca"), as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List what was issued and what was revoked · 列出证书。"""
    from dataclasses import asdict

    from reference_node.security.pki import Pki

    with _told():
        rows = Pki.open(ca).issued()
    if as_json:
        json_out([asdict(row) for row in rows])
        return
    table = Table("number", "node", "role", "addresses", "expires", "revoked")
    for row in rows:
        table.add_row(row.serial, row.node_id, row.role, " ".join(row.addresses), row.expires, row.revoked)
    out.print(table)


@contextmanager
def _told() -> Iterator[None]:
    from reference_node.errors import ConfigError

    try:
        yield
    except ConfigError as exc:
        raise fail(UsageError(str(exc), hint=exc.hint), ExitCode.USAGE) from exc
    except UsageError as exc:
        raise fail(exc, ExitCode.USAGE) from exc
