/* What the compiled loop does with bytes: the clock, buckets of histograms, frames of a server (RFC 6455).
 *
 * Plain C without Python, so that it can be fuzzed by itself (tests/native/fuzz_wire.c). The validity of frames is that of
 * engine/sessions/connection.py. A frame that this parser does not take is *odd*: the session goes back to Python with
 * it, where the same frame is read again and judged in words. So nothing here names a breach of the protocol.
 */
#ifndef WS_LOAD_TEST_WIRE_H
#define WS_LOAD_TEST_WIRE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "utf8.h"

#define WS_LIKELY(x) __builtin_expect(!!(x), 1)

static inline int64_t ws_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Returns what is to be added to an instant of CLOCK_REALTIME to make it one of CLOCK_MONOTONIC. */
static inline int64_t ws_clock_offset_ns(void) {
    struct timespec real;
    int64_t before = ws_now_ns();
    clock_gettime(CLOCK_REALTIME, &real);
    int64_t after = ws_now_ns();
    return before + (after - before) / 2 - ((int64_t)real.tv_sec * 1000000000 + real.tv_nsec);
}

/* --- Histograms: the layout of metrics/hdr_buckets.py --------------------------------------------------------------- */

enum { WS_SLOTS = 55296 };

typedef struct {
    uint64_t *counts; /* WS_SLOTS of them; untouched pages take no memory */
    uint64_t count;
    int64_t min, max;
    unsigned __int128 sum;
} ws_histogram;

static inline uint32_t ws_bucket(int64_t value) {
    int bits = 64 - __builtin_clzll((uint64_t)value | 1);
    int shift = bits > 11 ? bits - 11 : 0;
    return ((uint32_t)shift << 10) + (uint32_t)((uint64_t)value >> shift);
}

/* Records a value, `count` times; one below 0, of a clock that another core read a moment earlier, as 0. */
static inline void ws_record(ws_histogram *h, int64_t value, uint32_t count) {
    if (value < 0) value = 0;
    h->counts[ws_bucket(value)] += count;
    if (!h->count || value < h->min) h->min = value;
    if (!h->count || value > h->max) h->max = value;
    h->count += count;
    h->sum += (unsigned __int128)(uint64_t)value * count;
}

static inline void ws_clear(ws_histogram *h) {
    if (h->count) {
        uint32_t first = ws_bucket(h->min), last = ws_bucket(h->max);
        memset(h->counts + first, 0, (size_t)(last - first + 1) * sizeof *h->counts);
    }
    h->count = 0;
    h->min = h->max = 0;
    h->sum = 0;
}

/* --- Frames --------------------------------------------------------------------------------------------------------- */

