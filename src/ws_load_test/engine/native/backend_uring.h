/* The kernel's side of the compiled loop, by io_uring: each socket has one request that receives until it is given up.
 *
 * What `backend_epoll.h` says by readiness comes here with the bytes: a completion is a session's slot, a result and a
 * buffer, which the loop gives back once it has looked at it. What it sends together is requests that are made by one
 * call and complete within it, since none of them waits. `kernel.h` has both backends behind the same functions.
 */
#ifndef WS_LOAD_TEST_BACKEND_URING_H
#define WS_LOAD_TEST_BACKEND_URING_H

#include "backend_epoll.h"
#include "ring.h"

enum {
    WS_TOGETHER = 32,       /* messages that leave by one call: more would make their instants less true than some 25 us */
    WS_FEW = 4,             /* messages below which a call for each is as cheap */
    WS_KEPT_BYTES = 2048,   /* of a message that differs from the others, while it waits for those that leave with it */
    WS_A_CALL = 20,         /* completions that the kernel takes up in one call, if it is not to wait for more */
};
/* Kinds of requests: the upper byte of what comes back with their completions, above 24 bits of the loan's number. */
enum { WS_RECEIVES = 1, WS_AWAITS_ROOM, WS_SENDS, WS_AWAITS_TIMER, WS_CANCELS };

static inline uint64_t ws_request_of(int kind, uint32_t loan, uint32_t slot) {
    return (uint64_t)kind << 56 | (uint64_t)loan << 32 | slot;
}

/* A message that leaves together with others, until it has left. */
typedef struct {
    uint32_t slot, count; /* frames in it */
    int fd;
    int result; /* bytes that the kernel took, or a negative errno */
    int64_t due, sent;
    const uint8_t *data;
    size_t size;
} ws_leaving;

/* What the kernel has of a slot. */
typedef struct {
    int fd;             /* -1: it is not lent */
    unsigned loan : 24; /* counts the loans of the slot: completions of an earlier one are none of this one */
    unsigned receives : 1, awaits_room : 1, stamped : 1, ended : 1;
} ws_watched;

typedef struct {
    ws_ring ring;
    int timer;
    ws_watched *watched;
    uint32_t capacity; /* a power of 2 */
    uint32_t *wanting; /* slots that found no buffer, in a ring of `capacity` */
    uint32_t wanting_at, wanting_end;
    ws_cqe ready[WS_READY];
    int64_t ready_at; /* instant at which these had been taken up */
    ws_cqe *held;     /* completions that came while others were waited for, oldest first */
    uint32_t held_at, held_end, held_room;
    struct msghdr stamped; /* where the kernel's instants go, in each buffer */
    uint8_t kept[WS_TOGETHER][WS_KEPT_BYTES];
} ws_uring;

static inline void ws_uring_close(ws_uring *u) {
    ws_ring_close(&u->ring);
    if (u->timer >= 0) close(u->timer);
    free(u->watched);
    free(u->wanting);
    free(u->held);
    free(u);
}

/* Has the timer, and everything else that is to be known once, watched from here on. */
static inline void ws_uring_watch_timer(ws_uring *u) {
    ws_sqe *request = ws_ring_request(&u->ring, WS_OP_POLL, u->timer, ws_request_of(WS_AWAITS_TIMER, 0, 0));
    if (!request) return;
    request->op_flags = POLLIN;
    request->size = WS_POLL_MULTISHOT;
}

/* Returns NULL with errno, and the call that failed in `*refused`. */
static inline ws_uring *ws_uring_open(const char **refused) {
    ws_uring *u = calloc(1, sizeof *u);
    *refused = "malloc";
    if (!u) return NULL;
    u->ring.fd = u->ring.call = -1;
    u->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    u->stamped.msg_controllen = CMSG_SPACE(sizeof(struct timespec));
    if (!ws_ring_open(&u->ring) && u->timer >= 0) {
        ws_uring_watch_timer(u);
        u->ring.refused = "io_uring_enter";
        if (ws_ring_submit(&u->ring)) return u;
    }
    int error = errno;
    *refused = u->ring.refused;
    ws_uring_close(u);
    errno = error;
    return NULL;
}

/* --- What has completed ---------------------------------------------------------------------------------------------- */

