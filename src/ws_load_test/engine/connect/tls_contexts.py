"""Contexts of a worker's TLS: for the target, for other origins that redirects lead to, for proxies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ws_load_test.engine.connect.tls import context_for_proxies, new_context

if TYPE_CHECKING:
    from ws_load_test.engine.connect.tls import ResumableContext
    from ws_load_test.engine.connect.upgrade_request import UpgradeRequest
    from ws_load_test.plan.target import Target

MAX_OTHER_ORIGINS = 8
"""Origins that redirects lead to whose TLS sessions are kept; making a context anew takes some 10 ms."""


class TlsContexts:
    """The contexts of one plan; each is made when it is first needed, those that are known to be, at once."""

    def __init__(self, target: Target) -> None:
        """Makes the contexts that the plan needs.

        Raises:
            UsageError: The plan's certificates cannot be used, or SSLKEYLOGFILE cannot be written.
        """
        self._target = target
        self._own = new_context(target) if target.secure else None
        speaks_tls = any(url.lower().startswith("https:") for url in target.proxies)
        self._proxies = context_for_proxies(target) if speaks_tls else None
        self._elsewhere: dict[tuple[bool, str, int], ResumableContext] = {}

    def for_request(self, request: UpgradeRequest) -> ResumableContext:
        """Returns the context of a connection under TLS.

        Another origin, to which a redirect has led, has a context of its own: neither the client's certificate nor a
        session's ticket goes there that was meant for the first.
        """
        if not request.moved:
            if self._own is None:
                self._own = new_context(self._target)
            return self._own
        origin = request.endpoint.origin
        if origin not in self._elsewhere:
            if len(self._elsewhere) >= MAX_OTHER_ORIGINS:
                del self._elsewhere[next(iter(self._elsewhere))]
            stranger = msgspec.structs.replace(self._target, cert=None, key=None)
            self._elsewhere[origin] = new_context(stranger)
        return self._elsewhere[origin]

    def for_proxies(self) -> ResumableContext:
        """Returns the context for proxies under TLS, which get no certificate of the client's."""
        if self._proxies is None:
            self._proxies = context_for_proxies(self._target)
        return self._proxies
