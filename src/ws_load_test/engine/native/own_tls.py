"""TLS connections of asyncio that the compiled loop goes on with: the OpenSSL of Python's ssl, and the socket below."""

from __future__ import annotations

import _ssl
import gc
import ssl
from functools import cache
from typing import TYPE_CHECKING, cast

from ws_load_test.common.errors import UsageError
from ws_load_test.engine.native.reactor import find_tls, tls_of

if TYPE_CHECKING:
    import asyncio


@cache
def has_tls() -> bool:
    """Returns True if OpenSSL is a library that Python's ssl is linked with, and its connections are where they belong.

    A Python that holds OpenSSL in itself has no functions that others could find.
    """
    module = getattr(_ssl, "__file__", None)
    if module is None or not find_tls(module):
        return False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return tls_of(context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")) != 0


def carrier_of(transport: asyncio.Transport) -> asyncio.Transport:
    """Returns the transport below one under TLS.

    Pausing the upper one does not keep asyncio from reading the socket, and decrypting what it reads. uvloop's objects
    have no attributes that say what they hold, but the garbage collector does.

    Raises:
        UsageError: The event loop is another.
    """
    protocols = [one for one in gc.get_referents(transport) if type(one).__name__ == "SSLProtocol"]
    if not protocols:
        protocols = [one for one in (getattr(transport, "_ssl_protocol", None),) if one is not None]
    held = [one for protocol in protocols for one in _held_by(protocol)]
    carriers = {id(one): one for one in held if type(one) is not type(transport) and _carries(one)}
    if len(carriers) != 1:
        raise UsageError("this event loop does not show the sockets below its TLS connections; take --engine portable")
    return cast("asyncio.Transport", carriers.popitem()[1])


def _carries(one: object) -> bool:
    """Returns True for a transport. A protocol can have a method `pause_reading` as well."""
    return hasattr(one, "pause_reading") and hasattr(one, "get_write_buffer_size")


def _held_by(protocol: object) -> list[object]:
    """Returns the objects that one refers to, be they in its attributes or in fields of C."""
    held = gc.get_referents(protocol)
    return [*held, *(getattr(protocol, "__dict__", {}).values())] if hasattr(protocol, "_transport") else held
