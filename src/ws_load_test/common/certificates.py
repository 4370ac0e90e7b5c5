"""Certificates for the servers of a test or a demo, made when they are needed.

`cryptography` is imported inside functions, since importing it would slow the start of every run.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_VALID_DAYS = 7
"""Days until a certificate expires, longer than any test or demo."""
_CLOCK_SKEW = dt.timedelta(hours=1)
"""Time that a certificate is valid before now, for clients whose clock is behind."""


@dataclass(frozen=True)
class Certificate:
    """A server's certificate and its key, both PEM. The key never stays on disk."""

    certificate_pem: bytes
    key_pem: bytes

    def server_context(self) -> ssl.SSLContext:
        """Builds a server's TLS context.

        OpenSSL reads keys only from files, so the key is on disk, readable for this user alone, while it is loaded.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory(prefix="ws-load-test-") as directory:
            chain = Path(directory, "chain.pem")
            descriptor = os.open(chain, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.key_pem + self.certificate_pem)
            context.load_cert_chain(chain)
        return context


class CertificateAuthority:
    """A private certificate authority, kept in memory.

    Attributes:
        certificate_pem: The authority's certificate, which clients must trust.
    """

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("ws-load-test private authority")
        builder = _builder(self._name, self._name, self._key, *_validity())
        certificate = _sign(_as_authority(builder), self._key)
        self.certificate_pem = _pem(certificate)

    def issue(self, *hosts: str, expired: bool = False, early: bool = False, mutual: bool = False) -> Certificate:
        """Signs a certificate.

        Args:
            hosts: Names and addresses of the server.
            expired: Make one that is out of date.
            early: Make one that is not yet valid.
            mutual: Make one for a client as well as a server.
        """
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        key = ec.generate_private_key(ec.SECP256R1())
        starts, ends = _validity(days_ago=30 if expired else -30 if early else 0)
        builder = _builder(_name(hosts[0]), self._name, key, starts, ends)
        certificate = _sign(_for_hosts(builder, hosts, mutual=mutual), self._key)
        return Certificate(_pem(certificate), _key_pem(key))


def self_signed(*hosts: str) -> Certificate:
    """Makes a certificate for `hosts` (names and addresses) that only clients with a copy of it trust."""
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(hosts[0])
    builder = _for_hosts(_builder(name, name, key, *_validity()), hosts)
    return Certificate(_pem(_sign(builder, key)), _key_pem(key))


def _validity(*, days_ago: int = 0) -> tuple[dt.datetime, dt.datetime]:
    starts = dt.datetime.now(dt.UTC) - dt.timedelta(days=days_ago) - _CLOCK_SKEW
    return starts, starts + dt.timedelta(days=_VALID_DAYS)


def _name(common_name: str) -> x509.Name:
    from cryptography import x509  # noqa: PLC0415

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    starts: dt.datetime,
    ends: dt.datetime,
) -> x509.CertificateBuilder:
    from cryptography import x509  # noqa: PLC0415

    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _as_authority(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    from cryptography import x509  # noqa: PLC0415

    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(
        usage, critical=True
    )


def _for_hosts(
    builder: x509.CertificateBuilder, hosts: tuple[str, ...], *, mutual: bool = False
) -> x509.CertificateBuilder:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return builder.add_extension(x509.SubjectAlternativeName(names), critical=False).add_extension(
        x509.ExtendedKeyUsage(
            [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if mutual else [])]
        ),
        critical=False,
    )


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    # Python 3.13 verifies as strictly as RFC 5280, section 4.2.1.1, asks: a certificate names its authority's key.
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return builder.add_extension(authority, critical=False).sign(key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
