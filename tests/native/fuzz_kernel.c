/* Fuzzes the kernel's side of the compiled loop, by epoll and by io_uring where it is allowed: bytes come, and leave, once
 * and in their order, whatever the order of reads, sends, loans and returns.
 *
 *   fuzz_kernel SECONDS [SEED]
 *
 * Each connection has a stream of bytes each way, of which the place says what they are. tools/fuzz_wire.sh builds it with
 * address and undefined-behaviour sanitizers.
 */
#include "kernel.h"

#include <stdio.h>

enum { ENDS = 48, SLOTS = 40, LARGEST = 40000 };

static uint64_t state = 88172645463325252u;
static uint32_t draw(uint32_t below) {
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (uint32_t)(state >> 16) % below;
}

static void must(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "%s (errno %d)\n", what, errno);
    abort();
}

typedef struct {
    int near, far, slot; /* slot -1: it is not lent */
    uint32_t seed;
    uint64_t written, read; /* bytes that the far end wrote, and the near end read */
    uint64_t left, arrived; /* bytes that left the near end, and came to the far end */
    int blocked, stamped, ended;
} connection;

static connection all[ENDS];
static int lent[SLOTS]; /* the connection that has a slot, -1: none */
static ws_kernel kernel;
static uint64_t looked_at, together, blocked_once;

static uint8_t byte_of(uint32_t seed, uint64_t place) { return (uint8_t)((place * 2654435761u + seed) >> 7 ^ place); }

static void fill(uint8_t *data, uint32_t seed, uint64_t place, size_t size) {
    for (size_t i = 0; i < size; i++) data[i] = byte_of(seed, place + i);
}

static void open_one(connection *c) {
    int ends[2];
    must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), "a pair of sockets");
    *c = (connection){.near = ends[0], .far = ends[1], .slot = -1, .seed = draw(1u << 30)};
    int small = 1 << 14;
    setsockopt(c->near, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
}

static void takes(connection *c, const uint8_t *data, ssize_t size) {
    for (ssize_t i = 0; i < size; i++) must(data[i] == byte_of(c->seed, c->read + (uint64_t)i), "a byte is out of its place");
    c->read += (uint64_t)size;
    must(c->read <= c->written, "more bytes than were written");
    looked_at += (uint64_t)size;
}

static void lend(connection *c) {
    int slot = (int)draw(SLOTS);
    if (c->slot >= 0 || lent[slot] >= 0) return;
    c->stamped = !draw(4) && ws_stamp(c->near);
    must(!ws_kernel_watch(&kernel, c->near, (uint32_t)slot, c->stamped), "a socket is watched");
    c->slot = slot;
    c->blocked = 0;
    lent[slot] = (int)(c - all);
}

static void give_back(connection *c) {
    static uint8_t piece[WS_BUFFER];
    int got;
    if (c->slot < 0) return;
    ws_kernel_unwatch(&kernel, c->near, (uint32_t)c->slot);
    while ((got = ws_kernel_reap(&kernel, (uint32_t)c->slot, c->stamped, piece)) > 0) takes(c, piece, got);
    lent[c->slot] = -1;
    c->slot = -1;
    /* What the kernel has not handed over is in the socket. */
    ssize_t more = recv(c->near, piece, sizeof piece, MSG_DONTWAIT);
    if (more > 0) takes(c, piece, more);
}

static void turn(void) {
    int n = ws_kernel_poll(&kernel);
    for (int i = 0; i < n; i++) {
        if (ws_kernel_slot(&kernel, i) == WS_TIMER) {
            ws_kernel_take_timer(&kernel);
            continue;
        }
        uint32_t slot = (uint32_t)ws_kernel_slot(&kernel, i);
        must(slot < SLOTS && lent[slot] >= 0, "what is ready is lent");
        connection *c = &all[lent[slot]];
        if (ws_kernel_may_write(&kernel, i)) c->blocked = 0;
        if (ws_kernel_may_read(&kernel, i) || ws_kernel_ends(&kernel, i)) {
            uint8_t *data;
            int64_t stamp, at;
            ssize_t got = ws_kernel_receive(&kernel, i, c->near, c->stamped, &data, &stamp, &at);
            must(got >= 0 || errno == EAGAIN, "reading");
            if (got > 0) takes(c, data, got);
            else if (!got) c->ended = 1;
            if (got == WS_BUFFER) ws_kernel_watch_again(&kernel, c->near, slot);
        }
        ws_kernel_done(&kernel, i);
    }
    ws_kernel_end_turn(&kernel);
}

