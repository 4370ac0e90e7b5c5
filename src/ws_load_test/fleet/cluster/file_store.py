"""Files of a driver on a host of a cluster: sent once, used by all runs of an experiment, removed when it leaves.

They are kept as long as the driver renews a lease, so that one that died leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.errors import HostError
from ws_load_test.fleet.cluster import shipped_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ws_load_test.plan.plan import Plan

_LEASE_CHECK_S = 0.25
"""Interval of checking the lease: a small part of `host_link.LEASE_NS`."""


class FileStore:
    """Directory with the files that one driver has sent to this host, readable by this user alone."""

    def __init__(self, parent: str, lease_ns: int) -> None:
        """Makes the directory, and watches the lease in the running loop.

        Raises:
            OSError: The directory cannot be made.
        """
        self._lease_ns = lease_ns
        self._lease_until_ns = monotonic_ns() + lease_ns
        self._directory = Path(tempfile.mkdtemp(prefix="ws-load-test-", dir=parent))
        self._shipments: dict[str, Path] = {}
        self._watching = asyncio.create_task(self._remove_with_lease())

    @property
    def expired(self) -> bool:
        """True once the files were removed, because the lease was not renewed."""
        return self._watching.done()

    def renew(self) -> None:
        """Renews the lease."""
        self._lease_until_ns = monotonic_ns() + self._lease_ns

    def place(self, plan: Plan, shipment: str, contents: Mapping[str, bytes] | None) -> Plan:
        """Returns the plan with the paths of its files here.

        Args:
            plan: The plan.
            shipment: Name of its files; see `shipped_files.shipment_name`.
            contents: Contents by option; None: they were sent before.

        Raises:
            OSError: A file cannot be written.
            HostError: They were sent before, and are here no more.
        """
        directory = self._shipments.get(shipment)
        if directory is not None:
            return shipped_files.with_paths(plan, directory)
        if contents is None:
            raise HostError("the plan's files were removed there, because the driver was silent for too long")
        directory = self._directory / f"{len(self._shipments)}"
        directory.mkdir(mode=0o700)
        placed = shipped_files.write_all(plan, contents, directory)
        self._shipments[shipment] = directory
        return placed

    def remove(self) -> None:
        """Removes the files; harmless when called again."""
        self._watching.cancel()
        shutil.rmtree(self._directory, ignore_errors=True)

    async def _remove_with_lease(self) -> None:
        while monotonic_ns() < self._lease_until_ns:  # noqa: ASYNC110 - time is no event
            await asyncio.sleep(_LEASE_CHECK_S)
        shutil.rmtree(self._directory, ignore_errors=True)
