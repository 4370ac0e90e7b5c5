/* The kernel's side of the compiled loop: io_uring where it was opened, else epoll.
 *
 * A branch that always goes the same way costs less than can be measured, so that one module has both. Only here, and in
 * the two files behind it, is it known which one it is.
 */
#ifndef WS_LOAD_TEST_KERNEL_H
#define WS_LOAD_TEST_KERNEL_H

#include "backend_epoll.h"
#include "backend_uring.h"

typedef struct {
    ws_backend epoll;
    ws_ready ready[WS_READY];
    ws_uring *uring;    /* NULL: epoll */
    ws_leaving leaving[WS_TOGETHER];
    uint32_t n_leaving; /* messages that are to leave together */
} ws_kernel;

/* Returns 0, or -1 with errno. */
static inline int ws_kernel_open(ws_kernel *k, int by_uring) {
    const char *refused;
    if (!by_uring) return ws_backend_open(&k->epoll);
    k->uring = ws_uring_open(&refused);
    return k->uring ? 0 : -1;
}

static inline void ws_kernel_close(ws_kernel *k) {
    if (k->uring) ws_uring_close(k->uring);
    k->uring = NULL;
    ws_backend_close(&k->epoll);
}

/* Returns a descriptor that is readable while something is ready. */
static inline int ws_kernel_fd(const ws_kernel *k) { return k->uring ? k->uring->ring.call : ws_backend_fd(&k->epoll); }

/* Watches a socket from now on. Returns 0, or -1 with errno. */
static inline int ws_kernel_watch(ws_kernel *k, int fd, uint32_t slot, int stamped) {
    return k->uring ? ws_uring_watch(k->uring, fd, slot, stamped) : ws_watch(&k->epoll, fd, slot);
}

/* Makes a socket that was not read to its end ready once more. */
static inline void ws_kernel_watch_again(ws_kernel *k, int fd, uint32_t slot) {
    if (!k->uring) ws_watch_again(&k->epoll, fd, slot);
}

/* Watches a socket no more. */
static inline void ws_kernel_unwatch(ws_kernel *k, int fd, uint32_t slot) {
    if (k->uring) ws_uring_end(k->uring, slot);
    else ws_unwatch(&k->epoll, fd);
}

/* Takes what was received from a socket that is watched no more, in pieces of `WS_BUFFER_BYTES` at most, which are copied.
 * Returns the size of a piece, 0 after the last, or a negative errno of the socket. */
static inline int ws_kernel_reap(ws_kernel *k, uint32_t slot, int stamped, uint8_t *piece) {
    ws_cqe c;
    uint8_t *data;
    int64_t stamp;
    while (k->uring && ws_uring_reap(k->uring, slot, &c)) {
        int got = ws_uring_bytes(k->uring, &c, stamped, &data, &stamp);
        if (got > 0) memcpy(piece, data, (size_t)got);
        ws_ring_give_back(&k->uring->ring, &c);
        if (got) return got;
    }
    return 0;
}

/* Begins a series of turns, for which the descriptor need not become readable. */
static inline void ws_kernel_begin(ws_kernel *k) {
    if (k->uring) ws_ring_hush(&k->uring->ring);
}

/* Makes the descriptor readable if something is ready of which it does not know. */
static inline void ws_kernel_recall(ws_kernel *k) {
    ws_uring *u = k->uring;
    if (u && (u->held_at < u->held_end || u->wanting_at != u->wanting_end)) ws_ring_call(&u->ring);
}

/* Ends a series of turns: the descriptor is readable from here on while something is ready. */
static inline void ws_kernel_end(ws_kernel *k) {
    if (k->uring) ws_ring_unhush(&k->uring->ring);
    ws_kernel_recall(k);
}

/* Waits within a series until an instant for a descriptor that waits for ours, too. Returns 1 if it is readable. */
static inline int ws_kernel_wait(ws_kernel *k, int beside, int64_t until_ns) {
    if (!k->uring) return ws_wait_for(beside, until_ns);
    if (beside < 0) return 0;
    ws_kernel_end(k);
    int found = ws_wait_for(beside, until_ns);
    ws_kernel_begin(k);
    return found;
}

/* Returns how many are ready, without waiting; 0 or less: none. */
static inline int ws_kernel_poll(ws_kernel *k) {
    return k->uring ? ws_uring_poll(k->uring) : ws_poll(&k->epoll, k->ready, WS_READY);
}

/* Returns the slot of the `place`th that is ready; `WS_TIMER`: the timer has expired. */
static inline uint64_t ws_kernel_slot(const ws_kernel *k, int place) {
    if (!k->uring) return ws_ready_slot(&k->ready[place]);
    const ws_cqe *c = &k->uring->ready[place];
    return c->data >> 56 == WS_AWAITS_TIMER ? WS_TIMER : (uint32_t)c->data;
}

static inline int ws_kernel_may_read(const ws_kernel *k, int place) {
    return k->uring ? k->uring->ready[place].data >> 56 == WS_RECEIVES : ws_ready_to_read(&k->ready[place]);
}

