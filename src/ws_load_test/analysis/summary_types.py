"""Types of a run's summary: the object that ``--json`` prints and that ends a recording.

The order of the fields is the order of the keys. Each field carries its description, which the JSON schema of
``ws-load-test schema summary`` repeats. Durations are integers of ns; None (``null``) stands for "no value": an empty
histogram has no percentiles, and a run without measured time has no rate.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ws_load_test.analysis.fan_out import FanOutSummary
from ws_load_test.analysis.number_stats import NumberStats
from ws_load_test.analysis.scenario import ReactionSummary, RoleSummary, SessionCounts, StepSummary
from ws_load_test.analysis.summary_times import TimeStats
from ws_load_test.analysis.trace_types import Traces
from ws_load_test.analysis.wave_types import NodesSummary, WaveSummary
from ws_load_test.plan.load import Load


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions, from the dial to the end; those of misbehaving clients are counted while they open."""

    attempted: Annotated[int, Meta(description="Sessions dialed.")]
    opened: Annotated[int, Meta(description="Sessions that completed the WebSocket handshake.")]
    failed: Annotated[int, Meta(description="Sessions that could not be opened.")]
    cancelled: Annotated[int, Meta(description="Sessions still being dialed when the run, or --open-timeout, ended.")]
    lost: Annotated[int, Meta(description="Sessions that the target or the network ended before the run did.")]
    reconnected: Annotated[int, Meta(description="Sessions opened in place of lost or disconnected ones.")]
    recycled: Annotated[int, Meta(description="Sessions opened in place of those whose lifetime was over.")]
    tls_resumed: Annotated[int, Meta(description="Sessions whose TLS handshake resumed an earlier TLS session.")]
    closed: Annotated[dict[str, int], Meta(description="Ended sessions by close code (RFC 6455, section 7.4).")]
    close_reasons: Annotated[dict[str, int], Meta(description="Sessions by close code and reason text.")]


