/* What the compiled loop keeps of a session: messages in flight, messages that wait for room, bytes that wait for the
 * kernel. Plain C without Python, as `wire.h`.
 *
 * All three grow by doubling, and none shrinks while the session is lent. Where there is no memory, nothing is noted.
 */
#ifndef WS_LOAD_TEST_SESSION_H
#define WS_LOAD_TEST_SESSION_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mremap */
#endif

#include <sys/mman.h>
#include <unistd.h>

#include "ids.h"
#include "wire.h"

enum {
    WS_FIRST_RING = 1,     /* entries in flight of a session at first: an idle one has sent one message at a time */
    WS_FIRST_BACKLOG = 16, /* messages of a session that wait for room, at first */
    WS_FIRST_OUT = 4096,   /* bytes of a session that wait for the kernel, at first */
};

/* Messages that left together: when they were due, and sent. */
typedef struct {
    int64_t due;
    int64_t sent;
    uint32_t count;
} ws_flight;

/* Bytes that the kernel has not taken: those from `at` to `end`. */
typedef struct {
    uint8_t *data;
    size_t at, end, capacity;
} ws_out;

/* Rare things are pointers, and truths are bits: thousands of sessions are idle, and each takes 240 bytes then. */
typedef struct {
    int fd;          /* -1: the slot is free */
    uint8_t events;  /* bits that wait to be fetched */
    uint8_t ping_size;
    unsigned gone : 1;       /* nothing more is read: it is about to go back */
    unsigned odd : 1;        /* because of a frame */
    unsigned stamped : 1;    /* the kernel says when it received what is read */
    unsigned stopped : 1;    /* nothing more of the load leaves */
    unsigned leaves : 1;     /* messages of it are to leave together with others */
    unsigned pinged : 1;     /* the pong to a ping of our own is to be timed */
    unsigned ping_waits : 1; /* the latest ping is answered once all that waits has left */
    unsigned tls_ended : 1;  /* the target has ended TLS, though perhaps not TCP */
    unsigned asleep : 1;     /* Python has no object for it, and the descriptor is the loop's to close */
    int error;               /* errno of the read or write that failed */
    uint32_t connection;     /* its number within the run */
    uint32_t order;          /* of one that is asleep: sessions that have opened before it */
    uint32_t in_flight;
    uint32_t greetings; /* messages to come at the beginning that answer nothing */
    uint32_t ring_head, ring_length, ring_capacity;
    uint32_t starved; /* messages that would have left, had there been any */
    uint32_t backlog_head, backlog_length, backlog_capacity;
    ws_flight *ring;
    int64_t *backlog; /* due instants of messages that wait for room in flight */
    ws_session_ids ids; /* of the messages in flight, where replies are matched by ids; the ring is empty then */
    ws_stream stream;
    void *tls;               /* SSL of OpenSSL; NULL without TLS */
    const char *tls_failure; /* words of OpenSSL for what broke TLS */
    int64_t blocked_since;
    int64_t pong_at;
    uint8_t pong[8]; /* payload of that ping */
    ws_out *out;     /* never NULL */
    uint8_t *rest;   /* what was read behind the frame that is odd, or a ping that waits */
    size_t rest_size;
} ws_session;

/* Stands for the bytes of a session of which none wait; never written to. */
static ws_out ws_nothing_waits;

/* Forgets the bytes that waited, which have left. */
static inline void ws_clear_out(ws_out **out) {
    if (*out == &ws_nothing_waits) return;
    free((*out)->data);
    free(*out);
    *out = &ws_nothing_waits;
}

/* Makes a slot a session without a socket. */
static inline void ws_session_init(ws_session *s) {
    memset(s, 0, sizeof *s);
    s->fd = -1;
    s->out = &ws_nothing_waits;
    ws_session_ids_init(&s->ids);
    ws_stream_init(&s->stream);
}

/* Frees what a session holds, and its slot; the socket is the caller's unless the session is asleep. */
static inline void ws_session_free(ws_session *s) {
    if (s->asleep) close(s->fd);
    free(s->ring);
    free(s->backlog);
    ws_clear_out(&s->out);
    free(s->rest);
    ws_stream_free(&s->stream);
    s->fd = -1;
    s->ring = NULL;
    s->backlog = NULL;
    s->rest = NULL;
}

/* Returns room for `to` bytes in place of `from`, which is 0 without any. Pages that were not used take no memory, and
 * those that were are not copied: with `realloc` a third of all memory was holes that copies had left. NULL: no memory. */
