"""Sharing of a run's load among its workers, as the fleet decides it: states in, commands out, no I/O.

`plan.load_sharing` has the protocol. A switch of turns takes a round trip; all that is due meanwhile is sent by the
turns before, so no worker waits. Only a worker without sessions waits for the switch, and what it has left leaves late
by the round trip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ws_load_test.common.clock import NS_PER_MS
from ws_load_test.common.sharding import Shard
from ws_load_test.plan.load_sharing import Leftover, LoadState, LoadSwitch, split
from ws_load_test.worker.ipc import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.plan.plan import Plan

LEAD_NS = 250 * NS_PER_MS
"""Time that workers have to answer a ``hold``, in which they go on as before."""
SWITCH_INTERVAL_NS = 200 * NS_PER_MS
"""Time between two switches that only make the rates of all sessions the same."""
RETRY_NS = 20 * NS_PER_MS
"""Time between two switches, where messages wait for one."""
TOLERANCE = 0.01
"""Largest difference, as a share, of a worker's part of the load from its part of the sessions."""


class LoadBalancer:
    """Follows the sessions of the workers of one run, and changes their shares of the load."""

    def __init__(self, plan: Plan, lead_ns: int = LEAD_NS) -> None:
        self._workers = plan.workers
        self._by_count = plan.load.due_when_sent
        """Messages of a closed loop are shared, not turns of a schedule."""
        self._messages = plan.messages
        self._may_reopen_sessions = plan.may_reopen_sessions
        self._lead_ns = lead_ns
        self._states: dict[int, LoadState] = {}
        """Latest state of each worker that has not ended or been lost."""
        self._lost: set[int] = set()
        self._started = self._over = False
        self._sessions: Sequence[int] = [
            plan.connections_in(Shard(worker, plan.workers)) for worker in range(plan.workers)
        ]
        """Sessions by which the turns are dealt."""
        self._granted = [0] * self._workers
        """Messages of a closed loop that each worker has been given in all."""
        self._switch = 0
        self._answers: dict[int, LoadState] | None = None
        """Answers to the latest ``hold``; None when there is no switch under way."""
        self._deadline_ns = 0
        self._latest_ns = 0
        """Instant at which the latest switch began."""
        self._failures = 0
        """Switches in a row that a worker did not answer in time."""
        self.check_ns: int | None = None
        """Instant at which `check` has something to do; None: not before another state comes."""

    @staticmethod
    def is_needed(plan: Plan) -> bool:
        """True if workers have parts of one load, and not each a load of its own."""
        return plan.workers > 1 and (plan.messages is not None or plan.load.is_dealt)

    def start(self) -> LoadSwitch:
        """Returns the first distribution, and begins to watch over it."""
        self._started = True
        self._sessions = self._current_sessions()
        if not self._by_count:
            return LoadSwitch(sessions=tuple(self._sessions))
        weights = self._sessions if any(self._sessions) else [1] * self._workers
        return LoadSwitch(messages=self._grant(split(self._messages or 0, weights)))

    def on_state(self, worker: int, state: LoadState, now_ns: int) -> list[Command]:
        """Takes a worker's state; returns what to broadcast."""
        if self._answers is not None:
            if state.number == self._switch:
                self._answers[worker] = state
        elif state.after < self._switch and worker in self._states:
            # What it had before the latest switch, it has no more.
            known = self._states[worker]
            state = msgspec.structs.replace(state, waiting=known.waiting, unsent=known.unsent)
        self._states[worker] = state
        return self.check(now_ns)

    def on_gone(self, worker: int, now_ns: int, *, lost: bool) -> list[Command]:
        """Takes note that a worker has ended; the share of one that is lost is not given to others."""
        self._states.pop(worker, None)
        if lost:
            self._lost.add(worker)
        return self.check(now_ns)

    def check(self, now_ns: int) -> list[Command]:
        """Returns what to broadcast now."""
        self.check_ns = None
        if not self._started or self._over or not self._states:
            return []
        commands = []
        if self._answers is not None:
            if self._states.keys() <= self._answers.keys():
                commands.append(Command("switch", switch=self._conclude(late=now_ns >= self._deadline_ns)))
            elif now_ns >= self._deadline_ns:
                self._answers = None
                self._failures += 1
                commands.append(Command("switch", switch=LoadSwitch(self._switch, withdrawn=True)))
            else:
                self.check_ns = self._deadline_ns
                return commands
        return commands + self._next_step(now_ns)

    def _next_step(self, now_ns: int) -> list[Command]:
        if not self._may_reopen_sessions and not any(state.open for state in self._states.values()):
            # Nothing can send what is left.
            self._over = True
            return [Command("give_up")]
        after_ns = self._wait_ns()
        if after_ns is None:
            return []
        begin_ns = self._latest_ns + (after_ns << min(self._failures, 6))
        if now_ns < begin_ns:
            self.check_ns = begin_ns
            return []
        self._switch += 1
        self._answers = {}
        self._latest_ns = now_ns
        self._deadline_ns = self.check_ns = now_ns + self._lead_ns
        return [Command("hold", self._deadline_ns, self._switch)]

    def _wait_ns(self) -> int | None:
        """Returns how long after the latest switch another must come; None: there is no need."""
        states = self._states.values()
        active = [state for state in states if not state.ended]
        if self._by_count:
            has_sessions = any(state.sessions for state in active)
            wanted = any(state.waiting for state in active)
            stranded = has_sessions and any(state.unsent and not state.sessions for state in active)
            return 0 if wanted or stranded else None
        wanted_sessions = self._current_sessions()
        if list(wanted_sessions) == list(self._sessions) or not active or not self._can_deal(self._states):
            return None
        whole, dealt = sum(wanted_sessions), sum(self._sessions)
        living = [worker for worker, state in self._states.items() if not state.ended]
        if not whole or not dealt or any(self._sessions[worker] and not wanted_sessions[worker] for worker in living):
            return RETRY_NS
        uneven = any(
            abs(self._sessions[worker] * whole - wanted_sessions[worker] * dealt)
            > TOLERANCE * wanted_sessions[worker] * dealt
            for worker in living
        )
        return SWITCH_INTERVAL_NS if uneven else None

    def _current_sessions(self) -> list[int]:
        """Returns the sessions by which turns are to be dealt: those of lost workers stay what they were."""
        found = [0] * self._workers
        for worker, state in self._states.items():
            if not state.ended:
                found[worker] = state.sessions
        if any(found):
            for worker in self._lost:
                found[worker] = self._sessions[worker]
        return found

    def _conclude(self, *, late: bool) -> LoadSwitch:
        answers, self._answers = self._answers or {}, None
        self._failures = 0
        active = {worker: answer for worker, answer in answers.items() if not answer.ended and worker in self._states}
        if not active or (not self._by_count and not self._can_deal(answers, late=late)):
            return LoadSwitch(self._switch, withdrawn=True)
        return self._share_messages(active) if self._by_count else self._deal_turns(active)

    def _can_deal(self, states: dict[int, LoadState], *, late: bool = False) -> bool:
        """Returns False if new turns could hold messages that a worker whose load is over has counted as its own.

        That are all of its turns. New ones begin behind them where a worker with turns and sessions has answered in
        time: at an instant that lay ahead when the load of the other was over.
        """
        if not any(state.ended for state in states.values()) and len(self._states) + len(self._lost) == self._workers:
            return True
        has_turns = self._sessions if any(self._sessions) else [1] * self._workers
        goes_on = any(state.sessions and has_turns[worker] for worker, state in states.items() if not state.ended)
        return goes_on and not late

    def _deal_turns(self, active: dict[int, LoadState]) -> LoadSwitch:
        latest = dict(self._states)
        # By what they have answered: a worker that had no session then has left everything.
        self._states |= active
        self._sessions = self._current_sessions()
        self._states = latest
        without = [worker for worker, answer in active.items() if not answer.sessions]
        moved = without if len(without) < len(active) else ()
        return LoadSwitch(
            self._switch,
            first=max(answer.next for answer in active.values()),
            sessions=tuple(self._sessions),
            leftovers=tuple(Leftover(worker, active[worker].next, active[worker].left) for worker in moved),
        )

    def _share_messages(self, active: dict[int, LoadState]) -> LoadSwitch:
        """Gives first to the sessions that wait; the rest by what each worker has sent so far."""
        unsent = sum(answer.unsent for answer in active.values())
        for worker, answer in active.items():
            self._granted[worker] -= answer.unsent
            self._states[worker] = msgspec.structs.replace(self._states[worker], waiting=0, unsent=0)
        if not unsent:
            return LoadSwitch(self._switch, exhausted=True)
        waiting = [0] * self._workers
        sent = [0] * self._workers
        for worker, answer in active.items():
            if answer.sessions:
                waiting[worker], sent[worker] = answer.waiting, 1 + self._granted[worker]
        now = min(unsent, sum(waiting))
        grants = list(split(now, waiting)) if now else [0] * self._workers
        if not any(sent):
            # No session here or there: each keeps what it had.
            grants = [active[worker].unsent if worker in active else 0 for worker in range(self._workers)]
        elif unsent > now:
            grants = [one + other for one, other in zip(grants, split(unsent - now, sent), strict=True)]
        return LoadSwitch(self._switch, messages=self._grant(grants))

    def _grant(self, grants: Sequence[int]) -> tuple[int, ...]:
        for worker, count in enumerate(grants):
            self._granted[worker] += count
            if count and worker in self._states:
                self._states[worker] = msgspec.structs.replace(self._states[worker], unsent=count)
        return tuple(grants)
