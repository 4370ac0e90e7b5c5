"""Names in the certificate of a target, and its last day."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
}
"""Attributes of a name as RFC 4514, section 3, writes them."""


def certificate_facts(encoded: bytes, checked: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the names in a certificate, and when it expires.

    Args:
        encoded: The certificate (DER).
        checked: The same as Python decodes it, which is only done where it was verified.
    """
    if checked:
        names = (_value(kind, value) for kind, value in checked.get("subjectAltName", ()))
        expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(checked["notAfter"]), UTC)
        return {
            "subject": _name(checked.get("subject", ())),
            "issuer": _name(checked.get("issuer", ())),
            "names": list(names),
            "expires": expires.isoformat(),
        }
    try:
        from cryptography import x509  # noqa: PLC0415 - an extra, and few probes need it
    except ImportError:
        return {"subject": "", "issuer": "", "names": [], "expires": None}
    try:
        certificate = x509.load_der_x509_certificate(encoded)
        alternatives: list[str] = []
        try:
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            alternatives = [str(name.value) for name in found]
        except x509.ExtensionNotFound:
            pass
        return {
            "subject": certificate.subject.rfc4514_string(),
            "issuer": certificate.issuer.rfc4514_string(),
            "names": alternatives,
            "expires": certificate.not_valid_after_utc.isoformat(),
        }
    except ValueError:
        # Trusted without being read (--insecure): no reason to stop.
        return {"subject": "", "issuer": "", "names": [], "expires": None}


def _name(parts: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Returns a distinguished name as RFC 4514 writes it, the last part first."""
    written = ["+".join(f"{_SHORT.get(kind, kind)}={value}" for kind, value in part) for part in parts]
    return ",".join(reversed(written))


def _value(kind: str, value: str) -> str:
    """Returns an alternative name; Python writes IPv6 addresses at full length."""
    try:
        return str(ip_address(value.strip())) if kind == "IP Address" else value
    except ValueError:
        return value
