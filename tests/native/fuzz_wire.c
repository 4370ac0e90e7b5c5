/* Fuzzes the frame parser of the compiled loop: a stream cut anywhere gives what the whole stream gives.
 *
 *   fuzz_wire SECONDS [SEED]      its own generator: streams of frames, some of them damaged
 *   -DLIBFUZZER                   an entry for clang's -fsanitize=fuzzer instead
 *
 * Each stream is read whole, byte by byte, and in random pieces, and its messages are counted, read whole, or read whole
 * with their texts checked. Messages, what is in them, control frames and the place of the first odd frame must agree, and
 * that of texts must be the first frame that breaks one. tools/fuzz_wire.sh builds it with address and undefined-behaviour sanitizers.
 */
#include "wire.h"

#include <stdio.h>

enum { LIMIT = 70000, LARGEST = 1 << 18 };
enum { COUNTED, WHOLE, CHECKED, WAYS };

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

/* Returns 1 if these bytes are UTF-8, by the ranges of RFC 3629, section 4. */
static int is_utf8(const uint8_t *p, size_t n) {
    for (size_t at = 0, size; at < n; at += size) {
        uint32_t code = p[at];
        size = code < 0x80 ? 1 : code >> 5 == 6 ? 2 : code >> 4 == 14 ? 3 : code >> 3 == 30 ? 4 : 0;
        if (!size || n - at < size) return 0;
        if (size > 1) code &= 0x7F >> size;
        for (size_t i = 1; i < size; i++) {
            if (p[at + i] >> 6 != 2) return 0;
            code = code << 6 | (p[at + i] & 0x3F);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (code < least[size] || code > 0x10FFFF || (code >> 11) == 0x1B) return 0;
    }
    return 1;
}

static int on_checked(void *loop, void *session, int opcode, const uint8_t *payload, size_t size) {
    if (opcode == WS_TEXT && !is_utf8(payload, size)) abort();
    return on_message(loop, session, opcode, payload, size);
}

static uint64_t state = 88172645463325252u;
static uint32_t draw(uint32_t below) {
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (uint32_t)(state >> 16) % below;
}

/* Reads a stream in pieces of 1 to `largest` bytes; 0: whole. Each piece is a block of its own, so that a read past its
 * end is seen. */
static outcome read_in_pieces(const uint8_t *data, size_t size, size_t largest, int way) {
    outcome o = {0};
    ws_stream s;
    const ws_taker taker = {
        on_control, way == COUNTED ? NULL : way == WHOLE ? on_message : on_checked, NULL, LIMIT, way == CHECKED};
    ws_stream_init(&s);
    for (size_t at = 0; at < size && !o.odd;) {
        size_t piece = largest ? 1 + draw((uint32_t)largest) : size, used;
        if (piece > size - at) piece = size - at;
        uint8_t *block = malloc(piece);
        memcpy(block, data + at, piece);
        o.messages += ws_read(&s, block, piece, &used, &o.odd, &taker, &o);
        free(block);
        if (used > piece || (!o.odd && used != piece)) abort();
        /* The bytes in `head` belong to the odd frame, and those of its payload that were kept. */
        if (o.odd) o.odd_at = at + used - s.have - s.seen;
        at += piece;
    }
    ws_stream_free(&s);
    return o;
}

/* Returns 1 if the frame at `at`, which is whole, ends a text that is not UTF-8, or makes it one that cannot become any:
 * then no byte that could follow makes its last character whole. */
static int breaks_text(const uint8_t *data, size_t size, size_t at) {
    uint8_t *text = malloc(size + 4);
    size_t length = 0, from = 0;
    int is_text = 0, broken = 0;
    while (from <= at && size - from >= 2) {
        uint64_t payload;
        ws_stream between = {.fragmented = (data[from] & 15) == WS_CONTINUATION ? 0 : -1};
        int head = ws_head(&between, data + from, size - from, LIMIT, &payload);
        if (head <= 0 || size - from - (size_t)head < payload) break;
        uint8_t opcode = data[from] & 15;
        if (opcode < WS_CLOSE) {
            if (opcode != WS_CONTINUATION) is_text = opcode == WS_TEXT, length = 0;
            memcpy(text + length, data + from + head, (size_t)payload);
            length += (size_t)payload;
            if (from == at && is_text) {
                broken = !is_utf8(text, length);
                if (broken && !(data[from] & WS_FIN)) {
                    /* All characters that could become of up to three bytes: their first continuation bytes decide. */
                    for (unsigned more = 1; more < 4 && broken; more++)
                        for (unsigned next = 0x80; next < 0xC0 && broken; next += 0x10) {
                            memset(text + length, 0x80, 3);
                            text[length] = (uint8_t)next;
                            broken = !is_utf8(text, length + more);
                        }
                }
            }
        }
        from += (size_t)head + (size_t)payload;
    }
    free(text);
    return broken;
}

static void compare(const outcome *one, const outcome *other, size_t piece, int way) {
    if (one->messages == other->messages && one->controls == other->controls && one->control_bytes == other->control_bytes
        && one->hash == other->hash && one->odd == other->odd && one->odd_at == other->odd_at
        && one->content == other->content) return;
    fprintf(stderr, "way %d, pieces of up to %zu bytes: %lu messages, %lu controls, odd %d at %lu; else: %lu, %lu, %d, %lu\n", way,
            piece, one->messages, one->controls, one->odd, one->odd_at, other->messages, other->controls, other->odd,
            other->odd_at);
    abort();
}

static void check(const uint8_t *data, size_t size) {
    outcome whole[WAYS];
    static const size_t cuts[] = {1, 2, 7, 300, 5000};
    for (int way = COUNTED; way < WAYS; way++) {
        whole[way] = read_in_pieces(data, size, 0, way);
        for (unsigned i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            outcome cut = read_in_pieces(data, size, cuts[i], way);
            compare(&cut, &whole[way], cuts[i], way);
        }
    }
    /* Messages that are counted have no content. */
    if (whole[COUNTED].content) abort();
    whole[COUNTED].content = whole[WHOLE].content;
    compare(&whole[COUNTED], &whole[WHOLE], 0, COUNTED);
    const outcome *checked = &whole[CHECKED];
    if (checked->odd && (!whole[WHOLE].odd || checked->odd_at < whole[WHOLE].odd_at)) {
        if (!breaks_text(data, size, checked->odd_at)) abort();
    } else compare(checked, &whole[WHOLE], 0, CHECKED);
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
/* Writes a character, in as much room as there is; its bytes may be those of another frame's end. */
static size_t put_character(uint8_t *out, size_t room) {
    uint8_t bytes[4];
    uint32_t kind = draw(8);
    uint32_t code = kind < 5 ? draw(0x80) : kind == 5 ? draw(0x800) : kind == 6 ? draw(0x10000) : draw(draw(9) ? 0x110000 : 0x200000);
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t firsts[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = size; i-- > 1; code >>= 6) bytes[i] = (uint8_t)(0x80 | (code & 0x3F));
    bytes[0] = (uint8_t)(firsts[size] | code);
    if (size > room) size = room;
    memcpy(out, bytes, size);
    return size;
}

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
    if (draw(4)) {
        for (size_t end = at + length; at < end;) at += put_character(out + at, end - at);
    } else for (uint32_t i = 0; i < length; i++) out[at++] = (uint8_t)draw(256);
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
