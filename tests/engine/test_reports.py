"""Reports of a worker: each leaves in steps, and all in their order."""

import gc

from ws_load_test import make_plan
from ws_load_test.common.event_loop import run
from ws_load_test.common.sharding import Shard
from ws_load_test.worker.ipc import Assignment
from ws_load_test.worker.phases import WorkerRun


def test_a_report_leaves_before_the_next_one_is_made():
    sent = []

    async def reports():
        worker = WorkerRun(Assignment(make_plan("ws://localhost/", rate=1), Shard(0, 1)), sent.append)
        worker._report_steps = worker._report_in_steps()
        next(worker._report_steps)
        assert sent == []
        worker._report(done=True)
        worker._resources.close()
        await worker._engine.close()

    run(reports())
    gc.unfreeze()
    gc.enable()
    assert [(report.index, report.done) for report in sent] == [(0, False), (1, True)]
    assert sent[0].to_ns == sent[1].from_ns
