/* Fuzzes the judge of answers to upgrades: an answer that comes in pieces is judged as the whole one is.
 *
 *   fuzz_dial SECONDS [SEED]      its own generator: ordinary answers, some of them changed or damaged
 *   -DLIBFUZZER                   an entry for clang's -fsanitize=fuzzer instead
 *
 * Each answer is taken whole, byte by byte, and in random pieces, as a dial takes it. State and the bytes behind the head must
 * agree. tools/fuzz_wire.sh builds it with address and undefined-behavior sanitizers.
 */
#define _GNU_SOURCE
#include "dial.h"

#include <stdio.h>

enum { LARGEST = 1 << 14 };

static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==", offered[] = "one, two";

static uint64_t state = 88172645463325252u;
static uint32_t draw(uint32_t below) {
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (uint32_t)(state >> 16) % below;
}

/* Takes an answer in pieces of 1 to `largest` bytes; 0: whole. Each piece is a block of its own, so that a read past its
 * end is seen. */
static ws_dial taken_in_pieces(const uint8_t *data, size_t size, size_t largest) {
    ws_dial d = {.fd = -1, .state = WS_ASKING, .offered = offered, .offered_size = sizeof offered - 1};
    memcpy(d.key, key, WS_KEY);
    ws_accept_of(d.accept, d.key);
    size_t at = 0;
    while (at < size && d.state == WS_ASKING) {
        size_t piece = largest ? 1 + draw((uint32_t)largest) : size;
        if (piece > size - at) piece = size - at;
        uint8_t *block = malloc(piece);
        memcpy(block, data + at, piece);
        ws_dial_take(&d, block, piece);
        free(block);
        at += piece;
    }
    /* What comes behind it is the session's, or the portable code's, to read. */
    if (d.state != WS_ASKING) ws_dial_keep(&d, data + at, size - at);
    return d;
}

/* Returns the state in which an answer leaves its dial. */
static ws_dial_state check(const uint8_t *data, size_t size) {
    ws_dial whole = taken_in_pieces(data, size, 0);
    static const size_t cuts[] = {1, 2, 7, 100};
    for (unsigned i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        /* Each piece is judged with all before it. */
        if (size > 1000 && cuts[i] < 100) continue;
        ws_dial cut = taken_in_pieces(data, size, cuts[i]);
        /* A head that has not come whole is looked at up to a limit only. */
        int may_differ = size > WS_LARGEST_PLAIN_HEAD && cut.state == WS_ODD;
        if (!may_differ && (whole.state != cut.state || whole.answer_size != cut.answer_size
                            || (whole.answer_size && memcmp(whole.answer, cut.answer, whole.answer_size)))) {
            fprintf(stderr, "pieces of up to %zu bytes of %zu: state %d, %zu bytes; whole: %d, %zu\n", cuts[i], size, cut.state,
                    cut.answer_size, whole.state, whole.answer_size);
            abort();
        }
        ws_dial_free(&cut);
    }
    ws_dial_state found = whole.state;
    ws_dial_free(&whole);
    return found;
}

#ifdef LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check(data, size);
    return 0;
}
#else
static const char *const usual[] = {"Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="};
static const char *const others[] = {
    "Server: any", "Server:", "Sec-WebSocket-Protocol: two", "Sec-WebSocket-Protocol: three", "Sec-WebSocket-Protocol:", "Date: now ",
    "Sec-WebSocket-Extensions: x", "Content-Length: 0", "Connection: ,,", "X-Long: 0123456789012345678901234567890123456789", " folded", ":",
};

static size_t put(uint8_t *out, const char *line) {
    size_t size = strlen(line);
    memcpy(out, line, size);
    memcpy(out + size, "\r\n", 2);
    return size + 2;
}

static size_t put_answer(uint8_t *out) {
    size_t at = put(out, draw(8) ? "HTTP/1.1 101 Switching Protocols" : draw(2) ? "HTTP/1.1 101" : "HTTP/1.1 404 Not Found");
    unsigned order = draw(3);
    for (unsigned i = 0; i < 3; i++) {
        while (!draw(4)) at += put(out + at, others[draw(draw(3) ? 2 : sizeof others / sizeof *others)]);
        if (draw(20)) at += put(out + at, usual[(i + order) % 3]);
    }
    if (!draw(30)) for (unsigned lines = draw(150); lines; lines--) at += put(out + at, others[9]);
    out[at++] = '\r', out[at++] = '\n';
    for (unsigned early = draw(2) ? draw(40) : 0; early; early--) out[at++] = (uint8_t)draw(256);
    return at;
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 5;
    if (argc > 2) state ^= strtoull(argv[2], NULL, 10) * 2654435761u;
    uint8_t *data = malloc(LARGEST);
    int64_t end = ws_now_ns() + (int64_t)(seconds * 1e9);
    uint64_t answers = 0, open = 0, odd = 0;
    do {
        size_t size = put_answer(data);
        /* Damage, and an end anywhere. */
        if (!draw(3)) data[draw((uint32_t)size)] = (uint8_t)draw(256);
        if (!draw(4)) size = 1 + draw((uint32_t)size);
        ws_dial_state found = check(data, size);
        answers++, open += found == WS_OPEN, odd += found == WS_ODD;
    } while (ws_now_ns() < end);
    free(data);
    printf("%lu answers, %lu of them granted, %lu odd: judged alike however they were cut\n", answers, open, odd);
    return !(open && odd && answers > open + odd);
}
#endif
