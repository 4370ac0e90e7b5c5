/* A ring of io_uring by its system calls: requests go in, completions come out, received bytes are in buffers of its own.
 *
 * No liburing is needed, and no header of the kernel: those of the systems that wheels are built on are older than what is
 * used here. The numbers are the kernel's interface (include/uapi/linux/io_uring.h), which does not change.
 */
#ifndef WS_LOAD_TEST_RING_H
#define WS_LOAD_TEST_RING_H

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wire.h"

enum { WS_SYS_SETUP = 425, WS_SYS_ENTER = 426, WS_SYS_REGISTER = 427 }; /* the same on every architecture but alpha */
enum { WS_OP_POLL = 6, WS_OP_RECVMSG = 10, WS_OP_CANCEL = 14, WS_OP_SEND = 26, WS_OP_RECV = 27 };
enum {
    WS_SETUP_CQSIZE = 1 << 3,
    WS_SETUP_SUBMIT_ALL = 1 << 7,     /* a request that fails keeps none behind it from being made */
    WS_SETUP_SINGLE_ISSUER = 1 << 12,
    WS_SETUP_DEFER_TASKRUN = 1 << 13, /* completions come while we ask for them, and interrupt nothing */
    WS_SQE_BUFFER_SELECT = 1 << 5,
    WS_RECV_MULTISHOT = 1 << 1,
    WS_POLL_MULTISHOT = 1,
    WS_CQE_BUFFER = 1 << 0,
    WS_CQE_MORE = 1 << 1,
    WS_CQE_BUFFER_SHIFT = 16,
    WS_ENTER_GETEVENTS = 1 << 0,
    WS_ENTER_EXT_ARG = 1 << 3,
    WS_REGISTER_EVENTFD = 4,
    WS_REGISTER_BUFFERS = 22,
    WS_NO_EVENTFD = 1 << 0,
};
static const uint64_t WS_MAP_SQES = 0x10000000;

enum {
    WS_REQUESTS = 256,        /* requests that are made at once */
    WS_COMPLETIONS = 16384,   /* that wait to be looked at: 256 kB of the kernel's; more wait in a list of its own */
    WS_BUFFERS = 1024,        /* for received bytes; 64 to 4,096 of them cost the same */
    WS_BUFFER_BYTES = 2048,   /* of each: replies of a kilobyte, in one piece, with the kernel's instants before them */
};

typedef struct {
    uint8_t op, flags;
    uint16_t priority;
    int32_t fd;
    uint64_t offset, address;
    uint32_t size, op_flags;
    uint64_t data; /* comes back in the completion */
    uint16_t buffer_group, personality;
    int32_t file_index;
    uint64_t more[2];
} ws_sqe;

typedef struct {
    uint64_t data;
    int32_t result;
    uint32_t flags;
} ws_cqe;

typedef struct {
    uint64_t address;
    uint32_t size;
    uint16_t id, tail; /* `tail` of the first one is that of the ring */
} ws_ring_buffer;

typedef struct { uint32_t head, tail, mask, entries, flags, dropped, array, reserved; uint64_t address; } ws_sq_offsets;
typedef struct { uint32_t head, tail, mask, entries, overflow, cqes, flags, reserved; uint64_t address; } ws_cq_offsets;
typedef struct {
    uint32_t sq_entries, cq_entries, flags, cpu, idle, features, wq_fd, reserved[3];
    ws_sq_offsets sq;
    ws_cq_offsets cq;
} ws_ring_terms;
typedef struct { uint64_t address; uint32_t entries; uint16_t group, flags; uint64_t reserved[3]; } ws_buffers_terms;
typedef struct { uint64_t mask; uint32_t mask_size, min_wait_us; uint64_t timeout; } ws_enter_terms;

static const int64_t WS_LONGEST_WAIT_NS = 1000000000; /* for a request that is to end at once: none was seen that did not */

_Static_assert(sizeof(ws_sqe) == 64 && sizeof(ws_cqe) == 16 && sizeof(ws_ring_buffer) == 16, "as the kernel has them");
_Static_assert(sizeof(ws_ring_terms) == 120 && sizeof(ws_buffers_terms) == 40 && sizeof(ws_enter_terms) == 24, "likewise");

typedef struct {
    int fd;
    int call; /* readable once there is something to take up, and nothing asks for it: an eventfd */
    uint8_t *shared; /* heads, tails and completions */
    size_t shared_bytes;
    ws_sqe *sqes;
    uint32_t *sq_head, *sq_tail, *cq_head, *cq_tail, *cq_flags;
    uint32_t sq_mask, cq_mask;
    ws_cqe *cqes;
    uint32_t queued; /* the tail of our requests, which the kernel learns when it is entered */
    ws_ring_buffer *buffers;
    uint8_t *bytes; /* of the buffers, in a row */
    uint16_t buffers_tail;
    const char *refused; /* the call that failed when it was opened */
} ws_ring;

