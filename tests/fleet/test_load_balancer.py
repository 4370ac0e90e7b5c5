"""A fleet and its workers without processes or time: whatever happens, no message is sent twice or missed."""

from collections import Counter, deque

import msgspec
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ws_load_test import make_plan
from ws_load_test.engine.load_models.due_queue import DueQueue
from ws_load_test.fleet.load_balancer import LoadBalancer
from ws_load_test.plan.load_sharing import LoadState
from ws_load_test.plan.schedule import ArrivalSchedule, DueInstants
from ws_load_test.worker.ipc import Command

MS = 1_000_000
S = 1_000_000_000
STEP_NS = 5 * MS
START = Command("start")


class Worker:
    """One worker of a simulation: its lines travel, and are handled in order."""

    over = False

    def __init__(self, number, sessions):
        self.number = number
        self.sessions = sessions
        self.inbox = deque()
        """Instant of arrival, and command."""
        self.outbox = deque()
        self.ended = False
        self.gave_up = False
        self.after = 0

    def report(self, now_ns, delay_ns, state=None):
        state = state or msgspec.structs.replace(self.state(), sessions=self.sessions, open=self.sessions)
        state = msgspec.structs.replace(state, after=self.after)
        earliest_ns = self.outbox[-1][0] if self.outbox else 0
        self.outbox.append((max(earliest_ns, now_ns + delay_ns), state))


class ScheduledWorker(Worker):
    """Part of an open loop."""

    def __init__(self, number, sessions, plan):
        super().__init__(number, sessions)
        self.instants = DueInstants(ArrivalSchedule(plan.load.rate, plan.load.arrivals, 1), plan.messages)
        self.queue = DueQueue(self.instants, number, plan.workers)
        self.due, self.taken = [], 0
        self.others_have_sessions = False
        self.log = []
        """Due instant of each message, when it was sent, and whether it was rather dropped."""

    def state(self):
        return LoadState(ended=self.ended)

    def obey(self, command, now_ns, delay_ns):
        if command.kind == "start":
            self.renew(self.queue.switch(0, command.switch))
            self.others_have_sessions = any(command.switch.sessions)
        elif self.ended:
            if command.kind == "hold":
                self.report(now_ns, delay_ns, LoadState(self.sessions, number=command.number, ended=True))
            return
        elif command.kind == "hold":
            following, left, due = self.queue.hold(self.taken, command.at_ns, leaves=not self.sessions)
            self.renew(due)
            state = LoadState(self.sessions, self.sessions, command.number, next=following, left=left)
            self.report(now_ns, delay_ns, state)
        elif command.kind == "switch" and not self.gave_up:
            if command.switch.withdrawn:
                self.renew(self.queue.cancel(self.taken) if self.queue.held else np.array(self.due[self.taken :]))
            else:
                self.renew(self.queue.switch(self.taken, command.switch))
                self.others_have_sessions = any(command.switch.sessions)
        elif command.kind == "give_up":
            count = self.queue.remaining(self.taken, 0)
            self.log += [(-1, now_ns, True)] * count
            self.due, self.taken, self.gave_up = [], 0, True
        self.send(now_ns)

    def renew(self, due):
        self.due, self.taken = due.tolist(), 0

    def send(self, now_ns):
        while True:
            if self.taken >= len(self.due):
                block = self.queue.next_block()
                if block is None:
                    return
                self.renew(block)
            due_ns = self.due[self.taken]
            if due_ns > now_ns or (not self.sessions and self.others_have_sessions):
                return
            self.taken += 1
            self.log.append((due_ns, now_ns, not self.sessions))

    def finish(self, now_ns):
        """Ends the load unless a switch is under way: what waits is dropped."""
        if self.ended or self.queue.held:
            return
        self.others_have_sessions = False
        self.sessions = 0
        self.send(now_ns)
        self.ended = True


