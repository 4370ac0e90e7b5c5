"""Verdict of a run: its conditions, and the reasons for which it failed whatever they say.

A run that measured nothing has failed: one that opened no session, lost every one, sent nothing, or awaited replies and
got none, or none that counts. Where the numbers that a condition compares are in doubt, it is not judged, and the run
has failed as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.analysis.aggregate import counts_of
from ws_load_test.analysis.findings import awaits_replies, sends_messages
from ws_load_test.analysis.scenario import scenario_of, sends_load
from ws_load_test.analysis.summary_types import FailureReason, RunVerdict
from ws_load_test.common.units import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ws_load_test.analysis.summary_types import ThresholdCheck
    from ws_load_test.metrics.recording import Recording
    from ws_load_test.metrics.tally import Tally
    from ws_load_test.plan.scenario.model import Scenario

UNMEASURED = frozenset(
    {
        FailureReason.NOTHING_OPENED,
        FailureReason.ALL_LOST,
        FailureReason.NOTHING_SENT,
        FailureReason.NOTHING_ANSWERED,
        FailureReason.NOTHING_DELIVERED,
        FailureReason.ALL_REPLIES_WRONG,
    }
)
"""Reasons of runs that measured nothing of their target."""
NOTHING_MEASURED = UNMEASURED | {FailureReason.NOT_ALL_DIALED, FailureReason.NOT_JUDGED}
"""Reasons that exit code 3 stands for: nothing was measured or judged, or another load than the one asked for."""
NORMAL_CLOSURE = "1000"
"""Close code of a session that ended in order (RFC 6455, section 7.4.1)."""


def judge(recordings: Sequence[Recording], tally: Tally, checks: list[ThresholdCheck]) -> RunVerdict:
    """Returns the verdict over recordings, whose sum is `tally`."""
    reason, why = _failure(recordings, tally, checks)
    # Not when interrupted: half a run proves nothing, and so `passed` agrees with exit code 0.
    return RunVerdict(passed=reason is None, reason=reason, why=why, checks=checks)


def _failure(
    recordings: Sequence[Recording], tally: Tally, checks: Sequence[ThresholdCheck]
) -> tuple[FailureReason | None, str | None]:
    """Returns the reason that spoils a run most, and a sentence part about it; None for both where it passed."""
    if any(recording.trailer is None or recording.trailer.interrupted for recording in recordings):
        return FailureReason.INTERRUPTED, "interrupted"
    if any(recording.trailer is not None and recording.trailer.lost_workers for recording in recordings):
        return FailureReason.WORKER_LOST, "a worker was lost"
    nothing = why_nothing_measured(recordings, tally) or _why_one_measured_nothing(recordings)
    if nothing is not None:
        return nothing
    # The plan of another version can have anything there.
    counts = [recording.header.plan.get("connections", 1) for recording in recordings]
    asked = sum(count for count in counts if isinstance(count, int))
    opened = tally.opened - tally.recycled
    # Those that were dialed again later have opened.
    if tally.faults["not-dialed"] and opened < asked:
        words = f"the target takes no more connections: {format_count(opened)} of {format_count(asked)} opened"
        return FailureReason.NOT_ALL_DIALED, words
    failed = [check for check in checks if not check.passed]
    if any(check.is_doubted for check in failed):
        return FailureReason.NOT_JUDGED, "not judged, because replies are perhaps not those of their messages"
    if failed:
        return FailureReason.CONDITION_FAILED, "a condition failed"
    return None, None


def why_nothing_measured(recordings: Sequence[Recording], tally: Tally) -> tuple[FailureReason, str] | None:
    """Returns the reason why a run measured nothing of its target, and a sentence part; None where it did."""
    awaited = awaits_replies(recordings) and tally.sent > tally.unawaited
    fault = f" ({_commonest_fault(tally)})" if tally.faults else ""
    if not tally.opened:
        return FailureReason.NOTHING_OPENED, "could not open a single connection"
    if _all_lost(recordings, tally):
        silent = ", and no message was answered" if awaited and not tally.answered else ""
        return FailureReason.ALL_LOST, f"every session was lost{fault}{silent}"
    if (scenario := scenario_of(recordings)) is not None and not sends_load(scenario):
        return _why_nothing_heard(scenario, tally)
    if not tally.sent and sends_messages(recordings):
        due = "no message fell due in the measured time" if not tally.due else f"no message was sent{fault}"
        return FailureReason.NOTHING_SENT, due
    if awaited and not tally.answered:
        return FailureReason.NOTHING_ANSWERED, f"no message was answered{fault}"
    if _publishes(recordings) and tally.sent and not tally.deliveries:
        why = "no delivery came" if tally.deliveries_expected else "no subscriber was there for what was published"
        return FailureReason.NOTHING_DELIVERED, f"{why}{fault}"
    # Replies to steps that sessions take once are checked as well, and in no total of messages.
    answered = sum(step.answered for step in tally.steps.values()) or tally.answered
    if awaited and tally.faults["check-failed"] >= answered:
        return FailureReason.ALL_REPLIES_WRONG, "no reply was right (check-failed)"
    return None


def _why_nothing_heard(scenario: Scenario, tally: Tally) -> tuple[FailureReason, str] | None:
    """Returns the reason where sessions only react to messages, and none came; None where they have no reactions."""
    reacts = any(role.reactions for role in scenario.roles)
    if not reacts or any(reaction.seen for reaction in tally.reactions.values()):
        return None
    return FailureReason.NOTHING_ANSWERED, "no message came to which a role reacts"


def _why_one_measured_nothing(recordings: Sequence[Recording]) -> tuple[FailureReason, str] | None:
    """Returns the same of the first of several recordings that measured nothing: the sum would hide it."""
    if len(recordings) > 1:
        for number, recording in enumerate(recordings, 1):
            nothing = why_nothing_measured([recording], counts_of([recording]))
            if nothing is not None:
                return nothing[0], f"recording {number}: {nothing[1]}"
    return None


def _all_lost(recordings: Sequence[Recording], tally: Tally) -> bool:
    """True where every session was lost before the load was over, and none opened in its place."""
    if tally.reconnected or _lost_under_load(recordings) < tally.opened:
        return False
    # A target that closes in order once it has answered all that it was to be asked did nothing wrong.
    asked = [recording.header.plan.get("messages") or 0 for recording in recordings]
    all_answered = all(asked) and tally.answered == sum(asked)
    return not (all_answered and set(tally.closed) == {NORMAL_CLOSURE})


def _lost_under_load(recordings: Sequence[Recording]) -> int:
    """Returns the sessions that were lost under load, misbehaving ones among them.

    Those that are lost while the last replies are awaited count where the replies had ceased before: they had carried
    the load to its end otherwise.
    """
    lost = 0
    for recording in recordings:
        measured = [interval.encoded_tally for interval in recording.intervals if interval.phase == "measured"]
        ceased = not (measured and measured[-1].get("answered_in_window"))
        lost += sum(
            part.get("lost", 0)
            for interval in recording.intervals
            if interval.phase != "closing" or ceased
            for part in (interval.encoded_tally, interval.encoded_tally.get("misbehaving", {}))
        )
    return lost


def _publishes(recordings: Sequence[Recording]) -> bool:
    """Returns True if all recordings are of a fan-out."""
    return all(recording.header.plan.get("fan_out") is not None for recording in recordings)


def _commonest_fault(tally: Tally) -> str:
    return min(tally.faults, key=lambda kind: (-tally.faults[kind], kind))
