"""Wiring: a configuration becomes a Flask application with a node inside. Nothing else happens here.

>>> app = create_app(Config(node_id="node-a"))
>>> app.test_client().get("/v1/interconn/node/query?node_id=node-a").json["data"]["node_id"]
'node-a'
"""

from __future__ import annotations

import os
import secrets
from functools import partial
from pathlib import Path
from typing import Final

import flask
from sqlalchemy import select

from reference_node import log, private
from reference_node.clock import Clock, SystemClock
from reference_node.config import Config
from reference_node.errors import ConfigError
from reference_node.evidence.room import Evidence, second_place
from reference_node.faults import Faults
from reference_node.gap.files import SUITE
from reference_node.gap.link import SCHEME, GapOutbound, Links
from reference_node.identity import Identity
from reference_node.interfaces import HANDLERS, channel, router
from reference_node.node import Node
from reference_node.runtime.catalogue import Catalogue, builtins, shipped
from reference_node.runtime.confinement import Bounds, probe
from reference_node.runtime.contract import Runner
from reference_node.runtime.launcher import Launcher
from reference_node.runtime.logs import Journal
from reference_node.schedule.driver import JobDriver
from reference_node.security.errors import SecurityFailure
from reference_node.security.tls import channel_of, trust_of
from reference_node.security.vault import KEYRING_FILE, CipherName, Vault, ask_kek, load_kek, read_kek
from reference_node.services import CHORES, CONTRACT_ENDED
from reference_node.store import Store, reasons
from reference_node.store.backup import Backup
from reference_node.store.base import DATABASE, MEMORY, vaults
from reference_node.store.contracts import OwnNodeRow
from reference_node.store.seals import CONTEXT, SEAL_FILE, Copy, Seals, Slots
from reference_node.store.shared import Leadership, TableKeyring, TableSecrets
from reference_node.store.tally import Tally
from reference_node.transport.outbound import HttpOutbound, Outbound
from reference_node.transport.outbox import Outbox
from reference_node.transport.partner import Partner
from reference_node.transport.places import Places, Resolver, policy_of, resolve
from reference_node.transport.relay_grpc import Dial
from reference_node.transport.wiring import data_plane

EXTENSION = "hutong"
_SQLITE: Final = "sqlite:///"
_UNNOTICED: Final = {
    "contracts": "altered-contract-not-noticed",
    "datasets": "altered-dataset-not-noticed",
    "projects": "altered-project-not-noticed",
}


