/* Messages that are made as they leave: templates with holes, numbers of the run, random values, masked frames.
 *
 * Plain C without Python, fuzzed by tests/native/fuzz_talk.c. The values are those of messages/fields.py. Random ones come
 * from a generator of their own, xoshiro256** (D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators",
 * 2021): the same in every run with as many workers, but others than in the portable engine.
 */
#ifndef WS_LOAD_TEST_RENDER_H
#define WS_LOAD_TEST_RENDER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "rows.h"

enum {
    WS_HOLE_NONE, WS_HOLE_SEQ, WS_HOLE_CONNECTION, WS_HOLE_NOW_MS, WS_HOLE_UUID, WS_HOLE_RANDOM, WS_HOLE_INT, WS_HOLE_FEED
};
enum {
    WS_LARGEST_HEAD = 14,     /* bytes of a client's frame before its payload */
    WS_LONGEST_NUMBER = 20,   /* digits of the largest number, or those of the smallest and its sign */
    WS_UUID = 36,
    WS_ENTROPY = 4096,        /* bytes of entropy that are asked for at once: 256 UUIDs */
};

/* A text, and a hole behind it. */
typedef struct {
    uint8_t *text;
    size_t size;
    int hole;
    int64_t low;     /* WS_HOLE_INT: the smallest value; WS_HOLE_RANDOM: characters; WS_HOLE_FEED: place in the row;
                      * WS_HOLE_SEQ: fewest digits, 19 at most */
    uint64_t span;   /* WS_HOLE_INT: how many values there are; 0: 2^64 */
} ws_part;

typedef struct {
    ws_part *parts;
    unsigned count;
    unsigned of_feed; /* holes that a row fills */
    size_t largest;   /* bytes of payload at most, without those */
} ws_template;

/* The messages of one worker. */
typedef struct {
    ws_template *templates;
    unsigned count;
    uint32_t *order; /* template of each turn of a round */
    uint32_t turns;
    uint64_t turn;   /* turns that have been taken */
    uint64_t taken;  /* messages that have been made */
    uint64_t shard, shards;
    uint64_t random[4];
    uint8_t entropy[WS_ENTROPY];
    unsigned entropy_left;
    uint8_t first;   /* first byte of the frames */
    uint32_t mask;
    size_t largest;  /* bytes of payload of the largest template, with the largest values of the feed */
    ws_rows rows;
} ws_source;

/* Returns the place at which turn `number` of a cycle begins (`rotation` in common/sharding.py). */
static inline uint64_t ws_rotation(uint64_t number, uint64_t size) {
    return (uint64_t)((unsigned __int128)(number * 0x9E3779B97F4A7C15u) * size >> 64);
}

/* Returns the number of a worker's message within the run (`Shard.global_index`). */
static inline uint64_t ws_global_index(uint64_t position, uint64_t shard, uint64_t shards) {
    return shards == 1 ? position : position * shards + (shard + ws_rotation(position, shards)) % shards;
}

static inline uint64_t ws_random(ws_source *s) {
    uint64_t *r = s->random, x = r[1] * 5, result = (x << 7 | x >> 57) * 9, t = r[1] << 17;
    r[2] ^= r[0], r[3] ^= r[1], r[1] ^= r[2], r[0] ^= r[3], r[2] ^= t;
    r[3] = r[3] << 45 | r[3] >> 19;
    return result;
}

/* Returns a number below `span`, 0: below 2^64, all equally likely (D. Lemire, "Fast random integer generation", 2019). */
static inline uint64_t ws_random_below(ws_source *s, uint64_t span) {
    uint64_t draw = ws_random(s);
    if (!span) return draw;
    unsigned __int128 product = (unsigned __int128)draw * span;
    if ((uint64_t)product < span) {
        uint64_t rejected = -span % span;
        while ((uint64_t)product < rejected) product = (unsigned __int128)ws_random(s) * span;
    }
    return (uint64_t)(product >> 64);
}

/* Writes a number, with zeros before it if it has less than `fewest` digits. */
static inline size_t ws_put_number(uint8_t *out, uint64_t value, size_t fewest) {
    uint8_t digits[WS_LONGEST_NUMBER];
    size_t at = sizeof digits;
    do digits[--at] = (uint8_t)('0' + value % 10);
    while (value /= 10);
    while (sizeof digits - at < fewest) digits[--at] = '0';
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

static inline size_t ws_put_random(ws_source *s, uint8_t *out, size_t size) {
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    for (size_t at = 0; at < size;) {
        /* Five letters of a draw: each is one of 62 with an error below 62^5 / 2^64, one in 2 * 10^10. */
        uint64_t draw = ws_random(s);
        for (int i = 0; i < 5 && at < size; i++) {
            unsigned __int128 product = (unsigned __int128)draw * 62;
            out[at++] = (uint8_t)alphabet[product >> 64];
            draw = (uint64_t)product;
        }
    }
    return size;
}

static inline size_t ws_put_uuid(ws_source *s, uint8_t *out) {
    static const char digits[] = "0123456789abcdef";
    if (s->entropy_left < 16) {
        /* 256 bytes at once are always given in full (getrandom(2)). */
        for (size_t at = 0; at < WS_ENTROPY; at += 256)
            while (getrandom(s->entropy + at, 256, 0) != 256) {}
        s->entropy_left = WS_ENTROPY;
    }
    uint8_t *bits = s->entropy + (s->entropy_left -= 16);
    bits[6] = (uint8_t)((bits[6] & 0x0F) | 0x40);
    bits[8] = (uint8_t)((bits[8] & 0x3F) | 0x80);
    size_t at = 0;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) out[at++] = '-';
        out[at++] = (uint8_t)digits[bits[i] >> 4];
        out[at++] = (uint8_t)digits[bits[i] & 15];
    }
    return at;
}

