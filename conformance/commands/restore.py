"""`hutong node restore`, `accept`, `rekey`: the last backup, the database as it is, another vault key (9.2-e)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from conformance.commands.console import fail, out
from conformance.harness.errors import UsageError
from conformance.harness.verdict import ExitCode
from reports.shown import plain


def restore(
    source: Annotated[Path, typer.Option("--from", help="Folder of the backup, or one snapshot in it.")],
    data: Annotated[Path, typer.Option(help="Data folder of the node, which must not be running.")],
    key_file: Annotated[Path | None, typer.Option(help="Key-encryption key; the data folder's by default.")] = None,
    copies: Annotated[Path | None, typer.Option(help="What [evidence] backup names, if anything.")] = None,
) -> None:
    """Restore a node from its newest intact snapshot · 从备份恢复节点。

    What was there before is kept beside it. Example: `hutong node restore --from backup --data node-a`
    """
    from reference_node.errors import ConfigError
    from reference_node.store import backup

    try:
        found = backup.restore(source, data, key_file, copies)
    except ConfigError as exc:
        raise fail(UsageError(str(exc), hint=exc.hint), ExitCode.USAGE) from exc
    for damaged in found.damaged:
        out.print(f"passed over, damaged · 已损坏，跳过: {plain(damaged)}")
    taken = datetime.fromtimestamp(found.taken_at / 1000, UTC).isoformat(timespec="seconds")
    out.print(f"{found.snapshot} ({taken}, {found.rows} rows) -> {data}")


def accept(
    data: Annotated[Path, typer.Option(help="Data folder of the node, which must not be running.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept as evidence.")],
    config: Annotated[Path | None, typer.Option(help="Configuration (TOML) of the node.")] = None,
) -> None:
    """Take a database that was changed behind the node for good, as it is · 认可节点数据库的现状。

    The next start counts its records anew and keeps that as evidence. Where there is a backup, restore it instead.
    """
    from reference_node.accepting import accept as take
    from reference_node.config import load_config
    from reference_node.errors import ConfigError

    try:
        take(load_config(config, data=data), reason)
    except ConfigError as exc:
        raise fail(UsageError(str(exc), hint=exc.hint), ExitCode.USAGE) from exc
    out.print(f"{data}: taken as it is, from the next start on · 自下次启动起认可现状")


def rekey(
    data: Annotated[Path, typer.Option(help="Data folder of the node, which must not be running.")],
) -> None:
    """Give a node another key-encryption key and a fresh data key; nothing is sealed anew · 更换密钥加密密钥。

    Keep a copy of DATA/vault.key: no backup holds it. Example: `hutong node rekey --data node-a`
    """
    from reference_node.security.errors import SecurityFailure
    from reference_node.security.vault import KEY_FILE, renew_kek

    try:
        key_id = renew_kek(data)
    except (SecurityFailure, OSError) as exc:
        hint = getattr(exc, "hint", "give the data folder of a node")
        raise fail(UsageError(str(exc), hint=hint), ExitCode.USAGE) from exc
    out.print(f"{data / KEY_FILE}; data key {key_id}")