class Simulation:
    """A balancer and its workers, with a clock moved by hand."""

    def __init__(self, workers, plan, delays):
        self.now_ns = 0
        self.workers = workers
        self.balancer = LoadBalancer(plan)
        self.delays = delays
        self.turn = 0
        self.away_ns = (0, 0)
        """From when until when the fleet does nothing."""
        for worker in workers:
            self.handle(self.balancer.on_state(worker.number, self.state(worker), 0))
        start = self.balancer.start()
        for worker in workers:
            worker.obey(msgspec.structs.replace(START, switch=start), 0, 0)

    def state(self, worker):
        return LoadState(worker.sessions, worker.sessions)

    def delay(self):
        self.turn += 1
        return self.delays[self.turn % len(self.delays)]

    def handle(self, commands):
        for command in commands:
            for worker in self.workers:
                earliest_ns = worker.inbox[-1][0] if worker.inbox else 0
                worker.inbox.append((max(earliest_ns, self.now_ns + self.delay()), command))

    def change(self, number, sessions):
        worker = self.workers[number]
        worker.sessions = sessions
        worker.send(self.now_ns)
        worker.report(self.now_ns, self.delay())

    def run(self, until_ns):
        """Lets time pass, a step at a time, or until no worker has anything to do."""
        while self.now_ns < until_ns and not all(worker.over for worker in self.workers):
            self.now_ns += STEP_NS
            for worker in self.workers:
                while worker.inbox and worker.inbox[0][0] <= self.now_ns:
                    command = worker.inbox.popleft()[1]
                    worker.after = command.switch.number if command.kind == "switch" else worker.after
                    worker.obey(command, self.now_ns, self.delay())
                if not worker.ended:
                    worker.send(self.now_ns)
            if self.away_ns[0] <= self.now_ns < self.away_ns[1]:
                continue
            for worker in self.workers:
                while worker.outbox and worker.outbox[0][0] <= self.now_ns:
                    state = worker.outbox.popleft()[1]
                    self.handle(self.balancer.on_state(worker.number, state, self.now_ns))
            if self.balancer.check_ns is not None and self.balancer.check_ns <= self.now_ns:
                self.handle(self.balancer.check(self.now_ns))


@settings(deadline=None, max_examples=40)
@given(
    sessions=st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any),
    changes=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3), st.integers(0, 4)), max_size=8),
    delays=st.lists(st.sampled_from([0, 5 * MS, 40 * MS, 300 * MS]), min_size=1, max_size=5),
    kind=st.tuples(st.sampled_from(["constant", "poisson"]), st.booleans()),
    late=st.tuples(
        st.lists(st.sampled_from([0, 40, 300]), min_size=4, max_size=4),
        st.tuples(st.integers(100, 700), st.sampled_from([0, 100, 400])),
    ),
)
@example([1, 1], [(50, 0, 0)], [MS], ("constant", False), ([0] * 4, (0, 0)))
@example([1, 9], [(50, 0, 0), (10, 0, 1), (5, 1, 0), (3, 1, 2)], [5 * MS], ("poisson", True), ([0] * 4, (0, 0)))
@example([1, 1], [(50, 0, 0), (100, 1, 0)], [MS, 300 * MS], ("constant", False), ([0] * 4, (0, 0)))
# The fleet is away, and a worker whose load is over answers when others have left what they have.
@example([0, 2, 4], [(191, 1, 0)], [0], ("constant", False), ([0, 40, 0, 0], (196, 400)))
@example([1, 1], [(191, 1, 0)], [0], ("constant", False), ([0, 40, 0, 0], (196, 400)))
# A worker has its first session when the load of the one with all turns is over, and the other way round.
@example([0, 0, 1], [(176, 0, 0), (251, 0, 0), (86, 1, 1)], [40 * MS], ("constant", True), ([0, 40, 0, 0], (100, 0)))
@example([0, 0, 1], [(176, 0, 0), (251, 0, 0), (86, 0, 1)], [40 * MS], ("constant", True), ([0, 40, 0, 0], (100, 0)))
def test_each_message_of_a_schedule_is_sent_or_dropped_once(sessions, changes, delays, kind, late):
    arrivals, reconnect = kind
    ends, away = late
    options = {"reconnect": "now"} if reconnect else {}
    options |= {"seed": 1} if arrivals == "poisson" else {}
    plan = make_plan(
        "ws://h",
        rate=200,
        duration="600ms",
        arrivals=arrivals,
        workers=len(sessions),
        connections=20,
        **options,
    )
    workers = [ScheduledWorker(number, count, plan) for number, count in enumerate(sessions)]
    run = Simulation(workers, plan, delays)
    run.away_ns = (away[0] * MS, sum(away) * MS)
    for wait, number, wanted in changes:
        run.run(run.now_ns + wait * MS)
        worker = workers[number % len(workers)]
        run.change(worker.number, wanted if reconnect else min(wanted, worker.sessions))
    run.run(600 * MS)
    # Each ends by its own clock, and only with the switch that it waits for.
    for after_ns in range(0, 3 * S, STEP_NS):
        for worker in workers:
            if after_ns >= ends[worker.number] * MS:
                worker.finish(run.now_ns)
        run.run(run.now_ns + STEP_NS)
    assert all(worker.ended for worker in workers)
    logged = [entry for worker in workers for entry in worker.log]
    expected = Counter(workers[0].instants.of(np.arange(10_000)).tolist())
    assert len(logged) == expected.total()
    given_up = sum(due_ns < 0 for due_ns, _, _ in logged)
    assert Counter(due_ns for due_ns, _, _ in logged if due_ns >= 0) <= expected
    assert given_up == 0 or not any(worker.sessions for worker in workers)


