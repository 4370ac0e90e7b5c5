/* Fuzzes the queues of a session of the compiled loop against plain arrays that never wrap around.
 *
 *   fuzz_session SECONDS [SEED]
 *
 * Messages in flight and messages that wait come out as they went in, and so do the bytes that wait for the kernel.
 * tools/fuzz_wire.sh builds it with address and undefined-behaviour sanitizers.
 */
#include "session.h"

#include <stdio.h>

enum { STEPS = 20000 };

static uint64_t state = 88172645463325252u;
static uint32_t draw(uint32_t below) {
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (uint32_t)(state >> 16) % below;
}

static void must(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static uint64_t flights(void) {
    static ws_flight expected[STEPS];
    uint32_t first = 0, end = 0, in_flight = 0;
    ws_session s;
    ws_session_init(&s);
    for (uint32_t i = 0, grows = 2 + draw(3); i < STEPS; i++) {
        if (draw(4) < grows) {
            ws_flight one = {(int64_t)i, (int64_t)i + 7, 1 + draw(draw(8) ? 2 : 1000)};
            ws_launch(&s, one.due, one.sent, one.count);
            expected[end++] = one;
            in_flight += one.count;
        } else if (s.ring_length) {
            uint32_t most = 1 + draw(300);
            ws_flight landed = ws_land(&s, most), *oldest = &expected[first];
            must(landed.due == oldest->due && landed.sent == oldest->sent, "another flight has landed");
            must(landed.count == (oldest->count < most ? oldest->count : most), "as many have landed as were asked for");
            oldest->count -= landed.count;
            in_flight -= landed.count;
            if (!oldest->count) first++;
        }
        must(s.in_flight == in_flight && s.ring_length == end - first, "in flight is what has left and has not landed");
        if (first < end) must(ws_flight_at(&s, 0)->due == expected[first].due, "the oldest is the first");
        if (!draw(STEPS / 4)) grows = 1 + draw(4);
    }
    ws_session_free(&s);
    return end;
}

static uint64_t waiting(void) {
    static int64_t expected[STEPS];
    uint32_t first = 0, end = 0;
    ws_session s;
    ws_session_init(&s);
    for (uint32_t i = 0, grows = 2 + draw(3); i < STEPS; i++) {
        if (draw(4) < grows) ws_keep_due(&s, expected[end++] = (int64_t)draw(1u << 30));
        else if (first < end) must(ws_next_waiting(&s) == expected[first++], "messages have their turn in order");
        must(s.backlog_length == end - first, "all that wait are kept");
        if (!draw(STEPS / 4)) grows = 1 + draw(4);
    }
    ws_session_free(&s);
    return end;
}

static uint64_t bytes(void) {
    ws_out *out = &ws_nothing_waits;
    uint64_t written = 0, taken = 0;
    uint8_t piece[3000];
    for (uint32_t i = 0; i < STEPS / 10; i++) {
        uint32_t size = 1 + draw(draw(20) ? 200 : 2999);
        for (uint32_t j = 0; j < size; j++) piece[j] = (uint8_t)((written + j) * 31 >> 3);
        must(ws_append(&out, piece, size), "memory");
        written += size;
        for (size_t some = draw(400); some && out->at < out->end; some--, out->at++, taken++)
            must(out->data[out->at] == (uint8_t)(taken * 31 >> 3), "bytes leave in order");
        must(out->end - out->at == written - taken, "all that waits is kept");
        if (out->at == out->end && out->end) ws_clear_out(&out);
    }
    must(out->capacity < 1 << 20, "what has left takes no room");
    ws_clear_out(&out);
    must(out == &ws_nothing_waits && !out->end, "nothing waits any more");
    return written;
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 5;
    if (argc > 2) state ^= strtoull(argv[2], NULL, 10) * 2654435761u;
    int64_t end = ws_now_ns() + (int64_t)(seconds * 1e9);
    uint64_t messages = 0, octets = 0;
    do {
        messages += flights() + waiting();
        octets += bytes();
    } while (ws_now_ns() < end);
    printf("%lu messages and %lu bytes: out as they went in\n", messages, octets);
    return !(messages && octets);
}
