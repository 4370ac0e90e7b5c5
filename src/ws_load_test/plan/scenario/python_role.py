"""Roles that are coroutines: what a scenario file in Python is written with, and how its roles are found.

from ws_load_test import Session, role

@role
async def player(session: Session) -> None:
    await session.exchange('{"op": "join", "id": {seq}}', until="json:id={seq}", name="join")
    async for _ in session.iterations():
        await session.wait("exp:1s")
        await session.exchange('{"op": "move", "id": {seq}}', until="json:id={seq}", name="move")
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from collections.abc import Coroutine as CoroutineOf
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, get_args, overload

from ws_load_test.common.units import quoted_path
from ws_load_test.plan.codecs import CODECS
from ws_load_test.plan.correlation import Check, parse_check
from ws_load_test.plan.fan_out import SelfDelivery
from ws_load_test.plan.scenario.model import Reaction, split_place

_CACHED_READERS = 256


class SessionOver(Exception):  # noqa: N818 - it ends a session as it should, and is no error
    """The session is over, or the run is: a coroutine that is at a call of its session gets this, and ends.

    Calls in a ``finally`` may still send, as long as the session is open.
    """


class Message:
    """A message of the target."""

    __slots__ = ("bytes",)

    def __init__(self, payload: bytes) -> None:
        self.bytes = payload
        """Content."""

    @property
    def text(self) -> str:
        """Content as text."""
        return self.bytes.decode(errors="replace")

    def json(self, path: str) -> str | None:
        """Returns the value at a path such as ``data.items[0].id`` as text; None where there is none.

        Raises:
            ValueError: It is no path.
        """
        return _json_reader(path)(self.bytes)

    def __repr__(self) -> str:
        return f"Message({self.bytes!r})"


@lru_cache(_CACHED_READERS)
def _json_reader(path: str) -> Callable[[bytes], str | None]:
    read = CODECS["json"].reader(path)

    def as_text(payload: bytes) -> str | None:
        value = read(payload)
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    return as_text


class Session(Protocol):
    """One session, as its coroutine sees it.

    Code before `iterations` opens the session; each turn of its loop is an iteration; code behind it leaves. Texts may
    have fields: ``{seq}`` is the number of the message, and in checks that of the latest one. An iteration publishes
    with ``{marker}`` in a text, where its role has ``deliver_to``.
    """

    @property
    def number(self) -> int:
        """Number of the session in the run, from 0."""
        ...

    @property
    def room(self) -> str:
        """Name of its room; empty without rooms."""
        ...

    @property
    def values(self) -> dict[str, str]:
        """Values for ``{my.NAME}``; those of the file's `capture` are here as well."""
        ...

    def exchange(
        self,
        text: str | bytes,
        *,
        until: str | Sequence[str],
        name: str = "exchange",
        timeout: float | str | None = None,
        expect: str | Sequence[str] = (),
        first: str | Sequence[str] | None = None,
        each: str | Sequence[str] = (),
        count: str = "",
        on_part: Callable[[Message], object] | None = None,
    ) -> CoroutineOf[Any, Any, Message]:
        """Sends a message, and returns the one that satisfies all checks of `until`.

        With `first`, the answer is many messages: all that come up to that one, but for those that reactions take.

        Args:
            text: Content; bytes are sent as a binary message.
            until: Checks that the reply must satisfy, or the last message of an answer: ``json:id={seq}``.
            name: Name under which the step is counted.
            timeout: Longest time until the reply, in seconds or with a unit; None: that of the plan.
            expect: Checks of the reply of which each that fails is a fault.
            first: Checks of the message that counts as the first of an answer of many: ``json:word``; ``any``: the
                first that comes.
            each: Checks that each message of such an answer satisfies: ``json:id={seq}``.
            count: Place of a number in its last message, such as its tokens: ``json:usage.tokens``.
            on_part: Called with each of its messages as it comes, from the first to the last.

        Raises:
            ValueError: A check is none.
            TypeError: `each`, `count` or `on_part` without `first`.
            SessionOver: The session or the run has ended; so it does at a time-out, which fails the session here.
        """
        ...

    async def send(self, text: str | bytes, *, name: str = "send") -> None:
        """Sends a message that nothing answers.

        Raises:
            SessionOver: The session or the run has ended.
        """
        ...

    def receive(
        self,
        check: str | Sequence[str],
        *,
        name: str = "receive",
        timeout: float | str | None = None,
    ) -> CoroutineOf[Any, Any, Message]:
        """Waits for a message that satisfies all checks, and returns it.

        Raises:
            SessionOver: The session or the run has ended; so it does at a time-out, which fails the session here.
        """
        ...

    async def wait(self, time: float | str) -> None:
        """Waits: seconds, or ``2s``, ``1s..5s``, ``exp:3s``, ``normal:3s,1s``, ``lognormal:8s,0.6``.

        Raises:
            SessionOver: The session or the run has ended.
        """
        ...

    def iterations(self) -> AsyncIterator[int]:
        """Yields the number of each iteration from 0, as they are due, from the start of the load to its end."""
        ...


Coroutine = Callable[[Session], Awaitable[None]]
ReactionFunction = Callable[[Session, Message], None]