static void send_some(void) {
    static uint8_t data[ENDS][LARGEST];
    if (!kernel.uring) return;
    for (int i = 0; i < ENDS; i++) {
        connection *c = &all[i];
        size_t size = 1 + draw(draw(4) ? 100 : LARGEST);
        if (c->slot < 0 || c->blocked || c->ended || draw(3)) continue;
        fill(data[i], c->seed + 1, c->left, size);
        int is_kept = draw(2) || !ws_kernel_may_join(&kernel, size, 0);
        int full = ws_kernel_join(&kernel, (uint32_t)c->slot, c->near, data[i], size, is_kept, 0, 1);
        if (!is_kept) memset(data[i], 0, size);
        if (full) break;
    }
    int64_t from = ws_now_ns(), before = 0;
    if (kernel.n_leaving >= WS_FEW) together += kernel.n_leaving;
    ws_kernel_send(&kernel);
    int64_t until = ws_now_ns();
    for (uint32_t i = 0; i < kernel.n_leaving; i++) {
        ws_leaving *one = &kernel.leaving[i];
        connection *c = &all[lent[one->slot]];
        must(one->sent >= from && one->sent <= until && one->sent >= before, "instants are in their order");
        before = one->sent;
        must(one->result > 0 || one->result == -EAGAIN, "sending");
        if (one->result > 0) c->left += (uint64_t)one->result;
        if (one->result != (int)one->size) {
            c->blocked = 1;
            blocked_once++;
            ws_kernel_await_room(&kernel, one->slot);
        }
    }
    kernel.n_leaving = 0;
}

static void far_end_writes(connection *c, size_t size) {
    static uint8_t data[1 << 17];
    fill(data, c->seed, c->written, size);
    ssize_t wrote = send(c->far, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (wrote > 0) c->written += (uint64_t)wrote;
}

static void far_end(connection *c) {
    static uint8_t data[1 << 17];
    if (draw(2)) far_end_writes(c, 1 + draw(draw(8) ? 300 : sizeof data));
    else {
        ssize_t got = recv(c->far, data, sizeof data, MSG_DONTWAIT);
        for (ssize_t i = 0; i < got; i++) must(data[i] == byte_of(c->seed + 1, c->arrived + (uint64_t)i), "a byte has left twice, or not");
        if (got > 0) c->arrived += (uint64_t)got;
    }
}

/* Has more bytes come than there are buffers for, before any of them is looked at. */
static void flood(void) {
    for (int i = 0; i < ENDS; i++) {
        give_back(&all[i]);
        far_end_writes(&all[i], 1 << 17);
    }
    for (int i = 0; i < 4 * ENDS; i++) lend(&all[draw(ENDS)]);
}

/* Reads and writes on until nothing is under way any more. */
static void settle(void) {
    for (int i = 0; i < ENDS; i++) lend(&all[i]);
    for (int round = 0; round < 3000; round++) {
        int under_way = 0;
        turn();
        for (int i = 0; i < ENDS; i++) {
            connection *c = &all[i];
            uint8_t data[4096];
            ssize_t got = recv(c->far, data, sizeof data, MSG_DONTWAIT);
            if (got > 0) c->arrived += (uint64_t)got;
            if (c->slot >= 0) under_way |= c->read < c->written || c->blocked;
        }
        if (!under_way) return;
    }
    must(0, "something is never ready");
}

static void fuzz(int by_uring, int64_t until) {
    memset(&kernel, 0, sizeof kernel);
    kernel.epoll.ep = kernel.epoll.timer = -1;
    must(!ws_kernel_open(&kernel, by_uring), "a kernel's side is opened");
    for (int i = 0; i < ENDS; i++) open_one(&all[i]);
    memset(lent, -1, sizeof lent);
    for (uint64_t step = 1; ws_now_ns() < until; step++) {
        connection *c = &all[draw(ENDS)];
        switch (draw(16)) {
        case 0: lend(c); break;
        case 1: give_back(c); break;
        case 2: case 3: send_some(); break;
        case 4: ws_kernel_arm(&kernel, ws_now_ns() + draw(20000)); break;
        case 5: ws_kernel_begin(&kernel); ws_kernel_end(&kernel); break;
        case 6: case 7: case 8: turn(); break;
        case 9:
            if (draw(20)) break;
            close(c->far);
            give_back(c);
            close(c->near);
            open_one(c);
            break;
        case 10:
            if (!draw(200)) flood();
            break;
        default: far_end(c);
        }
        if (!(step & 8191)) settle();
    }
    settle();
    for (int i = 0; i < ENDS; i++) give_back(&all[i]), close(all[i].near), close(all[i].far);
    ws_kernel_close(&kernel);
}

int main(int argc, char **argv) {
    int64_t length = (argc > 1 ? atoi(argv[1]) : 10) * (int64_t)1000000000;
    if (argc > 2) state ^= (uint64_t)atoll(argv[2]) * 0x9E3779B97F4A7C15u;
    const char *refused = ws_uring_probe();
    for (int by_uring = 0; by_uring < (refused ? 1 : 2); by_uring++) {
        looked_at = together = blocked_once = 0;
        fuzz(by_uring, ws_now_ns() + length / (refused ? 1 : 2));
        printf("%s: %llu bytes read, %llu messages left together, %llu in part\n", by_uring ? "io_uring" : "epoll",
               (unsigned long long)looked_at, (unsigned long long)together, (unsigned long long)blocked_once);
    }
    if (refused) printf("no io_uring: %s\n", refused);
    return 0;
}