static inline void *ws_more_room(void *memory, size_t from, size_t to) {
    void *grown = from ? mremap(memory, from, to, MREMAP_MAYMOVE)
                       : mmap(NULL, to, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return grown == MAP_FAILED ? NULL : grown;
}

static inline void ws_free_room(void *memory, size_t size) {
    if (memory) munmap(memory, size);
}

/* --- Messages in flight --------------------------------------------------------------------------------------------- */

/* Returns the `place`th entry in flight, 0 for the oldest. */
static inline ws_flight *ws_flight_at(const ws_session *s, uint32_t place) {
    return &s->ring[(s->ring_head + place) & (s->ring_capacity - 1)];
}

/* Doubles the room for messages in flight. Returns 0 if there is no memory. */
static __attribute__((noinline)) int ws_grow_ring(ws_session *s) {
    uint32_t capacity = s->ring_capacity ? 2 * s->ring_capacity : WS_FIRST_RING;
    ws_flight *grown = malloc(capacity * sizeof *grown);
    if (!grown) return 0;
    uint32_t first = s->ring_capacity - s->ring_head;
    if (s->ring_length) {
        memcpy(grown, s->ring + s->ring_head, first * sizeof *grown);
        memcpy(grown + first, s->ring, s->ring_head * sizeof *grown);
    }
    free(s->ring);
    s->ring = grown;
    s->ring_capacity = capacity;
    s->ring_head = 0;
    return 1;
}

/* Notes messages as in flight. */
static inline void ws_launch(ws_session *s, int64_t due, int64_t sent, uint32_t count) {
    if (s->ring_length == s->ring_capacity && !ws_grow_ring(s)) return;
    *ws_flight_at(s, s->ring_length) = (ws_flight){due, sent, count};
    s->ring_length++;
    s->in_flight += count;
}

/* Takes the oldest messages in flight that left together, `most` at most; there must be one. */
static inline ws_flight ws_land(ws_session *s, uint32_t most) {
    ws_flight *oldest = &s->ring[s->ring_head], landed = *oldest;
    if (landed.count <= most) {
        s->ring_head = (s->ring_head + 1) & (s->ring_capacity - 1);
        s->ring_length--;
    } else {
        landed.count = most;
        oldest->count -= most;
    }
    s->in_flight -= landed.count;
    return landed;
}

/* --- Messages that wait for room in flight -------------------------------------------------------------------------- */

/* Returns the due instant of the `place`th message that waits, 0 for the oldest. */
static inline int64_t ws_waiting_at(const ws_session *s, uint32_t place) {
    return s->backlog[(s->backlog_head + place) & (s->backlog_capacity - 1)];
}

/* Notes a message that waits for room. */
static inline void ws_keep_due(ws_session *s, int64_t due) {
    if (s->backlog_length == s->backlog_capacity) {
        uint32_t capacity = s->backlog_capacity ? 2 * s->backlog_capacity : WS_FIRST_BACKLOG;
        int64_t *grown = malloc(capacity * sizeof *grown);
        if (!grown) return;
        for (uint32_t i = 0; i < s->backlog_length; i++) grown[i] = ws_waiting_at(s, i);
        free(s->backlog);
        s->backlog = grown;
        s->backlog_capacity = capacity;
        s->backlog_head = 0;
    }
    s->backlog[(s->backlog_head + s->backlog_length) & (s->backlog_capacity - 1)] = due;
    s->backlog_length++;
}

/* Takes the oldest message that waits; returns when it was due. There must be one. */
static inline int64_t ws_next_waiting(ws_session *s) {
    int64_t due = ws_waiting_at(s, 0);
    s->backlog_head = (s->backlog_head + 1) & (s->backlog_capacity - 1);
    s->backlog_length--;
    return due;
}

/* --- Bytes ---------------------------------------------------------------------------------------------------------- */

/* Keeps bytes behind those that wait. Returns 0 if there is no memory. */
static inline int ws_append(ws_out **place, const uint8_t *data, size_t size) {
    ws_out *out = *place;
    if (out == &ws_nothing_waits) {
        out = calloc(1, sizeof *out);
        if (!out) return 0;
        *place = out;
    }
    if (out->at > out->capacity / 2) {
        /* A target that is always a little behind must not make it grow for ever. */
        memmove(out->data, out->data + out->at, out->end - out->at);
        out->end -= out->at;
        out->at = 0;
    }
    size_t capacity = out->capacity;
    while (out->end + size > capacity) capacity = capacity ? 2 * capacity : WS_FIRST_OUT;
    if (capacity != out->capacity) {
        uint8_t *grown = realloc(out->data, capacity);
        if (!grown) return 0;
        out->data = grown;
        out->capacity = capacity;
    }
    memcpy(out->data + out->end, data, size);
    out->end += size;
    return 1;
}

/* Returns the bytes that Python is to read: behind the ping that waits, if one does. */
static inline uint8_t *ws_rest(const ws_session *s) { return s->rest + (s->ping_waits ? WS_LARGEST_CONTROL : 0); }

/* Keeps bytes that Python is to read. */
static inline void ws_keep_rest(ws_session *s, const uint8_t *data, size_t size) {
    uint8_t *grown = realloc(s->rest, WS_LARGEST_CONTROL + s->rest_size + size);
    if (!grown) return;
    s->rest = grown;
    memcpy(ws_rest(s) + s->rest_size, data, size);
    s->rest_size += size;
}

/* Keeps what follows the head of a frame that is odd, and what was read behind it, for Python to read. */
static inline void ws_keep_odd(ws_session *s, const uint8_t *data, size_t size) {
    if (s->stream.seen) {
        s->stream.kept_size -= (size_t)s->stream.seen;
        ws_keep_rest(s, s->stream.kept + s->stream.kept_size, (size_t)s->stream.seen);
    }
    ws_keep_rest(s, data, size);
}

/* Keeps a ping, in place of one before, until it can be answered; returns 0 if there is no memory. */
static inline int ws_keep_ping(ws_session *s, const uint8_t *payload, unsigned size) {
    uint8_t *grown = realloc(s->rest, WS_LARGEST_CONTROL);
    s->ping_waits = grown != NULL;
    if (!grown) return 0;
    s->rest = grown;
    if (size) memcpy(s->rest, payload, size);
    s->ping_size = (uint8_t)size;
    return 1;
}

#endif