@reasons.told()
def create_app(
    config: Config | None = None,
    *,
    clock: Clock | None = None,
    outbound: Outbound | None = None,
    identity: Identity | None = None,
    faults: Faults | None = None,
    runner: Runner | None = None,
    catalogue: Catalogue | None = None,
    dial: Dial | None = None,
    resolver: Resolver | None = None,
) -> flask.Flask:
    """Build a node, which `node_of` returns; what is not given is the real thing: clock, names, sockets, keys."""
    log.configure()
    config = config or Config()
    clock = clock or SystemClock()
    faults = faults or Faults(config.faults)
    catalogue = builtins() if catalogue is None else catalogue
    _check_allowed(config, catalogue)
    means = probe()
    launcher = Launcher(catalogue, config.faults, bounds=_bounds(config), means=means)
    store, vault = _watched(config, faults)
    shared = TableSecrets(store) if store.shared else None
    identity = identity or Identity(config.data, operator_token=config.operator_token, vault=vault, shared=shared)
    identity.key(config.auth_type)
    node_id = _own_node(store, config)
    trust = trust_of(config, faults)
    tls = channel_of(config, trust, node_id)
    places = _places(config, resolver, faults)
    outbound = outbound or HttpOutbound(tls, config.tls_handshake_seconds, places=places, faults=faults)
    # services of this node's own need not speak TLS
    prober = (
        HttpOutbound(tls, config.tls_handshake_seconds, plain=True) if isinstance(outbound, HttpOutbound) else outbound
    )
    links = _links(node_id, config, identity, clock, faults)
    outbound = outbound if links is None else GapOutbound(outbound, links)
    partner = Partner(
        node_id,
        config,
        clock=clock,
        outbound=outbound,
        identity=identity,
        faults=faults,
        places=places,
        probe=prober,
    )
    app = flask.Flask(__name__, static_folder=None)
    node = Node(
        node_id=node_id,
        config=config,
        clock=clock,
        store=store,
        faults=faults,
        identity=identity,
        partner=partner,
        places=places,
        outbox=Outbox(store, partner, clock, config, faults),
        sessions=data_plane(node_id, config, store, clock, outbound, identity, faults, places, tls, dial),
        chores=CHORES,
        contract_ended=CONTRACT_ENDED,
        runner=runner or launcher,
        journal=Journal(config.data),
        catalogue=catalogue,
        driver=JobDriver(),
        means=means,
        vault=vault,
        leadership=Leadership(store, config.data, faults),
        backup=_backup(config, vault, faults),
        evidence=Evidence.of_node(node_id, config, clock, store, vault, identity, faults),
        trust=trust,
        tls=tls,
        gap=links,
        listening=f"{'http' if tls is None else 'https'}://{config.hosts[0]}:{config.port}",
    )
    places.announced = partial(_announced, node)
    app.extensions[EXTENSION] = node
    vault.overlook = lambda table: table in _UNNOTICED and faults.on(_UNNOTICED[table])
    if runner is None and config.background:
        launcher.woken = lambda: node.driver.kick(node)
    router.register(app, node, HANDLERS)
    channel.register(app, node)
    return app


def node_of(app: flask.Flask) -> Node:
    """Return the node inside an application."""
    node: Node = app.extensions[EXTENSION]
    return node


def _places(config: Config, resolver: Resolver | None, faults: Faults) -> Places:
    policy = policy_of(config.networks, config.hosts)
    return Places(policy, resolver=resolver or resolve, beyond=frozenset(config.gap_partners), faults=faults)


def _announced(node: Node) -> list[str]:
    """Return where this node says that it is: its own addresses, which are nobody else's."""
    with node.store.read() as session:
        kept = session.scalar(select(OwnNodeRow.address))
    return [address for address in (kept, node.config.grpc_address, node.grpc_listening) if address]


def _check_allowed(config: Config, catalogue: Catalogue) -> None:
    """Refuse a configuration that would leave a component open because its name is misspelt."""
    known = shipped() | {code for code, _ in catalogue}
    for code in config.component_allow or ():
        if code not in known:
            hint = "components of the node: " + ", ".join(sorted(known))
            raise ConfigError(f"[components] allow: no component {code} comes with the node", hint=hint)


def _bounds(config: Config) -> Bounds:
    """Return what components are kept from: the data folder, and whatever of the node's lies elsewhere."""
    places = [config.data, config.key_file, config.tls_key, config.gap, config.backup, config.evidence_backup]
    places += map(Path, config.component_hidden)
    if config.database is not None and config.database.startswith(_SQLITE):
        places.append(Path(config.database.removeprefix(_SQLITE)))
    return Bounds(
        hidden=tuple(place for place in places if place is not None),
        readable=tuple(map(Path, config.component_readable)),
        writable=tuple(map(Path, config.component_writable)),
        network=config.component_network,
        file_mib=config.file_mib,
    )


def opened(config: Config) -> tuple[Store, Vault]:
    """Open the database and the vault, which belong together."""
    if config.data is not None:
        private.make(config.data)
        private.tighten(config.data, config.dataset_folders)
        for place in (config.backup, config.evidence_backup):
            if place is not None and place.is_dir():
                private.tighten(place)
        if config.database is None and not (config.data / DATABASE).exists() and (config.data / KEYRING_FILE).exists():
            raise ConfigError(f"{config.data / DATABASE} is gone", hint=reasons.RESTORE)
    url = MEMORY if config.data is None else f"sqlite:///{config.data / DATABASE}"
    try:
        store = Store(config.database or url, vault=partial(_vault, config), connections=config.threads + 6)
    except SecurityFailure as refused:
        raise ConfigError(str(refused), hint=refused.hint) from refused
    return store, vaults[store.engine.dialect]