static inline int ws_kernel_may_write(const ws_kernel *k, int place) {
    return k->uring ? k->uring->ready[place].data >> 56 == WS_AWAITS_ROOM : ws_ready_to_write(&k->ready[place]);
}

/* The stream has ended, or is broken: reading on says which. io_uring says it by a completion of its own. */
static inline int ws_kernel_ends(const ws_kernel *k, int place) { return !k->uring && ws_ready_ends(&k->ready[place]); }

/* Reads what a socket that is ready has, as `ws_receive`; `*at` is when it was read. With io_uring, one piece of it. */
static inline ssize_t ws_kernel_receive(ws_kernel *k, int place, int fd, int stamped, uint8_t **data, int64_t *stamp, int64_t *at) {
    if (!k->uring) {
        ssize_t got = ws_receive(&k->epoll, fd, stamped, data, stamp);
        *at = ws_now_ns();
        return got;
    }
    int got = ws_uring_bytes(k->uring, &k->uring->ready[place], stamped, data, stamp);
    *at = k->uring->ready_at;
    if (got < 0) errno = -got;
    return got < 0 ? -1 : got;
}

/* Ends the looking at what was ready: its bytes are not needed any more. */
static inline void ws_kernel_done(ws_kernel *k, int place) {
    if (k->uring) ws_ring_give_back(&k->uring->ring, &k->uring->ready[place]);
}

/* Has the kernel know of all that was asked of it in this turn. */
static inline void ws_kernel_end_turn(ws_kernel *k) {
    if (k->uring) ws_ring_submit(&k->uring->ring);
}

/* Has a socket be ready once the kernel has room for what it sends. */
static inline void ws_kernel_await_room(ws_kernel *k, uint32_t slot) {
    if (k->uring) ws_uring_await_room(k->uring, slot);
}

/* Makes the timer, which has expired, ready for the next time. */
static inline void ws_kernel_take_timer(ws_kernel *k) {
    if (!k->uring) ws_take_timer(&k->epoll);
}

/* Sets the timer to an instant of CLOCK_MONOTONIC. */
static inline void ws_kernel_arm(ws_kernel *k, int64_t at_ns) {
    if (k->uring) {
        ws_backend with_timer = {.timer = k->uring->timer};
        ws_arm(&with_timer, at_ns);
    } else ws_arm(&k->epoll, at_ns);
}

/* Returns 1 if messages leave together, and this one may be among them. */
static inline int ws_kernel_may_join(const ws_kernel *k, size_t size, int is_kept) {
    return k->uring && (is_kept || size <= WS_KEPT_BYTES) && size <= INT32_MAX;
}

/* Notes a message that is to leave together with others. Its bytes stay where they are until then (`is_kept`), or are copied. Returns
 * 1 if they must leave now. */
static inline int ws_kernel_join(ws_kernel *k, uint32_t slot, int fd, const uint8_t *data, size_t size, int is_kept, int64_t due, uint32_t count) {
    if (!is_kept) data = memcpy(k->uring->kept[k->n_leaving], data, size);
    k->leaving[k->n_leaving++] = (ws_leaving){.slot = slot, .count = count, .fd = fd, .due = due, .data = data, .size = size};
    return k->n_leaving == WS_TOGETHER;
}

/* Sends what is to leave together; the results are in `leaving`. */
static inline void ws_kernel_send(ws_kernel *k) { ws_uring_send(k->uring, k->leaving, k->n_leaving); }

/* --- May it be used? -------------------------------------------------------------------------------------------------- */

/* Tries in earnest what the loop needs: a byte is received by a request that goes on, and the ring says so by poll. Returns
 * NULL if all of it works, or what does not, with errno, 0 if the kernel reports no failure. */
static inline const char *ws_uring_probe(void) {
    const char *refused = NULL;
    int ends[2];
    ws_uring *u = ws_uring_open(&refused);
    if (!u) return refused;
    errno = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends)) {
        ws_uring_close(u);
        return "socketpair";
    }
    struct pollfd readable = {.fd = u->ring.call, .events = POLLIN};
    if (ws_uring_watch(u, ends[0], 0, 0)) refused = "io_uring_enter";
    else if (write(ends[1], "!", 1) != 1 || poll(&readable, 1, 1000) != 1) refused = "waiting for io_uring";
    else if (ws_uring_poll(u) != 1 || u->ready[0].result != 1 || *ws_ring_bytes(&u->ring, &u->ready[0]) != '!')
        refused = "receiving by io_uring";
    else if (!(u->ready[0].flags & WS_CQE_MORE)) refused = "receiving on by io_uring";
    else ws_uring_end(u, 0), refused = u->watched[0].receives ? "ending a request of io_uring" : NULL;
    int error = !refused ? 0 : u->ready[0].result < 0 ? -u->ready[0].result : errno;
    ws_uring_close(u);
    close(ends[0]);
    close(ends[1]);
    errno = error;
    return refused;
}

#endif
