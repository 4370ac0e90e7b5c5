"""A Dask cluster on machines that are reached by SSH: started by Dask's own SSHCluster, under TLS made on the spot.

Needs the extra ``cluster``. Keys, users and ports of SSH are the business of its configuration (``~/.ssh/config``).
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
from ws_load_test.common.errors import HostError, UsageError
from ws_load_test.fleet.cluster.discovery import quiet_dask_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_FILES: tuple[str, ...] = ("ca.pem", "cert.pem", "key.pem")
_CONNECT_TIMEOUT_S = 15


@dataclass(frozen=True, slots=True)
class SshClusterSpec:
    """Machines to start a cluster on.

    Attributes:
        names: As SSH knows them; the first has the scheduler as well.
        python: The interpreter there that has ws-load-test; None: the same path as this one's.
        config: An SSH configuration to read in the place of the user's own.
        port: The scheduler's port.
        idle_timeout: After how long without a run the cluster ends itself, as Dask reads it (``1 h``): should this
            program be killed, nobody else would end it.
    """

    names: tuple[str, ...]
    python: str | None = None
    config: str | None = None
    port: int = 8786
    idle_timeout: str = "1 h"

    @property
    def connecting(self) -> dict[str, Any]:
        """Arguments of `asyncssh.connect`."""
        own = {} if self.config is None else {"config": [self.config]}
        return {**own, "connect_timeout": _CONNECT_TIMEOUT_S}


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """A cluster that is up."""

    address: str
    ca: Path
    cert: Path
    key: Path

    @property
    def options(self) -> str:
        """The options that lead a run to it."""
        files = f"--cluster-ca {self.ca} --cluster-cert {self.cert} --cluster-key {self.key}"
        return f"--cluster {self.address} {files}"


@contextlib.asynccontextmanager
async def start_cluster(hosts: SshClusterSpec) -> AsyncIterator[RunningCluster]:
    """Starts a cluster, and stops it; the files that its runs need are on this machine as long as it is up.

    Raises:
        UsageError: the SSH configuration cannot be read.
        HostError: a machine cannot be reached, or does not start what it should.
    """
    certificate = (authority := CertificateAuthority()).issue(*hosts.names, mutual=True)
    contents = dict(
        zip(_FILES, (authority.certificate_pem, certificate.certificate_pem, certificate.key_pem), strict=True)
    )
    there = f"/tmp/ws-load-test-{secrets.token_hex(8)}"  # noqa: S108 - made by us there, and only if there is none
    with tempfile.TemporaryDirectory(prefix="ws-load-test-cluster-") as here:
        for name, content in contents.items():
            with os.fdopen(os.open(Path(here, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        async with contextlib.AsyncExitStack() as leaving:
            for name in dict.fromkeys(hosts.names):
                await _upload_credentials(hosts, name, there, contents, leaving)
            leaving.enter_context(quiet_dask_logging())
            address = await _start(hosts, here, there, leaving)
            yield RunningCluster(address, *(Path(here, name) for name in _FILES))


async def _upload_credentials(
    hosts: SshClusterSpec, name: str, there: str, contents: dict[str, bytes], leaving: contextlib.AsyncExitStack
) -> None:
    """Writes the files of TLS to a machine, for its user alone, and has them removed in the end."""
    try:
        connection = await leaving.enter_async_context(asyncssh.connect(name, **hosts.connecting))
        sftp = await leaving.enter_async_context(connection.start_sftp_client())
        try:
            # Fails where there is one: nobody can have prepared it for us.
            await sftp.mkdir(there, asyncssh.SFTPAttrs(permissions=0o700))
        except asyncssh.SFTPFailure:
            if await _are_there(sftp, there, contents):
                # Another name of a machine that has them, or of its disk.
                return
            raise
        leaving.push_async_callback(_remove, sftp, there)
        for file, content in contents.items():
            async with sftp.open(f"{there}/{file}", "wb", asyncssh.SFTPAttrs(permissions=0o600)) as remote:
                await remote.write(content)
    except (asyncssh.ConfigParseError, FileNotFoundError) as error:
        raise UsageError(f"--ssh-config: {error}") from None
    except (OSError, asyncssh.Error) as error:
        raise HostError(
            f"--ssh: {name} cannot be reached by SSH: {_why(error)}; it must be possible without a password, as"
            f" `ssh -o BatchMode=yes {name} true` shows"
        ) from None


async def _are_there(sftp: Any, there: str, contents: dict[str, bytes]) -> bool:
    """Whether these very files have been brought there before."""
    for file, content in contents.items():
        async with sftp.open(f"{there}/{file}", "rb") as remote:
            if await remote.read() != content:
                return False
    return True


async def _remove(sftp: Any, there: str) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        await sftp.rmtree(there)


async def _start(hosts: SshClusterSpec, here: str, there: str, leaving: contextlib.AsyncExitStack) -> str:
    """Starts scheduler and workers; returns the scheduler's address."""
    tls = {
        "require_encryption": True,
        "tls_ca_file": f"{there}/ca.pem",
        **{f"tls_{who}_cert": f"{there}/cert.pem" for who in ("scheduler", "worker", "client")},
        **{f"tls_{who}_key": f"{there}/key.pem" for who in ("scheduler", "worker", "client")},
    }
    ours = {key: value.replace(there, here) if isinstance(value, str) else value for key, value in tls.items()}
    common = {"protocol": "tls", "security": tls, "dashboard": False}
    try:
        # Without a nanny, which would start a worker again that was lost: its load would not come back with it.
        cluster = SSHCluster(
            [hosts.names[0], *hosts.names],
            connect_options=hosts.connecting,
            scheduler_options={**common, "port": hosts.port, "idle_timeout": hosts.idle_timeout},
            worker_options={**common, "memory_limit": 0},
            worker_class="distributed.Worker",
            remote_python=hosts.python or sys.executable,
            security=Security(**ours),
            asynchronous=True,
        )
        await leaving.enter_async_context(cluster)
    except Exception as error:  # noqa: BLE001 - Dask raises bare ones where a process does not start
        python = hosts.python or sys.executable
        raise HostError(
            f"--ssh: the cluster does not start ({_why(error)}); try there"
            f" `{python} -m distributed.cli.dask_spec --help` and"
            f" `{python} -m pip install 'ws-load-test[cluster]'`, and another --port if {hosts.port} is taken"
        ) from None
    address: str = cluster.scheduler_address
    return address


def _why(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:1].lower() + text[1:]


def read_names(words: Sequence[str]) -> tuple[str, ...]:
    """Reads ``host1,host2``.

    Raises:
        UsageError: it names nobody, or one host twice.
    """
    names = tuple(name.strip() for word in words for name in word.split(",") if name.strip())
    if not names:
        raise UsageError("--ssh: missing; name the hosts, for example --ssh host1,host2")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"--ssh: {twice} is named twice; its workers are one for each core already")
    return names


async def keep_running(hosts: SshClusterSpec, ready: Any, over: asyncio.Event) -> None:
    """Keeps a cluster up until `over`; `ready` is called with it when it is up."""
    async with start_cluster(hosts) as cluster:
        ready(cluster)
        await over.wait()
