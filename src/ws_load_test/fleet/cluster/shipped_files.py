"""Files that a plan names and its workers read, sent along to machines that do not have them.

Message texts and the tokens of headers are read when the plan is made, and are part of it. Feeds, the files of TLS and
the code of roles in Python are read by every worker itself; code comes with the modules beside it that it imports.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import msgspec

from ws_load_test.common.errors import UsageError
from ws_load_test.common.units import format_bytes
from ws_load_test.plan.scenario.code_files import code_files
from ws_load_test.plan.scenario.model import split_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.scenario.model import Role

MAX_FILE_BYTES = 64 << 20
"""Largest file that is sent along: each machine gets a copy over the cluster's own connections, and holds it in memory
meanwhile."""
_CODE = "scenario"
"""Folder of code in a shipment."""
_TARGET_FILES = ("cacert", "cert", "key")


def referenced_paths(plan: Plan) -> dict[str, str]:
    """Returns the paths that workers open, by option; those of code by where each is in a shipment."""
    return _files_of_options(plan) | _code_paths(plan)


def _files_of_options(plan: Plan) -> dict[str, str]:
    found = {name: path for name in _TARGET_FILES if (path := getattr(plan.target, name)) is not None}
    if plan.message.feed is not None:
        found["feed"] = plan.message.feed.path
    return found


def _code_paths(plan: Plan) -> dict[str, str]:
    """Returns the paths of the code of all roles, by where each is in a shipment."""
    found = {}
    for path in _code_of_roles(plan):
        folder = os.path.dirname(path)  # noqa: PTH120 - as it is written
        for relative in code_files(path):
            found[str(_place_of_code(plan, folder) / relative)] = str(Path(folder, relative))
    return found


def _code_of_roles(plan: Plan) -> tuple[str, ...]:
    """Returns the paths of the files that roles in Python are in, as they are written, each once."""
    roles = () if plan.scenario is None else plan.scenario.roles
    return tuple(dict.fromkeys(split_place(role.python)[0] for role in roles if role.python))


def _place_of_code(plan: Plan, folder: str) -> PurePath:
    """Returns where the code of a folder is in a shipment: apart from that of others, which may have namesakes."""
    folders = list(dict.fromkeys(map(os.path.dirname, _code_of_roles(plan))))
    return PurePath(_CODE, str(folders.index(folder)))


def read_all(plan: Plan) -> dict[str, bytes]:
    """Returns the contents of these files, by option.

    Raises:
        UsageError: A file cannot be read, or is too large to be sent along; or the contents of messages are.
    """
    contents_bytes = plan.message.contents_bytes + sum(len(each.payload) for each in plan.setup_messages)
    if contents_bytes > MAX_FILE_BYTES:
        raise UsageError(
            f"--message: the messages have {format_bytes(contents_bytes)} together, and up to"
            f" {format_bytes(MAX_FILE_BYTES)} are sent along to the hosts of a cluster; take fewer or smaller ones"
        )
    contents = {}
    for option, path in referenced_paths(plan).items():
        try:
            size_bytes = Path(path).stat().st_size
            if size_bytes > MAX_FILE_BYTES:
                raise UsageError(
                    f'--{_shown(option)}: "{path}" has {format_bytes(size_bytes)}, and files of up to'
                    f" {format_bytes(MAX_FILE_BYTES)} are sent along to the hosts of a cluster; take a smaller one"
                )
            contents[option] = Path(path).read_bytes()
        except OSError as error:
            raise UsageError(f'--{_shown(option)}: cannot read "{path}": {error.strerror}') from None
    return contents


def _shown(option: str) -> str:
    return PurePath(option).parts[0]


def shipment_name(plan: Plan, contents: Mapping[str, bytes]) -> str:
    """Returns a name for the files of a plan: the same as long as neither their paths nor their contents change."""
    digest = hashlib.sha256()
    for option, path in sorted(referenced_paths(plan).items()):
        for part in (option.encode(), path.encode(), contents[option]):
            digest.update(b"%d:%b" % (len(part), part))
    return digest.hexdigest()[:32]


def write_all(plan: Plan, contents: Mapping[str, bytes], directory: Path) -> Plan:
    """Writes the contents into a directory, readable by this user alone; returns the plan with the paths there.

    Raises:
        OSError: A file cannot be written.
    """
    paths = _paths_in(plan, directory)
    for option, content in contents.items():
        path = Path(paths.get(option, directory / option))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    return with_paths(plan, directory)


def with_paths(plan: Plan, directory: Path) -> Plan:
    """Returns a plan whose files are those that `write_all` has written into a directory."""
    paths = _paths_in(plan, directory)
    feed = paths.pop("feed", None)
    if plan.scenario is not None:
        roles = tuple(_with_code_in(plan, role, directory) for role in plan.scenario.roles)
        plan = msgspec.structs.replace(plan, scenario=msgspec.structs.replace(plan.scenario, roles=roles))
    if paths:
        plan = msgspec.structs.replace(plan, target=msgspec.structs.replace(plan.target, **paths))
    if feed is not None and plan.message.feed is not None:
        moved = msgspec.structs.replace(plan.message.feed, path=feed)
        plan = msgspec.structs.replace(plan, message=msgspec.structs.replace(plan.message, feed=moved))
    return plan


def _with_code_in(plan: Plan, role: Role, directory: Path) -> Role:
    """Returns a role whose code is in a directory, where it has some."""
    if not role.python:
        return role
    path, name = split_place(role.python)
    folder, file = os.path.split(path)
    return msgspec.structs.replace(role, python=f"{directory / _place_of_code(plan, folder) / file}:{name}")


def _paths_in(plan: Plan, directory: Path) -> dict[str, str]:
    """Returns a path in the directory for each file but code, by option, with its name, which errors quote."""
    return {option: str(directory / f"{option}-{Path(path).name}") for option, path in _files_of_options(plan).items()}