class Messages(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of the load, warm-up excluded. due = sent + dropped, sent = answered + unanswered + unawaited."""

    due: Annotated[int, Meta(description="Messages that fell due.")]
    sent: Annotated[int, Meta(description="Messages handed to the kernel.")]
    answered: Annotated[int, Meta(description="Messages whose reply came.")]
    unanswered: Annotated[int, Meta(description="Messages sent without a reply by the timeout or the end.")]
    unawaited: Annotated[int, Meta(description="Messages sent to which the scenario awaits no reply.")]
    dropped: Annotated[int, Meta(description="Messages that were due and never sent.")]
    pushed: Annotated[int, Meta(description="Unsolicited messages: they answer none of ours.")]
    duplicate_replies: Annotated[int, Meta(description="Replies to a message that already had one.")]
    late_replies: Annotated[int, Meta(description="Replies to a message that was already given up.")]
    unknown_id: Annotated[int, Meta(description="Messages with an id that none of ours had.")]
    out_of_order: Annotated[int, Meta(description="Answered messages whose reply a later message's reply overtook.")]
    greetings: Annotated[int, Meta(description="Greetings skipped at the start of sessions.")]


class Warmup(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of the warm-up, which are in no other count."""

    sent: Annotated[int, Meta(description="Messages sent during the warm-up.")]
    answered: Annotated[int, Meta(description="Replies to messages of the warm-up.")]


class ByteCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic in bytes of WebSocket frames, headers included, TLS and TCP excluded."""

    sent: Annotated[int, Meta(description="Bytes of frames written.")]
    received: Annotated[int, Meta(description="Bytes of frames read.")]
    pushed: Annotated[
        int | None, Meta(description="Payload bytes of pushes; null where messages are counted without being read.")
    ]
    uncompressed_sent: Annotated[
        int, Meta(description="Payload bytes before compression, where permessage-deflate was negotiated.")
    ]
    uncompressed_received: Annotated[
        int, Meta(description="Payload bytes after decompression, where permessage-deflate was negotiated.")
    ]


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """Phases of opening a session."""

    resolve_time_ns: Annotated[TimeStats | None, Meta(description="Name resolution.")]
    tcp_time_ns: Annotated[TimeStats | None, Meta(description="TCP handshake.")]
    proxy_time_ns: Annotated[TimeStats | None, Meta(description="CONNECT request to the proxy.")]
    tls_time_ns: Annotated[TimeStats | None, Meta(description="TLS handshake.")]
    upgrade_time_ns: Annotated[TimeStats | None, Meta(description="HTTP upgrade to WebSocket.")]
    first_reply_time_ns: Annotated[
        TimeStats | None, Meta(description="From sending a first message (--first-message) to its reply.")
    ]
    first_replies: Annotated[int, Meta(description="Replies to first messages, which are in no other count.")]
    not_granted: Annotated[
        dict[str, int],
        Meta(
            description="Opened sessions by what they asked for in vain: permessage-deflate, subprotocol, "
            "tls-resumption (an earlier TLS session was offered, and the handshake was a full one) or tls-ticket (the "
            "target gave none with which the session can be resumed)."
        ),
    ]
    left_out_by_redirects: Annotated[
        dict[str, int],
        Meta(description="Dials that a redirect led to another origin, by the header or option that did not go along."),
    ]
    failed_addresses: Annotated[
        dict[str, int], Meta(description="Addresses of names that took no TCP connection, by address and fault.")
    ]


class ReconnectStorm(msgspec.Struct, frozen=True, kw_only=True):
    """Recovery of the sessions that --disconnect cut off at once."""

    disconnected: Annotated[int, Meta(description="Sessions cut off.")]
    back: Annotated[int, Meta(description="Sessions that were opened again.")]
    not_back: Annotated[int, Meta(description="Sessions that were not opened again by the end of the run.")]
    all_back_after_ns: Annotated[
        int | None, Meta(description="Time until the last session was open again; null where one was not.")
    ]
    worst_connect_ns: Annotated[int | None, Meta(description="Slowest dial while the sessions came back.")]
    unanswered: Annotated[int, Meta(description="Messages in flight on the sessions that were cut off.")]
    back_time_ns: Annotated[TimeStats | None, Meta(description="From the cut to the session that replaces it.")]


class MisbehavingConnections(msgspec.Struct, frozen=True, kw_only=True):
    """Connections that misbehave on purpose."""

    slow_reader: Annotated[int, Meta(description="Clients that read slowly.")]
    stalled_reader: Annotated[int, Meta(description="Clients that stop reading.")]
    no_pong: Annotated[int, Meta(description="Clients that answer no ping.")]
    lost: Annotated[int, Meta(description="Those that the target or the network ended.")]
    closed: Annotated[dict[str, int], Meta(description="Ended sessions by close code.")]

    def of_kind(self, kind: str) -> int:
        """Returns the number of clients of a kind (``slow_reader``)."""
        return int(getattr(self, kind))


class MisbehavingBytes(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic of misbehaving clients, in bytes of WebSocket frames."""

    sent: Annotated[int, Meta(description="Bytes of frames written.")]
    received: Annotated[int, Meta(description="Bytes of frames read.")]


class Misbehaving(msgspec.Struct, frozen=True, kw_only=True):
    """Results of misbehaving clients, kept out of all other numbers except those of opening."""

    connections: Annotated[MisbehavingConnections, Meta(description="Their connections.")]
    messages: Annotated[Messages, Meta(description="Their messages.")]
    bytes: Annotated[MisbehavingBytes, Meta(description="Their traffic.")]
    faults: Annotated[dict[str, int], Meta(description="Faults of the target on them, by kind.")]
    response_time_ns: Annotated[TimeStats | None, Meta(description="Their response times.")]


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """Answers of many messages (--until). Rates are of each answer, over its response time."""

    streamed: Annotated[int, Meta(description="Messages of answers, their last ones included.")]
    broken_off: Annotated[int, Meta(description="Of the unanswered messages, those whose answer had begun.")]
    stalls: Annotated[int, Meta(description="Gaps longer than --stall.")]
    came_together: Annotated[int, Meta(description="Messages read together with the one before: gaps of 0.")]
    without_first: Annotated[int, Meta(description="Answers that ended without a message that counts as the first.")]
    without_count: Annotated[int, Meta(description="Answers whose last message had no number at --count.")]
    first_time_ns: Annotated[TimeStats | None, Meta(description="From when a message was due to its answer's first.")]
    gap_ns: Annotated[TimeStats | None, Meta(description="Between two messages of an answer, from its first one on.")]
    answer_messages: Annotated[NumberStats | None, Meta(description="Messages of each answer that ended.")]
    answer_bytes: Annotated[NumberStats | None, Meta(description="Payload bytes of each answer that ended.")]
    answer_count: Annotated[NumberStats | None, Meta(description="Number in each answer's last message (--count).")]
    messages_per_s: Annotated[NumberStats | None, Meta(description="Messages a second.")]
    bytes_per_s: Annotated[NumberStats | None, Meta(description="Payload bytes a second.")]
    count_per_s: Annotated[NumberStats | None, Meta(description="Number of the last message, a second.")]


class LostWorkerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process that ended before its run did."""

    worker: Annotated[int, Meta(description="Number of the worker, from 0.")]
    host: Annotated[str | None, Meta(description="Machine it ran on; null in a run on one machine.")]
    at_ns: Annotated[int, Meta(description="Time of its loss, from the start of the run.")]
    share: Annotated[float, Meta(description="Part of the load that it carried, from 0 to 1.")]
    reason: Annotated[str, Meta(description="Reason, as a sentence part.")]


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """Health of the load generator itself."""

    workers: Annotated[int, Meta(description="Worker processes.")]
    engines: Annotated[
        list[str],
        Meta(description="Engines that they ran: native (compiled, by io_uring), native-epoll or portable."),
    ]
    cpu_share: Annotated[float | None, Meta(description="Share of a core that the busiest worker used; 1 is a core.")]
    send_lag_ns: Annotated[TimeStats | None, Meta(description="Lateness of messages: sent - due.")]
    saturated: Annotated[bool, Meta(description="True where the generator, not the target, was the bottleneck.")]
    reasons: Annotated[list[str], Meta(description="Reasons why it was the bottleneck, each with its remedy.")]
    lost: Annotated[list[LostWorkerSummary], Meta(description="Workers that were lost.")]
    start_spread_ns: Annotated[
        int | None, Meta(description="From the first to the last worker's start of the load, over several machines.")
    ]


class HostSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Results of one machine of a run on several."""

    name: Annotated[str, Meta(description="Name of the machine.")]
    address: Annotated[str, Meta(description="Address at which it was reached.")]
    workers: Annotated[int, Meta(description="Workers it started with.")]
    first_worker: Annotated[int | None, Meta(description="Number of its first worker; null for several recordings.")]
    sent: Annotated[int, Meta(description="Messages it sent.")]
    answered: Annotated[int, Meta(description="Messages answered.")]
    throughput_per_s: Annotated[float | None, Meta(description="Replies within the measured time, per second.")]
    sent_per_s: Annotated[float | None, Meta(description="Messages sent within the measured time, per second.")]
    deliveries_per_s: Annotated[
        float | None, Meta(description="Deliveries of a fan-out to its subscribers, per second; null without one.")
    ]
    response_time_ns: Annotated[TimeStats | None, Meta(description="Response times: done - due.")]
    send_lag_ns: Annotated[TimeStats | None, Meta(description="Lateness of messages: sent - due.")]
    cpu_share: Annotated[float | None, Meta(description="Share of a core that its busiest worker used.")]
    path_time_ns: Annotated[
        int | None, Meta(description="Shortest TCP handshake with the target, about one network round trip.")
    ]
    clock_ahead_ns: Annotated[
        int, Meta(description="Offset of its monotonic clock from the leading machine's, at the start of its load.")
    ]
    clock_error_ns: Annotated[int, Meta(description="Largest possible error of that offset, at any time of the run.")]
    clock_drift_ppm: Annotated[
        float | None, Meta(description="Rate at which its clock gains on that; null where it is not known.")
    ]
    clock_drift_error_ppm: Annotated[float | None, Meta(description="Largest possible error of that rate.")]
    began_after_ns: Annotated[int | None, Meta(description="Start of its load, after that of the first machine.")]
    saturated: Annotated[bool, Meta(description="True where this machine was a bottleneck.")]
    reasons: Annotated[list[str], Meta(description="Reasons why it was a bottleneck.")]
    lost_workers: Annotated[int, Meta(description="Workers it lost.")]
    lost_since_ns: Annotated[int | None, Meta(description="Time of the first loss, from the start of the run.")]


class ThresholdCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of the verdict and the value found. Keys that do not apply are left out."""

    check: Annotated[str, Meta(description="Condition as it was given, for example p99 > 50ms.")]
    value: Annotated[
        int | float | None, Meta(description="Value found, in `unit`: ns, bytes and counts are integers.")
    ] = None
    passed: Annotated[bool, Meta(description="True where the condition did not hold, so the run may pass.")]
    option: Annotated[str, Meta(description="Option that set the condition: fail-if or abort-if.")] = ""
    metric: Annotated[str | UnsetType, Meta(description="Metric with its statistic.")] = UNSET
    operator: Annotated[str | UnsetType, Meta(description="Comparison: <, <=, > or >=.")] = UNSET
    limit: Annotated[int | float | UnsetType, Meta(description="Limit of the condition, in `unit`.")] = UNSET
    unit: Annotated[str | UnsetType, Meta(description="Unit of both: ns, count, share, per_s, bytes, number.")] = UNSET
    intervals: Annotated[int | UnsetType, Meta(description="Intervals judged, of a condition with `any`.")] = UNSET
    failed_intervals: Annotated[int | UnsetType, Meta(description="Intervals in which it held.")] = UNSET
    from_ns: Annotated[int | UnsetType, Meta(description="Start of the worst interval, from the start of the run.")] = (
        UNSET
    )
    why: Annotated[str | UnsetType, Meta(description="Reason why there is no value, or none to rely on.")] = UNSET
    judged: Annotated[
        bool | UnsetType, Meta(description="False where the value is in doubt, so that the condition was not judged.")
    ] = UNSET
    aborted_at_ns: Annotated[
        int | UnsetType, Meta(description="Time at which the condition stopped the run, from its start.")
    ] = UNSET

    @property
    def is_doubted(self) -> bool:
        """True for a condition that was not judged, because its value is in doubt."""
        return self.judged is False

    @property
    def stopped_run(self) -> bool:
        """True for a condition that stopped its run early."""
        return self.aborted_at_ns is not UNSET


class FailureReason(StrEnum):
    """Reasons why a run failed, the one that spoils it most first."""

    INTERRUPTED = "interrupted"
    WORKER_LOST = "worker-lost"
    NOTHING_OPENED = "nothing-opened"
    ALL_LOST = "all-sessions-lost"
    NOTHING_SENT = "nothing-sent"
    NOTHING_ANSWERED = "nothing-answered"
    NOTHING_DELIVERED = "nothing-delivered"
    ALL_REPLIES_WRONG = "all-replies-wrong"
    NOT_ALL_DIALED = "not-all-dialed"
    NOT_JUDGED = "not-judged"
    CONDITION_FAILED = "condition-failed"


class RunVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Judgment of the run."""

    passed: Annotated[
        bool,
        Meta(
            description="True where `reason` is null: the run reached its end, measured something, and failed no check;"
            " the exit code is 0 then, unless --fail-if-saturated or a file that cannot be written changes it."
        ),
    ]
    reason: Annotated[FailureReason | None, Meta(description="Reason why the run failed; null where it passed.")] = None
    why: Annotated[str | None, Meta(description="The same as a part of a sentence.")] = None
    checks: Annotated[list[ThresholdCheck], Meta(description="Conditions of --fail-if, --slo and --abort-if.")]

    @property
    def failed_checks(self) -> list[ThresholdCheck]:
        """Checks that did not pass."""
        return [one for one in self.checks if not one.passed]


class UnknownLoad(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="unknown"):
    """Load of a recording that another version of the tool made, and this one cannot read."""

    recorded: Annotated[Any, Meta(description="The load as the recording has it.")]


class MixedLoad(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="mixed"):
    """Loads of several recordings that differ."""

    loads: Annotated[list[Load | UnknownLoad], Meta(description="The distinct loads.")]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Summary of a run, or of several recordings taken together."""

    schema: Annotated[int, Meta(description="Version of this object's shape.")]
    tool: Annotated[str, Meta(description="Name and version of the program; several are joined with commas.")]
    name: Annotated[str, Meta(description="Name of the run (--name); several are joined with commas.")] = ""
    target: Annotated[str, Meta(description="URL of the target, secrets hidden; several are joined with commas.")]
    load: Annotated[
        Load | MixedLoad | UnknownLoad,
        Meta(description="Load of the plan; of several recordings with different loads, all of them."),
    ]
    command: Annotated[
        str, Meta(description="Command line that repeats the run, secrets hidden; empty where recordings differ in it.")
    ] = ""
    started_at: Annotated[str, Meta(description="Start of the run, ISO 8601 with a time zone.")]
    duration_s: Annotated[float, Meta(description="Measured time in seconds, warm-up and waits excluded.")]
    interrupted: Annotated[bool, Meta(description="True where the run was stopped by hand or killed.")]
    connections: Annotated[Connections, Meta(description="Sessions.")]
    messages: Annotated[Messages, Meta(description="Messages of the load.")]
    warmup: Annotated[Warmup, Meta(description="Messages of the warm-up.")]
    bytes: Annotated[ByteCounts, Meta(description="Traffic.")]
    throughput_per_s: Annotated[
        float | None, Meta(description="Replies read within the measured time, per second; null without measured time.")
    ]
    response_time_ns: Annotated[TimeStats | None, Meta(description="Response times: done - due.")]
    service_time_ns: Annotated[TimeStats | None, Meta(description="Service times: done - sent.")]
    streams: Annotated[
        Streams | None, Meta(description="Answers of many messages; null where an answer is one message.")
    ] = None
    fanout: Annotated[
        FanOutSummary | None, Meta(description="Deliveries to subscribers; null where the plan has none.")
    ] = None
    sessions: Annotated[
        SessionCounts | None, Meta(description="Sessions of all roles of a scenario; null without one.")
    ] = None
    roles: Annotated[list[RoleSummary], Meta(description="Roles of a scenario, in its order.")] = []
    steps: Annotated[list[StepSummary], Meta(description="Steps of a scenario, in its order.")] = []
    on: Annotated[list[ReactionSummary], Meta(description="Reactions of a scenario, in its order.")] = []
    connect_time_ns: Annotated[TimeStats | None, Meta(description="From the dial to the end of the upgrade.")]
    opening: Annotated[Opening, Meta(description="Phases of opening a session.")]
    reconnect_time_ns: Annotated[
        TimeStats | None, Meta(description="From the loss of a session to the one that replaces it.")
    ]
    reconnect_storm: Annotated[
        ReconnectStorm | None, Meta(description="Recovery after --disconnect; null where no session was cut off.")
    ]
    waves: Annotated[list[WaveSummary], Meta(description="Sessions that the target ended together, wave by wave.")]
    nodes: Annotated[NodesSummary | None, Meta(description="Sessions by node of the target; null without --node.")]
    traces: Annotated[
        Traces | None, Meta(description="Traces of slow and failed exchanges; null where nothing has {traceparent}.")
    ] = None
    misbehaving: Annotated[
        Misbehaving | None, Meta(description="Results of misbehaving clients; null where there were none.")
    ]
    unanswered_wait_ns: Annotated[
        TimeStats | None, Meta(description="Time that unanswered messages had waited, from due, when given up.")
    ]
    keepalive_time_ns: Annotated[TimeStats | None, Meta(description="From a keep-alive ping to its pong.")]
    faults: Annotated[dict[str, int], Meta(description="Faults of the target by kind, the most frequent first.")]
    warnings: Annotated[list[str], Meta(description="Reasons to doubt the numbers other than saturation.")]
    generator: Annotated[Generator, Meta(description="Health of the load generator itself.")]
    hosts: Annotated[list[HostSummary], Meta(description="Machines of a run on several; empty for one machine.")]
    verdict: Annotated[RunVerdict, Meta(description="Judgment of the run.")]
