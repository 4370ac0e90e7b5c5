"""Declarations of the C that the compiled loop uses: the headers beside it."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "wire.h" nogil:
    ctypedef struct ws_histogram:
        uint64_t *counts
        uint64_t count
        int64_t min
        int64_t max
    ctypedef struct ws_stream:
        uint64_t payload
        uint64_t seen
        int64_t fragmented
        uint8_t *control
        uint8_t *kept
        size_t kept_size
        uint8_t opcode
        uint8_t head[10]
        uint8_t have
    ctypedef struct ws_taker:
        void (*control)(void *, void *, int, const uint8_t *, unsigned) noexcept nogil
        int (*message)(void *, void *, int, const uint8_t *, size_t) noexcept nogil
        void *loop
        uint64_t limit
        int checks_texts
    enum: WS_SLOTS, WS_PING, WS_PONG, WS_CLOSE
    int64_t ws_now_ns()
    int64_t ws_clock_offset_ns()
    uint32_t ws_bucket(int64_t)
    void ws_record(ws_histogram *, int64_t, uint32_t)
    void ws_clear(ws_histogram *)
    int ws_resume(ws_stream *, int64_t, int, const uint8_t *, size_t)
    uint32_t ws_read(ws_stream *, const uint8_t *, size_t, size_t *, int *, const ws_taker *, void *)
    size_t ws_control_frame(uint8_t *, int, const uint8_t *, unsigned, uint32_t)

cdef extern from "tls.h" nogil:
    enum: WS_TLS_WANT_READ, WS_TLS_END
    int ws_tls_find(const char *)
    int ws_tls_read(void *, void *, int)
    int ws_tls_write(void *, const void *, int)
    int ws_tls_error(const void *, int)
    const char *ws_tls_version(const void *)
    void ws_tls_put(void *, const void *, int)
    int ws_tls_take(void *, void *, int)
    int ws_tls_has_buffers(const void *)
    const char *ws_tls_reason()

cdef extern from *:
    """
    static inline uint64_t ws_sum_low(const ws_histogram *h) { return (uint64_t)h->sum; }
    static inline uint64_t ws_sum_high(const ws_histogram *h) { return (uint64_t)(h->sum >> 64); }
    """
    uint64_t ws_sum_low(const ws_histogram *) nogil
    uint64_t ws_sum_high(const ws_histogram *) nogil

cdef extern from "batch.h" nogil:
    enum: WS_NO_ID, WS_LARGEST_HEAD, WS_FOUND, WS_NONE, WS_ASK, WS_UNAWAITED, WS_BY_ORDER
    enum: WS_REPLY, WS_STRAY, WS_LATE_REPLY, WS_DUPLICATE_REPLY, WS_GREETING, WS_UNKNOWN, WS_DUPLICATE, WS_LATE
    ctypedef struct ws_step:
        const uint8_t *name
        size_t size
        uint64_t place
    ctypedef struct ws_path:
        ws_step *steps
        unsigned count
        unsigned names
    ctypedef struct ws_value:
        const uint8_t *text
        size_t size
    ctypedef struct ws_check:
        int kind
        int is_any
        ws_path path
        const uint8_t *text
        size_t size
    ctypedef struct ws_awaited:
        int64_t due
        int64_t sent
        uint64_t number
        uint32_t size
    ctypedef struct ws_awaiting:
        ws_awaited *all
    ctypedef struct ws_session_ids:
        uint32_t oldest
        uint64_t sent
        int64_t latest_answered
    ctypedef struct ws_fates:
        pass
    ctypedef struct ws_match:
        int64_t due
        int64_t sent
        int out_of_order
    ctypedef struct ws_rules:
        int by
        int pongs
        ws_path in_message
        ws_path in_reply
        uint8_t *pong
        size_t pong_size
        ws_check *ignore
        ws_check *expect
        unsigned ignored
        unsigned expected
        ws_check *until
        ws_check *first
        unsigned untils
        unsigned firsts
        uint64_t *failed
        ws_awaiting awaiting
        ws_fates fates
        int (*ask)(void *, int, unsigned, const uint8_t *, size_t, ws_value *) noexcept nogil
        void *loop
    ctypedef struct ws_part:
        uint8_t *text
        size_t size
        int hole
        int64_t low
        uint64_t span
    ctypedef struct ws_template:
        ws_part *parts
        unsigned count
        unsigned of_feed
        size_t largest
    enum: WS_HOLE_FEED, WS_ROWS_IN_TURN, WS_ROWS_RANDOM, WS_RECENT_ROWS
    ctypedef struct ws_rows:
        int order
        uint32_t values
        uint64_t taken
        uint32_t recent[1024]
        int (*more)(void *) noexcept nogil
        void *loop
    ctypedef struct ws_source:
        ws_template *templates
        unsigned count
        uint32_t *order
        uint32_t turns
        uint64_t shard
        uint64_t shards
        uint64_t random[4]
        uint8_t first
        uint32_t mask
        ws_rows rows
    ctypedef struct ws_batch:
        uint8_t *data
        size_t size
    int ws_find(const ws_path *, const uint8_t *, size_t, ws_value *)
    void ws_path_free(ws_path *)
    uint64_t ws_id_hash(const uint8_t *, size_t, uint64_t)
    const uint8_t *ws_awaited_id(const ws_awaited *)
    void ws_awaiting_remove(ws_awaiting *, ws_session_ids *, ws_awaited *)
    void ws_fates_note(ws_fates *, uint64_t, uint32_t)
    uint32_t ws_fates_classify(ws_fates *, uint64_t)
    int ws_fates_know(ws_fates *, uint64_t)
    int ws_is_pong(const ws_rules *, const uint8_t *, size_t)
    int ws_judge(ws_rules *, ws_session_ids *, uint32_t, uint64_t, int, const uint8_t *, size_t, uint32_t *, ws_match *)
    void ws_check_reply(const ws_rules *, const uint8_t *, size_t)
    void ws_rules_free(ws_rules *)
    size_t ws_hole_bytes(const ws_part *)
    size_t ws_render(ws_source *, uint8_t *, uint64_t)
    bint ws_rows_used_up(const ws_rows *)
    int ws_rows_add(ws_rows *, const uint8_t *, const uint64_t *, uint32_t)
    void ws_source_fit(ws_source *)
    void ws_source_free(ws_source *)
    int ws_batch_fit(ws_batch *, const ws_source *)
    void ws_batch_free(ws_batch *)
    uint32_t ws_make(ws_batch *, ws_source *, const ws_rules *, uint64_t, uint32_t)
    void ws_batch_left(const ws_batch *, ws_rules *, ws_session_ids *, uint32_t, uint64_t, int64_t, int64_t)

cdef extern from "session.h" nogil:
    ctypedef struct ws_flight:
        int64_t due
        int64_t sent
        uint32_t count
    ctypedef struct ws_out:
        uint8_t *data
        size_t at
        size_t end
    ctypedef struct ws_session:
        int fd
        uint8_t events
        bint gone
        bint odd
        bint stamped
        bint stopped
        bint leaves
        bint pinged
        bint ping_waits
        uint8_t ping_size
        int error
        uint32_t connection
        uint32_t order
        uint32_t in_flight
        uint32_t greetings
        ws_session_ids ids
        uint32_t ring_length
        uint32_t starved
        uint32_t backlog_length
        int64_t blocked_since
        int64_t pong_at
        uint8_t pong[8]
        void *tls
        bint tls_ended
        bint asleep
        const char *tls_failure
        ws_stream stream
        ws_out *out
        uint8_t *rest
        size_t rest_size
    void ws_session_init(ws_session *)
    void ws_session_free(ws_session *)
    void *ws_more_room(void *, size_t, size_t)
    void ws_free_room(void *, size_t)
    ws_flight *ws_flight_at(const ws_session *, uint32_t)
    void ws_launch(ws_session *, int64_t, int64_t, uint32_t)
    ws_flight ws_land(ws_session *, uint32_t)
    int64_t ws_waiting_at(const ws_session *, uint32_t)
    void ws_keep_due(ws_session *, int64_t)
    int64_t ws_next_waiting(ws_session *)
    bint ws_append(ws_out **, const uint8_t *, size_t)
    void ws_clear_out(ws_out **)
    uint8_t *ws_rest(const ws_session *)
    void ws_keep_odd(ws_session *, const uint8_t *, size_t)
    void ws_keep_rest(ws_session *, const uint8_t *, size_t)
    int ws_keep_ping(ws_session *, const uint8_t *, unsigned)

cdef extern from "streams.h" nogil:
    enum: WS_PART, WS_STREAM_TIMES
    ctypedef struct ws_answer:
        int64_t due
        int64_t sent
        int64_t last
        uint64_t size
        uint64_t messages
        uint32_t has_begun
    ctypedef struct ws_stream_counts:
        uint64_t streamed
        uint64_t broken_off
        uint64_t stalls
        uint64_t came_together
        uint64_t without_first
        uint64_t without_count
    ctypedef struct ws_streams:
        int64_t stall
        int reads_count
        ws_path count
        ws_stream_counts counts
        ws_histogram *times
    void ws_streams_free(ws_streams *)
    ws_answer ws_take_answer(ws_streams *, uint32_t)
    int ws_judge_part(
        ws_rules *, ws_streams *, ws_session *, uint32_t, const uint8_t *, size_t, int64_t, int64_t, ws_match *)
    void ws_end_read(ws_streams *, uint32_t)
    int ws_expired_answer(ws_rules *, ws_streams *, ws_session_ids *, int64_t, int64_t, ws_match *)

cdef extern from "deliveries.h" nogil:
    enum: WS_MARKER_HEAD
    ctypedef struct ws_delivery:
        int64_t publisher
        int64_t number
        int64_t due
        int64_t lag
    ctypedef struct ws_deliveries:
        bint has_begun
        uint8_t *head
        ws_delivery *rows
        size_t count
        int64_t *starts
        size_t turns
        bint turn_is_open
        uint64_t foreign
    int ws_judge_delivery(const ws_rules *, ws_deliveries *, ws_session *, const uint8_t *, size_t, int64_t)
    unsigned ws_find_deliveries(ws_deliveries *, uint64_t, const uint8_t *, size_t, int64_t)
    int ws_has_foreign(const ws_deliveries *, const uint8_t *, size_t)
    void ws_deliveries_free(ws_deliveries *)

cdef extern from "clocks.h" nogil:
    ctypedef struct ws_clocks:
        pass
    void ws_compare_clocks(ws_clocks *)
    int64_t ws_received_at(const ws_clocks *, int64_t, int64_t)

cdef extern from "kernel.h" nogil:
    enum: WS_READY, WS_BUFFER, WS_BUFFER_BYTES
    uint64_t WS_TIMER
    ctypedef struct ws_backend:
        int ep
        int timer
    ctypedef struct ws_uring:
        pass
    ctypedef struct ws_leaving:
        uint32_t slot
        uint32_t count
        int result
        int64_t due
        int64_t sent
        const uint8_t *data
        size_t size
    ctypedef struct ws_kernel:
        ws_backend epoll
        ws_uring *uring
        ws_leaving *leaving
        uint32_t n_leaving
    int ws_kernel_open(ws_kernel *, bint)
    void ws_kernel_close(ws_kernel *)
    int ws_kernel_fd(const ws_kernel *)
    int ws_kernel_watch(ws_kernel *, int, uint32_t, bint)
    void ws_kernel_watch_again(ws_kernel *, int, uint32_t)
    void ws_kernel_unwatch(ws_kernel *, int, uint32_t)
    int ws_kernel_reap(ws_kernel *, uint32_t, bint, uint8_t *)
    void ws_kernel_begin(ws_kernel *)
    void ws_kernel_recall(ws_kernel *)
    void ws_kernel_end(ws_kernel *)
    bint ws_kernel_wait(ws_kernel *, int, int64_t)
    int ws_kernel_poll(ws_kernel *)
    uint64_t ws_kernel_slot(const ws_kernel *, int)
    bint ws_kernel_may_read(const ws_kernel *, int)
    bint ws_kernel_may_write(const ws_kernel *, int)
    bint ws_kernel_ends(const ws_kernel *, int)
    ssize_t ws_kernel_receive(ws_kernel *, int, int, bint, uint8_t **, int64_t *, int64_t *)
    void ws_kernel_done(ws_kernel *, int)
    void ws_kernel_end_turn(ws_kernel *)
    void ws_kernel_await_room(ws_kernel *, uint32_t)
    void ws_kernel_arm(ws_kernel *, int64_t)
    void ws_kernel_take_timer(ws_kernel *)
    bint ws_kernel_may_join(const ws_kernel *, size_t, bint)
    bint ws_kernel_join(ws_kernel *, uint32_t, int, const uint8_t *, size_t, bint, int64_t, uint32_t)
    void ws_kernel_send(ws_kernel *)
    bint ws_stamp(int)
    ssize_t ws_send(int, const void *, size_t)
    const char *ws_uring_probe()
