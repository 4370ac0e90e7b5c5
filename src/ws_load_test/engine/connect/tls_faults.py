"""Faults of a TLS handshake in words: the cause of each error of OpenSSL, and its own remedy."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

from ws_load_test.common.faults import Fault, FaultKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.plan.target import Target

_TEXT = re.compile(r"\] (.*?)(?: \(_ssl\.c:\d+\))?$")
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _PRIVATE_AUTHORITY = 9, 10, 18, 19
_NO_ISSUER = {2, 20, 21}
_OTHER_NAME = {62, 63, 64}
"""Results of OpenSSL's verification (X509_V_ERR in x509_vfy.h)."""


def tls_fault(error: ssl.SSLError, target: Target, tls: ssl.SSLObject | None = None) -> Fault:
    """Returns the fault that an error of TLS stands for.

    Args:
        error: The error.
        target: The target, whose options tell one cause from another.
        tls: The TLS connection, where it is known: how far it got does the same.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return Fault(FaultKind.TLS, text=_untrusted(error, target))
    return Fault(FaultKind.TLS, text=_refused(_words(error), target, tls))


def _words(error: ssl.SSLError) -> str:
    """Returns OpenSSL's own words: ``tlsv1 alert unknown ca``; of some errors there is no other name."""
    found = _TEXT.search(str(error))
    words = (error.reason or (found[1] if found else "") or "connection closed").replace("_", " ").lower()
    # The version there is OpenSSL's own, and not the one that is spoken.
    return re.sub(r"^(?:ssl|tls)v\d+ ", "", words)


def _untrusted(error: ssl.SSLCertVerificationError, target: Target) -> str:
    """Returns why the target's certificate is not trusted."""
    code, authorities = error.verify_code, target.cacert
    if code == _EXPIRED:
        return "has a certificate that has expired: renew it there, or take any with --insecure"
    if code == _NOT_YET_VALID:
        return (
            "has a certificate that is not yet valid: compare the clocks of both machines, or take any with --insecure"
        )
    if code in _OTHER_NAME:
        words = error.verify_message.rstrip(".")
        return f"has a certificate for another name ({words}): --sni NAME asks for the right one, --insecure takes any"
    trusted = f'not one of those in "{authorities}"' if authorities else "which this machine does not trust"
    if code == _SELF_SIGNED:
        return f"has a self-signed certificate, {trusted}: --cacert FILE takes a copy of it, --insecure takes any"
    if code == _PRIVATE_AUTHORITY:
        return f"has a certificate of a private authority, {trusted}: --cacert FILE names it, --insecure takes any"
    if code in _NO_ISSUER:
        return (
            f"has a certificate of an unknown authority, {trusted}, or sends no intermediate certificates: "
            "--cacert FILE names the authority, --insecure takes any"
        )
    return f"has a certificate that is not accepted: {error.verify_message} (--insecure takes any)"


def _refused(words: str, target: Target, tls: ssl.SSLObject | None) -> str:
    """Returns why the handshake failed, for another reason than the target's certificate."""
    name = words.replace(" ", "_").upper()
    if name.endswith("ALERT_HANDSHAKE_FAILURE"):
        # Where the target has chosen a cipher, what it missed is what a client sends after that (RFC 5246, 7.2.2).
        name = "CERTIFICATE_REQUIRED" if tls is not None and tls.cipher() is not None else "NO_SHARED_CIPHER"
    for endings, sentence in _CAUSES:
        if name.endswith(endings):
            return sentence(target).format(words=words)
    return f"failed the TLS handshake: {words}"


def _no_version(target: Target) -> str:
    if target.tls_min == "1.3":
        return "speaks no version of TLS from 1.3 on ({words}); --tls-min 1.2 takes an older one"
    return "speaks no version of TLS from 1.2 on ({words}); older ones are not taken"


def _client_certificate(target: Target) -> str:
    if target.cert is None:
        return "wants a client certificate ({words}); --cert FILE gives one"
    return f'does not take the client certificate in "{_literal(target.cert)}" ({{words}}); --cert FILE gives another'


def _no_cipher(target: Target) -> str:
    remedy = "--ciphers names others" if target.ciphers is None else f'ours are --ciphers "{_literal(target.ciphers)}"'
    return f"shares no cipher or key exchange with us ({{words}}); {remedy}"


def _literal(text: str) -> str:
    """Returns a text as it stands in a format."""
    return text.replace("{", "{{").replace("}", "}}")


def _always(sentence: str) -> Callable[[Target], str]:
    return lambda target: sentence  # noqa: ARG005 - the same for each


_CAUSES: tuple[tuple[tuple[str, ...], Callable[[Target], str]], ...] = (
    (
        ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "BAD_RECORD_TYPE"),
        _always("does not speak TLS; is it ws:// instead of wss://?"),
    ),
    (("ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION", "INAPPROPRIATE_FALLBACK"), _no_version),
    (
        ("NO_APPLICATION_PROTOCOL",),
        _always("does not take HTTP/1.1 (ALPN, {words}): is it a port of HTTP/2 alone, or of another service?"),
    ),
    (
        ("UNRECOGNIZED_NAME",),
        _always("has no host of the name that is asked for ({words}); --sni NAME asks for another"),
    ),
    (
        (
            "CERTIFICATE_REQUIRED",
            "ALERT_BAD_CERTIFICATE",
            "ALERT_UNSUPPORTED_CERTIFICATE",
            "ALERT_CERTIFICATE_REVOKED",
            "ALERT_CERTIFICATE_EXPIRED",
            "ALERT_CERTIFICATE_UNKNOWN",
            "ALERT_UNKNOWN_CA",
            "ALERT_ACCESS_DENIED",
            "ALERT_DECRYPT_ERROR",
        ),
        _client_certificate,
    ),
    (("ALERT_INSUFFICIENT_SECURITY", "NO_CIPHERS_AVAILABLE", "NO_SHARED_CIPHER"), _no_cipher),
    (
        ("KEY_TOO_SMALL", "MD_TOO_WEAK", "WRONG_SIGNATURE_TYPE", "NO_SUITABLE_SIGNATURE_ALGORITHM"),
        _always('uses a key or a hash that is too weak ({words}); --ciphers "DEFAULT@SECLEVEL=0" takes it in TLS 1.2'),
    ),
)
"""Ends of the names of OpenSSL's errors and of alerts (RFC 8446, section 6.2), and the sentence for each."""