def settled(sessions, changes, length_ns=S, rate=400):
    plan = make_plan("ws://h", rate=rate, duration="2s", workers=len(sessions), connections=20)
    workers = [ScheduledWorker(number, count, plan) for number, count in enumerate(sessions)]
    run = Simulation(workers, plan, [MS])
    for at_ns, number, count in changes:
        run.run(at_ns)
        run.change(number, count)
    run.run(2 * S)
    return workers


def test_no_message_is_dropped_while_any_worker_has_a_session():
    workers = settled([1, 1], [(500 * MS, 0, 0)])
    assert [len(worker.log) for worker in workers] == [100, 700]
    assert not any(dropped for worker in workers for _, _, dropped in worker.log)
    late = [sent_ns - due_ns for due_ns, sent_ns, _ in workers[1].log]
    assert max(late) <= 25 * MS, "three ways of a millisecond, and what the steps add"


def test_every_session_has_the_same_rate_on_whatever_worker():
    workers = settled([1, 9], [])
    assert [len(worker.log) for worker in workers] == [80, 720]
    workers = settled([2, 2], [(S, 1, 6)])
    counts = [sum(due_ns >= 3 * S // 2 for due_ns, _, _ in worker.log) for worker in workers]
    assert counts == [50, 150]


def test_a_worker_that_stands_still_delays_no_other():
    plan = make_plan("ws://h", rate=1000, duration="2s", workers=3, connections=3)
    workers = [ScheduledWorker(number, 1, plan) for number in range(3)]
    run = Simulation(workers, plan, [MS])
    run.run(100 * MS)
    still = workers.pop()
    run.change(0, 0)
    run.run(1900 * MS)
    late = [sent_ns - due_ns for due_ns, sent_ns, _ in workers[1].log]
    assert max(late) <= STEP_NS, "it went on as before while the fleet waited"
    assert len(workers[1].log) == 633
    assert still.log


def test_without_a_session_anywhere_each_worker_gives_up_its_part():
    workers = settled([2, 1], [(500 * MS, 0, 0), (600 * MS, 1, 0)])
    assert sum(len(worker.log) for worker in workers) == 800
    assert all(worker.gave_up for worker in workers)
    dropped = sum(dropped for worker in workers for _, _, dropped in worker.log)
    assert 560 <= dropped <= 570, "all from 600 ms on, and what was due during a round trip"


# --- the messages of a closed loop -----------------------------------------------------------------------------------


class CountedWorker(Worker):
    """Part of a closed loop: each session sends a message every so many milliseconds."""

    def __init__(self, number, sessions, period):
        super().__init__(number, sessions)
        self.period = period
        self.unsent = self.returned = self.sent = self.waiting = 0
        self.exhausted = self.gave_up = False
        self.ticks = 0

    @property
    def over(self):
        return self.exhausted

    def state(self):
        return LoadState(unsent=self.unsent, waiting=self.waiting)

    def obey(self, command, now_ns, delay_ns):
        if command.kind == "hold":
            self.returned, self.unsent = self.unsent, 0
            state = LoadState(self.sessions, self.sessions, command.number, unsent=self.returned, waiting=self.waiting)
            self.report(now_ns, delay_ns, state)
        elif command.kind in ("start", "switch"):
            switch = command.switch
            granted = switch.messages[self.number] if switch.messages else 0
            self.unsent += self.returned if switch.withdrawn else granted
            self.returned, self.waiting = 0, 0
            self.exhausted |= switch.exhausted
        elif command.kind == "give_up":
            self.gave_up = True

    def send(self, now_ns):
        self.ticks += 1
        if self.ticks % self.period or not self.sessions or self.exhausted:
            return
        count = min(self.sessions, self.unsent)
        self.sent += count
        self.unsent -= count
        if count < self.sessions:
            self.waiting = self.sessions - count
            self.report(now_ns, MS)


@settings(deadline=None, max_examples=40)
@given(
    workers=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5)), min_size=2, max_size=4).filter(
        lambda found: any(count for count, _ in found)
    ),
    messages=st.integers(1, 100),
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), st.integers(0, 4)), max_size=5),
    delays=st.lists(st.sampled_from([0, 5 * MS, 40 * MS]), min_size=1, max_size=4),
    reconnect=st.booleans(),
)
@example([(2, 2), (1, 2)], 60, [], [MS], False)
@example([(1, 1), (1, 5)], 90, [(40, 0, 0)], [MS], False)
@example([(0, 2), (1, 1)], 1, [(0, 0, 1), (1, 1, 0)], [0, 40 * MS], True)
def test_exactly_so_many_messages_are_sent(workers, messages, changes, delays, reconnect):
    made = [CountedWorker(number, sessions, period) for number, (sessions, period) in enumerate(workers)]
    policy = {"reconnect": "now"} if reconnect else {}
    plan = make_plan("ws://h", messages=messages, workers=len(made), connections=20, **policy)
    run = Simulation(made, plan, delays)
    assert sum(worker.unsent for worker in made) == messages
    for wait, number, wanted in changes:
        run.run(run.now_ns + wait * MS)
        worker = made[number % len(made)]
        # Without a policy, no session comes back.
        count = wanted if reconnect else min(wanted, worker.sessions)
        # Not all, or the rest would be dropped.
        if count or any(other.sessions for other in made if other is not worker):
            run.change(worker.number, count)
        assert sum(worker.sent + worker.unsent for worker in made) <= messages
    run.run(run.now_ns + 10 * S)
    assert sum(worker.sent for worker in made) == messages
    assert all(worker.exhausted for worker in made)


