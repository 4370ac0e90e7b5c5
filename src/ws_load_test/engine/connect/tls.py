"""TLS as a target asks for it: whom we trust, what we show, which versions, sessions resumed."""

from __future__ import annotations

import os
import ssl
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ws_load_test.common.errors import UsageError

if TYPE_CHECKING:
    from ws_load_test.plan.target import Target

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
handshakes: ContextVar[list[tuple[ssl.SSLObject, bool]] | None] = ContextVar("handshakes", default=None)
"""Takes the TLS connections that a dial begins, each with True if it offers an earlier session: an event loop gives no
other access to one whose handshake fails."""


class ResumableContext(ssl.SSLContext):
    """A client's context that can resume sessions: event loops have no other place to hand one in."""

    resumes = False

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the signature of ssl.SSLContext
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Does as `ssl.SSLContext.wrap_bio`, with the last session that this server gave us."""
        if session is None:
            session = self._sessions.get(server_hostname)
        tls = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        begun = handshakes.get()
        if begun is not None:
            begun.append((tls, session is not None))
        return tls

    @property
    def _sessions(self) -> dict[Any, ssl.SSLSession]:
        found: dict[Any, ssl.SSLSession] = self.__dict__.setdefault("sessions_by_server", {})
        return found

    def lacks_session(self, server: str | None) -> bool:
        """Returns True if a server was to give a session that can be resumed, and has not given one."""
        return self.resumes and server in self._known_servers and server not in self._sessions

    @property
    def _known_servers(self) -> set[Any]:
        """Servers with which a handshake has ended, and data was read."""
        found: set[Any] = self.__dict__.setdefault("known_servers", set())
        return found

    def keep_session(self, tls: ssl.SSLObject) -> None:
        """Keeps a connection's session for the next; call it when the connection has read something.

        TLS 1.3 sends tickets after the handshake, before any other data (RFC 8446, section 4.6.1).
        """
        if not self.resumes:
            # Python copies a session by writing it out and parsing it, certificate included: 300 µs.
            return
        self._known_servers.add(tls.server_hostname)
        session = tls.session
        if session is not None and session.has_ticket:
            self._sessions[tls.server_hostname] = session


def new_context(target: Target) -> ResumableContext:
    """The context of a target's connections under TLS; a redirect may lead to one where no URL does.

    Raises:
        UsageError: A file of certificates or keys, or the list of ciphers, cannot be used; SSLKEYLOGFILE not written.
    """
    context = _client_context()
    _load_authorities(context, target)
    _load_certificate(context, target)
    context.set_alpn_protocols(["http/1.1"])
    if target.tls_min is not None:
        context.minimum_version = _VERSIONS[target.tls_min]
    if target.ciphers is not None:
        set_ciphers(context, target.ciphers)
    _trust_any_if_asked(context, target)
    context.resumes = target.tls_resume
    return context


def context_for_proxies(target: Target) -> ResumableContext:
    """Returns the context for proxies under TLS: the system's authorities, and those of ``--cacert`` besides.

    The client's certificate is the target's affair; ``--insecure`` counts for both.

    Raises:
        UsageError: As `new_context`.
    """
    context = _client_context()
    context.load_default_certs()
    _load_authorities(context, target)
    context.set_alpn_protocols(["http/1.1"])
    _trust_any_if_asked(context, target)
    return context


def _trust_any_if_asked(context: ssl.SSLContext, target: Target) -> None:
    if target.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE


def _client_context() -> ResumableContext:
    """Returns a client's context that verifies, and logs its keys where the environment asks for that.

    ``SSLKEYLOGFILE`` is what OpenSSL, curl and browsers have for it (draft-ietf-tls-keylogfile); Wireshark reads it.

    Raises:
        UsageError: The file cannot be written.
    """
    context = ResumableContext(ssl.PROTOCOL_TLS_CLIENT)
    path = os.environ.get("SSLKEYLOGFILE")
    if path:
        try:
            context.keylog_filename = path
        except OSError as error:
            raise UsageError(f'SSLKEYLOGFILE: cannot write "{path}": {error.strerror}') from None
    if sys.version_info >= (3, 13):
        # What ssl.create_default_context sets; it makes no contexts of other classes.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    return context


def set_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    """Limits the suites up to TLS 1.2.

    Raises:
        UsageError: OpenSSL knows none of them.
    """
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError:
        raise UsageError(f'--ciphers: OpenSSL knows no cipher of "{ciphers}"; `openssl ciphers` lists them') from None


def _load_authorities(context: ssl.SSLContext, target: Target) -> None:
    if target.cacert is None:
        context.load_default_certs()
        return
    try:
        context.load_verify_locations(target.cacert)
    except ssl.SSLError:
        raise UsageError(f'--cacert: cannot use "{target.cacert}": it holds no PEM certificates') from None
    except OSError as error:
        raise UsageError(f'--cacert: cannot use "{target.cacert}": {error.strerror}') from None


class _KeyNeedsPassword(Exception):  # noqa: N818 - never leaves this module
    """A key asks for a password."""


def _load_certificate(context: ssl.SSLContext, target: Target) -> None:
    if target.cert is None:
        return

    def locked() -> str:
        raise _KeyNeedsPassword

    option, path = ("--cert", target.cert) if target.key is None else ("--key", target.key)
    try:
        # Without a callback OpenSSL would ask at the terminal.
        context.load_cert_chain(target.cert, target.key, password=locked)
    except _KeyNeedsPassword:
        raise UsageError(
            f'{option}: the key in "{path}" is protected by a password; `openssl pkey` writes one without'
        ) from None
    except ssl.SSLError as error:
        if error.reason in {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}:
            raise UsageError(f'{option}: the key in "{path}" does not belong to the certificate') from None
        missing = (
            "the file needs a PEM certificate and its key; --key names a file of the key alone"
            if target.key is None
            else "--cert takes a PEM file of the certificate, --key one of its key"
        )
        raise UsageError(f'--cert: cannot use "{target.cert}": {missing}') from None
    except OSError as error:
        raise UsageError(f'{option}: cannot use "{path}": {error.strerror}') from None