/* Closes what is open. The kernel ends all requests of the ring by itself. */
static inline void ws_ring_close(ws_ring *r) {
    if (r->fd >= 0) close(r->fd);
    if (r->call >= 0) close(r->call);
    if (r->shared) munmap(r->shared, r->shared_bytes);
    if (r->sqes) munmap(r->sqes, WS_REQUESTS * sizeof(ws_sqe));
    if (r->buffers) munmap(r->buffers, WS_BUFFERS * sizeof(ws_ring_buffer));
    if (r->bytes) munmap(r->bytes, (size_t)WS_BUFFERS * WS_BUFFER_BYTES);
    memset(r, 0, sizeof *r);
    r->fd = r->call = -1;
}

/* Gives a buffer to the kernel, for bytes that it receives. */
static inline void ws_ring_give(ws_ring *r, uint16_t id) {
    ws_ring_buffer *entry = &r->buffers[r->buffers_tail & (WS_BUFFERS - 1)];
    entry->address = (uint64_t)(uintptr_t)(r->bytes + (size_t)id * WS_BUFFER_BYTES);
    entry->size = WS_BUFFER_BYTES;
    entry->id = id;
    __atomic_store_n(&r->buffers[0].tail, ++r->buffers_tail, __ATOMIC_RELEASE);
}

static inline void *ws_mapped(size_t bytes, int flags, int fd, uint64_t offset) {
    void *found = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_POPULATE, fd, (off_t)offset);
    return found == MAP_FAILED ? NULL : found;
}

static inline int ws_ring_refuses(ws_ring *r, const char *call) {
    r->refused = call;
    return -1;
}

