/* Fuzzes the frame parser of the compiled loop: a stream cut anywhere gives what the whole stream gives.
 *
 *   fuzz_wire SECONDS [SEED]      its own generator: streams of frames, some of them damaged
 *   -DLIBFUZZER                   an entry for clang's -fsanitize=fuzzer instead
 *
 * Each stream is read whole, byte by byte, and in random pieces, and its messages are counted or read whole. Messages, what
 * is in them, control frames and the place of the first odd frame must agree. tools/fuzz_wire.sh builds it with address and undefined-behaviour sanitizers.
 */
#include "wire.h"

#include <stdio.h>

enum { LIMIT = 70000, LARGEST = 1 << 18 };

typedef struct {
    uint64_t messages, controls, control_bytes, hash, content, odd_at;
    int odd;
} outcome;

static void on_control(void *loop, void *session, int opcode, const uint8_t *payload, unsigned size) {
    outcome *o = session;
    (void)loop;
    if (opcode != WS_PING && opcode != WS_PONG) abort();
    o->controls++;
    o->control_bytes += size;
    o->hash = o->hash * 31 + (unsigned)opcode;
    for (unsigned i = 0; i < size; i++) o->hash = o->hash * 31 + payload[i];
}

static int on_message(void *loop, void *session, int opcode, const uint8_t *payload, size_t size) {
    outcome *o = session;
    (void)loop;
    if (opcode != WS_TEXT && opcode != WS_BINARY) abort();
    o->content = o->content * 31 + (unsigned)opcode + 7 * size;
    for (size_t i = 0; i < size; i++) o->content = o->content * 31 + payload[i];
    return 1;
}

static uint64_t state = 88172645463325252u;
static uint32_t draw(uint32_t below) {
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (uint32_t)(state >> 16) % below;
}

/* Reads a stream in pieces of 1 to `largest` bytes; 0: whole. Each piece is a block of its own, so that a read past its
 * end is seen. */
static outcome read_in_pieces(const uint8_t *data, size_t size, size_t largest, int whole) {
    outcome o = {0};
    ws_stream s;
    const ws_taker taker = {on_control, whole ? on_message : NULL, NULL, LIMIT};
    ws_stream_init(&s);
    for (size_t at = 0; at < size && !o.odd;) {
        size_t piece = largest ? 1 + draw((uint32_t)largest) : size, used;
        if (piece > size - at) piece = size - at;
        uint8_t *block = malloc(piece);
        memcpy(block, data + at, piece);
        o.messages += ws_read(&s, block, piece, &used, &o.odd, &taker, &o);
        free(block);
        if (used > piece || (!o.odd && used != piece)) abort();
        /* The bytes in `head` belong to the odd frame. */
        if (o.odd) o.odd_at = at + used - s.have;
        at += piece;
    }
    ws_stream_free(&s);
    return o;
}

static void check(const uint8_t *data, size_t size) {
    /* Messages that are counted have no content. */
    outcome counted = read_in_pieces(data, size, 0, 0), whole = read_in_pieces(data, size, 0, 1);
    static const size_t cuts[] = {1, 2, 7, 300, 5000};
    for (unsigned i = 0; i < 2 * sizeof cuts / sizeof *cuts; i++) {
        outcome cut = read_in_pieces(data, size, cuts[i / 2], i & 1);
        if (whole.messages != cut.messages || whole.controls != cut.controls || whole.control_bytes != cut.control_bytes
            || whole.hash != cut.hash || whole.odd != cut.odd || whole.odd_at != cut.odd_at
            || cut.content != (i & 1 ? whole.content : 0) || counted.messages != whole.messages) {
            fprintf(stderr, "pieces of up to %zu bytes of %zu: %lu messages, %lu controls, odd %d at %lu; whole: %lu, %lu, %d, %lu\n",
                    cuts[i / 2], size, cut.messages, cut.controls, cut.odd, cut.odd_at, whole.messages, whole.controls, whole.odd,
                    whole.odd_at);
            abort();
        }
    }
}

static void check_buckets(void) {
    /* Each value lies in the bucket whose bounds metrics/hdr_buckets.py gives. */
    uint64_t value = ((uint64_t)draw(1u << 31) << 32 | draw(1u << 31)) >> draw(63);
    uint32_t bucket = ws_bucket((int64_t)value);
    int shift = (int)(bucket >> 10) > 1 ? (int)(bucket >> 10) - 1 : 0;
    uint64_t lowest = (uint64_t)(bucket - ((uint32_t)shift << 10)) << shift;
    if (bucket >= WS_SLOTS || value < lowest || value - lowest >= (uint64_t)1 << shift) abort();
}

#ifdef LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check(data, size);
    return 0;
}
#else
static size_t put_frame(uint8_t *out, int fragmented) {
    static const uint8_t small[] = {0x81, 0x82, 0x89, 0x8a};
    uint32_t kind = draw(16);
    uint8_t first = fragmented && kind < 12 ? (uint8_t)(draw(3) ? 0x00 : 0x80) : kind == 15 ? 0x01 : small[draw(4)];
    uint32_t length = first & 8 || draw(6) ? draw(126) : draw(30) ? draw(1000) : draw(80000);
    size_t at = 0;
    out[at++] = first;
    if (length < 126) out[at++] = (uint8_t)length;
    else if (length < 1 << 16) { out[at++] = 126; out[at++] = (uint8_t)(length >> 8); out[at++] = (uint8_t)length; }
    else { out[at++] = 127; for (int i = 7; i >= 0; i--) out[at++] = (uint8_t)((uint64_t)length >> (8 * i)); }
    for (uint32_t i = 0; i < length; i++) out[at++] = (uint8_t)draw(256);
    return at;
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 5;
    if (argc > 2) state ^= strtoull(argv[2], NULL, 10) * 2654435761u;
    uint8_t *data = malloc(2 * LARGEST);
    int64_t end = ws_now_ns() + (int64_t)(seconds * 1e9);
    uint64_t streams = 0, odd = 0, messages = 0;
    while (ws_now_ns() < end) {
        size_t size = 0;
        int frames = 1 + (int)draw(12), fragmented = 0;
        if (draw(8)) {
            for (int i = 0; i < frames && size < LARGEST; i++) {
                size_t from = size;
                size += put_frame(data + size, fragmented);
                if (!(data[from] & 8)) fragmented = !(data[from] & 0x80);
            }
        } else for (size = draw(400); size && frames; frames = 0) for (size_t i = 0; i < size; i++) data[i] = (uint8_t)draw(256);
        /* Damage, and an end anywhere. */
        if (size && !draw(3)) data[draw((uint32_t)size)] = (uint8_t)draw(256);
        if (size && !draw(3)) size = draw((uint32_t)size);
        if (!size) continue;
        check(data, size);
        check_buckets();
        outcome o = read_in_pieces(data, size, 0, 1);
        streams++, odd += (uint64_t)o.odd, messages += o.messages;
    }
    free(data);
    printf("%lu streams with %lu messages, %lu of them odd: read alike however they were cut\n", streams, messages, odd);
    return !(streams && odd && messages);
}
#endif
