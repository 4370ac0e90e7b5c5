/* Deliveries of a fan-out: finds the markers in a message (messages/marker.py has their format), and keeps a row of each.
 *
 * Plain C without Python, fuzzed by tests/native/fuzz_marker.c. The rows go to Python, which knows rooms and publishes, many
 * at a time; a message that has none is judged as one that answers nothing.
 */
#ifndef WS_LOAD_TEST_DELIVERIES_H
#define WS_LOAD_TEST_DELIVERIES_H

#include "streams.h"

enum {
    WS_MARKER = 29,            /* bytes of a marker */
    WS_MARKER_HEAD = 4,        /* of which `w` and the tag of the run */
    WS_PUBLISHER_AT = 5, WS_NUMBER_AT = 9, WS_DUE_AT = 14, WS_LAG_AT = 22, WS_CHECK_AT = 28,
    WS_CHECK_MODULUS = 61,
    WS_FIRST_ROWS = 1024,      /* deliveries for which there is room at first */
    WS_MARKERS_A_MESSAGE = 64, /* markers of a message among which one that comes twice is noticed */
};

typedef struct {
    uint64_t connection;  /* number of the connection within the run */
    int64_t publisher, number;
    int64_t due, lag;     /* in ns: from the start of the load, and from due to sent */
    int64_t at;           /* when it was read */
} ws_delivery;

typedef struct {
    int has_begun;            /* deliveries are recognized; before the load, nothing is one */
    uint8_t head[WS_MARKER_HEAD];
    ws_delivery *rows;
    size_t count, room;
    int64_t *starts;          /* instants at which turns of the loop began to read deliveries */
    size_t turns, turns_room;
    int turn_is_open;         /* the present turn has begun */
    int64_t read_at;          /* of the present read */
    int64_t messages;         /* of the present read so far */
    uint64_t foreign;         /* messages with a marker of another run */
} ws_deliveries;

/* Value of each digit of base 62; 255: no letter and no digit. */
static inline uint8_t ws_digit(uint8_t c) {
    if (c >= '0' && c <= '9') return (uint8_t)(c - '0');
    if (c >= 'A' && c <= 'Z') return (uint8_t)(c - 'A' + 10);
    if (c >= 'a' && c <= 'z') return (uint8_t)(c - 'a' + 36);
    return 255;
}

static inline int64_t ws_number_of(const uint8_t *values, int from, int end) {
    int64_t value = 0;
    for (int i = from; i < end; i++) value = value * 62 + values[i];
    return value;
}

/* Reads the digits of a marker. Returns 0 if these bytes are none. */
static inline int ws_read_marker(const uint8_t *p, uint8_t values[WS_MARKER]) {
    /* Powers of 256 modulo 61: the check is the remainder of all bytes before it as one number. */
    static const uint8_t weights[WS_CHECK_AT] = {
        58, 15, 47, 9, 16, 42, 34, 13, 57, 20, 22, 12, 1, 56, 25, 58, 15, 47, 9, 16, 42, 34, 13, 57, 20, 22, 12, 1};
    uint32_t sum = 0;
    for (int i = 0; i < WS_MARKER; i++) {
        values[i] = ws_digit(p[i]);
        if (values[i] == 255) return 0;
    }
    for (int i = 0; i < WS_CHECK_AT; i++) sum += p[i] * weights[i];
    return values[WS_CHECK_AT] == sum % WS_CHECK_MODULUS;
}

/* Returns 1 if a message has the marker of another run, standing alone. */
static inline int ws_has_foreign(const ws_deliveries *d, const uint8_t *p, size_t n) {
    uint8_t values[WS_MARKER];
    const uint8_t *at = p, *end = p + n;
    while ((at = memchr(at, 'w', (size_t)(end - at)))) {
        if ((at == p || ws_digit(at[-1]) == 255) && end - at >= WS_MARKER && (at + WS_MARKER == end || ws_digit(at[WS_MARKER]) == 255) &&
            memcmp(at, d->head, WS_MARKER_HEAD) && ws_read_marker(at, values))
            return 1;
        at++;
    }
    return 0;
}