/* Returns 0, or -1 with errno; `refused` is then the call that failed. */
static inline int ws_ring_open(ws_ring *r) {
    ws_ring_terms terms = {.cq_entries = WS_COMPLETIONS};
    terms.flags = WS_SETUP_CQSIZE | WS_SETUP_SUBMIT_ALL | WS_SETUP_SINGLE_ISSUER | WS_SETUP_DEFER_TASKRUN;
    memset(r, 0, sizeof *r);
    r->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->fd = (int)syscall(WS_SYS_SETUP, WS_REQUESTS, &terms);
    if (r->fd < 0) return ws_ring_refuses(r, "io_uring_setup");
    size_t sq_bytes = terms.sq.array + terms.sq_entries * sizeof(uint32_t);
    size_t cq_bytes = terms.cq.cqes + terms.cq_entries * sizeof(ws_cqe);
    r->shared_bytes = sq_bytes > cq_bytes ? sq_bytes : cq_bytes;
    r->shared = ws_mapped(r->shared_bytes, MAP_SHARED, r->fd, 0);
    r->sqes = ws_mapped(WS_REQUESTS * sizeof(ws_sqe), MAP_SHARED, r->fd, WS_MAP_SQES);
    r->buffers = ws_mapped(WS_BUFFERS * sizeof(ws_ring_buffer), MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    /* Touched ahead: page faults are no part of a round trip. */
    r->bytes = ws_mapped((size_t)WS_BUFFERS * WS_BUFFER_BYTES, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!r->shared || !r->sqes || !r->buffers || !r->bytes) return ws_ring_refuses(r, "mmap of io_uring");
    r->sq_head = (uint32_t *)(r->shared + terms.sq.head);
    r->sq_tail = (uint32_t *)(r->shared + terms.sq.tail);
    r->cq_head = (uint32_t *)(r->shared + terms.cq.head);
    r->cq_tail = (uint32_t *)(r->shared + terms.cq.tail);
    r->cq_flags = (uint32_t *)(r->shared + terms.cq.flags);
    r->sq_mask = *(uint32_t *)(r->shared + terms.sq.mask);
    r->cq_mask = *(uint32_t *)(r->shared + terms.cq.mask);
    r->cqes = (ws_cqe *)(r->shared + terms.cq.cqes);
    uint32_t *order = (uint32_t *)(r->shared + terms.sq.array);
    for (uint32_t i = 0; i < WS_REQUESTS; i++) order[i] = i;
    ws_buffers_terms given = {.address = (uint64_t)(uintptr_t)r->buffers, .entries = WS_BUFFERS};
    if (syscall(WS_SYS_REGISTER, r->fd, WS_REGISTER_BUFFERS, &given, 1) < 0) return ws_ring_refuses(r, "io_uring_register");
    /* Poll on the ring itself does not wake: what is deferred until we ask is done with no notice of it but this. */
    if (r->call < 0 || syscall(WS_SYS_REGISTER, r->fd, WS_REGISTER_EVENTFD, &r->call, 1) < 0) return ws_ring_refuses(r, "eventfd of io_uring");
    for (uint32_t i = 0; i < WS_BUFFERS; i++) ws_ring_give(r, (uint16_t)i);
    return 0;
}

/* Makes the requests that are queued, and may take up what has completed, or wait for `least` completions. Returns the number
 * of requests made, or -1 with errno: ETIME if it waited in vain for `WS_LONGEST_WAIT_NS`. */
static inline int ws_ring_enter(ws_ring *r, unsigned least, int completes) {
    struct { int64_t s, ns; } timeout = {WS_LONGEST_WAIT_NS / 1000000000, 0};
    ws_enter_terms terms = {.timeout = (uint64_t)(uintptr_t)&timeout};
    unsigned flags = completes ? WS_ENTER_GETEVENTS : 0;
    uint32_t made = r->queued - __atomic_load_n(r->sq_head, __ATOMIC_ACQUIRE);
    __atomic_store_n(r->sq_tail, r->queued, __ATOMIC_RELEASE);
    if (least) return (int)syscall(WS_SYS_ENTER, r->fd, made, least, flags | WS_ENTER_EXT_ARG, &terms, sizeof terms);
    return (int)syscall(WS_SYS_ENTER, r->fd, made, 0, flags, NULL, 0);
}

/* Returns how many requests are queued and not made. */
static inline uint32_t ws_ring_queued(const ws_ring *r) { return r->queued - __atomic_load_n(r->sq_head, __ATOMIC_ACQUIRE); }

/* Makes the requests that are queued. Returns 0 if the kernel takes no more of them now. */
static inline int ws_ring_submit(ws_ring *r) {
    while (ws_ring_queued(r)) {
        uint32_t before = ws_ring_queued(r);
        if (ws_ring_enter(r, 0, 0) < 0 ? errno != EINTR : ws_ring_queued(r) == before) return 0;
    }
    return 1;
}

/* Returns a request to be filled in, which is queued thereby; NULL if there is no room, which means no memory either. */
static inline ws_sqe *ws_ring_request(ws_ring *r, uint8_t op, int fd, uint64_t data) {
    if (ws_ring_queued(r) == WS_REQUESTS && !ws_ring_submit(r)) return NULL;
    ws_sqe *request = &r->sqes[r->queued++ & r->sq_mask];
    memset(request, 0, sizeof *request);
    request->op = op;
    request->fd = fd;
    request->data = data;
    return request;
}

/* Has the eventfd not written to, for as long as the ring is asked again and again. */
static inline void ws_ring_hush(ws_ring *r) {
    uint64_t calls;
    __atomic_store_n(r->cq_flags, WS_NO_EVENTFD, __ATOMIC_SEQ_CST);
    if (read(r->call, &calls, sizeof calls) < 0) return;
}

/* Makes the eventfd readable. */
static inline void ws_ring_call(ws_ring *r) {
    uint64_t one = 1;
    if (write(r->call, &one, sizeof one) < 0) return;
}

/* Has the eventfd written to from here on, at once if there is something already. */
static inline void ws_ring_unhush(ws_ring *r) {
    struct pollfd work = {.fd = r->fd, .events = POLLIN};
    __atomic_store_n(r->cq_flags, 0, __ATOMIC_SEQ_CST);
    if (poll(&work, 1, 0) > 0) ws_ring_call(r);
}

/* Takes the oldest completion. Returns 0 if there is none. */
static inline int ws_ring_take(ws_ring *r, ws_cqe *completion) {
    uint32_t head = *r->cq_head;
    if (head == __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE)) return 0;
    *completion = r->cqes[head & r->cq_mask];
    __atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
    return 1;
}

static inline int ws_has_buffer(const ws_cqe *completion) { return (completion->flags & WS_CQE_BUFFER) != 0; }

static inline uint8_t *ws_ring_bytes(const ws_ring *r, const ws_cqe *completion) {
    return r->bytes + (size_t)(completion->flags >> WS_CQE_BUFFER_SHIFT) * WS_BUFFER_BYTES;
}

/* Gives back the buffer of a completion that has been looked at, if it has one. */
static inline void ws_ring_give_back(ws_ring *r, const ws_cqe *completion) {
    if (ws_has_buffer(completion)) ws_ring_give(r, (uint16_t)(completion->flags >> WS_CQE_BUFFER_SHIFT));
}

#endif