def test_the_messages_last_equally_long_on_every_worker():
    made = [CountedWorker(0, 2, 2), CountedWorker(1, 1, 20)]
    run = Simulation(made, make_plan("ws://h", messages=400, workers=2, connections=3), [MS])
    run.run(9 * S)
    # From one budget: 2 in each 10 ms, and 1 in each 100 ms.
    assert abs(made[0].sent - 400 * 20 / 21) <= 4
    assert run.now_ns < 400 / 210 * S * 1.1


def test_a_lost_workers_part_is_not_given_to_others():
    plan = make_plan("ws://h", messages=100, workers=2, connections=4)
    balancer = LoadBalancer(plan)
    balancer.on_state(0, LoadState(2, 2), 0)
    balancer.on_gone(1, 0, lost=True)
    assert balancer.start().messages == (50, 50)


def test_one_worker_and_loads_that_are_not_shared_need_no_balancer():
    assert not LoadBalancer.is_needed(make_plan("ws://h", messages=10, workers=1))
    assert not LoadBalancer.is_needed(make_plan("ws://h", duration="1s", workers=2, connections=2))
    assert LoadBalancer.is_needed(make_plan("ws://h", messages=10, workers=2, connections=2))
    assert LoadBalancer.is_needed(make_plan("ws://h", rate=1, duration="1s", workers=2, connections=2))
