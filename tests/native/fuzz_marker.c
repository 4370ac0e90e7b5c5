/* Fuzzes what the compiled loop does with deliveries of a fan-out: markers in messages, and the rows of those it finds.
 *
 *   fuzz_marker SECONDS [SEED]    its own generator
 *   -DLIBFUZZER                   an entry for clang's -fsanitize=fuzzer instead
 *
 * Markers are those that a plain reader finds, which looks at each place of a message by itself; no byte beyond the message
 * is read. tools/fuzz_wire.sh builds it with address and undefined-behaviour sanitizers.
 */
#include "deliveries.h"

#include <stdio.h>

enum { LARGEST = 600, MOST = 64 };

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
static uint64_t state = 88172645463325252u;
static uint32_t draw(uint32_t below) {
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (uint32_t)(state >> 16) % below;
}

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    abort();
}

/* --- The plain reader --------------------------------------------------------------------------------------------------- */

static int is_digit(uint8_t c) { return c && strchr(digits, c) != NULL; }

static int is_marker(const uint8_t *p, size_t n) {
    unsigned rest = 0;
    if (n < 29) return 0;
    for (int i = 0; i < 29; i++) if (!is_digit(p[i])) return 0;
    for (int i = 0; i < 28; i++) rest = (rest * 256 + p[i]) % 61;
    return p[0] == 'w' && digits[rest] == p[28];
}

static int64_t number(const uint8_t *p, int from, int count) {
    int64_t value = 0;
    for (int i = 0; i < count; i++) value = value * 62 + (strchr(digits, p[from + i]) - digits);
    return value;
}

/* Compares what is found in a message with what the plain reader finds. Returns how many markers there are. */
static unsigned check(ws_deliveries *d, const uint8_t *data, size_t size) {
    ws_delivery wanted[MOST];
    unsigned count = 0;
    int foreign = 0;
    uint8_t *block = malloc(size + !size); /* of its own, so that a read past its end is seen */
    memcpy(block, data, size);
    for (size_t at = 0; at < size;) {
        if (!is_marker(block + at, size - at) || memcmp(block + at, d->head, 4)) {
            at++;
            continue;
        }
        ws_delivery row = {7, number(block + at, 5, 4), number(block + at, 9, 5), number(block + at, 14, 8), number(block + at, 22, 6), 9};
        unsigned known = 0;
        while (known < count && memcmp(&wanted[known], &row, sizeof row)) known++;
        if (known == count && count < MOST) wanted[count++] = row;
        at += 29;
    }
    for (size_t at = 0; at + 29 <= size; at++)
        foreign |= is_marker(block + at, size - at) && memcmp(block + at, d->head, 4) && (!at || !is_digit(block[at - 1])) &&
                   (at + 29 == size || !is_digit(block[at + 29]));
    size_t before = d->count;
    if (ws_find_deliveries(d, 7, block, size, 9) != count || d->count != before + count) fail("another number of markers");
    if (count && memcmp(d->rows + before, wanted, count * sizeof *wanted)) fail("other markers");
    if (ws_is_delivery(d, block, size) != (count > 0)) fail("a delivery that is none");
    if (ws_has_foreign(d, block, size) != foreign) fail("a marker of another run that is none");
    free(block);
    return count;
}

#ifdef LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ws_deliveries d = {.has_begun = 1, .head = "wrun"};
    if (size < LARGEST) check(&d, data, size);
    ws_deliveries_free(&d);
    return 0;
}
#else
static size_t put_marker(uint8_t *out) {
    unsigned rest = 0;
    memcpy(out, draw(5) ? "wrun0" : "wzzz0", 5);
    for (int i = 5; i < 28; i++) out[i] = (uint8_t)digits[draw(3) ? 0 : draw(62)];
    for (int i = 0; i < 28; i++) rest = (rest * 256 + out[i]) % 61;
    out[28] = (uint8_t)digits[rest];
    if (!draw(6)) out[draw(29)] = (uint8_t)draw(256);
    return draw(8) ? 29 : draw(29);
}

static size_t make(uint8_t *out) {
    size_t size = 0;
    for (uint32_t i = draw(6); i; i--) {
        size_t from = size;
        if (draw(3)) size += put_marker(out + size);
        if (!draw(5) && from >= 29) memmove(out + size, out, 29), size += 29;
        for (uint32_t k = draw(3); k; k--) out[size++] = (uint8_t) "w {\"run:0"[draw(9)];
    }
    return size;
}

/* A session whose messages are deliveries, greetings and pushes, in the order of their reads. */
static void check_session(uint64_t *rows) {
    ws_rules rules = {.by = WS_UNAWAITED};
    ws_session session;
    ws_session_init(&session);
    session.connection = 7, session.greetings = draw(3);
    ws_deliveries d = {.has_begun = draw(4) > 0, .head = "wrun"};
    uint32_t greetings = session.greetings;
    int64_t now = 1, last = 0;
    for (int turn = 0; turn < 200; turn++) {
        uint8_t payload[LARGEST];
        size_t size = make(payload), before = d.count;
        if (!draw(3)) now += 1000, d.turn_is_open = 0;
        int is = ws_judge_delivery(&rules, &d, &session, payload, size, now);
        if ((is == WS_PART) != (d.count > before)) fail("a delivery without a row");
        if (is == WS_GREETING && !greetings--) fail("a greeting too many");
        if (is == WS_PART && !d.has_begun) fail("a delivery before the load");
        for (size_t i = before; i < d.count; i++) {
            if (d.rows[i].connection != 7 || d.rows[i].at < now || d.rows[i].at >= now + 200) fail("a row of another read");
            if (i == before && d.rows[i].at <= last) fail("rows without an order");
        }
        if (d.count > before) last = d.rows[d.count - 1].at;
        if (!d.turns || d.starts[d.turns - 1] > now || !d.turn_is_open) fail("a turn without a beginning");
    }
    *rows += d.count;
    ws_deliveries_free(&d);
    ws_session_free(&session);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 5;
    if (argc > 2) state ^= strtoull(argv[2], NULL, 10) * 2654435761u;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double end = (double)now.tv_sec + (double)now.tv_nsec / 1e9 + seconds;
    uint64_t found = 0, rows = 0;
    while ((double)now.tv_sec + (double)now.tv_nsec / 1e9 < end) {
        ws_deliveries d = {.has_begun = 1, .head = "wrun"};
        for (int i = 0; i < 300; i++) {
            uint8_t payload[LARGEST];
            found += check(&d, payload, make(payload));
        }
        ws_deliveries_free(&d);
        for (int i = 0; i < 5; i++) check_session(&rows);
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    printf("%lu markers found, %lu deliveries on sessions: all as they should be\n", found, rows);
    return !(found && rows);
}
#endif
