"""`hutong evidence`: what was exported of a node's evidence, verified without the node (9.2-d-2)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from conformance.checks import bundle
from conformance.commands.console import err, fail, json_out, out
from conformance.harness.errors import UsageError
from conformance.harness.verdict import ExitCode
from reports.shown import plain

evidence = typer.Typer(no_args_is_help=True, help="Verify exported evidence · 校验导出的存证。")


@evidence.callback()
def roof() -> None:
    """Verify exported evidence · 校验导出的存证。"""


@evidence.command()
def verify(
    file: Annotated[Path, typer.Argument(help="Bundle as the node exported it (JSON Lines).")],
    key: Annotated[Path | None, typer.Option(help="Public key of the node (PEM), as its contract has it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Verify a bundle: spelling, chain, contents, signatures · 校验导出文件。

    Exit code 0 when it is whole, 1 when it is not. Without `--key` the file is shown to be whole and signed by one key,
    and whose that is remains to be compared.

    Example: `hutong evidence verify audit-2026.jsonl --key node-grid-01.pem`
    """
    try:
        text = file.read_bytes().decode("utf-8", "surrogateescape")
        wanted = None if key is None else key.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as unreadable:
        wrong = UsageError(f"{file if key is None else key} cannot be read", hint="Give the file that was exported.")
        raise fail(wrong, ExitCode.USAGE) from unreadable
    problems = [{"fault": fault.value, "what": what} for fault, what in bundle.problems(text)]
    signers = [] if problems else sorted(bundle.keys(text))
    if not problems and wanted is not None and [signer.strip() for signer in signers] != [wanted]:
        problems.append({"fault": bundle.Fault.SIGNATURE.value, "what": "it was signed with another key"})
    count = 0 if problems else len(bundle.records(text))
    if as_json:
        json_out({"whole": not problems, "records": count, "problems": problems, "keys": signers})
    else:
        _show(file, count, signers, problems, known=wanted is not None)
    if problems:
        raise typer.Exit(ExitCode.NON_CONFORMANT)


def _show(file: Path, count: int, signers: list[str], problems: list[dict[str, str]], *, known: bool) -> None:
    if problems:
        table = Table(title=plain(f"{file} is not what was exported · 与导出时不符"))
        table.add_column("fault")
        table.add_column("what", overflow="fold")
        for problem in problems[:20]:
            table.add_row(problem["fault"], plain(problem["what"]))
        err.print(table)
        return
    out.print(f"{count} records, whole · {count} 条记录，完整")
    if not known:
        for signer in signers:
            out.print(plain(signer))
        out.print("compare the key with the node's · 请与该节点的公钥核对")