def _watched(config: Config, faults: Faults) -> tuple[Store, Vault]:
    """Open them, and hold the database against its count and the seals outside of it."""
    store, vault = opened(config)
    store.tally = Tally(store, vault, seals_of(config, vault), faults)
    try:
        store.tally.open()
    except ConfigError:
        store.close()
        raise
    return store, vault


def seals_of(config: Config, vault: Vault) -> Seals:
    """Return where it is sealed how far the database has come: beside it, and where the copies of the evidence are."""
    place = second_place(config)
    if config.data is None or place is None:
        return Seals()
    code = vault.counting(CONTEXT)
    return Seals(Slots(config.data / SEAL_FILE, code), (Copy(place / SEAL_FILE, code),))


def _vault(config: Config, store: Store) -> Vault:
    """Open the vault, and have it draw what is missing before there is something to seal."""
    vault = _vault_of(config, store)
    vault.digest(b"", b"")
    vault.current()
    return vault


def _vault_of(config: Config, store: Store) -> Vault:
    """Return the vault; its key-encryption key comes from where the configuration says, else from the data folder."""
    kek = _kek(config)
    if not store.shared:
        return Vault.of_folder(config.data, kek=kek, cipher=config.cipher)
    if kek is None:
        raise ConfigError(
            "a database of several replicas needs the key that all of them have",
            hint="give [store] key_file, key_env or key_command",
        )
    return Vault(kek, TableKeyring(store), CipherName(config.cipher))


def _kek(config: Config) -> bytes | None:
    """Return the key-encryption key of the one source that is configured, None where there is none."""
    if sum(bool(source) for source in (config.key_env, config.key_file, config.key_command)) > 1:
        raise ConfigError("[store] names several sources of the key", hint="keep one of key_file, key_env, key_command")
    if config.key_env is not None:
        return read_kek(os.environ.get(config.key_env, ""), f"the environment's {config.key_env}")
    if config.key_command is not None:
        return ask_kek(config.key_command)
    return None if config.key_file is None else load_kek(config.key_file)


def _links(node_id: str, config: Config, identity: Identity, clock: Clock, faults: Faults) -> Links | None:
    """Return the links across the isolation gap, where the configuration has any."""
    if not config.gap_partners:
        return None
    if config.gap is None:
        raise ConfigError("[gap] partners need a folder", hint="give [gap] folder")
    key, timeout = identity.key(SUITE), config.gap_timeout_seconds
    return Links(node_id, config.gap, config.gap_partners, key, clock, timeout=timeout, faults=faults)


def _backup(config: Config, vault: Vault, faults: Faults) -> Backup | None:
    if config.backup is None:
        return None
    if config.data is None or config.database is not None:
        raise ConfigError(
            "[store] backup is of a data folder with a database of its own",
            hint="have PostgreSQL backed up by its own means, see docs/deployment",
        )
    return Backup(config.data, config.backup, vault, config.backup_seconds, faults)


def _own_node(store: Store, config: Config) -> str:
    """Return the node's id; its particulars are written at the first start and kept afterwards."""
    with store.begin() as session:
        row = session.scalar(select(OwnNodeRow))
        if row is not None:
            if config.node_id not in (None, row.node_id):
                raise ConfigError(
                    f"[node] id = {config.node_id} but this data folder is of {row.node_id}",
                    hint="give another --data, or leave the id out",
                )
            return str(row.node_id)
        node_id = config.node_id or "node-" + secrets.token_hex(4)
        session.add(
            OwnNodeRow(
                node_id=node_id,
                name=config.node_name or node_id,
                description=config.description,
                address=config.address or (f"{SCHEME}://{node_id}" if config.gap_partners else None),
                inst_id=config.inst_id or "inst-" + node_id,
                institution=config.institution or config.node_name or node_id,
            )
        )
        return node_id
