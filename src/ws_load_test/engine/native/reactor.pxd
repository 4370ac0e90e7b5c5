"""Declarations of the C that the compiled loop uses: `wire.h` and `tls.h` beside it, and Linux."""

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
    enum: WS_SLOTS, WS_PING, WS_PONG, WS_CLOSE
    int64_t ws_now_ns()
    int64_t ws_clock_offset_ns()
    int ws_stamp(int)
    ssize_t ws_receive(int, void *, size_t, int64_t *)
    uint32_t ws_bucket(int64_t)
    void ws_record(ws_histogram *, int64_t, uint32_t)
    void ws_clear(ws_histogram *)
    void ws_stream_init(ws_stream *)
    void ws_stream_free(ws_stream *)
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

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    enum: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLL_CLOEXEC
    uint32_t EPOLLET
    int epoll_create1(int)
    int epoll_ctl(int, int, int, epoll_event *)
    int epoll_wait(int, epoll_event *, int, int)

cdef extern from "sys/socket.h" nogil:
    enum: MSG_DONTWAIT, MSG_NOSIGNAL
    ssize_t recv(int, void *, size_t, int)
    ssize_t send(int, const void *, size_t, int)

cdef extern from "sys/timerfd.h" nogil:
    struct timespec:
        int64_t tv_sec
        long tv_nsec
    struct itimerspec:
        timespec it_interval
        timespec it_value
    enum: TFD_NONBLOCK, TFD_CLOEXEC, TFD_TIMER_ABSTIME
    int timerfd_create(int, int)
    int timerfd_settime(int, int, const itimerspec *, itimerspec *)

cdef extern from "poll.h" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    enum: POLLIN
    int ppoll(pollfd *, unsigned long, const timespec *, const void *)

cdef extern from "unistd.h" nogil:
    int close(int)
    ssize_t read(int, void *, size_t)

cdef extern from "time.h" nogil:
    enum: CLOCK_MONOTONIC
