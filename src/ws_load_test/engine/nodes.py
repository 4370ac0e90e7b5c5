"""Sessions by the node of the target that they are on: each node's are a group with times of its own (``--node``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.engine.sessions.connection import Connection
from ws_load_test.engine.sessions.session_group import SessionGroup
from ws_load_test.metrics.catalog import PER_NODE_FIELDS
from ws_load_test.plan.node import node_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.sessions.session_group import GroupListener
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.plan import Plan

MAX_NODES = 64
"""Nodes of one worker that are measured each by itself: a balancer has fewer behind it, and each takes 160 kB."""
OTHER = "other"
"""Name of all further nodes together."""
MAX_LOOKS = 8
"""Messages of a session in which its node is looked for: greetings and replies to first messages may come before."""


class NodeGroup(SessionGroup):
    """The sessions on one node; they are in all totals as well."""

    def __init__(self, listener: GroupListener, name: str, *, due_when_sent: bool) -> None:
        super().__init__(listener, due_when_sent=due_when_sent, numbers=())
        self.name = name
        self.opened = 0
        """Sessions that were found to be on the node since the last report."""

    def collect_into(self, total: Tally) -> None:
        """Adds the counts since the last call to the totals, and the node's own beside them."""
        tally = self.collect()
        total.merge(tally)
        part = tally.subset(PER_NODE_FIELDS)
        part.opened, self.opened = self.opened, 0
        if part.opened or part.closed or part.answered or part.unanswered:
            total.nodes[self.name] = part


class NodeGroups:
    """The groups of all nodes that one worker has met."""

    def __init__(self, listener: GroupListener, plan: Plan, redact: Callable[[str], str]) -> None:
        """Takes what hides secrets that were sent, in names that the target gives."""
        self._listener = listener
        self._due_when_sent = plan.load.due_when_sent
        self._redact = redact
        self._groups: dict[str, NodeGroup] = {}
        self._from_ns: int | None = None
        self._until_ns: int | None = None

    def place(self, connection: Connection) -> None:
        """Puts a session, whose node is known, into the group of the node."""
        name = self._redact(connection.node)
        if name not in self._groups and len(self._groups) >= MAX_NODES:
            name = OTHER
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = NodeGroup(self._listener, name, due_when_sent=self._due_when_sent)
            group.set_window(from_ns=self._from_ns, until_ns=self._until_ns)
        group.opened += 1
        connection.owner = group

    def set_window(self, *, from_ns: int | None = None, until_ns: int | None = None) -> None:
        """Begins the measured time at one instant, or ends it at another."""
        self._from_ns = self._from_ns if from_ns is None else from_ns
        self._until_ns = self._until_ns if until_ns is None else until_ns
        for group in self._groups.values():
            group.set_window(from_ns=from_ns, until_ns=until_ns)

    def collect_into(self, total: Tally) -> None:
        """Adds the counts since the last call."""
        for group in self._groups.values():
            group.collect_into(total)

    def flush(self) -> int:
        """Counts the samples of all nodes; returns the instant of the last reply among them, 0 without one."""
        for group in self._groups.values():
            group.samples.flush()
        return max((group.samples.last_done_ns for group in self._groups.values()), default=0)


class NodeSeekingConnection(Connection):
    """A session whose node is named in one of its first messages."""

    seek: Callable[[bytes], str | None]
    """Finds the name in a message."""
    on_node: Callable[[Connection], None] | None = None
    """Called once the node is known; None: nothing waits for it."""
    _looks = 0

    def on_message(self, opcode: int, payload: bytes, at_ns: int) -> int:
        """Looks for the node's name, then takes the message as any other."""
        if self._looks < MAX_LOOKS:
            self._looks += 1
            name = node_name(self.seek(payload))
            if name:
                self.node, self._looks = name, MAX_LOOKS
                if self.on_node is not None:
                    self.on_node(self)
        return super().on_message(opcode, payload, at_ns)
