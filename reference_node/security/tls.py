"""The secure channel of a node (9.1-b, 9.2-g): which certificate it shows, whose it takes, and how they talk.

    intl    mutual TLS 1.3 or 1.2, ECDSA on P-256
    gm      mutual TLS 1.3 of RFC 8998: TLS_SM4_GCM_SM3, key exchange on curveSM2, signatures SM2 with SM3

Guarantees: no suite outside the registry, no compression, no renegotiation, no resumption, so that every connection
proves both certificates anew; certificates, key and revocation list are read again when their files change.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from reference_node.config import Config
from reference_node.errors import ConfigError
from reference_node.faults import Faults
from reference_node.security import certificates
from reference_node.security.certificates import GATEWAY, Certificate, Holder
from reference_node.security.errors import CertificateRefused, SecurityFailure
from reference_node.security.keys import PrivateKey
from reference_node.security.suites import CERT, TLS_SUITES, AuthType
from reference_node.security.trust import Trust


class Mode(StrEnum):
    """How the channel is secured."""

    OFF = "off"
    INTL = "intl"
    GM = "gm"


ENVIRON: Final = "hutong.channel"  # where `Presented` stands in the environment of a request that came by TLS
_KEYS: Final = {Mode.INTL: AuthType.SHA256_ECDSA, Mode.GM: AuthType.SM3_SM2}
_GROUPS: Final = {Mode.INTL: b"X25519MLKEM768:X25519:P-256", Mode.GM: b"curveSM2"}
_SIGNATURES: Final = {Mode.INTL: b"ecdsa_secp256r1_sha256", Mode.GM: b"sm2sig_sm3"}
_WEAK: Final = "ECDHE-ECDSA-AES128-SHA"  # what defects offer beside the suites of the registry
_CLIENT_RENEGOTIATION: Final = 1 << 8  # SSL_OP_ALLOW_CLIENT_RENEGOTIATION
_RESUMING: Final = (
    "resumed-certificate-not-judged",
    "resumed-session-not-compared",
    "resumed-without-certificate",
    "revocation-spares-session",
)
_LAXITIES: Final = ("server-address-not-checked", "server-node-id-not-checked")
_GRPC_LAXITIES: Final = ("grpc-server-address-not-checked", "grpc-server-node-id-not-checked")
_UNKNOWN: Final = (3, 20, 21, 27)  # the errors of chains to a CA that is not known, and of its missing list
_OPTIONS: Final = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE


@dataclass(frozen=True, slots=True)
class Presented:
    """What the other side of a secured connection has shown of itself; the certificate has passed the trust.

    It has `resumed` a session only where a defect lets it.
    """

    certificate: Certificate | None
    resumed: bool = False

    @property
    def holder(self) -> Holder | None:
        """Whom the certificate is of."""
        return None if self.certificate is None else self.certificate.holder


def trust_of(config: Config, faults: Faults | None = None) -> Trust | None:
    """Return the CA that a configuration names, if it names one."""
    if config.tls_ca is None and CERT in config.auth_types:
        raise ConfigError("[security] auth_types lists CERT and no CA is trusted", hint="give [tls] ca and crl")
    return None if config.tls_ca is None else Trust(config.tls_ca, config.tls_crl, faults)


def channel_of(config: Config, trust: Trust | None, node_id: str) -> SecureChannel | None:
    """Return the channel of a configuration; raise ConfigError where something of it is missing."""
    if config.tls == Mode.OFF:
        return None
    certificate, key = config.tls_certificate, config.tls_key
    if certificate is None or key is None or trust is None:
        raise ConfigError(f"[tls] mode = {config.tls} needs certificate, key and ca", hint="see `hutong pki --help`")
    fitting = [suite.name for suite in TLS_SUITES if suite.name in config.tls_suites and suite.mode == config.tls]
    if not fitting:
        raise ConfigError(f"[tls] suites: none of them goes with mode {config.tls}")
    channel = SecureChannel(Mode(config.tls), certificate, key, trust, fitting)
    if channel.own.holder is None or channel.own.holder.node_id != node_id:
        raise ConfigError(f"[tls] {certificate} is not of this node, {node_id}", hint="issue one for this node id")
    return channel


class SecureChannel:
    """The contexts from which this node's connections are made, either side."""

    def __init__(self, mode: Mode, certificate: Path, key: Path, trust: Trust, suites: Iterable[str]) -> None:
        self.mode = mode
        self.trust = trust
        self._faults = trust.faults
        self.files = (certificate, key)
        self._suites = tuple(suites)
        self._lock = threading.Lock()
        self._made: dict[tuple[bool, bytes], tuple[object, SSL.Context]] = {}
        self.own = self._own()
        self.context(server=True)

    def context(self, *, server: bool, protocol: bytes = b"") -> SSL.Context:
        """Return what a connection is made from; a protocol is agreed on where one is named (ALPN, RFC 7301)."""
        which = server, protocol
        with self._lock:
            stamp = (self.trust.stamp, tuple(path.stat().st_mtime_ns for path in self.files))
            made = self._made.get(which)
            lasting = server and self._faults.on("revocation-spares-session")  # with the sessions that began under it
            if made is None or (made[0] != stamp and not lasting):
                made = self._made[which] = (stamp, self._context(server=server, protocol=protocol))
            return made[1]

    def presented(self, connection: SSL.Connection) -> Presented:
        """Return what the other side has shown; raise CredentialRefused for a certificate that cannot be used."""
        shown = connection.get_peer_certificate(as_cryptography=True)
        resumed = bool(Binding().lib.SSL_session_reused(connection._ssl))  # noqa: SLF001
        if shown is None:
            return Presented(None, resumed)
        return Presented(certificates.read_der(shown.public_bytes(Encoding.DER)), resumed)

    def check_server(
        self, presented: Presented, host: str, port: int, node_id: str | None, *, protocol: bytes = b""
    ) -> None:
        """Return when the other side serves this node at this address, else raise CertificateRefused.

        A gateway serves several nodes at its address; their requests and answers are their own all the same.
        """
        certificate, holder = presented.certificate, presented.holder
        at, who = _GRPC_LAXITIES if protocol else _LAXITIES
        if certificate is None or holder is None:
            raise CertificateRefused("the certificate does not say which node it is of")
        if not certificate.serves(host, port) and not self._faults.on(at):
            raise CertificateRefused(f"the certificate is not for {host}:{port}")
        if node_id not in (None, holder.node_id) and holder.role != GATEWAY:
            if self._faults.on(who):
                return
            raise CertificateRefused("the certificate is of another node than the one that is called")

    def _own(self) -> Certificate:
        """Return this node's certificate; refuse one that does not fit key and mode."""
        path, key = self.files
        try:
            own = certificates.read_all(path.read_text(encoding="ascii"))[0]
            secret = PrivateKey.load(key)
        except (OSError, UnicodeDecodeError) as wrong:
            raise ConfigError(f"[tls] {path} or {key} cannot be read: {wrong}") from wrong
        except SecurityFailure as wrong:
            raise ConfigError(f"[tls] {path} or {key}: {wrong}", hint=wrong.hint) from wrong
        if own.public.auth_type != _KEYS[self.mode]:
            wanted = _KEYS[self.mode]
            raise ConfigError(f"[tls] mode {self.mode} takes a certificate of a {wanted} key, {path} is not")
        if secret.public != own.public:
            raise ConfigError(f"[tls] {key} is not the key of {path}", hint="give the pair as it was issued")
        if own.holder is None:
            raise ConfigError(
                f"[tls] {path} does not say which node it is of", hint="issue one with `hutong pki issue`"
            )
        return own

    def _context(self, *, server: bool, protocol: bytes) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD if server else SSL.TLS_CLIENT_METHOD)
        options = _OPTIONS
        if server and self._faults.on("renegotiation-allowed"):
            options = options & ~SSL.OP_NO_RENEGOTIATION | _CLIENT_RENEGOTIATION
        if server and any(self._faults.on(name) for name in _RESUMING):
            options &= ~SSL.OP_NO_TICKET
            context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
            context.set_session_id(b"hutong")
        else:
            context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(options)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # a connection that rests holds no buffers
        certificate, key = self.files
        try:
            self._offer(context)
            context.use_certificate_chain_file(str(certificate))
            if server and self._faults.on("self-signed-certificate-shown"):
                made = certificates.root(PrivateKey.load(key), "nobody", 1, dt.datetime.now(dt.UTC))
                context.use_certificate(x509.load_der_x509_certificate(made.data))
            context.use_privatekey_file(str(key))
        except SSL.Error as refused:
            raise ConfigError(f"[tls] {certificate} or {key} is not taken: {refused}") from refused
        _restrict(context, self.mode)
        store = context.get_cert_store()
        if store is None:
            raise ConfigError("[tls] the TLS library has no certificate store")
        self.trust.fill(store)
        # over HTTP a server asks for it here and demands it where the operation is known: operators have none
        context.set_verify(SSL.VERIFY_PEER)
        if protocol:
            self._agree(context, protocol, server=server)
        if server and self._faults.on("foreign-ca-taken"):
            context.set_verify(
                context.get_verify_mode(), lambda _c, _x, error, _depth, sound: bool(sound) or error in _UNKNOWN
            )
        unchecked = "grpc-server-certificate-not-checked" if protocol else "server-certificate-not-checked"
        if not server and self._faults.on(unchecked):
            context.set_verify(SSL.VERIFY_NONE)
        return context

    def _agree(self, context: SSL.Context, protocol: bytes, *, server: bool) -> None:
        """Speak one protocol, which is between nodes only: every caller shows a certificate."""
        if not server:
            context.set_alpn_protos([protocol])
            return
        context.set_alpn_select_callback(lambda _connection, offered: protocol if protocol in offered else b"")
        demanded = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        if self._faults.on("grpc-certificate-not-verified"):
            context.set_verify(demanded, lambda *_: True)
        elif not self._faults.on("grpc-certificate-not-demanded"):
            context.set_verify(demanded)

    def _offer(self, context: SSL.Context) -> None:
        """Set versions and suites."""
        names = [suite for suite in TLS_SUITES if suite.name in self._suites]
        older = [suite.name for suite in names if suite.version == "1.2"]
        newer = [suite.name for suite in names if suite.version == "1.3"]
        context.set_max_proto_version(SSL.TLS1_3_VERSION if newer else SSL.TLS1_2_VERSION)
        context.set_min_proto_version(SSL.TLS1_2_VERSION if older else SSL.TLS1_3_VERSION)
        if self._faults.on("weak-suite-offered"):
            older.append(_WEAK)
        if self._faults.on("old-tls-offered"):
            context.set_min_proto_version(SSL.TLS1_1_VERSION)
            older += [_WEAK, "@SECLEVEL=0"]
        context.set_tls13_ciphersuites(":".join(newer).encode())
        if older:
            context.set_cipher_list(":".join(older).encode())


def _restrict(context: SSL.Context, mode: Mode) -> None:
    """Set groups and signature algorithms, for which pyOpenSSL has no call of its own."""
    library = Binding().lib
    handle = context._context  # noqa: SLF001
    if library.SSL_CTX_set1_curves_list(handle, _GROUPS[mode]) != 1:
        raise ConfigError(
            f"[tls] this TLS library has not the groups of mode {mode}", hint="install cryptography >= 47"
        )
    if library.SSL_CTX_set1_sigalgs_list(handle, _SIGNATURES[mode]) != 1:
        raise ConfigError(f"[tls] this TLS library has not the signatures of mode {mode}")
