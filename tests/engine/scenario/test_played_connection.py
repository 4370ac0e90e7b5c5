"""Reads of a session that takes steps: one small message goes straight to its player, all else through the frames."""

import json

import pytest

from scenario.scenes import MS, S, role, step, world
from ws_load_test.metrics.sample_buffer import CAPACITY
from ws_load_test.websocket import frames

ASKS = step("a", '{"id": {seq}}', "json:id={seq}")


def answer(number, padding=0, opcode=frames.TEXT):
    return frames.encode_frame(opcode, json.dumps({"id": number, "text": "x" * padding}).encode())


@pytest.mark.parametrize("opcode", [frames.TEXT, frames.BINARY])
@pytest.mark.parametrize("padding", [0, 100, 101, 102, 103, 104, 105, 106, 107, 200, 70_000])
def test_messages_of_every_size_complete_a_step(padding, opcode):
    with world(role(steps=(ASKS,))) as worker:
        session = worker.open()
        worker.start()
        for number in range(3):
            worker.now(number * S)
            session.data_received(answer(number, padding, opcode))
        tally = worker.counts()
        assert tally.answered == tally.steps["user/a"].answered == 3
        assert tally.bytes_received == sum(len(answer(number, padding, opcode)) for number in range(3))


@pytest.mark.parametrize("cut", range(1, len(answer(0))))
def test_a_message_that_is_cut_anywhere_completes_its_step_once(cut):
    with world(role(steps=(ASKS,))) as worker:
        session = worker.open()
        worker.start()
        session.data_received(answer(0)[:cut])
        assert worker.counts().answered == 0
        session.data_received(answer(0)[cut:])
        assert worker.counts().answered == 1


def test_a_whole_frame_behind_one_that_is_cut_waits_for_its_turn():
    with world(role(steps=(ASKS,))) as worker:
        session = worker.open()
        worker.start()
        # What comes second looks like a message, and is the end of one.
        whole = frames.encode_frame(frames.TEXT, frames.encode_frame(frames.TEXT, b'{"id": 0}'))
        session.data_received(whole[:2])
        session.data_received(whole[2:])
        tally = worker.counts()
        assert (tally.answered, tally.pushed) == (0, 1)


def test_a_message_between_two_fragments_is_a_breach():
    with world(role(steps=(ASKS,))) as worker:
        session = worker.open()
        worker.start()
        session.data_received(frames.encode_frame(frames.TEXT, b'{"id":', fin=False))
        session.data_received(answer(0))
        tally = worker.counts()
        assert tally.answered == 0
        assert sum(tally.faults.values()) == 1
        assert tally.unanswered == 1


def test_control_frames_and_nonsense_are_seen():
    with world(role(steps=(ASKS,))) as worker:
        session = worker.open()
        worker.start()
        session.data_received(frames.encode_frame(frames.PING, b"x"))
        session.data_received(answer(0))
        assert worker.counts().answered == 1
        session.data_received(frames.encode_frame(frames.TEXT, b"{}", rsv=frames.RSV1))
        assert sum(worker.counts().faults.values()) == 1


def test_blocks_of_samples_are_counted_for_the_step_and_for_the_run():
    with world(role(steps=(ASKS,))) as worker:
        session = worker.open()
        worker.start()
        count = CAPACITY + 10
        for number in range(count):
            worker.now((number + 1) * MS)
            session.data_received(answer(number))
        tally = worker.counts()
        assert tally.answered == tally.steps["user/a"].answered == tally.response_time_ns.count == count
        assert tally.steps["user/a"].response_time_ns == tally.response_time_ns
        assert tally.steps["user/a"].send_lag_ns == tally.send_lag_ns
        assert tally.sent == tally.steps["user/a"].sent == count + 1
        assert tally.due == tally.steps["user/a"].due == count + 1