/* Receives from a socket until it is given up, or the stream ends. Returns 0 if there is no memory. */
static inline int ws_uring_receive_on(ws_uring *u, uint32_t slot) {
    ws_watched *w = &u->watched[slot];
    uint8_t op = w->stamped ? WS_OP_RECVMSG : WS_OP_RECV;
    ws_sqe *request = ws_ring_request(&u->ring, op, w->fd, ws_request_of(WS_RECEIVES, w->loan, slot));
    if (!request) return 0;
    request->flags = WS_SQE_BUFFER_SELECT;
    request->priority = WS_RECV_MULTISHOT;
    if (w->stamped) request->address = (uint64_t)(uintptr_t)&u->stamped, request->size = 1;
    w->receives = 1;
    return 1;
}

/* The head of what recvmsg has put into a buffer; behind it are the control data, and then the bytes. */
typedef struct { uint32_t name, control, payload, flags; } ws_received_head;
enum { WS_STAMP_BYTES = CMSG_SPACE(sizeof(struct timespec)) };

/* Returns the bytes of a completion: their number, which is 0 at the end of the stream, or a negative errno. */
static inline int ws_uring_bytes(const ws_uring *u, const ws_cqe *c, int stamped, uint8_t **data, int64_t *stamp) {
    *data = NULL;
    *stamp = 0;
    if (c->result <= 0 || !ws_has_buffer(c)) return c->result < 0 ? c->result : 0;
    *data = ws_ring_bytes(&u->ring, c);
    if (!stamped) return c->result;
    ws_received_head head;
    struct cmsghdr control;
    struct timespec t;
    memcpy(&head, *data, sizeof head);
    memcpy(&control, *data + sizeof head, sizeof control);
    if (head.control >= sizeof control && control.cmsg_level == SOL_SOCKET && control.cmsg_type == SCM_TIMESTAMPNS) {
        memcpy(&t, *data + sizeof head + CMSG_LEN(0), sizeof t);
        *stamp = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    *data += sizeof head + WS_STAMP_BYTES;
    return c->result - (int)(sizeof head + WS_STAMP_BYTES);
}

static inline ws_watched *ws_uring_watched(ws_uring *u, const ws_cqe *c) {
    uint32_t slot = (uint32_t)c->data;
    ws_watched *w = slot < u->capacity ? &u->watched[slot] : NULL;
    return w && w->fd >= 0 && w->loan == (c->data >> 32 & 0xFFFFFF) ? w : NULL;
}

/* Notes that a slot found no buffer. */
static inline void ws_uring_want(ws_uring *u, uint32_t slot) {
    if (u->wanting_end - u->wanting_at < u->capacity) u->wanting[u->wanting_end++ & (u->capacity - 1)] = slot;
    else ws_uring_receive_on(u, slot);
}

/* Has slots receive again that found no buffer: no more than have got theirs back since, as the others would ask in vain.
 * Kernels before 6.13 receive for all sessions at once, so that of 10,000 each would ask ten times for one that gets some. */
static inline void ws_uring_receive_again(ws_uring *u) {
    for (uint32_t i = 0; i < WS_READY && u->wanting_at != u->wanting_end; i++) {
        uint32_t slot = u->wanting[u->wanting_at++ & (u->capacity - 1)];
        if (u->watched[slot].fd >= 0 && !u->watched[slot].receives && !u->watched[slot].ended) ws_uring_receive_on(u, slot);
    }
}

/* Looks at a completion. Returns 1 if the loop is to look at it, too; else it has been done with. */
static inline int ws_uring_sort(ws_uring *u, const ws_cqe *c) {
    int kind = (int)(c->data >> 56), more = (c->flags & WS_CQE_MORE) != 0;
    if (kind == WS_AWAITS_TIMER) {
        if (!more) ws_uring_watch_timer(u);
        return 1;
    }
    ws_watched *w = ws_uring_watched(u, c);
    if (!w || (kind != WS_RECEIVES && kind != WS_AWAITS_ROOM)) {
        ws_ring_give_back(&u->ring, c);
        return 0;
    }
    if (kind == WS_AWAITS_ROOM) {
        w->awaits_room = 0;
        return 1;
    }
    uint8_t *data;
    int64_t stamp;
    int got = ws_uring_bytes(u, c, w->stamped, &data, &stamp);
    int in_vain = got == -ENOBUFS || got == -EINTR || got == -EAGAIN || got == -ECANCELED;
    if (!more) {
        w->receives = 0;
        if (got == -ENOBUFS) ws_uring_want(u, (uint32_t)c->data);
        else if ((got > 0 || in_vain) && got != -ECANCELED) ws_uring_receive_on(u, (uint32_t)c->data);
    }
    return !in_vain;
}

/* Keeps a completion until it is asked for. Returns 0 if there is no memory. */
static inline int ws_uring_hold(ws_uring *u, const ws_cqe *c) {
    if (u->held_at == u->held_end) u->held_at = u->held_end = 0;
    if (u->held_end == u->held_room) {
        uint32_t room = u->held_room ? 2 * u->held_room : 256;
        ws_cqe *grown = realloc(u->held, room * sizeof *grown);
        if (!grown) return 0;
        u->held = grown;
        u->held_room = room;
    }
    u->held[u->held_end++] = *c;
    return 1;
}

/* Puts what is in the ring behind the `*n` completions that are ready. Returns how many were in it. */
static inline int ws_uring_take(ws_uring *u, int *n) {
    int taken = 0;
    ws_cqe c;
    for (; *n < WS_READY && ws_ring_take(&u->ring, &c); taken++) {
        u->ready[*n] = c;
        *n += ws_uring_sort(u, &c);
    }
    return taken;
}

/* Takes up what has completed, `WS_READY` of them at most, without waiting. Returns how many are ready. Waiting for 16 or 32,
 * 20 or 50 us at most, did not make a round trip cheaper. */
static inline int ws_uring_poll(ws_uring *u) {
    int n = 0;
    ws_uring_receive_again(u);
    while (n < WS_READY && u->held_at < u->held_end) {
        u->ready[n] = u->held[u->held_at++];
        n += ws_uring_sort(u, &u->ready[n]);
    }
    ws_uring_take(u, &n);
    while (n < WS_READY) {
        ws_ring_enter(&u->ring, 0, 1);
        if (ws_uring_take(u, &n) < WS_A_CALL) break;
    }
    u->ready_at = ws_now_ns();
    return n;
}

/* --- Loans ------------------------------------------------------------------------------------------------------------ */

/* Receives from a socket from now on. Returns 0, or -1 with errno. */
static inline int ws_uring_watch(ws_uring *u, int fd, uint32_t slot, int stamped) {
    if (slot >= u->capacity) {
        uint32_t capacity = u->capacity ? u->capacity : 64;
        while (capacity <= slot) capacity *= 2;
        ws_watched *grown = realloc(u->watched, capacity * sizeof *grown);
        if (!grown) return -1;
        u->watched = grown;
        uint32_t *wanting = malloc(capacity * sizeof *wanting);
        if (!wanting) return -1;
        for (uint32_t i = u->wanting_at; i != u->wanting_end; i++) wanting[i & (capacity - 1)] = u->wanting[i & (u->capacity - 1)];
        free(u->wanting);
        u->wanting = wanting;
        memset(grown + u->capacity, 0, (capacity - u->capacity) * sizeof *grown);
        for (uint32_t i = u->capacity; i < capacity; i++) grown[i].fd = -1;
        u->capacity = capacity;
    }
    ws_watched *w = &u->watched[slot];
    *w = (ws_watched){.loan = (w->loan + 1) & 0xFFFFFF, .fd = fd, .stamped = stamped != 0};
    if (ws_uring_receive_on(u, slot) && ws_ring_submit(&u->ring)) return 0;
    w->fd = -1;
    return -1;
}

static inline void ws_uring_cancel(ws_uring *u, uint64_t request) {
    ws_sqe *cancel = ws_ring_request(&u->ring, WS_OP_CANCEL, -1, ws_request_of(WS_CANCELS, 0, 0));
    if (cancel) cancel->address = request;
}

/* Ends all requests of a slot, and waits until they have ended. What had come until then is held (`ws_uring_reap`). */
static inline void ws_uring_end(ws_uring *u, uint32_t slot) {
    ws_watched *w = &u->watched[slot];
    int64_t until = ws_now_ns() + WS_LONGEST_WAIT_NS;
    if (w->receives) ws_uring_cancel(u, ws_request_of(WS_RECEIVES, w->loan, slot));
    if (w->awaits_room) ws_uring_cancel(u, ws_request_of(WS_AWAITS_ROOM, w->loan, slot));
    if (u->held_at == u->held_end) u->held_at = u->held_end = 0;
    w->ended = 1;
    for (uint32_t seen = u->held_at;;) {
        ws_cqe c;
        while (ws_ring_take(&u->ring, &c) && ws_uring_hold(u, &c)) continue;
        for (; seen < u->held_end; seen++) {
            if (ws_uring_watched(u, &u->held[seen]) != w || u->held[seen].flags & WS_CQE_MORE) continue;
            if (u->held[seen].data >> 56 == WS_RECEIVES) w->receives = 0;
            else w->awaits_room = 0;
        }
        if ((!w->receives && !w->awaits_room) || ws_now_ns() > until) return;
        if (ws_ring_enter(&u->ring, 1, 1) < 0 && errno != EINTR && errno != ETIME && errno != EBUSY) return;
    }
}

/* Takes what has come for a slot and was not looked at, one completion after the other, once its requests have ended.
 * Returns 0 if that was all. The buffer is to be given back. */
static inline int ws_uring_reap(ws_uring *u, uint32_t slot, ws_cqe *completion) {
    ws_watched *w = &u->watched[slot];
    for (uint32_t i = u->held_at; i < u->held_end; i++) {
        ws_cqe *c = &u->held[i];
        if (ws_uring_watched(u, c) != w || c->data >> 56 != WS_RECEIVES) continue;
        *completion = *c;
        /* None of a loan: it is passed over. */
        *c = (ws_cqe){.data = ws_request_of(WS_CANCELS, 0, 0)};
        if (completion->result >= 0 || completion->result == -ECONNRESET) return 1;
        ws_ring_give_back(&u->ring, completion);
    }
    w->fd = -1;
    return 0;
}

/* Has it said, once, when the kernel has room for what a socket sends. */
static inline void ws_uring_await_room(ws_uring *u, uint32_t slot) {
    ws_watched *w = &u->watched[slot];
    if (w->awaits_room || w->ended) return;
    ws_sqe *request = ws_ring_request(&u->ring, WS_OP_POLL, w->fd, ws_request_of(WS_AWAITS_ROOM, w->loan, slot));
    if (!request) return;
    request->op_flags = POLLOUT;
    w->awaits_room = 1;
    ws_ring_submit(&u->ring);
}

/* --- Sending together ------------------------------------------------------------------------------------------------- */

static inline void ws_send_singly(ws_leaving *all, uint32_t from, uint32_t n) {
    for (uint32_t i = from; i < n; i++) {
        all[i].sent = ws_now_ns();
        ssize_t taken = ws_send(all[i].fd, all[i].data, all[i].size);
        all[i].result = taken < 0 ? -errno : (int)taken;
    }
}

/* Takes the results of what was sent; holds all else that has completed. Returns how many there were. */
static inline uint32_t ws_uring_sent(ws_uring *u, ws_leaving *all, uint32_t n) {
    uint32_t found = 0;
    ws_cqe c;
    while (ws_ring_take(&u->ring, &c)) {
        if (c.data >> 56 != WS_SENDS) ws_uring_hold(u, &c);
        else if ((uint32_t)c.data < n) all[(uint32_t)c.data].result = c.result, found++;
    }
    return found;
}

/* Sends messages of as many sessions, `WS_TOGETHER` at most. Their instants are spread evenly over the time that it took:
 * measured against the packets, they are too early by 2.7 us (p50), 25 us (p99). */
static inline void ws_uring_send(ws_uring *u, ws_leaving *all, uint32_t n) {
    if (n < WS_FEW || !ws_ring_submit(&u->ring)) {
        ws_send_singly(all, 0, n);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        ws_sqe *request = ws_ring_request(&u->ring, WS_OP_SEND, all[i].fd, ws_request_of(WS_SENDS, 0, i));
        request->address = (uint64_t)(uintptr_t)all[i].data;
        request->size = (uint32_t)all[i].size;
        request->op_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
        all[i].result = -EAGAIN;
    }
    int64_t from = ws_now_ns();
    ws_ring_submit(&u->ring);
    int64_t took = ws_now_ns() - from;
    uint32_t made = n - ws_ring_queued(&u->ring), done = ws_uring_sent(u, all, n);
    /* The kernel had no memory for the others. */
    u->ring.queued -= n - made;
    /* Each completes at once; should one not, it is waited for: its bytes must stay where they are. */
    while (done < made && (ws_ring_enter(&u->ring, 1, 1) >= 0 || errno == EINTR)) done += ws_uring_sent(u, all, n);
    for (uint32_t i = 0; i < made; i++) all[i].sent = from + took * i / made;
    ws_send_singly(all, made, n);
}

#endif
