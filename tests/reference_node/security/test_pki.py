"""The small CA: what it issues says who, where and in which role; what is wrong with a certificate is found."""

from __future__ import annotations

import datetime as dt
import itertools
import stat
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conformance.cli import app
from reference_node.errors import ConfigError
from reference_node.security import certificates
from reference_node.security.certificates import Address, Authority, Holder
from reference_node.security.errors import CertificateRefused, CredentialMalformed, KeyTooWeak
from reference_node.security.keys import PrivateKey
from reference_node.security.pki import Pki
from reference_node.security.suites import AuthType
from reference_node.security.trust import Trust

NODE = Holder("node-a", "host", (Address("127.0.0.1", 8801), Address("::1", 8801)))
DAY_MS = 86_400_000


def _now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture(params=["sm2", "p256"])
def ca(request: pytest.FixtureRequest, tmp_path: Path) -> Pki:
    return Pki.init(tmp_path / "ca", request.param)


def _trust(ca: Pki) -> Trust:
    return Trust(ca.folder / "ca.pem", ca.folder / "ca.crl")


def test_certificate_tells_node_addresses_and_role(ca: Pki) -> None:
    """What was asked for is read back, and the trust takes it."""
    files = ca.issue(NODE)
    made = certificates.read(files.certificate.read_text())
    _trust(ca).check(made, _now_ms())
    assert made.holder == NODE
    assert made.serves("127.0.0.1", 8801)
    assert made.serves("0:0::1", 8801)
    assert not made.serves("127.0.0.1", 8802)
    assert not made.serves("127.0.0.2", 8801)
    assert PrivateKey.load(files.key).public == made.public


def test_keys_are_their_owners_alone(ca: Pki) -> None:
    """Key files have mode 0600, and none is overwritten."""
    files = ca.issue(NODE)
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert stat.S_IMODE((ca.folder / "ca-key.pem").stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="is there already"):
        ca.issue(NODE)


def test_revoked_certificate_is_refused_at_once(ca: Pki) -> None:
    """The trust reads the new list by itself; others of the CA stay good."""
    mine = certificates.read(ca.issue(NODE).certificate.read_text())
    other = certificates.read(ca.issue(Holder("node-b", "host", NODE.addresses)).certificate.read_text())
    trust = _trust(ca)
    trust.check(mine, _now_ms())
    assert not trust.withdrawn(mine, _now_ms())
    assert [row.node_id for row in ca.revoke("node-a")] == ["node-a"]
    assert trust.withdrawn(mine, _now_ms())
    with pytest.raises(CertificateRefused, match="revoked"):
        trust.check(mine, _now_ms())
    trust.check(other, _now_ms())


def test_a_certificate_is_revoked_by_its_file(ca: Pki, tmp_path: Path) -> None:
    """One that the index does not know as well, as often as it is asked once; one of another CA is refused."""
    shown = tmp_path / "shown.pem"
    shown.write_bytes(ca.issue(NODE).certificate.read_bytes())
    mine, trust = certificates.read(shown.read_text()), _trust(ca)
    (ca.folder / "index.json").write_text('{"crl_number": 1, "issued": []}')
    assert [(row.serial, row.node_id) for row in ca.revoke(str(shown))] == [(f"{mine.serial:x}", "node-a")]
    assert trust.withdrawn(mine, _now_ms())
    with pytest.raises(ConfigError, match="no certificate in force"):
        ca.revoke(str(shown))
    assert len(ca.issued()) == 1
    other = Pki.init(tmp_path / "other", "p256").issue(NODE).certificate
    with pytest.raises(ConfigError, match="no certificate of this CA"):
        ca.revoke(str(other))


def test_dates_are_judged_at_the_nodes_time(ca: Pki) -> None:
    """A certificate counts neither before nor after its time, and none under a list that is out of date."""
    mine = certificates.read(ca.issue(NODE, days=10).certificate.read_text())
    trust = _trust(ca)
    for later, why in ((-DAY_MS, "not yet valid"), (11 * DAY_MS, "expired"), (31 * DAY_MS, "expired")):
        with pytest.raises(CertificateRefused, match=why):
            trust.check(mine, _now_ms() + later)
    assert trust.withdrawn(mine, _now_ms() + 11 * DAY_MS)
    long = certificates.read(ca.issue(Holder("node-c", "host", NODE.addresses)).certificate.read_text())
    with pytest.raises(CertificateRefused, match="CRL has expired"):
        trust.check(long, _now_ms() + 31 * DAY_MS)
    ca.write_crl(days=60)
    trust.check(long, _now_ms() + 31 * DAY_MS)


