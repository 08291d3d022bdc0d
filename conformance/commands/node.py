"""`hutong node`: the reference node as a process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from conformance.commands.console import fail
from conformance.harness.errors import UsageError
from conformance.harness.verdict import ExitCode


def node(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one; 8801 by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of database, keys and token; node-data by default.")] = None,
    config: Annotated[Path | None, typer.Option(help="Configuration (TOML).")] = None,
    host: Annotated[str | None, typer.Option(help="Interface; 127.0.0.1 by default.")] = None,
    node_id: Annotated[str | None, typer.Option("--id", help="Node id, at the first start.")] = None,
    address: Annotated[str | None, typer.Option(help="Address that partners are told.")] = None,
    lockout_seconds: Annotated[int | None, typer.Option(help="How long a peer is locked out.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="Deliberate defect; see `hutong selftest faults`.")] = None,
) -> None:
    """Run a reference node until Ctrl-C · 启动参考节点。

    The line it prints when it is ready says its address; the operator token is in DATA/operator-token.
    """
    if context.invoked_subcommand is not None:
        return
    from reference_node.config import load_config
    from reference_node.errors import ConfigError
    from reference_node.server import serve

    try:
        settings = load_config(
            config,
            port=port,
            data=data,
            host=host,
            node_id=node_id,
            address=address,
            lockout_seconds=lockout_seconds,
            faults=tuple(fault) if fault else None,
        )
        serve(settings if settings.data else replace(settings, data=Path("node-data")))
    except ConfigError as exc:
        raise fail(UsageError(str(exc), hint=exc.hint), ExitCode.USAGE) from exc
