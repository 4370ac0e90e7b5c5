"""A Dask cluster on machines that are reached by SSH, started by Dask's own SSHCluster, with new keys for TLS.

Needs the extra ``cluster``. Keys, users and ports of SSH come from its configuration (``~/.ssh/config``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
from distributed import SSHCluster
from distributed.security import Security

from ws_load_test.common.certificates import CertificateAuthority
from ws_load_test.common.errors import HostError, UsageError, cause_of
from ws_load_test.fleet.cluster.discovery import quiet_dask_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_FILES: tuple[str, ...] = ("ca.pem", "cert.pem", "key.pem")
_CONNECT_TIMEOUT_S = 15
"""Longest wait for an SSH connection, login included."""


@dataclass(frozen=True, slots=True)
class SshClusterSpec:
    """Machines to start a cluster on.

    Attributes:
        names: Names for SSH; the first machine has the scheduler as well.
        python: The interpreter there that has ws-load-test; None: the same path as this one's.
        config: Path of an SSH configuration to read instead of the user's own.
        port: The scheduler's port.
        idle_timeout: Time without a run after which the cluster ends itself, in Dask's notation (``1 h``): if this
            program is killed, nothing else would end it.
    """

    names: tuple[str, ...]
    python: str | None = None
    config: str | None = None
    port: int = 8786
    idle_timeout: str = "1 h"

    @property
    def connect_options(self) -> dict[str, Any]:
        """Arguments for `asyncssh.connect`."""
        own = {} if self.config is None else {"config": [self.config]}
        return {**own, "connect_timeout": _CONNECT_TIMEOUT_S}


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """A cluster that has been started."""

    address: str
    ca: Path
    cert: Path
    key: Path

    @property
    def options(self) -> str:
        """Command line options of a run on this cluster."""
        files = f"--cluster-ca {self.ca} --cluster-cert {self.cert} --cluster-key {self.key}"
        return f"--cluster {self.address} {files}"


@contextlib.asynccontextmanager
async def start_cluster(hosts: SshClusterSpec) -> AsyncIterator[RunningCluster]:
    """Runs a cluster as long as the block; meanwhile the files that its runs need are on this machine.

    Raises:
        UsageError: The SSH configuration cannot be read.
        HostError: A machine cannot be reached, or does not start its part.
    """
    certificate = (authority := CertificateAuthority()).issue(*hosts.names, mutual=True)
    contents = dict(
        zip(_FILES, (authority.certificate_pem, certificate.certificate_pem, certificate.key_pem), strict=True)
    )
    remote = f"/tmp/ws-load-test-{secrets.token_hex(8)}"  # noqa: S108 - we create it there, and fail if it exists
    with tempfile.TemporaryDirectory(prefix="ws-load-test-cluster-") as local:
        for name, content in contents.items():
            with os.fdopen(os.open(Path(local, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        async with contextlib.AsyncExitStack() as leaving:
            for name in dict.fromkeys(hosts.names):
                await _upload_credentials(hosts, name, remote, contents, leaving)
            leaving.enter_context(quiet_dask_logging())
            address = await _start(hosts, local, remote, leaving)
            yield RunningCluster(address, *(Path(local, name) for name in _FILES))


async def _upload_credentials(
    hosts: SshClusterSpec, name: str, directory: str, contents: dict[str, bytes], leaving: contextlib.AsyncExitStack
) -> None:
    """Writes the files of TLS to a directory of a machine, for its user alone, to be removed in the end.

    Raises:
        UsageError: The SSH configuration cannot be read.
        HostError: The machine cannot be reached.
    """
    try:
        connection = await leaving.enter_async_context(asyncssh.connect(name, **hosts.connect_options))
        sftp = await leaving.enter_async_context(connection.start_sftp_client())
        try:
            # Fails if the directory exists, so another user cannot have prepared it.
            await sftp.mkdir(directory, asyncssh.SFTPAttrs(permissions=0o700))
        except asyncssh.SFTPFailure:
            if await _has_files(sftp, directory, contents):
                # Another name of a machine that has them already, or that shares its disk.
                return
            raise
        leaving.push_async_callback(_remove, sftp, directory)
        for file, content in contents.items():
            async with sftp.open(f"{directory}/{file}", "wb", asyncssh.SFTPAttrs(permissions=0o600)) as remote_file:
                await remote_file.write(content)
    except (asyncssh.ConfigParseError, FileNotFoundError) as error:
        raise UsageError(f"--ssh-config: {error}") from None
    except (OSError, asyncssh.Error) as error:
        raise HostError(
            f"--ssh: {name} cannot be reached by SSH: {cause_of(error)}; it must be possible without a password, as"
            f" `ssh -o BatchMode=yes {name} true` shows"
        ) from None


async def _has_files(sftp: Any, directory: str, contents: dict[str, bytes]) -> bool:
    """Returns True if a directory has these very files."""
    for file, content in contents.items():
        async with sftp.open(f"{directory}/{file}", "rb") as remote_file:
            if await remote_file.read() != content:
                return False
    return True


async def _remove(sftp: Any, directory: str) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        await sftp.rmtree(directory)


async def _start(hosts: SshClusterSpec, local: str, remote: str, leaving: contextlib.AsyncExitStack) -> str:
    """Starts scheduler and workers; returns the scheduler's address."""
    tls = {
        "require_encryption": True,
        "tls_ca_file": f"{remote}/ca.pem",
        **{f"tls_{role}_cert": f"{remote}/cert.pem" for role in ("scheduler", "worker", "client")},
        **{f"tls_{role}_key": f"{remote}/key.pem" for role in ("scheduler", "worker", "client")},
    }
    local_tls = {key: value.replace(remote, local) if isinstance(value, str) else value for key, value in tls.items()}
    common = {"protocol": "tls", "security": tls, "dashboard": False}
    try:
        # Without a nanny, which would restart a worker that was lost: its load would not come back with it.
        cluster = SSHCluster(
            [hosts.names[0], *hosts.names],
            connect_options=hosts.connect_options,
            scheduler_options={**common, "port": hosts.port, "idle_timeout": hosts.idle_timeout},
            worker_options={**common, "memory_limit": 0},
            worker_class="distributed.Worker",
            remote_python=hosts.python or sys.executable,
            security=Security(**local_tls),
            asynchronous=True,
        )
        await leaving.enter_async_context(cluster)
    except Exception as error:  # noqa: BLE001 - Dask raises bare ones where a process does not start
        python = hosts.python or sys.executable
        raise HostError(
            f"--ssh: the cluster does not start ({cause_of(error)}); try there"
            f" `{python} -m distributed.cli.dask_spec --help` and"
            f" `{python} -m pip install 'ws-load-test[cluster]'`, and another --port if {hosts.port} is taken"
        ) from None
    address: str = cluster.scheduler_address
    return address


def read_names(words: Sequence[str]) -> tuple[str, ...]:
    """Reads ``host1,host2``.

    Raises:
        UsageError: It names no host, or one host twice.
    """
    names = tuple(name.strip() for word in words for name in word.split(",") if name.strip())
    if not names:
        raise UsageError("--ssh: missing; name the hosts, for example --ssh host1,host2")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"--ssh: {twice} is named twice; its workers are one for each core already")
    return names


async def keep_running(hosts: SshClusterSpec, ready: Any, over: asyncio.Event) -> None:
    """Runs a cluster until `over` is set; calls `ready` with it once it has been started."""
    async with start_cluster(hosts) as cluster:
        ready(cluster)
        await over.wait()
