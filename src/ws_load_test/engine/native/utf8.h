/* Checks that texts are UTF-8, piece by piece (RFC 3629, section 4). Plain C without Python, as `wire.h`.
 *
 * A piece that cannot belong to any text is refused at once, as Python's incremental decoder does, so that both engines
 * refuse the same frame.
 */
#ifndef WS_LOAD_TEST_UTF8_H
#define WS_LOAD_TEST_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A character that is cut off: bytes that are to come, and bounds of the next. */
typedef struct {
    uint8_t wanted, low, high;
} ws_utf8;

/* Begins a character of several bytes. Returns 0 if none begins so. */
static inline int ws_utf8_begin(ws_utf8 *u, uint8_t first) {
    if (first < 0xC2 || first > 0xF4) return 0;
    u->wanted = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    /* No character is written in more bytes than it needs, none is half of a surrogate pair, and U+10FFFF is the last. */
    u->low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    u->high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    return 1;
}

/* Takes a piece of a text, which `ends` with it or not. Returns 0 if that is not UTF-8. */
static inline int ws_utf8_take(ws_utf8 *u, const uint8_t *p, size_t n, int ends) {
    size_t at = 0;
    while (at < n) {
        uint64_t eight;
        if (u->wanted) {
            if (p[at] < u->low || p[at] > u->high) return 0;
            u->low = 0x80;
            u->high = 0xBF;
            u->wanted--;
            at++;
        } else if (n - at >= sizeof eight && (memcpy(&eight, p + at, sizeof eight), !(eight & 0x8080808080808080u))) {
            at += sizeof eight;
        } else if (p[at] < 0x80 || ws_utf8_begin(u, p[at])) {
            at++;
        } else {
            return 0;
        }
    }
    return !ends || !u->wanted;
}

#endif
