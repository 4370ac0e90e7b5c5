/* The kernel's instants of receipt, which are of CLOCK_REALTIME, as instants of CLOCK_MONOTONIC. Plain C without Python. */
#ifndef WS_LOAD_TEST_CLOCKS_H
#define WS_LOAD_TEST_CLOCKS_H

#include "wire.h"

static const int64_t WS_LONGEST_UNREAD_NS = 10000000000; /* age of a stamp above which it is no stamp of what was read */

typedef struct {
    int64_t offset; /* to be added to an instant of CLOCK_REALTIME */
    int64_t read_at;
    int stepped; /* one of the clocks was set since the comparison before */
} ws_clocks;

/* Reads the offset between the clocks, and notices if one of them was set. */
static inline void ws_compare_clocks(ws_clocks *c) {
    int64_t now = ws_now_ns(), offset = ws_clock_offset_ns(), change = offset - c->offset;
    /* Slewing changes it by a thousandth of the time at most (adjtimex: 500 ppm). */
    int64_t usual = 20000 + (now - c->read_at) / 1000;
    c->stepped = c->offset != 0 && (change > usual || change < -usual);
    c->offset = offset;
    c->read_at = now;
}

/* Returns when the kernel received what was read at an instant, or that instant where its stamp tells nothing.
 *
 * The stamp is that of the last segment of what was read. */
static inline int64_t ws_received_at(const ws_clocks *c, int64_t stamp, int64_t now) {
    int64_t at = stamp + c->offset;
    /* Once the real-time clock was set, it is unknown whether a segment that waits was stamped before or after. */
    return c->stepped || at > now || now - at > WS_LONGEST_UNREAD_NS ? now : at;
}

#endif