static inline int ws_deliveries_reserve(void **array, size_t *room, size_t count, size_t size) {
    if (count < *room) return 1;
    size_t grown_room = *room ? 2 * *room : WS_FIRST_ROWS;
    void *grown = realloc(*array, grown_room * size);
    if (!grown) return 0;
    *array = grown;
    *room = grown_room;
    return 1;
}

/* Keeps a row. Where there is no memory, it is lost, and the delivery is missing. */
static inline void ws_keep_delivery(ws_deliveries *d, ws_delivery row) {
    void *rows = d->rows;
    if (ws_deliveries_reserve(&rows, &d->room, d->count, sizeof row)) ((ws_delivery *)rows)[d->count++] = row;
    d->rows = rows;
}

/* Notes the start of a turn with its first read. */
static inline void ws_begin_turn(ws_deliveries *d, int64_t at) {
    void *starts = d->starts;
    if (ws_deliveries_reserve(&starts, &d->turns_room, d->turns, sizeof at)) ((int64_t *)starts)[d->turns++] = at;
    d->starts = starts;
    d->turn_is_open = 1;
}

/* Keeps a row of each marker of the run in a message. Returns how many there were; a marker that comes twice counts once. */
static inline unsigned ws_find_deliveries(ws_deliveries *d, uint64_t connection, const uint8_t *p, size_t n, int64_t at) {
    const uint8_t *end = p + n, *from = p;
    const uint8_t *seen[WS_MARKERS_A_MESSAGE];
    unsigned found = 0;
    while ((from = memmem(from, (size_t)(end - from), d->head, WS_MARKER_HEAD)) && end - from >= WS_MARKER) {
        uint8_t v[WS_MARKER];
        if (!ws_read_marker(from, v)) {
            from++;
            continue;
        }
        unsigned known = 0;
        while (known < found && known < WS_MARKERS_A_MESSAGE && memcmp(seen[known] + WS_PUBLISHER_AT, from + WS_PUBLISHER_AT, WS_CHECK_AT - WS_PUBLISHER_AT)) known++;
        if (known == found || known == WS_MARKERS_A_MESSAGE) {
            if (found < WS_MARKERS_A_MESSAGE) seen[found] = from;
            found++;
            ws_keep_delivery(d, (ws_delivery){
                .connection = connection, .publisher = ws_number_of(v, WS_PUBLISHER_AT, WS_NUMBER_AT),
                .number = ws_number_of(v, WS_NUMBER_AT, WS_DUE_AT), .due = ws_number_of(v, WS_DUE_AT, WS_LAG_AT),
                .lag = ws_number_of(v, WS_LAG_AT, WS_CHECK_AT), .at = at});
        }
        from += WS_MARKER;
    }
    return found;
}

/* Returns 1 if a message has a marker of the run. */
static inline int ws_is_delivery(const ws_deliveries *d, const uint8_t *p, size_t n) {
    uint8_t values[WS_MARKER];
    const uint8_t *end = p + n;
    while ((p = memmem(p, (size_t)(end - p), d->head, WS_MARKER_HEAD)) && end - p >= WS_MARKER)
        if (ws_read_marker(p++, values)) return 1;
    return 0;
}

/* Judges a whole message of a session that may receive deliveries: WS_PART is one that is counted already. */
static inline int ws_judge_delivery(
    const ws_rules *r, ws_deliveries *d, ws_session *s, const uint8_t *payload, size_t size, int64_t at) {
    if (!d->turn_is_open) ws_begin_turn(d, at);
    if (ws_is_ignored(r, payload, size)) return WS_PUSH;
    if (s->greetings && !(d->has_begun && ws_is_delivery(d, payload, size))) {
        s->greetings--;
        return WS_GREETING;
    }
    /* Messages of one read share its instant; a nanosecond each keeps their order. */
    if (d->read_at != at) d->read_at = at, d->messages = 0;
    at += d->messages++;
    if (!d->has_begun) return WS_PUSH;
    if (ws_find_deliveries(d, s->connection, payload, size, at)) return WS_PART;
    d->foreign += (uint64_t)ws_has_foreign(d, payload, size);
    return WS_PUSH;
}

static inline void ws_deliveries_free(ws_deliveries *d) {
    free(d->rows);
    free(d->starts);
    memset(d, 0, sizeof *d);
}

#endif
