"""Dask cluster of a run on other machines: its address, and the credentials that protect the connection.

Nothing here connects; `dask` does, which needs the extra ``cluster``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ws_load_test.common.errors import UsageError
from ws_load_test.common.units import quoted_path
from ws_load_test.plan.redaction import REDACTED, public_url

OnWorkerLost = Literal["continue", "stop"]
ON_WORKER_LOST: tuple[OnWorkerLost, ...] = ("continue", "stop")
_EXAMPLE = "for example --cluster tls://scheduler:8786"
UNPROTECTED = (
    "has no encryption and no authentication: anyone who reaches a Dask scheduler can run programs on all of its"
    " machines, and this run's secrets would travel in the clear; use tls:// with --cluster-ca, --cluster-cert and"
    " --cluster-key, or add --insecure-cluster if only you can reach it"
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Dask cluster, and how much of it a run uses.

        run(plan, cluster=Cluster("tls://scheduler:8786", ca="ca.pem", cert="me.pem", key="me.key"))

    Attributes:
        address: The scheduler's address, ``tls://host:port`` or ``tcp://host:port``, or the path of a scheduler file.
        hosts: How many of its hosts take part; a run waits until they are there. None: all that are there.
        workers: How many worker processes each host has; None: one for each thread that its Dask worker offers, which
            is one for each core unless it was started otherwise.
        on_worker_lost: ``continue``: the other workers go on when one is lost; ``stop``: they stop as well.
        insecure: True allows a scheduler without TLS on another machine.
        ca: File with the certificate of the authority that signed the cluster's certificates, PEM.
        cert: File with our own certificate, PEM.
        key: File with its key, PEM.
    """

    address: str
    hosts: int | None = None
    workers: int | None = None
    on_worker_lost: OnWorkerLost = "continue"
    insecure: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def resolve_address(self) -> str:
        """Returns the scheduler's address.

        Raises:
            UsageError: There is none, or it is not allowed.
        """
        address = self.address
        if "://" not in address:
            address = _from_file(self.address)
        self.validate_address(address)
        return address

    def validate_address(self, address: str, whose: str = "--cluster") -> None:
        """Checks an address of the cluster before anything is sent there.

        Args:
            address: The address.
            whose: The beginning of an error: the option, and the part of the cluster that has the address.

        Raises:
            UsageError: It is no address of Dask, or it is not allowed.
        """
        scheme, host = _parts(address)
        shown = public_url(address)
        if scheme not in ("tls", "tcp") or not host:
            raise UsageError(f"{whose}: {shown} is neither a tls:// nor a tcp:// address; {_EXAMPLE}")
        if "@" in address:
            raise UsageError(f"{whose}: {shown} holds user info, which no scheduler takes; {_EXAMPLE}")
        given = [name for name in ("ca", "cert", "key") if getattr(self, name) is not None]
        if scheme == "tls":
            if len(given) in (1, 2):
                missing = next(name for name in ("ca", "cert", "key") if name not in given)
                raise UsageError(f"--cluster-{missing}: missing; TLS with a cluster takes all three files")
            return
        if given:
            raise UsageError(f"--cluster-{given[0]}: {shown} is not TLS; write tls:// if the scheduler speaks it")
        if not self.insecure and not is_loopback(host):
            raise UsageError(f"{whose}: {shown} {UNPROTECTED}")

    def describe(self) -> list[tuple[str, str]]:
        """Describes the cluster: a label and a phrase for each line."""
        hosts = "all its hosts" if self.hosts is None else f"{self.hosts} of its hosts"
        each = "for each core of a host" if self.workers is None else f"for each host: {self.workers}"
        lost = "the others go on" if self.on_worker_lost == "continue" else "the others stop"
        return [
            ("cluster", f"{public_url(self.address)}, {hosts}"),
            ("workers", f"one process {each}" if self.workers is None else f"processes {each}"),
            ("lost worker", lost),
        ]


def is_loopback(host: str) -> bool:
    """Returns True for an address or a name of this machine's loopback interface, without looking it up."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parts(address: str) -> tuple[str, str]:
    try:
        parts = urlsplit(address)
    except ValueError:
        return "", ""
    return parts.scheme, parts.hostname or ""


def _from_file(path: str) -> str:
    """Returns the address in a scheduler file, as ``dask scheduler --scheduler-file`` writes it."""
    if not Path(path).is_file():
        shown = f"{REDACTED}@{path.rpartition('@')[2]}" if "@" in path else path
        raise UsageError(
            f"--cluster: {quoted_path(shown)} is neither an address nor a scheduler file that exists; {_EXAMPLE}"
        )
    try:
        address = json.loads(Path(path).read_text(encoding="utf-8"))["address"]
    except OSError as error:
        raise UsageError(f'--cluster: cannot read "{path}": {error.strerror}') from None
    except (ValueError, KeyError, TypeError):
        address = None
    if not isinstance(address, str):
        raise UsageError(f'--cluster: "{path}" is not a scheduler file, which `dask scheduler --scheduler-file` writes')
    return address
