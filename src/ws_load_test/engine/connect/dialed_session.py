"""Seam between the opening of a session and the session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from ws_load_test.websocket.deflate import PerMessageDeflate


class DialedSession(asyncio.Protocol):
    """A session that is being dialed: it takes over the transport once the upgrade is accepted."""

    node = ""
    """Name of the target's node that it is on, where that is asked for and known."""

    def attach(
        self,
        transport: asyncio.Transport,
        sock: socket.socket,
        *,
        secure: bool,
        early: bytes,
        deflate: PerMessageDeflate | None = None,
    ) -> None:
        """Takes over from the upgrade.

        Args:
            transport: The transport, whose protocol the session is by now.
            sock: The socket under it.
            secure: The transport is TLS.
            early: Bytes that the target sent behind its answer to the upgrade.
            deflate: Permessage-deflate (RFC 7692), if it was agreed.
        """
        raise NotImplementedError
