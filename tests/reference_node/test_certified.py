"""Certificates as credentials (auth_type CERT): what a CA vouches for is taken, and nothing else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reference_node.config import load_config
from reference_node.errors import ConfigError
from reference_node.security import certificates
from reference_node.security.certificates import Address, Authority, Holder
from reference_node.security.keys import PrivateKey
from reference_node.security.tls import trust_of
from tests.reference_node.pair import START_MS, Stranger, TestNode, nodes

NOW = dt.datetime.fromtimestamp(START_MS / 1000, dt.UTC)
ALL = ["SM3_SM2", "SHA256_ECDSA", "SHA256_RSA", "CERT"]


@dataclass
class Office:
    """A CA at the time of the tests, with its files."""

    authority: Authority
    folder: Path

    def revoke(self, *revoked: int) -> None:
        """Write the revocation list."""
        listed = certificates.revocation_list(self.authority, [(one, NOW) for one in revoked], 1, 30, NOW)
        (self.folder / "ca.crl").write_text(listed)

    def certify(self, stranger: Stranger, node_id: str = "", days: float = 10) -> str:
        """Return a certificate of a stranger's key."""
        holder = Holder(node_id or stranger.node_id, "node", (Address("stranger.test", 80),))
        return certificates.issue(self.authority, stranger.key.public, holder, days, NOW).pem


def _office(folder: Path, suite: str) -> Office:
    key = PrivateKey.generate(suite)
    made = Office(Authority(certificates.root(key, "CA", 365, NOW), key), folder)
    (folder / "ca.pem").write_text(made.authority.certificate.pem)
    made.revoke()
    return made


@pytest.fixture(params=["SM3_SM2", "SHA256_ECDSA"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Office:
    """A CA of either suite."""
    return _office(tmp_path, request.param)


@pytest.fixture
def node(office: Office) -> Iterator[TestNode]:
    """A node that trusts the CA."""
    files = {"tls_ca": office.folder / "ca.pem", "tls_crl": office.folder / "ca.crl"}
    with nodes("node-b", auth_types=ALL, **files) as (made,):
        yield made


@pytest.fixture
def stranger(office: Office) -> Stranger:
    """A node with a key of the CA's suite."""
    return Stranger("node-c", PrivateKey.generate(office.authority.key.public.auth_type))


def _application(stranger: Stranger, certificate: str) -> dict[str, Any]:
    return {**stranger.particulars(), "auth_type": "CERT", "auth_credential": certificate}


def test_a_certified_key_signs_a_contract(node: TestNode, office: Office, stranger: Stranger) -> None:
    """The application is taken, the contract comes into force, and requests are signed by the certified key."""
    assert "CERT" in node.own("ownNodeQuery", node_id="node-b").data["auth_types"]
    applied = node.signed("contractApply", stranger, **_application(stranger, office.certify(stranger)))
    assert applied.code == 0, applied.msg
    told = node.own("ownContractConfirm", contract_id=applied.data["contract_id"], status="APPROVED")
    assert told.data["status"] == "APPROVED"
    assert node.signed("nodeHealth", stranger, contract_id=applied.data["contract_id"]).data["status"] == "UP"


def test_certificates_that_do_not_count_are_refused(
    node: TestNode, office: Office, stranger: Stranger, tmp_path: Path
) -> None:
    """Of another node, of another CA, expired, revoked, of another key, no certificate at all."""
    (tmp_path / "other").mkdir()
    other = _office(tmp_path / "other", "SM3_SM2")
    revoked = office.certify(stranger)
    office.revoke(certificates.read(revoked).serial)
    foreign = Stranger("node-c", PrivateKey.generate(stranger.key.public.auth_type))
    for certificate, error in (
        (office.certify(stranger, "node-d"), "CERTIFICATE_REFUSED"),
        (other.certify(stranger), "CERTIFICATE_REFUSED"),
        (office.certify(stranger, days=-0.001), "CERTIFICATE_REFUSED"),
        (revoked, "CERTIFICATE_REFUSED"),
        (office.authority.certificate.pem, "CERTIFICATE_REFUSED"),
        (office.certify(foreign), "SIGNATURE_INVALID"),
        (stranger.key.public.pem, "CREDENTIAL_MALFORMED"),
    ):
        refused = node.signed("contractApply", stranger, **_application(stranger, certificate))
        assert refused.error == error, certificate
    assert node.own("ownContractList").data["total"] == 0


def test_a_certified_application_replaces_what_waits_under_its_node_id(
    node: TestNode, office: Office, stranger: Stranger
) -> None:
    """A squatter's bare key gives way to the key that the CA vouches for, and cannot come back (9.2-a-1)."""
    squatter = Stranger(stranger.node_id, PrivateKey.generate("SM3_SM2"))
    waiting = node.signed("contractApply", squatter, **squatter.particulars()).data["contract_id"]
    assert node.signed("contractApply", stranger, **stranger.particulars()).error == "NODE_ID_TAKEN"
    certificate = office.certify(stranger)
    refused = node.signed("contractApply", squatter, **_application(squatter, certificate))
    assert refused.error in ("SIGNATURE_INVALID", "SUITE_REFUSED")
    assert node.contract(waiting)["status"] == "APPLIED"
    assert node.signed("contractApply", stranger, **_application(stranger, certificate)).code == 0
    assert node.contract(waiting)["status"] == "REJECTED"
    assert node.signed("contractApply", squatter, **squatter.particulars()).error == "NODE_ID_TAKEN"


def test_certificates_are_taken_only_where_they_are_listed(office: Office, stranger: Stranger) -> None:
    """A node that does not list CERT refuses it by type, and one that lists it without a CA does not start."""
    with nodes("node-b", tls_ca=office.folder / "ca.pem") as (node,):
        refused = node.signed("contractApply", stranger, **_application(stranger, office.certify(stranger)))
        assert refused.error == "CREDENTIAL_TYPE_UNSUPPORTED"
    with pytest.raises(ConfigError, match="no CA is trusted"):
        trust_of(load_config(None, auth_types=ALL))
