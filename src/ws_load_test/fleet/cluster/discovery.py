"""Discovery of a cluster's hosts: connects to the scheduler, waits for hosts, and compares versions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import sys
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from distributed import Client
from distributed.comm.core import CommClosedError, FatalCommClosedError
from distributed.security import Security
from distributed.versions import VersionMismatchWarning

from ws_load_test.common.errors import HostError, UsageError
from ws_load_test.fleet.cluster.host_link import FAILURES, ClusterHost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ws_load_test.fleet.cluster.spec import Cluster

CONNECT_TIMEOUT_S = 10
"""Longest wait for a scheduler to answer; Dask tries again within it."""
HOSTS_TIMEOUT_S = 60.0
"""Longest wait for a requested number of hosts: clouds take as long to start them."""
HOST_TIMEOUT_S = 10.0
"""Longest wait for the first host, where no number was requested."""
_POLL_S = 0.1
MUST_MATCH = ("ws-load-test", "distributed")
"""Packages that must have the same version everywhere: neither promises to understand another version of itself."""


async def connect(cluster: Cluster) -> Any:
    """Returns a client of the cluster's scheduler.

    Raises:
        UsageError: Its address or our certificate cannot be used.
        HostError: It cannot be reached, or one side does not accept the other's certificate.
    """
    address = cluster.resolve_address()
    try:
        security = _security(cluster, address)
        # Dask would print a table of versions; ours is one sentence, and says what to do.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)
            client: Any = Client(
                address, security=security, asynchronous=True, timeout=CONNECT_TIMEOUT_S, set_as_default=False
            )
            try:
                await client
            except BaseException:
                with contextlib.suppress(Exception):
                    await client.close(timeout=1)
                raise
    except (OSError, TimeoutError, RuntimeError) as error:
        raise HostError(_unreachable(address, error)) from None
    return client


def _security(cluster: Cluster, address: str) -> Security:
    if address.startswith("tcp://"):
        return Security(require_encryption=False)
    if cluster.ca is None:
        # From Dask's own configuration.
        security = Security(require_encryption=True)
        if security.tls_ca_file is None or security.tls_client_cert is None:
            raise UsageError(
                "--cluster-ca: missing; TLS with a cluster takes --cluster-ca, --cluster-cert, --cluster-key"
            )
    else:
        security = Security(
            require_encryption=True,
            tls_ca_file=cluster.ca,
            tls_client_cert=cluster.cert,
            tls_client_key=cluster.key,
        )
    try:
        security.get_connection_args("client")
    except OSError as error:
        why = error.strerror or "no PEM certificate and key that belong together"
        raise UsageError(
            f"--cluster-cert: cannot use the files of --cluster-ca, --cluster-cert, --cluster-key: {why}"
        ) from None
    return security


def _unreachable(address: str, error: Exception) -> str:
    """Explains in one sentence why there is no connection."""
    # With TLS 1.3 a server that rejects our certificate closes the connection after our side of the handshake is over.
    refusals = (ssl.SSLError, FatalCommClosedError, *((CommClosedError,) if address.startswith("tls://") else ()))
    if any(isinstance(cause, refusals) for cause in _causes(error)):
        return (
            f"--cluster: the scheduler at {address} and this machine do not accept each other's certificates: both must"
            " be signed by the authority of --cluster-ca, and the scheduler must speak TLS"
        )
    return (
        f"--cluster: no scheduler answers at {address}: is it running, is the port right, does a firewall stand"
        f" between, does it speak {address.partition(':')[0]}?"
    )


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


async def discover_hosts(client: Any, cluster: Cluster) -> list[ClusterHost]:
    """Returns the hosts that take part, in an order that the same hosts always have.

    Raises:
        UsageError: Connections with them would not be encrypted.
        HostError: They do not join in time, or run other versions.
    """
    wanted = cluster.hosts or 1
    timeout_s = HOST_TIMEOUT_S if cluster.hosts is None else HOSTS_TIMEOUT_S
    identity: dict[str, Any] = {}
    workers: dict[str, Any] = {}
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                identity = await client.scheduler.identity(n_workers=-1)
                workers = running_workers(identity)
                if len(workers) >= wanted:
                    break
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        few = f"{len(workers)} of {wanted} hosts have" if cluster.hosts else "no host has"
        raise HostError(
            f"--cluster: {few} joined the scheduler within {timeout_s:.0f} s; start `dask worker` on each"
        ) from None
    cluster.validate_address(identity["address"], "--cluster: its scheduler")
    for address in workers:
        cluster.validate_address(address, "--cluster: one of its hosts")
    chosen = sorted(
        workers, key=lambda address: (str(workers[address]["host"]), str(workers[address]["name"]), address)
    )[: cluster.hosts]
    await _compare_versions(client, chosen)
    hosts = [ClusterHost(client, address) for address in chosen]
    try:
        await asyncio.gather(*(host.probe() for host in hosts))
    except FAILURES as error:
        raise HostError(f"--cluster: a host does not answer ({type(error).__name__}); look at its log") from None
    for host in hosts:
        host.cores = int(workers[host.address]["nthreads"])
    _name_by_address(hosts)
    return hosts


def running_workers(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the facts of each Dask worker that runs, by its address, from a scheduler's identity."""
    return {address: worker for address, worker in identity["workers"].items() if worker["status"] == "running"}


def _name_by_address(hosts: Sequence[ClusterHost]) -> None:
    """Names several Dask workers of one machine by their addresses."""
    names = [host.name for host in hosts]
    for host in hosts:
        if names.count(host.name) > 1:
            host.name = host.address.partition("://")[2]


async def _compare_versions(client: Any, addresses: Sequence[str]) -> None:
    """Compares versions by Dask's own protocol, which works without our package there.

    Raises:
        HostError: Versions differ.
    """
    scheduler = await client.scheduler.versions(packages=list(MUST_MATCH))
    found = await client.scheduler.broadcast(
        msg={"op": "versions", "packages": list(MUST_MATCH)}, workers=list(addresses), on_error="ignore"
    )
    differ = _version_differences({"the scheduler": scheduler}, ("distributed",))
    differ += _version_differences(
        {f"the host {address.partition('://')[2]}": system for address, system in found.items()}, MUST_MATCH
    )
    if differ:
        more = f" (and {len(differ) - 1} more such difference{'s' * (len(differ) > 2)})" if differ[1:] else ""
        raise HostError(
            f"--cluster: {differ[0]}{more}; install the same on each machine, with"
            f" `pip install 'ws-load-test[cluster]=={version('ws-load-test')}' distributed=={version('distributed')}`"
        )


def _version_differences(systems: Mapping[str, Mapping[str, Any]], packages: Sequence[str]) -> list[str]:
    """Describes each package, and Python, that other machines have in another version than this one."""
    differ = []
    for name, system in systems.items():
        theirs = system["packages"]
        python = ".".join(str(theirs["python"]).split(".")[:2])
        ours = f"{sys.version_info.major}.{sys.version_info.minor}"
        if python != ours:
            differ.append(f"{name} has Python {python}, this machine {ours}")
        for package in packages:
            if theirs.get(package) != version(package):
                has = f"{package} {theirs[package]}" if theirs.get(package) else f"no {package}"
                differ.append(f"{name} has {has}, this machine {version(package)}")
    return differ


@contextlib.contextmanager
def quiet_dask_logging() -> Iterator[None]:
    """Silences Dask's loggers in the block: this package reports lost hosts itself, in terms of the run."""
    loggers = [
        logging.getLogger(name) for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"
    ]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