enum { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
enum { WS_FIN = 0x80, WS_RESERVED = 0x70, WS_MASKED = 0x80, WS_LARGEST_CONTROL = 125 };
enum { WS_KEPT_ROOM = 4096 }; /* bytes that a session keeps for its messages that come in pieces */

/* What is left of a stream between two reads. */
typedef struct {
    uint64_t payload;    /* bytes of the payload of the frame that is cut off; 0 between frames and within a head */
    uint64_t seen;       /* of these, that have come */
    int64_t fragmented;  /* payload bytes of the fragments that have come of a message; -1 between messages */
    uint8_t *control;    /* payload of a control frame that is cut off; NULL until there was one */
    uint8_t *kept;       /* where messages are read whole: payload of the fragments, and of the frame that is cut off */
    size_t kept_size, kept_room;
    uint8_t opcode;      /* of the message whose fragments have come */
    ws_utf8 text;        /* where texts are checked: the end of these fragments */
    uint8_t head[10];
    uint8_t have;        /* bytes of the head that have come; all of it while the payload is cut off */
} ws_stream;

/* Who takes what has come whole. */
typedef struct {
    void (*control)(void *loop, void *session, int opcode, const uint8_t *payload, unsigned size); /* a ping or a pong */
    /* A message; returns the messages of ours that it answers. NULL: messages are counted, and not looked at. */
    int (*message)(void *loop, void *session, int opcode, const uint8_t *payload, size_t size);
    void *loop;
    uint64_t limit; /* bytes of the payload of the largest message */
    int checks_texts; /* a frame of a text that is not UTF-8 is odd; needs `message` */
} ws_taker;

static inline void ws_stream_init(ws_stream *s) {
    memset(s, 0, sizeof *s);
    s->fragmented = -1;
}

static inline void ws_stream_free(ws_stream *s) {
    free(s->control);
    free(s->kept);
    s->control = s->kept = NULL;
}

/* Keeps a piece of a message that is read whole. Returns 0 if there is no memory. */
static inline int ws_keep(ws_stream *s, const uint8_t *p, size_t n) {
    if (s->kept_room - s->kept_size < n) {
        /* By what has come, and not by what was announced: a target can announce a lot. */
        size_t room = 2 * (s->kept_size + n);
        uint8_t *kept = realloc(s->kept, room);
        if (!kept) return 0;
        s->kept = kept;
        s->kept_room = room;
    }
    if (n) memcpy(s->kept + s->kept_size, p, n);
    s->kept_size += n;
    return 1;
}

/* Goes on with a message of which fragments have come, `payload` bytes of them; -1: between messages. `kept` is what is known
 * of their content. Returns 0 if there is no memory. */
static inline int ws_resume(ws_stream *s, int64_t payload, int opcode, const uint8_t *kept, size_t n) {
    s->fragmented = payload;
    s->opcode = (uint8_t)opcode;
    if (opcode == WS_TEXT) ws_utf8_take(&s->text, kept, n, 0);
    return ws_keep(s, kept, n);
}

/* Returns the size of a frame's head, 0 if it is cut off, -1 if the frame is odd. `p` has `n` bytes of the frame. */
static inline int ws_head(const ws_stream *s, const uint8_t *p, size_t n, uint64_t limit, uint64_t *payload) {
    if (!n) return 0;
    uint8_t opcode = p[0] & 15;
    if (p[0] & WS_RESERVED || opcode > WS_PONG || opcode == WS_CLOSE || (opcode > WS_BINARY && opcode < WS_CLOSE)) return -1;
    if (opcode < WS_CLOSE && (opcode == WS_CONTINUATION) == (s->fragmented < 0)) return -1;
    if (opcode > WS_CLOSE && !(p[0] & WS_FIN)) return -1;
    if (n < 2) return 0;
    uint64_t length = p[1];
    int size = 2;
    if (length & WS_MASKED || (opcode > WS_CLOSE && length > WS_LARGEST_CONTROL)) return -1;
    if (length == 126) {
        if (n < 4) return 0;
        length = (uint64_t)p[2] << 8 | p[3];
        if (length < 126) return -1;
        size = 4;
    } else if (length == 127) {
        if (n < 10) return 0;
        length = 0;
        for (int i = 2; i < 10; i++) length = length << 8 | p[i];
        if (length < 1 << 16) return -1;
        size = 10;
    }
    /* A length above 2^63 is above the limit, too. Control frames are no part of the message. */
    if (opcode < WS_CLOSE) {
        if (length > limit) return -1;
        if (s->fragmented >= 0 && (uint64_t)s->fragmented + length > limit) return -1;
    }
    *payload = length;
    return size;
}

/* Takes a frame that is whole, and whose payload is in one piece, or `kept`, or not looked at. Returns the messages that it
 * answers, or, where they are counted, 1 if it ends a message, else 0; -1 if it is odd, or there is no memory for it. */
static inline int ws_frame(ws_stream *s, const uint8_t *payload, const ws_taker *taker, void *session) {
    uint8_t first = s->head[0], opcode = first & 15;
    uint64_t size = s->payload;
    if (taker->checks_texts && (opcode == WS_CONTINUATION ? s->opcode : opcode) == WS_TEXT) {
        const uint8_t *text = payload ? payload : s->kept + s->kept_size - size;
        if (!ws_utf8_take(&s->text, text, (size_t)size, first & WS_FIN)) return -1;
    }
    s->have = 0;
    s->payload = s->seen = 0;
    if (opcode > WS_CLOSE) {
        taker->control(taker->loop, session, opcode, payload, (unsigned)size);
        return 0;
    }
    if (taker->message) {
        int is_first = s->fragmented < 0, ends = first & WS_FIN;
        if (is_first) s->opcode = opcode;
        if (ends && is_first && payload) return taker->message(taker->loop, session, opcode, payload, (size_t)size);
        if (payload && !ws_keep(s, payload, (size_t)size)) return -1;
        if (ends) {
            s->fragmented = -1;
            int answered = taker->message(taker->loop, session, s->opcode, s->kept, s->kept_size);
            /* A large message must not be paid for ever. */
            if (s->kept_room > WS_KEPT_ROOM) {
                free(s->kept);
                s->kept = NULL;
                s->kept_room = 0;
            }
            s->kept_size = 0;
            return answered;
        }
    }
    if (first & WS_FIN) {
        s->fragmented = -1;
        return 1;
    }
    s->fragmented = (s->fragmented < 0 ? 0 : s->fragmented) + (int64_t)size;
    return 0;
}

/* Takes one frame, or what has come of it, that is no ordinary whole message. Returns the messages that it ends, 0 or 1,
 * or -1 if it is odd; its first bytes are then in `head`, and `seen` of its payload `kept`; what follows begins at `*used`. */
static __attribute__((noinline)) int ws_read_slow(
    ws_stream *s, const uint8_t *p, size_t n, size_t *used, const ws_taker *taker, void *session) {
    size_t at = 0;
    if (!s->payload) {
        uint64_t payload = 0;
        int size;
        while (!(size = ws_head(s, s->head, s->have, taker->limit, &payload)) && at < n) s->head[s->have++] = p[at++];
        *used = at;
        if (size <= 0) return size;
        s->payload = payload;
        s->seen = 0;
        if (n - at >= payload) {
            int ends = ws_frame(s, p + at, taker, session);
            if (ends >= 0) *used = at + (size_t)payload;
            return ends;
        }
    }
    size_t take = n - at < s->payload - s->seen ? n - at : (size_t)(s->payload - s->seen);
    int is_control = (s->head[0] & 15) > WS_CLOSE;
    if (is_control) {
        if (!s->control) s->control = malloc(WS_LARGEST_CONTROL);
        if (s->control) memcpy(s->control + s->seen, p + at, take);
    } else if (taker->message && !ws_keep(s, p + at, take)) return -1;
    s->seen += take;
    *used = at + take;
    return s->seen < s->payload ? 0 : ws_frame(s, is_control ? s->control : NULL, taker, session);
}

/* Counts messages that are whole and short, text and binary alike, from between messages. Returns where they end. */
static inline size_t ws_count_short(const uint8_t *p, size_t n, uint64_t limit, uint32_t *messages) {
    size_t at = 0;
    while (n - at >= 2 && (p[at] == (WS_FIN | WS_TEXT) || p[at] == (WS_FIN | WS_BINARY)) && p[at + 1] < 126) {
        size_t size = 2 + (size_t)p[at + 1];
        if (n - at < size || size - 2 > limit) break;
        at += size;
        ++*messages;
    }
    return at;
}

/* Reads such messages whole. */
static inline size_t ws_read_short(
    const uint8_t *p, size_t n, const ws_taker *taker, void *session, uint32_t *messages) {
    size_t at = 0;
    while (n - at >= 2 && (p[at] == (WS_FIN | WS_TEXT) || p[at] == (WS_FIN | WS_BINARY)) && p[at + 1] < 126) {
        size_t size = 2 + (size_t)p[at + 1];
        if (n - at < size || size - 2 > taker->limit) break;
        ws_utf8 text = {0};
        if (taker->checks_texts && (p[at] & 15) == WS_TEXT && !ws_utf8_take(&text, p + at + 2, size - 2, 1)) break;
        *messages += (uint32_t)taker->message(taker->loop, session, p[at] & 15, p + at + 2, size - 2);
        at += size;
    }
    return at;
}

/* Returns the messages that end in these bytes, or that were answered. `*used` is `n`, or where an odd frame begins (but
 * for what is in `head`), in which case `*odd` is 1. */
static inline uint32_t ws_read(
    ws_stream *s, const uint8_t *p, size_t n, size_t *used, int *odd, const ws_taker *taker, void *session) {
    uint32_t messages = 0;
    size_t at = 0;
    *odd = 0;
    while (at < n) {
        if (WS_LIKELY(!s->have && s->fragmented < 0)) {
            at += taker->message ? ws_read_short(p + at, n - at, taker, session, &messages)
                                 : ws_count_short(p + at, n - at, taker->limit, &messages);
            if (at == n) break;
        }
        size_t took = 0;
        int ends = ws_read_slow(s, p + at, n - at, &took, taker, session);
        at += took;
        if (ends < 0) {
            *odd = 1;
            break;
        }
        messages += (uint32_t)ends;
    }
    *used = at;
    return messages;
}

/* Writes a client's control frame, masked; returns its size. `out` has room for 6 + 125 bytes. */
static inline size_t ws_control_frame(uint8_t *out, int opcode, const uint8_t *payload, unsigned size, uint32_t mask) {
    uint8_t key[4];
    memcpy(key, &mask, 4);
    out[0] = (uint8_t)(WS_FIN | opcode);
    out[1] = (uint8_t)(WS_MASKED | size);
    memcpy(out + 2, key, 4);
    for (unsigned i = 0; i < size; i++) out[6 + i] = payload[i] ^ key[i & 3];
    return 6 + size;
}

#endif