/* Returns the row of the next message that has one. */
static inline uint32_t ws_take_row(ws_source *s, uint64_t connection) {
    ws_rows *r = &s->rows;
    if (r->order == WS_ROWS_OF_CONNECTION) return (uint32_t)(connection / s->shards);
    uint64_t taken = r->taken++;
    if (r->order == WS_ROWS_ONCE) return (uint32_t)taken;
    uint64_t row = r->order == WS_ROWS_RANDOM ? ws_random_below(s, r->count) : ws_global_index(taken, s->shard, s->shards) % r->count;
    return r->recent[taken % WS_RECENT_ROWS] = (uint32_t)row;
}

static inline size_t ws_put_hole(
    ws_source *s, const ws_part *part, uint8_t *out, uint64_t number, uint64_t connection, uint32_t row) {
    switch (part->hole) {
    case WS_HOLE_FEED: return ws_put_value(&s->rows, row, (uint32_t)part->low, out);
    case WS_HOLE_SEQ: return ws_put_number(out, number, (size_t)part->low);
    case WS_HOLE_CONNECTION: return ws_put_number(out, connection, 0);
    case WS_HOLE_NOW_MS: {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return ws_put_number(out, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, 0);
    }
    case WS_HOLE_UUID: return ws_put_uuid(s, out);
    case WS_HOLE_RANDOM: return ws_put_random(s, out, (size_t)part->low);
    case WS_HOLE_INT: {
        int64_t value = (int64_t)((uint64_t)part->low + ws_random_below(s, part->span));
        if (value >= 0) return ws_put_number(out, (uint64_t)value, 0);
        *out = '-';
        return 1 + ws_put_number(out + 1, -(uint64_t)value, 0);
    }
    default: return 0;
    }
}

/* Returns the bytes that a hole takes at most; 0 where a feed decides. */
static inline size_t ws_hole_bytes(const ws_part *part) {
    switch (part->hole) {
    case WS_HOLE_NONE:
    case WS_HOLE_FEED: return 0;
    case WS_HOLE_UUID: return WS_UUID;
    case WS_HOLE_RANDOM: return (size_t)part->low;
    default: return WS_LONGEST_NUMBER;
    }
}

/* Finds the size of the largest message, once there are templates or rows of other sizes. */
static inline void ws_source_fit(ws_source *s) {
    for (unsigned i = 0; i < s->count; i++) {
        size_t size = s->templates[i].largest + s->templates[i].of_feed * s->rows.largest;
        if (size > s->largest) s->largest = size;
    }
}

/* Writes the next message of a connection, as it is before it is masked. Returns its size; `largest` is its room. Rows that
 * are used up must have been renewed. */
static inline size_t ws_render(ws_source *s, uint8_t *out, uint64_t connection) {
    uint64_t number = ws_global_index(s->taken++, s->shard, s->shards);
    const ws_template *t = s->templates;
    if (s->turns > 1) {
        /* Each round begins elsewhere: connections take their turns in order as well. */
        uint64_t round = s->turn / s->turns, place = s->turn % s->turns;
        t += s->order[(ws_rotation(round, s->turns) + place) % s->turns];
        s->turn++;
    }
    uint8_t *at = out;
    uint32_t row = t->of_feed ? ws_take_row(s, connection) : 0;
    for (unsigned i = 0; i < t->count; i++) {
        memcpy(at, t->parts[i].text, t->parts[i].size);
        at += t->parts[i].size;
        at += ws_put_hole(s, &t->parts[i], at, number, connection, row);
    }
    return (size_t)(at - out);
}

/* Masks a payload that lies `WS_LARGEST_HEAD` behind `out`, and puts the frame's head before it, without a gap at `out`.
 * Returns the size of the frame. */
static inline size_t ws_make_frame(uint8_t *out, uint8_t first, uint32_t mask, size_t size) {
    size_t head = size < 126 ? 6 : size < 1 << 16 ? 8 : 14;
    uint8_t *payload = out + WS_LARGEST_HEAD;
    uint64_t wide = (uint64_t)mask << 32 | mask, word;
    uint8_t key[4];
    memcpy(key, &mask, 4);
    out[0] = first;
    if (size < 126) out[1] = (uint8_t)(0x80 | size);
    else if (size < 1 << 16) out[1] = 0x80 | 126, out[2] = (uint8_t)(size >> 8), out[3] = (uint8_t)size;
    else {
        out[1] = 0x80 | 127;
        for (int i = 0; i < 8; i++) out[2 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
    }
    memcpy(out + head - 4, key, 4);
    size_t at = 0;
    for (; size - at >= 8; at += 8) {
        memcpy(&word, payload + at, 8);
        word ^= wide;
        memcpy(out + head + at, &word, 8);
    }
    for (; at < size; at++) out[head + at] = payload[at] ^ key[at & 3];
    return head + size;
}

static inline void ws_source_free(ws_source *s) {
    for (unsigned i = 0; i < s->count; i++) {
        for (unsigned j = 0; j < s->templates[i].count; j++) free(s->templates[i].parts[j].text);
        free(s->templates[i].parts);
    }
    free(s->templates);
    free(s->order);
    ws_rows_free(&s->rows);
    memset(s, 0, sizeof *s);
}

#endif
