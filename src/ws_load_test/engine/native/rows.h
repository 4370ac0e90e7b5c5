/* Rows of a feed, as the texts that fill the holes of messages: all of a small feed, or the next ones of a large one.
 *
 * Plain C without Python, fuzzed by tests/native/fuzz_talk.c. Python reads the file and hands rows over; which row a message
 * has is decided here, by the rules of messages/generator.py.
 */
#ifndef WS_LOAD_TEST_ROWS_H
#define WS_LOAD_TEST_ROWS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The row of a message: the next of all rows, from the first again after the last; a random one; the next, each once, of
 * which Python hands over more; that of the connection, which has been handed over in the order of the connections. */
enum { WS_ROWS_NONE, WS_ROWS_IN_TURN, WS_ROWS_RANDOM, WS_ROWS_ONCE, WS_ROWS_OF_CONNECTION };
enum { WS_RECENT_ROWS = 1024 }; /* rows remembered for redaction, as in messages/generator.py */

typedef struct {
    int order;
    uint32_t values;   /* texts of a row */
    uint8_t *text;     /* the texts of all rows, one behind the other */
    size_t size, room;
    uint64_t *ends;    /* end of each of them */
    size_t ends_room;
    uint32_t count;    /* rows that are there */
    uint64_t taken;    /* rows that messages have taken; of WS_ROWS_ONCE, of those that are there */
    size_t largest;    /* bytes of the largest text so far */
    uint32_t recent[WS_RECENT_ROWS];
    /* Has more rows handed over, of WS_ROWS_ONCE. Returns 0 if there are none. */
    int (*more)(void *loop);
    void *loop;
} ws_rows;

/* Returns 1 if rows must be handed over before the next message can be made. */
static inline int ws_rows_used_up(const ws_rows *r) { return r->order == WS_ROWS_ONCE && r->taken == r->count; }

/* Makes room for `size` in an array of `room`. Returns 0 if there is no memory. */
static inline int ws_rows_reserve(void **array, size_t *room, size_t size) {
    if (size <= *room) return 1;
    void *grown = realloc(*array, 2 * size);
    if (!grown) return 0;
    *array = grown;
    *room = 2 * size;
    return 1;
}

/* Adds rows: the sizes of their texts, and these one behind the other. Of WS_ROWS_ONCE they take the place of those that
 * were used up. Returns 0 if there is no memory. */
static inline int ws_rows_add(ws_rows *r, const uint8_t *text, const uint64_t *sizes, uint32_t rows) {
    if (ws_rows_used_up(r)) r->size = r->count = r->taken = 0;
    size_t before = (size_t)r->count * r->values, values = (size_t)rows * r->values, total = 0;
    for (size_t i = 0; i < values; i++) total += sizes[i];
    void *ends = r->ends, *texts = r->text;
    int has_room = ws_rows_reserve(&ends, &r->ends_room, (before + values) * sizeof *r->ends);
    r->ends = ends;
    has_room &= ws_rows_reserve(&texts, &r->room, r->size + total);
    r->text = texts;
    if (!has_room) return 0;
    if (total) memcpy(r->text + r->size, text, total);
    for (size_t i = 0; i < values; i++) {
        r->size += sizes[i];
        r->ends[before + i] = r->size;
        if (sizes[i] > r->largest) r->largest = sizes[i];
    }
    r->count += rows;
    return 1;
}

/* Writes a text of a row. Returns its size. */
static inline size_t ws_put_value(const ws_rows *r, uint32_t row, uint32_t value, uint8_t *out) {
    size_t place = (size_t)row * r->values + value;
    size_t from = place ? (size_t)r->ends[place - 1] : 0, size = (size_t)r->ends[place] - from;
    if (size) memcpy(out, r->text + from, size);
    return size;
}

static inline void ws_rows_free(ws_rows *r) {
    free(r->text);
    free(r->ends);
    r->text = NULL;
    r->ends = NULL;
}

#endif
