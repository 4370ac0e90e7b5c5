"""Rows of the metric catalogue that are counts: sessions, messages, bytes, faults. The times are in `catalog`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ws_load_test.metrics.metric_set import MetricSet
from ws_load_test.metrics.metric_spec import MetricSpec, count, labeled, size

MESSAGE, CONNECTION, FAULT = "message", "connection", "fault"
"""Nouns of what is counted."""


@dataclass(slots=True)
class CountMetrics(MetricSet):
    """Counts, each with its row, in the order in which recordings have them.

    Every message that was due is in ``sent`` or ``dropped``, and every sent one is, once the run is over, in
    ``answered``, ``unanswered`` or ``unawaited``.
    """

    # --- Sessions ---------------------------------------------------------------------------------------------------

    attempted: int = count(
        MetricSpec(
            "Sessions that were dialed.",
            condition="attempted",
            no_value="no session was dialed",
            family="connections_attempted",
            unit_name=CONNECTION,
        )
    )
    opened: int = count(
        MetricSpec(
            "Sessions that opened.",
            percent_of=("attempted",),
            condition="opened",
            no_value="no session opened",
            per_host=True,
            family="connections_opened",
            unit_name=CONNECTION,
            csv=("connections_opened",),
        )
    )
    failed: int = count(
        MetricSpec(
            "Sessions that were dialed and never opened.",
            percent_of=("attempted",),
            condition="failed",
            per_host=True,
            family="connections_failed",
            unit_name=CONNECTION,
            csv=("connections_failed",),
        )
    )
    cancelled: int = count(
        MetricSpec(
            "Sessions that were being dialed when the run, or the time for opening, ended.", unit_name=CONNECTION
        )
    )
    lost: int = count(
        MetricSpec(
            "Sessions that ended before the run wanted them to.",
            percent_of=("opened",),
            condition="lost",
            no_value="no session was lost",
            per_host=True,
            family="connections_lost",
            unit_name=CONNECTION,
            csv=("connections_lost",),
        )
    )
    reconnected: int = count(
        MetricSpec(
            "Sessions that took the place of a lost one.",
            percent_of=("lost", "storm_disconnected"),
            condition="reconnected",
            family="connections_reconnected",
            unit_name=CONNECTION,
        )
    )
    recycled: int = count(
        MetricSpec(
            "Sessions that took the place of one whose lifetime was over.",
            percent_of=("opened",),
            condition="recycled",
            family="connections_recycled",
            unit_name=CONNECTION,
        )
    )
    tls_resumed: int = count(
        MetricSpec(
            "Opened sessions whose TLS handshake resumed an earlier one (RFC 8446, section 2.2).", unit_name=CONNECTION
        )
    )
    # The code that ended the session, whichever side sent it; 1006 where no close frame came (RFC 6455, section 7.4).
    closed: Counter[str] = labeled(
        MetricSpec(
            "Sessions that ended, by close code (RFC 6455).",
            family="connections_closed",
            label="code",
            unit_name=CONNECTION,
        )
    )
    close_reasons: Counter[str] = labeled(
        MetricSpec("Reasons that targets gave with their close codes (1011 overloaded).", unit_name=CONNECTION)
    )

    # By slot and event, see `session_events`; empty in a run in which the target ended no session.
    session_events: Counter[str] = labeled(
        MetricSpec("Session events around those that the target ended, by slot and event.", unit_name=CONNECTION)
    )

    # Neither the names of subprotocols nor anything else that was offered: "subprotocol", "tls-resumption".
    not_granted: Counter[str] = labeled(
        MetricSpec("Opened sessions that asked for something in vain, by what it was.", unit_name=CONNECTION)
    )
    # Names of headers and options, never their values.
    left_out_by_redirects: Counter[str] = labeled(
        MetricSpec("Dials that a redirect led to another origin, by what did not go along.", unit_name=CONNECTION)
    )
    # "[::1]:80 connect-refused": a dial can have one and open nevertheless.
    failed_addresses: Counter[str] = labeled(
        MetricSpec("Addresses of names that took no TCP connection, by address and fault.", unit_name=CONNECTION)
    )

    # --- Messages ---------------------------------------------------------------------------------------------------

    due: int = count(
        MetricSpec(
            "Messages that should have left.",
            condition="due",
            no_value="no message was due",
            family="messages_due",
            unit_name=MESSAGE,
            csv=("due",),
            report_label="due",
            report_if_zero=True,
        )
    )
    sent: int = count(
        MetricSpec(
            "Messages handed to the kernel.",
            percent_of=("due",),
            condition="sent",
            no_value="no message was sent",
            per_host=True,
            family="messages_sent",
            unit_name=MESSAGE,
            csv=("sent",),
            report_label="sent",
            report_if_zero=True,
        )
    )
    answered: int = count(
        MetricSpec(
            "Messages whose reply was read.",
            percent_of=("sent",),
            condition="answered",
            no_value="no message was answered",
            needs_replies=True,
            per_host=True,
            family="messages_answered",
            unit_name=MESSAGE,
            csv=("answered",),
            report_label="answered",
            report_if_zero=True,
        )
    )
    # Timed out, lost with their session, or without a reply at the end.
    unanswered: int = count(
        MetricSpec(
            "Messages that were sent and got no reply.",
            percent_of=("sent",),
            condition="unanswered",
            needs_replies=True,
            per_host=True,
            family="messages_unanswered",
            unit_name=MESSAGE,
            csv=("unanswered",),
            report_label="unanswered",
            report_if_zero=True,
            is_failure=True,
        )
    )
    # Messages of a scenario's steps that await nothing, and of its timers; 0 without a scenario.
    unawaited: int = count(
        MetricSpec(
            "Messages that were sent and to which the scenario awaits no reply.",
            percent_of=("sent",),
            condition="unawaited",
            needs_scenario=True,
            family="messages_unawaited",
            unit_name=MESSAGE,
            report_label="unawaited",
        )
    )
    dropped: int = count(
        MetricSpec(
            "Messages that were due and never sent.",
            percent_of=("due",),
            condition="dropped",
            per_host=True,
            family="messages_dropped",
            unit_name=MESSAGE,
            csv=("dropped",),
            report_label="dropped",
            report_if_zero=True,
            is_failure=True,
        )
    )
    pushed: int = count(
        MetricSpec(
            "Messages that came and answered nothing.",
            condition="pushed",
            in_warmup=False,
            family="messages_pushed",
            unit_name=MESSAGE,
            csv=("pushed",),
            report_label="pushed",
            report_if_zero=True,
        )
    )
    surplus_replies: int = count(
        MetricSpec(
            "Pushed messages that came as replies, paired in order, when no message was in flight.",
            in_warmup=False,
            unit_name=MESSAGE,
        )
    )
    pairing_suspected: int = count(
        MetricSpec(
            "Sessions that were often without a message in flight, and then no more, though replies came in order.",
            unit_name=CONNECTION,
        )
    )
    pairing_cleared: int = count(
        MetricSpec("Of these, the sessions that were without a message in flight again.", unit_name=CONNECTION)
    )
    duplicate_replies: int = count(
        MetricSpec(
            "Replies to messages that had been answered already.",
            percent_of=("sent",),
            condition="duplicate_replies",
            needs_ids=True,
            needs_replies=True,
            in_warmup=False,
            unit_name=MESSAGE,
            report_label="duplicate replies",
            is_failure=True,
        )
    )
    late_replies: int = count(
        MetricSpec(
            "Replies to messages that had been given up.",
            percent_of=("sent",),
            condition="late_replies",
            needs_ids=True,
            needs_replies=True,
            in_warmup=False,
            unit_name=MESSAGE,
            report_label="late replies",
            is_failure=True,
        )
    )
    unknown_id: int = count(
        MetricSpec(
            "Messages whose id belonged to no message that was sent, where replies are matched by id.",
            percent_of=("sent",),
            condition="unknown_id",
            needs_ids=True,
            in_warmup=False,
            unit_name=MESSAGE,
            report_label="unknown id",
            is_failure=True,
        )
    )
    out_of_order: int = count(
        MetricSpec(
            "Answered messages whose reply was overtaken by the reply to a later message.",
            percent_of=("answered",),
            condition="out_of_order",
            needs_ids=True,
            in_warmup=False,
            unit_name=MESSAGE,
            report_label="out of order",
        )
    )
    # Of answers that are many messages (--until).
    streamed: int = count(
        MetricSpec(
            "Messages of answers, their last ones included.",
            no_value="no message of an answer came",
            needs_stream=True,
            family="messages_streamed",
            unit_name=MESSAGE,
            csv=("streamed",),
            report_label="streamed",
        )
    )
    broken_off: int = count(
        MetricSpec(
            "Unanswered messages whose answer had begun, and stopped without its last message.",
            percent_of=("sent",),
            condition="broken_off",
            needs_stream=True,
            needs_replies=True,
            family="messages_broken_off",
            unit_name=MESSAGE,
            csv=("broken_off",),
            report_label="broken off",
            is_failure=True,
        )
    )
    stalls: int = count(
        MetricSpec(
            "Gaps between two messages of an answer that were longer than --stall.",
            percent_of=("streamed",),
            condition="stalls",
            needs_stream=True,
            needs_replies=True,
            family="stalls",
            unit_name=MESSAGE,
            csv=("stalls",),
            report_label="stalls",
            is_failure=True,
        )
    )
    came_together: int = count(
        MetricSpec(
            "Messages of answers that were read together with the one before, so that their gap is 0.",
            needs_stream=True,
            unit_name=MESSAGE,
            csv=("came_together",),
        )
    )
    without_first: int = count(
        MetricSpec(
            "Answers that ended without a message that counts as the first.", needs_stream=True, unit_name=MESSAGE
        )
    )
    without_count: int = count(
        MetricSpec(
            "Answers whose last message had no number where one was looked for.", needs_stream=True, unit_name=MESSAGE
        )
    )
    greetings: int = count(
        MetricSpec(
            "Greetings: first messages of a session, which answer nothing.",
            condition="greetings",
            unit_name=MESSAGE,
            report_label="greetings",
        )
    )
    first_replies: int = count(
        MetricSpec(
            "Replies to first messages (authentication, subscription), which are in no other count.",
            unit_name=MESSAGE,
            report_label="first replies",
        )
    )
    answers_left_out: int = count(
        MetricSpec(
            "Pings and messages that were left unanswered, because the target did not read (RFC 6455, section 5.5.3).",
            unit_name=MESSAGE,
            report_label="answers left out",
        )
    )
    # The numerator of the throughput.
    answered_in_window: int = count(
        MetricSpec("Replies read within the measured time.", per_host=True, unit_name=MESSAGE)
    )

    # --- Bytes ------------------------------------------------------------------------------------------------------

    # With the headers of the frames, without TLS and TCP.
    bytes_sent: int = size(
        MetricSpec("Bytes of WebSocket frames sent.", condition="bytes_sent", family="sent_bytes", csv=("sent_bytes",))
    )
    bytes_received: int = size(
        MetricSpec(
            "Bytes of WebSocket frames received.",
            condition="bytes_received",
            in_warmup=False,
            family="received_bytes",
            csv=("received_bytes",),
        )
    )
    pushed_bytes: int = size(MetricSpec("Payload of pushed messages, where messages are read whole.", in_warmup=False))
    uncompressed_bytes_sent: int = size(
        MetricSpec("Payload before compression, where permessage-deflate was agreed (RFC 7692).", in_warmup=False)
    )
    uncompressed_bytes_received: int = size(
        MetricSpec("Payload after decompression, where permessage-deflate was agreed (RFC 7692).", in_warmup=False)
    )
    write_blocked_ns: int = count(
        MetricSpec("Time, summed over connections, in which bytes waited because the kernel's send buffer was full.")
    )

    # --- Warm-up ----------------------------------------------------------------------------------------------------

    warmup_sent: int = count(
        MetricSpec("Messages sent during the warm-up, which are in no other count.", unit_name=MESSAGE)
    )
    warmup_answered: int = count(MetricSpec("Replies to messages of the warm-up.", unit_name=MESSAGE))

    # --- Faults -----------------------------------------------------------------------------------------------------

    # By kind: connect-refused, closed:1011.
    faults: Counter[str] = labeled(
        MetricSpec(
            "What the target did wrong.",
            percent_of=("due", "attempted"),
            condition="faults",
            family="faults",
            label="kind",
            unit_name=FAULT,
            csv=("faults",),
        )
    )
    # By kind: too-many-open-files.
    # "player/move", the key of the step behind which the code went on; the count is of ns.
    held_up_at: Counter[str] = labeled(
        MetricSpec(
            "Time of `hold_up_ns` in all, by the step behind which it was.",
            in_warmup=False,
            per_host=True,
            unit_name=FAULT,
        )
    )
    host_errors: Counter[str] = labeled(
        MetricSpec("System calls that the generator's own machine refused.", per_host=True, unit_name=FAULT)
    )