def test_lost_files_leave_nobody_trusted(ca: Pki) -> None:
    """Where the revocation list has gone, no certificate counts any more."""
    mine = certificates.read(ca.issue(NODE).certificate.read_text())
    trust = _trust(ca)
    (ca.folder / "ca.crl").unlink()
    assert trust.withdrawn(mine, _now_ms())
    with pytest.raises(CertificateRefused, match="nobody is trusted"):
        trust.check(mine, _now_ms())


def test_certificate_of_another_ca_is_refused(ca: Pki, tmp_path: Path) -> None:
    """A CA of the same name but another key vouches for nobody here, nor does a node's certificate for another."""
    stranger = Pki.init(tmp_path / "other", "p256").issue(NODE)
    with pytest.raises(CertificateRefused):
        _trust(ca).check(certificates.read(stranger.certificate.read_text()), _now_ms())
    files = ca.issue(NODE)
    posing = Authority(certificates.read(files.certificate.read_text()), PrivateKey.load(files.key))
    forged = certificates.issue(
        posing, posing.key.public, Holder("node-b", "host", NODE.addresses), 1, dt.datetime.now(dt.UTC)
    )
    with pytest.raises(CertificateRefused):
        _trust(ca).check(forged, _now_ms(), [posing.certificate])


def test_every_flipped_byte_of_a_certificate_is_noticed(ca: Pki) -> None:
    """A certificate with any one byte changed is unreadable, of a key that is refused, or not vouched for."""
    data = certificates.read(ca.issue(NODE).certificate.read_text()).data
    trust = _trust(ca)
    for position in range(0, len(data), 7):
        bent = data[:position] + bytes([data[position] ^ 0x01]) + data[position + 1 :]
        with pytest.raises((CertificateRefused, CredentialMalformed, KeyTooWeak)):
            trust.check(certificates.read_der(bent), _now_ms())


def test_serial_numbers_are_random(ca: Pki) -> None:
    """Numbers neither repeat nor count up."""
    numbers = [
        certificates.read(ca.issue(NODE, out=ca.folder / f"n{i}").certificate.read_text()).serial for i in range(4)
    ]
    assert len(set(numbers)) == 4
    assert all(number.bit_length() == 127 for number in numbers)
    assert len({later - earlier for earlier, later in itertools.pairwise(numbers)}) == 3


def test_certificate_of_two_nodes_is_of_nobody() -> None:
    """Names of different nodes in one certificate identify no node."""
    key = PrivateKey.generate(AuthType.SM3_SM2)
    now = dt.datetime.now(dt.UTC)
    authority = Authority(certificates.root(key, "CA", 1, now), key)
    assert authority.certificate.holder is None
    with pytest.raises(ValueError, match="no identity"):
        certificates.issue(authority, key.public, Holder("node a", "host", NODE.addresses), 1, now)


@pytest.mark.parametrize("text", ["127.0.0.1", "::1:80", "[127.0.0.1]:80", "host:x", "host:70000", ":80"])
def test_address_that_is_none_is_refused(text: str) -> None:
    """An address needs a port, and an IPv6 address its brackets."""
    with pytest.raises(ValueError, match="is not host:port"):
        Address.parse(text)


def test_commands_make_issue_show_and_revoke(tmp_path: Path) -> None:
    """The whole life of a CA goes by the command line, and mistakes are told as such."""
    run, folder = CliRunner(), str(tmp_path / "ca")
    assert run.invoke(app, ["pki", "init", folder]).exit_code == 0
    assert run.invoke(app, ["pki", "init", folder]).exit_code == 4
    issued = run.invoke(app, ["pki", "issue", "node-a", "--address", "[::1]:8801", "--role", "guest", "--ca", folder])
    assert issued.exit_code == 0, issued.output
    shown = run.invoke(app, ["pki", "show", "--json", "--ca", folder]).output
    assert '"addresses": [\n   "[::1]:8801"' in shown
    assert '"role": "guest"' in shown
    assert run.invoke(app, ["pki", "revoke", "node-a", "--ca", folder]).exit_code == 0
    assert run.invoke(app, ["pki", "revoke", "node-a", "--ca", folder]).exit_code == 4
    assert run.invoke(app, ["pki", "crl", "--ca", folder]).exit_code == 0
    assert run.invoke(app, ["pki", "issue", "node-b", "--address", "::1", "--ca", folder]).exit_code == 4
    assert run.invoke(app, ["pki", "issue", "node-b", "--address", "h:1", "--role", "A", "--ca", folder]).exit_code == 4
    assert run.invoke(app, ["pki", "show", "--ca", str(tmp_path / "none")]).exit_code == 4
    assert "node-a" in run.invoke(app, ["pki", "show", "--ca", folder]).output
