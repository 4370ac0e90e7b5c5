"""Real runs: far beyond what one worker can do it says so, and far below that it does not."""

import pytest

from ws_load_test import make_plan, run
from ws_load_test.common.errors import ExitCode
from ws_load_test.echo import EchoProcess

BEYOND = 1_000_000
"""Messages a second that no worker of this tool can send one by one."""
WITHIN = 500
"""Messages a second that need less than a tenth of a core."""


@pytest.fixture(scope="module")
def echo_url():
    with EchoProcess() as server:
        yield server.url


def balance(messages):
    assert messages.due == messages.sent + messages.dropped
    assert messages.sent == messages.answered + messages.unanswered


@pytest.mark.alone
def test_a_rate_beyond_one_worker_is_reported(echo_url):
    result = run(make_plan(echo_url, connections=20, rate=BEYOND, duration="1s", workers=1), fail_if_saturated=True)
    summary = result.summary
    balance(summary.messages)
    assert summary.messages.due == BEYOND
    assert summary.messages.dropped > 0
    assert summary.generator.saturated, summary
    assert any("late, and the response times include that" in text for text in summary.generator.reasons)
    assert any("because the generator could not send them in time" in text for text in summary.warnings)
    assert result.exit_code == ExitCode.GENERATOR_BOUND


@pytest.mark.alone
def test_a_rate_within_it_is_not(echo_url):
    result = run(make_plan(echo_url, connections=20, rate=WITHIN, duration="2s", workers=1), fail_if_saturated=True)
    summary = result.summary
    balance(summary.messages)
    assert summary.messages.due == summary.messages.sent == 2 * WITHIN
    assert not summary.generator.saturated, summary.generator
    assert result.exit_code == ExitCode.PASSED
