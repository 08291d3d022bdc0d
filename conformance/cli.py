"""The command line: `hutong --help` lists what it can do; each command's `--help` shows an example.

This module is the roof: nothing imports it, and nothing but it imports the commands. Exit codes are the API: 0
conformant, 1 not conformant, 2 incomplete, 3 void (the harness failed), 4 wrong usage.
"""

from __future__ import annotations

import sys

import typer

from conformance.commands import certify, evidence, gap, job, node, pki, recorded, restore, selftest
from conformance.harness.verdict import ExitCode

app = typer.Typer(
    name="hutong",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Certify privacy computing nodes for interoperability · 隐私计算互联互通认证。",
)
for _command in (certify.certify, recorded.rejudge, recorded.report, certify.doctor, selftest.trace):
    app.command()(_command)

_selftest = typer.Typer(no_args_is_help=True, help="Prove that the suite finds defects · 证明检查真的能失败。")
_selftest.command()(selftest.faults)
_selftest.command("kill-matrix")(selftest.kill_matrix)
_selftest.command()(selftest.mutants)
app.add_typer(_selftest, name="selftest")

_job = typer.Typer(no_args_is_help=True, help="Run jobs between nodes · 在节点间运行作业。")
_job.command()(job.run)
_job.command()(job.example)
app.add_typer(_job, name="job")
app.add_typer(pki.pki, name="pki")
app.add_typer(gap.gap, name="gap")
app.add_typer(evidence.evidence, name="evidence")

_node = typer.Typer(invoke_without_command=True, callback=node.node)
_node.command()(restore.restore)
_node.command()(restore.accept)
_node.command()(restore.rekey)
app.add_typer(_node, name="node")


def main() -> None:
    """Run the command line; wrong usage is exit code 4."""
    try:
        code = app(standalone_mode=False)
    except typer.Exit as exc:
        code = exc.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as exc:
        if not hasattr(exc, "format_message"):
            raise
        exc.show()  # type: ignore[attr-defined]
        code = int(ExitCode.USAGE)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