class PythonRole:
    """A role whose sessions run a coroutine."""

    def __init__(self, coroutine: Coroutine, *, deliver_to: str = "", self_delivery: SelfDelivery = "either") -> None:
        self.coroutine = coroutine
        self.deliver_to = deliver_to
        """Role whose sessions in the same room receive what it sends with ``{marker}``; empty: none."""
        self.self_delivery: SelfDelivery = self_delivery
        """Delivery to the sender itself, where it is of that role."""
        self.reactions: list[Reaction] = []
        """Messages that no step awaits, as the coroutine's file wants them counted."""
        self.functions: dict[str, ReactionFunction] = {}
        """Function that takes them, by the name of the reaction; some have none."""
        self.__doc__ = coroutine.__doc__
        self.__name__ = getattr(coroutine, "__name__", "role")

    def on(
        self, *when: str, name: str, fault: str = "", sequence: str = "", per: str = ""
    ) -> Callable[[ReactionFunction], ReactionFunction]:
        """Counts messages that satisfy all checks and complete no step, and hands them to the decorated function.

        Without a function, ``player.on("json:op=typing", name="typing")`` counts them.

        Raises:
            ValueError: A check is none, or there is a reaction of this name.
        """
        if any(one.name == name for one in self.reactions):
            raise ValueError(f'there is a reaction "{name}" already; give this one another name')
        checks = tuple(parse_check(one) for one in when)
        self.reactions.append(Reaction(name, checks, fault=fault, sequence=sequence, per=per))

        def take(function: ReactionFunction) -> ReactionFunction:
            self.functions[name] = function
            return function

        return take

    def __call__(self, session: Session) -> Awaitable[None]:
        """Returns the coroutine for a session."""
        return self.coroutine(session)


@overload
def role(coroutine: Coroutine, /) -> PythonRole: ...


@overload
def role(*, deliver_to: str = "", self_delivery: SelfDelivery = "either") -> Callable[[Coroutine], PythonRole]: ...


def role(
    coroutine: Coroutine | None = None, /, *, deliver_to: str = "", self_delivery: SelfDelivery = "either"
) -> PythonRole | Callable[[Coroutine], PythonRole]:
    """Makes a coroutine a role of scenarios: ``@role``, or ``@role(deliver_to="reader")``.

    Args:
        coroutine: Coroutine function of one parameter, the session.
        deliver_to: Role of the plan whose sessions in the same room must receive what this one sends with ``{marker}``.
        self_delivery: ``expected`` or ``excluded``: a session of that very role must receive its own, or must not.

    Raises:
        TypeError: It is no coroutine function.
        ValueError: `self_delivery` is none of the three.
    """
    if self_delivery not in get_args(SelfDelivery):
        raise ValueError(f"self_delivery is one of {', '.join(get_args(SelfDelivery))}, not {self_delivery!r}")
    if self_delivery != "either" and not deliver_to:
        raise ValueError("self_delivery is of messages for a role; add deliver_to")

    def made(function: Coroutine) -> PythonRole:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"@role takes a coroutine function (async def), not {function!r}")
        return PythonRole(function, deliver_to=deliver_to, self_delivery=self_delivery)

    return made if coroutine is None else made(coroutine)


@lru_cache
def load_role(place: str) -> PythonRole:
    """Returns the role at a place such as ``game.py:player``; its file is run once.

    Raises:
        ValueError: The file cannot be read or fails, or has no such role; one sentence.
    """
    path, name = split_place(place)
    module = _module(str(Path(path).absolute()), path)
    found = getattr(module, name, None)
    if isinstance(found, PythonRole):
        return found
    roles = [key for key, value in vars(module).items() if isinstance(value, PythonRole)]
    if inspect.iscoroutinefunction(found):
        raise ValueError(
            f"{quoted_path(path)}: {name} is no role; write @role above it (from ws_load_test import role)"
        )
    others = f"it has {', '.join(roles)}" if roles else "write @role above a coroutine"
    raise ValueError(f'{quoted_path(path)} has no role "{name}"; {others}')


def texts_in(place: str) -> Iterator[str]:
    """Yields the texts in the file of a role that `load_role` has found, of which some are messages; no docstrings."""
    tree = ast.parse(Path(split_place(place)[0]).read_bytes())
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


@lru_cache
def _module(path: str, written: str) -> object:
    # A name of its own, so that it hides no module of the program; its neighbors can be imported.
    name = f"ws_load_test_scenario_{hashlib.sha256(path.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{quoted_path(written)} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(Path(path).parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError:
        raise ValueError(f"cannot read {quoted_path(written)}: there is no such file") from None
    except Exception as error:  # noqa: BLE001 - the file is the user's, and may raise anything
        raise ValueError(f"{quoted_path(written)} {describe_failure(error, path)}") from None
    return module


def describe_failure(error: BaseException, path: str) -> str:
    """Returns the error of a scenario's file in a phrase, with the last line of the file that it came from."""
    import traceback  # noqa: PLC0415 - most files do not fail

    if isinstance(error, SyntaxError):
        return f"is no Python, in line {error.lineno}: {error.msg}"
    if isinstance(error, OSError) and error.filename == path:
        return f"cannot be read: {error.strerror}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    where = f" in line {lines[-1]}" if lines else ""
    text = " ".join(str(error).split())
    return f"raises {type(error).__name__}{where}{f': {text}' if text else ''}"


def checks_of(written: str | Sequence[str]) -> tuple[Check, ...]:
    """Reads one check or several.

    Raises:
        ValueError: One of them is none.
    """
    return tuple(parse_check(one) for one in ([written] if isinstance(written, str) else written))
